//! Why a figure said nothing in a dry run, for people.
//!
//! Pure. What is missing is named with how much of it is needed.

use std::time::Duration;

use model::Timestamp;
use model::period::Period;
use model::rule::{Rule, RuleKind, WithoutFigures};

use super::super::book::Book;
use super::super::figure::{Figure, known_min, observed_min};
use super::super::plan::{self, is_counted};
use crate::uptime::Was;

/// Where no call was counted.
pub(super) const NOTHING: &str = "no calls were counted in that time";

/// Why a figure said nothing at any moment until the last one.
pub(super) fn why(figure: &Figure, was: Option<&Was>, last: Timestamp) -> String {
    match figure {
        Figure::Up { window } => {
            let known = was.and_then(|was| was.up(last.minus(window.length()), last));
            let minutes =
                |time: Duration| Period::minutes(u32::try_from(time.as_secs() / 60).unwrap_or(u32::MAX));
            let known = minutes(known.map_or(Duration::ZERO, |(_, known)| known));
            let needed = minutes(known_min(*window));
            format!("whether it was up is known of {known} of the last {window}: {needed} are needed")
        }
        Figure::ErrorRate { window, min_requests } | Figure::ResponseTime { window, min_requests } => {
            format!("there were never {min_requests} calls in {window}, or it was in maintenance")
        }
        Figure::Burn { window, min_requests, .. } => format!(
            "there were never {min_requests} calls in {window} of which some are older than {}, or it was in maintenance",
            observed_min(*window)
        ),
        Figure::Heading { .. } => {
            "too few hours are known for a forecast: at least 12 finished ones are needed".to_owned()
        }
        Figure::Used { .. } | Figure::Leased { .. } | Figure::Spent { .. } => NOTHING.to_owned(),
    }
}

/// The limits that a rule is about and that are not recorded: what gateways lease is known at the moment only.
pub(super) fn leased(book: &Book, rule: &Rule) -> Vec<WithoutFigures> {
    if !matches!(rule.kind, RuleKind::NearLimit | RuleKind::Exhausted) {
        return Vec::new();
    }
    let limits = plan::selected(book, rule).flat_map(|integration| {
        integration.quotas.iter().filter(|quota| !is_counted(quota)).map(|quota| WithoutFigures {
            integration: Some(integration.id.clone()),
            quota: Some(quota.name.clone()),
            budget: None,
            why: "how far it was used is not recorded: only of limits that count whole calls in a window with a name"
                .to_owned(),
        })
    });
    limits.collect()
}
