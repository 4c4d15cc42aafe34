//! A dry run: what a rule would have done, by the same figures and the same judgement as the live evaluation.
//!
//! Reads what was recorded; writes nothing and tells nobody. Where a figure says nothing, it says why (`silent`).

mod silent;

use std::time::Duration;

use model::Timestamp;
use model::alert::Severity;
use model::rule::{FIRINGS_MAX, Firing, Rule, RuleKind, RuleTested, TestRule, WITHOUT_MAX, WithoutFigures};

use super::book::Book;
use super::figure::{Figure, Span, Sum};
use super::judge::{News, Reading, State, judge};
use super::plan::{self, Check};
use super::record::{Record, minutes_from};
use crate::forecast::{History, Outlook};
use crate::forecasts;
use crate::uptime::Was;
use crate::{Meter, anomalies, window};

/// Readings that one dry run takes at most; beyond them the moments lie further apart.
const READINGS_MAX: u64 = 3_000_000;
const STEP: Duration = Duration::from_secs(60);
/// Forecasts that one dry run makes at most, each of some milliseconds; they are made by the hour.
const FORECASTS_MAX: u64 = 10_000;
const FORECAST_STEP: Duration = Duration::from_secs(3600);

/// What one check is judged by.
struct Recorded {
    record: Record,
    /// The hours of a forecast.
    history: Option<History>,
    /// What the integration was, where that matters.
    was: Option<Was>,
}

/// What came of one check.
#[derive(Debug, Default)]
struct Run {
    firings: Vec<Firing>,
    /// Whether the figure said something at some moment, and why not.
    has_figures: bool,
    why: Option<String>,
}

/// Says what a rule would have done.
pub(crate) async fn test(meter: &Meter, asked: TestRule) -> anyhow::Result<RuleTested> {
    let TestRule { rule, window, at } = asked;
    let rule = rule.filled();
    let book = Book::of(meter.store.everything().await?);
    let all: Vec<_> = book.integrations.keys().cloned().collect();
    let checks = plan::checks(&book, &rule);
    let minute = |at: i64| Timestamp::from_millis(at - at.rem_euclid(60_000));
    let span = Span { from: minute(at.minus(window.length()).as_millis()), to: minute(at.as_millis()) };
    let step = step(span, &checks);
    let mut without = silent::leased(&book, &rule);
    let (mut firings, mut targets) = (Vec::new(), (checks.len() + without.len()) as u64);
    if rule.kind == RuleKind::Anomaly {
        (firings, targets, without) = unusual(meter, &book, &rule, span).await?;
    }
    for check in checks {
        let reach = Span { from: check.figure.reach(span.from), to: span.to };
        let record = Record::read(&meter.store, &check.source, &all, reach, at).await?;
        let was = was(meter, &check, span, at).await?;
        let history = match &check.figure {
            Figure::Heading { zone, unit, .. } => {
                let series = check.source.series(&all, *unit);
                Some(forecasts::history(&meter.store, &series, zone, forecasts::finished(at)).await?)
            }
            _ => None,
        };
        // Up to seconds of reckoning: not where others wait for the network.
        let target = check.target.clone();
        let run =
            tokio::task::spawn_blocking(move || walk(&check, &Recorded { record, history, was }, span, step))
                .await?;
        without.extend(run.why.map(|why| WithoutFigures {
            integration: target.integration,
            quota: target.quota,
            budget: target.budget,
            why,
        }));
        firings.extend(run.firings);
    }
    firings.sort_by_key(|firing| firing.from);
    let fired = firings.len() as u64;
    firings.truncate(FIRINGS_MAX);
    let targets_without_figures = without.len() as u64;
    without.truncate(WITHOUT_MAX);
    Ok(RuleTested {
        summary: format!("would {} in the last {window}", times(fired)),
        rule,
        from: span.from,
        to: span.to,
        minutes_from: minutes_from(at).max(span.from),
        step_secs: u32::try_from(step.as_secs()).unwrap_or(u32::MAX),
        targets,
        targets_without_figures,
        without_figures: without,
        fired,
        firings,
    })
}

/// When a rule of anomalies would have fired, for how many integrations, and of which too little is recorded.
async fn unusual(
    meter: &Meter,
    book: &Book,
    rule: &Rule,
    span: Span,
) -> anyhow::Result<(Vec<Firing>, u64, Vec<WithoutFigures>)> {
    let (mut firings, mut targets, mut without) = (Vec::new(), 0, Vec::new());
    for integration in plan::selected(book, rule) {
        targets += 1;
        let id = &integration.id;
        let Some(found) = anomalies::recorded(&meter.store, id, (span.from, span.to), rule).await? else {
            without.push(WithoutFigures {
                integration: Some(id.clone()),
                quota: None,
                budget: None,
                why: "no calls are known from which it could be told what is usual".to_owned(),
            });
            continue;
        };
        let within = found.into_iter().filter(|found| found.from >= span.from && found.from <= span.to);
        firings.extend(within.map(|found| Firing {
            integration: Some(id.clone()),
            quota: None,
            budget: None,
            figure: Some(found.figure.as_str().to_owned()),
            severity: rule.severity(),
            from: found.from,
            to: found.to,
            peak: found.anomaly.surprise,
        }));
    }
    Ok((firings, targets, without))
}

