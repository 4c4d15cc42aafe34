//! Looks at all rules again and again, in one process at a time.
//!
//! Whoever leads reads what was found so far, looks at fresh figures, and writes what changed together with the events
//! that tell of it, each write over the version that was read: should two lead for a moment, one of them tells. What fires
//! and what waits is in the database; a wait that began before this process led is found again in the recorded minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics::{counter, gauge};
use model::alert::AlertRaised;
use model::{Envelope, Event, IntegrationId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Facet, RuleWrite};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::book::Book;
use super::figure::{Figure, Span, Sum};
use super::judge::{News, Reading, State, judge};
use super::leased::Ledgers;
use super::plan::{self, Check, Source};
use super::record::Record;
use super::slow::Slow;
use super::{tell, trial};
use crate::Meter;
use crate::telemetry::{RULES_FIRING, RULES_LOOK, RULES_TOLD};

/// The name under which replicas agree on who looks.
const LEADERSHIP: &str = "rules";
/// How long a leader that is gone is waited for.
const LEASE: Duration = Duration::from_secs(15);
/// How often rules are looked at when nothing wakes.
const EVERY: Duration = Duration::from_secs(5);
/// The least pause between two looks, however much is counted.
const PAUSE: Duration = Duration::from_secs(1);

/// What is kept of a check that is not fine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    state: State,
    /// The alert as it was last told. Absent while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert: Option<AlertRaised>,
}

/// A check's rule and what it looks at.
type Key = (String, String);

/// What is known in one time of leading.
pub(super) struct Term {
    book: Book,
    checks: Vec<Check>,
    slow: Slow,
    kept: BTreeMap<Key, (Kept, u64)>,
}

/// Looks at rules whenever it is this process's turn, until told to stop.
pub(crate) async fn watch(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    let leadership = meter.bus.lead(LEADERSHIP, LEASE);
    while let Some(lead) = leadership.acquire(&stopping).await {
        if let Err(error) = look(&meter, &lead, &stopping).await {
            warn!(error = format!("{error:#}"), "Rules could not be looked at; trying again.");
        }
        lead.resign().await;
        stopping.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
    Ok(())
}

async fn look(meter: &Meter, lead: &bus::Term, stopping: &CancellationToken) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let mut term = Term::begin(meter, now).await?;
    let mut at = now;
    while lead.valid() && !stopping.is_cancelled() {
        let begun = tokio::time::Instant::now();
        term.round(meter, at).await?;
        gauge!(RULES_LOOK).set(begun.elapsed().as_secs_f64());
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = lead.lost() => {}
            () = meter.fresh.notified() => {}
            () = tokio::time::sleep(EVERY.saturating_sub(PAUSE)) => {}
        }
        at = Timestamp::now();
    }
    Ok(())
}

impl Term {
    /// Reads what was found before, and what waited unseen while nobody looked.
    pub(super) async fn begin(meter: &Meter, now: Timestamp) -> anyhow::Result<Self> {
        let book = Book::of(meter.store.everything().await?);
        let checks = plan::plan(&book);
        let mut term = Self { book, checks, slow: Slow::default(), kept: BTreeMap::new() };
        for row in meter.store.rule_states().await? {
            match serde_json::from_value::<Kept>(row.body) {
                Ok(kept) => drop(term.kept.insert((row.rule, row.target), (kept, row.version))),
                Err(error) => {
                    warn!(rule = row.rule, target = row.target, %error, "What rule {} found cannot be read; it begins anew.", row.rule);
                }
            }
        }
        term.find_waits(meter, now).await?;
        Ok(term)
    }

    /// Finds waits in the recorded minutes, where something waits now or was waiting.
    async fn find_waits(&mut self, meter: &Meter, now: Timestamp) -> anyhow::Result<()> {
        let all: Vec<IntegrationId> = self.book.integrations.keys().cloned().collect();
        let sums = sums(meter, &self.checks, &all, now).await?;
        for check in &self.checks {
            let key = key(check);
            let known = self.kept.get(&key).map(|(kept, _)| kept.state);
            let bad = matches!(
                judge(&check.terms, State::Fine, reading(check, &sums, &self.slow, &meter.ledgers, now), now)
                    .0,
                State::Waiting { .. }
            );
            if matches!(known, Some(State::Firing { .. })) || !bad {
                continue;
            }
            let from = check.figure.reach(now.minus(check.terms.wait + Duration::from_secs(120)));
            let record = Record::read(&meter.store, &check.source, &all, Span { from, to: now }, now).await?;
            let state = trial::waiting(check, &record, now);
            if let State::Waiting { since } = state {
                debug!(rule = %check.rule.id, target = check.target.key, %since, "A wait goes on.");
                let version = self.kept.get(&key).map_or(0, |(_, version)| *version);
                self.kept.insert(key, (Kept { state, alert: None }, version));
            }
        }
        Ok(())
    }

