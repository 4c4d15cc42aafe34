//! The rules that are there from the start: seen in the list, changed and switched off as any other.
//!
//! Burn rates and windows of availability are those that the field alerts by: 14.4 over an hour uses up a fiftieth of a
//! month's allowance, 6 over six hours a twentieth, 1 over three days a tenth.

use super::{Rule, RuleKind, Select};
use crate::alert::Severity;
use crate::id::Slug;
use crate::period::Period;

/// Id, name, kind and severity of each, in the order of their ids.
const BUILT_IN: &[(&str, &str, RuleKind, Severity)] = &[
    ("anomaly", "Something is unlike it ever was", RuleKind::Anomaly, Severity::Warning),
    (
        "availability-fast",
        "Failures use up the month in two days",
        RuleKind::Availability,
        Severity::Critical,
    ),
    ("availability-slow", "Failures use up the month in five days", RuleKind::Availability, Severity::Error),
    ("availability-ticket", "More failures than allowed", RuleKind::Availability, Severity::Warning),
    ("budget", "A budget is being used up", RuleKind::Budget, Severity::Error),
    ("error-rate", "Many calls fail", RuleKind::ErrorRate, Severity::Warning),
    ("exhausted", "A quota is used up", RuleKind::Exhausted, Severity::Error),
    ("forecast-breach", "A quota or budget will not last", RuleKind::ForecastBreach, Severity::Warning),
    ("near-limit", "A quota is nearly used up", RuleKind::NearLimit, Severity::Warning),
    ("response-time", "Answers take long", RuleKind::ResponseTime, Severity::Warning),
    ("uptime", "Was down for too long", RuleKind::Uptime, Severity::Warning),
];

/// All of them, as they are until somebody changes one.
pub fn built_ins() -> impl Iterator<Item = Rule> {
    BUILT_IN.iter().map(|(id, name, kind, severity)| {
        let (burn, window) = match *id {
            "availability-slow" => (Some(6.0), Some(Period::hours(6))),
            "availability-ticket" => (Some(1.0), Some(Period::days(3))),
            _ => (None, None),
        };
        let rule = Rule {
            id: Slug::of(id),
            kind: *kind,
            name: Some((*name).to_owned()),
            enabled: true,
            severity: Some(*severity),
            select: Select::default(),
            threshold: None,
            resolve_at: (*kind == RuleKind::ErrorRate).then_some(0.1),
            burn,
            window,
            min_requests: None,
            wait: None,
            resolve_after: None,
        };
        rule.filled()
    })
}

/// The built-in rule of this id.
pub fn built_in(id: &str) -> Option<Rule> {
    built_ins().find(|rule| rule.id.as_str() == id)
}