fn times(fired: u64) -> String {
    match fired {
        0 => "not have fired".to_owned(),
        1 => "have fired once".to_owned(),
        2 => "have fired twice".to_owned(),
        n => format!("have fired {n} times"),
    }
}

/// How far apart the moments lie.
fn step(span: Span, checks: &[Check]) -> Duration {
    let ahead = checks.iter().any(|check| matches!(check.figure, Figure::Heading { .. }));
    let (step, max) = if ahead { (FORECAST_STEP, FORECASTS_MAX) } else { (STEP, READINGS_MAX) };
    let moments = span.to.since(span.from).as_secs() / step.as_secs();
    let readings = moments.saturating_mul(checks.len() as u64);
    step * u32::try_from(readings.div_ceil(max).max(1)).unwrap_or(u32::MAX)
}

/// Judges one check at each moment of a span.
fn walk(check: &Check, recorded: &Recorded, span: Span, step: Duration) -> Run {
    let Recorded { record, history, was } = recorded;
    let mut run = Run::default();
    let up = matches!(check.figure, Figure::Up { .. });
    if record.is_empty() && !up {
        run.why = Some(silent::NOTHING.to_owned());
        return run;
    }
    let latencies = matches!(check.figure, Figure::ResponseTime { .. });
    let (mut state, mut at) = (State::Fine, span.from);
    while at <= span.to {
        let sums: Vec<Sum> =
            check.figure.spans(at).into_iter().map(|span| record.sum(span, latencies)).collect();
        let spoiled = check.figure.spoiled_from(at).zip(was.as_ref());
        let reading = match (history, was) {
            (Some(history), _) => expected(check, history, sums.first(), at),
            (None, Some(was)) if up => check.figure.up(was, at),
            _ if spoiled.is_some_and(|(from, was)| was.worked_on(from, at)) => Reading::Held,
            _ => check.figure.read(&sums),
        };
        run.has_figures |= matches!(reading, Reading::Value(_));
        let (next, news) = judge(&check.terms, state, reading, at);
        state = next;
        run.take(check, reading, news, at);
        at = at.plus(step);
    }
    run.why = (!run.has_figures).then(|| silent::why(&check.figure, was.as_ref(), span.to));
    run
}

/// What the integration of a check was, where that matters.
async fn was(meter: &Meter, check: &Check, span: Span, at: Timestamp) -> anyhow::Result<Option<Was>> {
    let from = match (&check.figure, check.figure.spoiled_from(span.from)) {
        (Figure::Up { window }, _) => span.from.minus(window.length()),
        (_, Some(from)) => from,
        (_, None) => return Ok(None),
    };
    let Some(integration) = check.source.integrations.first() else { return Ok(None) };
    Ok(Some(Was::read(&meter.store, integration, from, at).await?))
}

/// What was expected at a moment, of the hours that were over by then.
fn expected(check: &Check, history: &History, used: Option<&Sum>, at: Timestamp) -> Reading {
    let (Figure::Heading { per, zone, .. }, Some(used)) = (&check.figure, used) else {
        return Reading::Nothing;
    };
    let window = window::at(at, *per, zone);
    let outlook = Outlook::new(history, window.from.to_jiff(), window.to.to_jiff(), at.to_jiff());
    check.figure.ahead(&outlook, used, at)
}

impl Run {
    fn take(&mut self, check: &Check, reading: Reading, news: Option<News>, at: Timestamp) {
        let severity = |band: usize| check.severities.get(band).copied().unwrap_or(Severity::Warning);
        match news {
            Some(News::Raised(band)) => self.firings.push(Firing {
                integration: check.target.integration.clone(),
                quota: check.target.quota.clone(),
                budget: check.target.budget.clone(),
                figure: None,
                severity: severity(band),
                from: at,
                to: None,
                peak: match reading {
                    Reading::Value(value) => value,
                    Reading::Nothing | Reading::Held => 0.0,
                },
            }),
            Some(News::Worse(band)) => {
                if let Some(open) = self.firings.last_mut() {
                    open.severity = open.severity.max(severity(band));
                }
            }
            Some(News::Resolved) => {
                if let Some(open) = self.firings.last_mut() {
                    open.to = Some(at);
                }
            }
            None => {}
        }
        let open = self.firings.last_mut().filter(|firing| firing.to.is_none());
        if let (Some(open), Reading::Value(value)) = (open, reading) {
            open.peak = if check.terms.above { open.peak.max(value) } else { open.peak.min(value) };
        }
    }
}

/// What was found of a check in the minutes before a moment, when it is looked at for the first time: a wait that began
/// before this program did is not begun anew.
pub(crate) fn waiting(check: &Check, record: &Record, now: Timestamp) -> State {
    let minute = now.as_millis() - now.as_millis().rem_euclid(60_000);
    let (mut state, mut at) = (State::Fine, Timestamp::from_millis(minute).minus(check.terms.wait + STEP));
    let latencies = matches!(check.figure, Figure::ResponseTime { .. });
    while at < now {
        let sums: Vec<Sum> =
            check.figure.spans(at).into_iter().map(|span| record.sum(span, latencies)).collect();
        state = match judge(&check.terms, state, check.figure.read(&sums), at).0 {
            // The live evaluation raises it, at its next look.
            State::Firing { since, .. } => State::Waiting { since },
            state => state,
        };
        at = at.plus(STEP);
    }
    state
}
