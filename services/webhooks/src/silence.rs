//! Decides whether a silence covers an alert. Pure: the moment is an argument; a silence suppresses deliveries, never the alert.
//!
//! A silence is configuration: matchers (an empty list covers all, lists are joined by "and"), a beginning and an end.

use model::Timestamp;
use model::alert::{AlertRaised, Severity};
use serde::Deserialize;

/// The most silences that are looked at; the API refuses more.
pub(crate) const SILENCES_MAX: u32 = 1_000;

/// A silence, as its configuration document holds it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Silence {
    /// Which alerts.
    #[serde(default)]
    pub(crate) matchers: Matchers,
    /// From when on, that moment included. From the beginning when absent.
    #[serde(default)]
    pub(crate) starts_at: Option<Timestamp>,
    /// Until when, that moment excluded. For ever when absent.
    #[serde(default)]
    pub(crate) ends_at: Option<Timestamp>,
}

/// Which alerts a silence covers. An empty list covers all.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Matchers {
    /// These severities.
    #[serde(default)]
    pub(crate) severities: Vec<Severity>,
    /// These types.
    #[serde(default)]
    pub(crate) alert_types: Vec<String>,
    /// These sources.
    #[serde(default)]
    pub(crate) sources: Vec<String>,
    /// These agents or persons.
    #[serde(default)]
    pub(crate) personas: Vec<String>,
}

impl Silence {
    /// Whether the alert is silenced at this moment.
    pub(crate) fn covers(&self, alert: &AlertRaised, now: Timestamp) -> bool {
        let lasts =
            self.starts_at.is_none_or(|from| from <= now) && self.ends_at.is_none_or(|until| now < until);
        lasts && self.matchers.match_alert(alert)
    }
}

impl Matchers {
    fn match_alert(&self, alert: &AlertRaised) -> bool {
        let persona = alert.persona.as_deref();
        (self.severities.is_empty() || self.severities.contains(&alert.severity))
            && (self.alert_types.is_empty() || self.alert_types.contains(&alert.alert_type))
            && (self.sources.is_empty() || self.sources.iter().any(|s| s == alert.source.as_str()))
            && (self.personas.is_empty() || self.personas.iter().any(|p| Some(p.as_str()) == persona))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    fn check(silence: &str, now: &str, expected: bool) {
        let silence: Silence = serde_json::from_str(silence).expect("a silence");
        let now = Timestamp::parse(now).expect("a time");
        assert_eq!(silence.covers(&examples::price(), now), expected, "{silence:?}");
    }

    #[test]
    fn a_silence_covers_from_its_beginning_to_before_its_end() {
        let silence =
            r#"{"starts_at":"2026-01-01T10:00:00Z","ends_at":"2026-01-01T11:00:00Z","comment":"x"}"#;
        check(silence, "2026-01-01T09:59:59.999Z", false);
        check(silence, "2026-01-01T10:00:00Z", true);
        check(silence, "2026-01-01T10:59:59.999Z", true);
        check(silence, "2026-01-01T11:00:00Z", false);
    }

    #[test]
    fn all_of_its_matchers_must_match() {
        let now = "2026-01-01T10:00:00Z";
        check("{}", now, true);
        check(r#"{"matchers":{"sources":["screener"],"severities":["critical"]}}"#, now, true);
        check(r#"{"matchers":{"sources":["screener"],"severities":["info"]}}"#, now, false);
        check(r#"{"matchers":{"personas":["macro-analyst"]}}"#, now, true);
        check(r#"{"matchers":{"personas":["somebody"]}}"#, now, false);
        check(r#"{"matchers":{"alert_types":["health"]}}"#, now, false);
    }
}
