//! What a rule cannot be, whatever else is configured: figures that are never reached, times that nothing is kept for,
//! words that its kind does not know.

use super::{FOR_MAX, Rule, RuleKind, WINDOW_MAX};
use crate::period::Period;

/// The shortest window: figures are kept by the minute.
const WINDOW_MIN: Period = Period::minutes(1);
/// The shortest window of a burn rate: a twelfth of it is looked at too.
const BURN_WINDOW_MIN: Period = Period::minutes(12);
/// The buckets of anomalies, and how many of them are judged together at most.
const BUCKET: Period = Period::minutes(5);
const JUDGED_MAX: Period = Period::minutes(60);
/// The largest surprise, in tenfold rareness.
const SURPRISE_MAX: f64 = 30.0;
/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Names in a selector.
const NAMES_MAX: usize = 200;

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Fault {
    /// Where: a JSON pointer.
    pub pointer: &'static str,
    /// Why, in a sentence for people.
    pub why: String,
}

fn fault(pointer: &'static str, why: impl Into<String>) -> Result<(), Fault> {
    Err(Fault { pointer, why: why.into() })
}

impl Rule {
    /// Whether it can ever fire, and end. Judges the rule as it is when the values of its kind are filled in.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn check(&self) -> Result<(), Fault> {
        if self.name.as_ref().is_some_and(|name| name.chars().count() > NAME_CHARS_MAX) {
            return fault("/name", format!("must have at most {NAME_CHARS_MAX} characters"));
        }
        let given = self.clone();
        let filled = self.clone().filled();
        given.words()?;
        filled.times()?;
        filled.reachable()?;
        filled.ends()
    }

    /// Nothing that its kind does not know.
    fn words(&self) -> Result<(), Fault> {
        use RuleKind::{Anomaly, Availability, Budget, ErrorRate, Exhausted, ForecastBreach, NearLimit};
        let kind = self.kind.as_str();
        if self.kind == Exhausted && self.threshold.is_some() {
            return fault(
                "/threshold",
                "a quota is exhausted at the whole of it; use `near_limit` for a share",
            );
        }
        if self.kind != Availability && self.burn.is_some() {
            return fault("/burn", format!("is for `availability`; `{kind}` has `threshold`"));
        }
        if matches!(self.kind, NearLimit | Exhausted | Budget | ForecastBreach | Anomaly) {
            if self.window.is_some() {
                return fault("/window", format!("`{kind}` has the window of each quota or budget"));
            }
            if self.min_requests.is_some() {
                return fault("/min_requests", format!("`{kind}` needs no number of calls"));
            }
        }
        if self.kind == RuleKind::Uptime && self.min_requests.is_some() {
            return fault("/min_requests", "time has no number of calls");
        }
        if self.kind == Anomaly && self.resolve_at.is_some() {
            return fault("/resolve_at", "an anomaly is over when what is seen is as usual again");
        }
        if self.kind == Anomaly && self.resolve_after.is_some() {
            return fault("/resolve_after", "an anomaly is over after ten minutes as usual");
        }
        if self.kind == Availability && self.resolve_at.is_some() {
            return fault("/resolve_at", "it is over when the burn rate is below `burn` again");
        }
        if !matches!(self.kind, Budget | ForecastBreach) && !self.select.budgets.is_empty() {
            return fault("/select/budgets", format!("`{kind}` is not about budgets"));
        }
        let select = &self.select;
        if self.kind == Budget
            && !(select.integrations.is_empty() && select.routes.is_empty() && select.labels.is_empty())
        {
            return fault("/select", "`budget` is about budgets: name them in `budgets`, or none for all");
        }
        let names =
            select.integrations.len() + select.routes.len() + select.labels.len() + select.budgets.len();
        if names > NAMES_MAX {
            return fault("/select", format!("must name at most {NAMES_MAX}; labels select many at once"));
        }
        if self.kind == ErrorRate && self.min_requests == Some(0) {
            return fault("/min_requests", "must be at least 1: no call has no share that failed");
        }
        Ok(())
    }

    fn times(&self) -> Result<(), Fault> {
        let too_long = |pointer, period: Option<Period>| {
            if period.is_some_and(|period| period > FOR_MAX) {
                return fault(
                    pointer,
                    format!(
                        "must be at most {FOR_MAX}: minutes are not kept for longer, so it could not be known"
                    ),
                );
            }
            Ok(())
        };
        too_long("/for", self.wait)?;
        too_long("/resolve_after", self.resolve_after)?;
        let judged = BUCKET.as_secs()..=JUDGED_MAX.as_secs();
        if self.kind == RuleKind::Anomaly && !self.wait.is_some_and(|wait| judged.contains(&wait.as_secs())) {
            return fault(
                "/for",
                format!("must be {BUCKET} to {JUDGED_MAX}: surprises are averaged over it"),
            );
        }
        let min = if self.kind == RuleKind::Availability { BURN_WINDOW_MIN } else { WINDOW_MIN };
        match self.window {
            Some(window) if window < min => fault("/window", format!("must be at least {min}")),
            Some(window) if window > WINDOW_MAX => {
                fault("/window", format!("must be at most {WINDOW_MAX}: hours are not kept for longer"))
            }
            Some(window) if window.as_secs() % 60 != 0 => {
                fault("/window", "must be whole minutes: figures are kept by the minute")
            }
            _ => Ok(()),
        }
    }

    fn reachable(&self) -> Result<(), Fault> {
        let Some(threshold) = self.threshold else { return Ok(()) };
        if !threshold.is_finite() || threshold <= 0.0 {
            return fault("/threshold", "must be above 0: everything would be there, always");
        }
        match self.kind {
            RuleKind::ResponseTime if threshold > 600_000.0 => {
                fault("/threshold", "can never be reached: a call takes at most 600000 ms")
            }
            RuleKind::Anomaly if threshold > SURPRISE_MAX => {
                fault("/threshold", format!("can never be reached: a surprise is at most {SURPRISE_MAX}"))
            }
            RuleKind::Availability if threshold >= 1.0 => fault(
                "/threshold",
                "must be below 1: at 1 no failure is allowed, and each one would be too many",
            ),
            RuleKind::Availability => self.burns(1.0 - threshold),
            RuleKind::NearLimit | RuleKind::Budget | RuleKind::ErrorRate if threshold > 1.0 => fault(
                "/threshold",
                format!("can never be reached: it is a share, at most 1, not {threshold}"),
            ),
            RuleKind::Uptime if threshold > 1.0 => {
                fault("/threshold", format!("would always be so: it is a share, at most 1, not {threshold}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether failures can come so fast.
    fn burns(&self, allowed: f64) -> Result<(), Fault> {
        let burn = self.burn.unwrap_or_default();
        if !burn.is_finite() || burn <= 0.0 {
            return fault("/burn", "must be above 0");
        }
        if burn * allowed > 1.0 {
            let fastest = 1.0 / allowed;
            return fault(
                "/burn",
                format!("can never be reached: when every call fails it is {fastest:.1} at this threshold"),
            );
        }
        Ok(())
    }

    /// Whether it ends on its good side.
    fn ends(&self) -> Result<(), Fault> {
        let Some(end) = self.resolve_at else { return Ok(()) };
        if !end.is_finite() || end <= 0.0 {
            return fault("/resolve_at", "must be above 0, or it would never be over");
        }
        let below = self.kind == RuleKind::Uptime;
        if below && end > 1.0 {
            return fault("/resolve_at", "can never be reached: it is a share, at most 1");
        }
        match self.threshold {
            Some(threshold) if below && end < threshold => {
                fault("/resolve_at", "must not be below `threshold`: it would be over while it lasts")
            }
            Some(threshold) if !below && end > threshold => {
                fault("/resolve_at", "must not be above `threshold`: it would be over while it lasts")
            }
            _ => Ok(()),
        }
    }
}