    /// Looks at everything once.
    pub(super) async fn round(&mut self, meter: &Meter, at: Timestamp) -> anyhow::Result<()> {
        if meter.store.revision().await? != self.book.revision {
            self.book = Book::of(meter.store.everything().await?);
            self.checks = plan::plan(&self.book);
            self.slow.keep(&self.checks);
        }
        let all: Vec<IntegrationId> = self.book.integrations.keys().cloned().collect();
        let sums = sums(meter, &self.checks, &all, at).await?;
        self.slow.refresh(meter, &self.checks, &all, at).await?;
        let mut firing = 0_u32;
        let known = self.checks.len();
        self.checks.extend(meter.ledgers.checks(&self.book, at));
        let mut checks = std::mem::take(&mut self.checks);
        let mut outcome = Ok(());
        for check in &checks {
            let reading = reading(check, &sums, &self.slow, &meter.ledgers, at);
            outcome = self.one(meter, check, reading, at).await;
            if outcome.is_err() {
                break;
            }
            let state = self.kept.get(&key(check)).map(|(kept, _)| kept.state);
            firing += u32::from(matches!(state, Some(State::Firing { .. })));
        }
        if outcome.is_ok() {
            gauge!(RULES_FIRING).set(f64::from(firing));
            outcome = self.forget(meter, &checks, at).await;
        }
        checks.truncate(known);
        self.checks = checks;
        outcome
    }

    /// Judges one check, and writes what changed.
    async fn one(
        &mut self,
        meter: &Meter,
        check: &Check,
        reading: Reading,
        at: Timestamp,
    ) -> anyhow::Result<()> {
        let key = key(check);
        let known = self.kept.get(&key).cloned();
        let before = known.as_ref().map(|(kept, _)| kept.state).unwrap_or_default();
        let (state, news) = judge(&check.terms, before, reading, at);
        let value = match reading {
            Reading::Value(value) => value,
            Reading::Nothing | Reading::Held => 0.0,
        };
        let mut alert = known.as_ref().and_then(|(kept, _)| kept.alert.clone());
        let mut events = Vec::new();
        match news {
            Some(News::Raised(band) | News::Worse(band)) => {
                let since = if let State::Firing { since, .. } = state { since } else { at };
                let raised = tell::raised(check, since, band, value, at)?;
                info!(rule = %check.rule.id, target = check.target.key, value, "Rule {} fires for {}.", check.rule.id, check.target.key);
                events.push(envelope(meter, raised.clone())?);
                alert = Some(raised);
            }
            Some(News::Resolved) => {
                info!(rule = %check.rule.id, target = check.target.key, "Rule {} is over for {}.", check.rule.id, check.target.key);
                if let Some(raised) = alert.take() {
                    events.push(envelope(meter, tell::resolved(raised, at))?);
                }
            }
            None if state == before => return Ok(()),
            None => {}
        }
        let next = (state != State::Fine).then_some(Kept { state, alert });
        self.write(meter, key, known.map(|(_, version)| version), next, &events, at).await
    }

    /// Writes a state with what tells of it. One that somebody else wrote is read again.
    async fn write(
        &mut self,
        meter: &Meter,
        key: Key,
        version: Option<u64>,
        next: Option<Kept>,
        events: &[Envelope<Vec<u8>>],
        at: Timestamp,
    ) -> anyhow::Result<()> {
        let expected = version.filter(|version| *version > 0);
        let body = next.as_ref().map(serde_json::to_value).transpose()?;
        let (rule, target) = key.clone();
        let write = RuleWrite { rule, target, expected, body };
        if !meter.store.rule_state_write(&write, events, at).await? {
            anyhow::bail!("another process looks at rules too");
        }
        counter!(RULES_TOLD).increment(events.len() as u64);
        match next {
            Some(next) => drop(self.kept.insert(key, (next, expected.unwrap_or(0) + 1))),
            None => drop(self.kept.remove(&key)),
        }
        Ok(())
    }

    /// Ends what nobody looks at any more: its rule is gone or switched off, or what it was about is gone.
    async fn forget(&mut self, meter: &Meter, checks: &[Check], at: Timestamp) -> anyhow::Result<()> {
        // Whether limits are used nobody knows before all ledgers were read.
        if self.kept.is_empty() || !meter.ledgers.are_known() {
            return Ok(());
        }
        let looked: BTreeSet<Key> = checks.iter().map(key).collect();
        let gone: Vec<Key> = self.kept.keys().filter(|key| !looked.contains(*key)).cloned().collect();
        for key in gone {
            let Some((kept, version)) = self.kept.get(&key).cloned() else { continue };
            let events = match kept.alert {
                Some(raised) => vec![envelope(meter, tell::resolved(raised, at))?],
                None => Vec::new(),
            };
            self.write(meter, key, Some(version), None, &events, at).await?;
        }
        Ok(())
    }
}

fn key(check: &Check) -> Key {
    (check.rule.id.to_string(), check.target.key.clone())
}

fn envelope<E: Event>(meter: &Meter, data: E) -> anyhow::Result<Envelope<Vec<u8>>> {
    Ok(meter.bus.envelope(data).to_bytes()?)
}

/// What is asked of the database: of what facet and name, which minutes.
type Asked = (Facet, String, i64, i64);
/// Sums by what was asked and integration.
type Sums = BTreeMap<Asked, BTreeMap<IntegrationId, Sum>>;

/// Asks for the sums of all spans that checks need: one question a span, however many integrations there are.
async fn sums(meter: &Meter, checks: &[Check], all: &[IntegrationId], at: Timestamp) -> anyhow::Result<Sums> {
    let mut sums = Sums::new();
    for check in checks {
        for span in check.figure.spans(at) {
            let asked = asked(&check.source, span);
            if sums.contains_key(&asked) {
                continue;
            }
            let each =
                meter.store.usage_of_each(all, check.source.facet, &asked.1, span.from, span.to).await?;
            let each = each.into_iter().map(|(id, totals)| (id, Sum::from(&totals))).collect();
            sums.insert(asked, each);
        }
    }
    Ok(sums)
}

/// Spans of the same minutes are the same question.
fn asked(source: &Source, span: Span) -> Asked {
    let minute = |at: Timestamp| at.as_millis().div_euclid(60_000);
    (source.facet, source.name.clone(), minute(span.from), minute(span.to))
}

/// What a check's figure says, by sums that were asked for and what was made.
fn reading(check: &Check, sums: &Sums, slow: &Slow, ledgers: &Ledgers, at: Timestamp) -> Reading {
    let spans = check.figure.spans(at);
    if let (Figure::Heading { .. }, Some(span)) = (&check.figure, spans.first()) {
        let Some(weighed) = slow.outlook(check, span.from) else { return Reading::Held };
        return check.figure.ahead(weighed, &of(&check.source, *span, sums), at);
    }
    let was = check.source.integrations.first().and_then(|id| slow.was(id));
    if let Figure::Up { .. } = &check.figure {
        return was.map_or(Reading::Held, |(was, read)| check.figure.up(was, read));
    }
    let spoiled = check.figure.spoiled_from(at).zip(was);
    if spoiled.is_some_and(|(from, (was, _))| was.worked_on(from, at)) {
        return Reading::Held;
    }
    let spans: Vec<Sum> = spans.into_iter().map(|span| of(&check.source, span, sums)).collect();
    match (check.figure.read(&spans), &check.figure) {
        (Reading::Value(counted), Figure::Used { ledger, .. }) => {
            Reading::Value(counted.max(ledgers.spent_of(ledger, at)))
        }
        (reading, _) => reading,
    }
}

/// What a source used in a span.
fn of(source: &Source, span: Span, sums: &Sums) -> Sum {
    let Some(each) = sums.get(&asked(source, span)) else { return Sum::default() };
    let together = |all: Sum, one: &Sum| Sum {
        requests: all.requests + one.requests,
        errors: all.errors + one.errors,
        cost_micros: all.cost_micros + one.cost_micros,
        p95_ms: None,
    };
    match &source.integrations[..] {
        [] => each.values().fold(Sum::default(), together),
        [one] => each.get(one).copied().unwrap_or_default(),
        several => several.iter().filter_map(|id| each.get(id)).fold(Sum::default(), together),
    }
}
