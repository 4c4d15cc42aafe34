//! Figures: which spans of recorded use one is made of, and what it says.
//!
//! Pure, and the same for the live evaluation and for a dry run: both ask for the spans of a moment and read the totals of
//! these. Only where the totals come from differs.

use std::time::Duration;

use model::Timestamp;
use model::integration::Window;
use model::period::Period;

use super::judge::Reading;
use crate::forecasts::{self, Unit, Weighed};
use crate::uptime::Was;
use crate::window;

/// Part of a burn rate's window over which it must hold too, so that it ends soon after the trouble.
const SHORT_WINDOW: u32 = 12;
/// The part of a burn rate's window before which there must have been calls: what is known for less of it is no rate yet.
const OBSERVED_PART: u32 = 4;
/// The part of a window of which it must be known whether it was up.
const KNOWN_PART: u32 = 24;
/// How long after maintenance calls prove nothing, unless their window is shorter.
const SETTLE: Duration = Duration::from_secs(600);
/// The share of answers that are at most as slow as the figure says.
const PERCENTILE: u64 = 950;

/// A span of time: from the first moment to before the second one.
pub(crate) use crate::window::Span;

/// What passed in a span, as figures need it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub(crate) requests: f64,
    pub(crate) errors: f64,
    pub(crate) cost_micros: f64,
    /// Milliseconds within which nineteen of twenty answers came; none when there were none.
    pub(crate) p95_ms: Option<f64>,
}

/// A figure of one thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Figure {
    /// The share of a quota's requests that is used in its window: as they were counted, or as its ledger says where that is
    /// more. What died with a gateway is not counted, and cannot be used either.
    Used { limit: u64, per: Window, zone: String, ledger: String },
    /// The share of a leased limit that is in use, as its ledger says, and when its window ends.
    Leased { share: f64, resets_at: Option<Timestamp> },
    /// The share of a budget that is spent in its window.
    Spent { limit: u64, per: Window, zone: String },
    /// The share of a quota or budget that is expected to be used when its window ends.
    Heading { limit: u64, per: Window, zone: String, unit: Unit },
    /// The share of calls that failed.
    ErrorRate { window: Period, min_requests: u64 },
    /// The time within which nineteen of twenty answers came, in milliseconds.
    ResponseTime { window: Period, min_requests: u64 },
    /// The share of time in which it was up.
    Up { window: Period },
    /// How many times faster than allowed calls fail, over the window and a twelfth of it: the smaller one. Nothing before the
    /// first calls of the window are a quarter of it ago.
    Burn { window: Period, allowed: f64, min_requests: u64 },
}

impl Figure {
    /// The spans whose sums it needs at a moment.
    pub(crate) fn spans(&self, at: Timestamp) -> Vec<Span> {
        match self {
            Self::Used { per, zone, .. }
            | Self::Spent { per, zone, .. }
            | Self::Heading { per, zone, .. } => {
                vec![Span { from: window::at(at, *per, zone).from, to: at }]
            }
            Self::ErrorRate { window, .. } | Self::ResponseTime { window, .. } => vec![back(at, *window)],
            Self::Up { .. } | Self::Leased { .. } => Vec::new(),
            Self::Burn { window, .. } => {
                let short = Period::secs(window.as_secs() / SHORT_WINDOW);
                vec![back(at, *window), back(at, short), back(at, observed_min(*window))]
            }
        }
    }

    /// What it says, from the sums of [`Self::spans`] in their order. What is expected is said by [`Self::ahead`].
    pub(crate) fn read(&self, sums: &[Sum]) -> Reading {
        if let Self::Leased { share, .. } = self {
            return Reading::Value(*share);
        }
        let [first, rest @ ..] = sums else { return Reading::Nothing };
        let enough = |min: &u64| first.requests >= whole(*min).max(1.0);
        match self {
            Self::Used { limit, .. } => Reading::Value(first.requests / whole(*limit).max(1.0)),
            Self::Spent { limit, .. } => Reading::Value(first.cost_micros / whole(*limit).max(1.0)),
            Self::ErrorRate { min_requests, .. } if enough(min_requests) => Reading::Value(failed(first)),
            Self::ResponseTime { min_requests, .. } if enough(min_requests) => {
                first.p95_ms.map_or(Reading::Nothing, Reading::Value)
            }
            Self::Burn { allowed, min_requests, .. } if enough(min_requests) => {
                let [short, recent, ..] = rest else { return Reading::Nothing };
                if first.requests <= recent.requests {
                    return Reading::Nothing;
                }
                Reading::Value(failed(first).min(failed(short)) / allowed)
            }
            Self::ErrorRate { .. }
            | Self::ResponseTime { .. }
            | Self::Burn { .. }
            | Self::Heading { .. }
            | Self::Leased { .. }
            | Self::Up { .. } => Reading::Nothing,
        }
    }

    /// What it says by a forecast that was made for its window, of which so much was used.
    pub(crate) fn ahead(&self, weighed: &Weighed, used: &Sum, at: Timestamp) -> Reading {
        let (Self::Heading { limit, per, zone, unit }, Ok(outlook)) = (self, weighed) else {
            return Reading::Nothing;
        };
        let used = match unit {
            Unit::Requests => used.requests,
            Unit::CostMicros => used.cost_micros,
        };
        let window = forecasts::window_of(window::at(at, *per, zone), used, None);
        Reading::Value(outlook.project(&window, at.to_jiff()).at_reset / whole(*limit).max(1.0))
    }

    /// What it says by what the integration was; nothing before it is known of a part of the window.
    pub(crate) fn up(&self, was: &Was, at: Timestamp) -> Reading {
        let Self::Up { window } = self else { return Reading::Nothing };
        match was.up(at.minus(window.length()), at) {
            Some((ratio, known)) if known >= known_min(*window) => Reading::Value(ratio),
            _ => Reading::Nothing,
        }
    }

    /// From when on maintenance before a moment spoils it. None: it does not.
    pub(crate) fn spoiled_from(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::ErrorRate { window, .. }
            | Self::ResponseTime { window, .. }
            | Self::Burn { window, .. } => Some(at.minus(window.length().min(SETTLE))),
            Self::Used { .. }
            | Self::Leased { .. }
            | Self::Spent { .. }
            | Self::Heading { .. }
            | Self::Up { .. } => None,
        }
    }

    /// How far back from a moment it looks at most.
    pub(crate) fn reach(&self, at: Timestamp) -> Timestamp {
        self.spans(at).iter().map(|span| span.from).min().unwrap_or(at)
    }

    /// When its window ends and it begins anew.
    pub(crate) fn resets_at(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Used { per, zone, .. }
            | Self::Spent { per, zone, .. }
            | Self::Heading { per, zone, .. } => Some(window::at(at, *per, zone).to),
            Self::Leased { resets_at, .. } => *resets_at,
            Self::ErrorRate { .. } | Self::ResponseTime { .. } | Self::Burn { .. } | Self::Up { .. } => None,
        }
    }
}

/// The thousandths of latencies that are read.
pub(crate) const fn percentile() -> u64 {
    PERCENTILE
}

/// The span of a length that ends now. Figures are kept by the minute, so it begins with one.
fn back(at: Timestamp, length: Period) -> Span {
    let from = at.minus(length.length()).as_millis();
    Span { from: Timestamp::from_millis(from - from.rem_euclid(60_000)), to: at }
}

/// How much of a window it must be known of whether it was up.
pub(super) fn known_min(window: Period) -> Duration {
    window.length() / KNOWN_PART
}

/// How long ago the first calls of a burn rate's window must be.
pub(super) fn observed_min(window: Period) -> Period {
    Period::secs(window.as_secs() / OBSERVED_PART)
}

fn failed(sum: &Sum) -> f64 {
    if sum.requests > 0.0 { (sum.errors / sum.requests).min(1.0) } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) fn whole(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(requests: f64, errors: f64) -> Sum {
        Sum { requests, errors, cost_micros: 30.0, p95_ms: Some(700.0) }
    }

    fn at() -> Timestamp {
        Timestamp::parse("2026-11-21T10:02:30Z").expect("a time")
    }

    #[test]
    fn a_quotas_share_is_of_its_window_so_far() {
        let (zone, ledger) = ("America/New_York".to_owned(), String::new());
        let figure = Figure::Used { limit: 40, per: Window::Day, zone, ledger };
        let from = Timestamp::parse("2026-11-21T05:00:00Z").expect("a time");
        assert_eq!(figure.spans(at()), [Span { from, to: at() }]);
        assert_eq!(figure.read(&[sum(30.0, 0.0)]), Reading::Value(0.75));
        assert_eq!(
            figure.resets_at(at()).map(|at| at.to_string()).as_deref(),
            Some("2026-11-22T05:00:00.000Z")
        );
    }

    #[test]
    fn few_calls_say_nothing() {
        let figure = Figure::ErrorRate { window: Period::minutes(5), min_requests: 20 };
        assert_eq!(figure.read(&[sum(19.0, 19.0)]), Reading::Nothing);
        assert_eq!(figure.read(&[sum(20.0, 5.0)]), Reading::Value(0.25));
        let from = Timestamp::parse("2026-11-21T09:57:00Z").expect("a time");
        assert_eq!(figure.spans(at()), [Span { from, to: at() }]);
        let figure = Figure::ResponseTime { window: Period::minutes(5), min_requests: 0 };
        assert_eq!(figure.read(&[Sum::default()]), Reading::Nothing);
        assert_eq!(figure.read(&[sum(1.0, 0.0)]), Reading::Value(700.0));
    }

    #[test]
    fn what_is_expected_is_a_share_of_the_whole() {
        use crate::forecast::{History, Outlook};
        let figure =
            Figure::Heading { limit: 1_200, per: Window::Day, zone: "UTC".to_owned(), unit: Unit::Requests };
        let mut history = History::new(jiff::tz::TimeZone::UTC);
        let day = Timestamp::parse("2026-11-20T00:00:00Z").expect("a time").as_millis();
        for hour in 0..34 {
            history.push(Timestamp::from_millis(day + hour * 3_600_000).to_jiff(), 100.0);
        }
        let window = window::at(at(), Window::Day, "UTC");
        let outlook = |history: &History| {
            Outlook::new(history, window.from.to_jiff(), window.to.to_jiff(), at().to_jiff())
        };
        let Reading::Value(share) = figure.ahead(&outlook(&history), &sum(1_000.0, 0.0), at()) else {
            panic!("34 hours are enough")
        };
        assert!((share - 2.0).abs() < 0.1, "{share}");
        let nothing = outlook(&History::new(jiff::tz::TimeZone::UTC));
        assert_eq!(figure.ahead(&nothing, &sum(1_000.0, 0.0), at()), Reading::Nothing);
    }

    #[test]
    fn a_burn_rate_holds_over_both_windows() {
        let figure = Figure::Burn { window: Period::hours(1), allowed: 0.01, min_requests: 50 };
        let spans = figure.spans(at());
        assert_eq!(
            (spans.len(), spans[1].from),
            (3, Timestamp::parse("2026-11-21T09:57:00Z").expect("a time"))
        );
        let calls = |short| [sum(100.0, 20.0), sum(10.0, short), sum(30.0, 15.0)];
        assert_eq!(figure.read(&calls(0.0)), Reading::Value(0.0));
        let Reading::Value(burn) = figure.read(&calls(5.0)) else { panic!("enough") };
        assert!((burn - 20.0).abs() < 1e-9, "{burn}");
    }

    #[test]
    fn a_burn_rate_of_a_few_minutes_is_none_of_an_hour() {
        let figure = Figure::Burn { window: Period::hours(1), allowed: 0.01, min_requests: 50 };
        assert_eq!(figure.spans(at())[2].from, Timestamp::parse("2026-11-21T09:47:00Z").expect("a time"));
        let all = sum(100.0, 20.0);
        assert_eq!(figure.read(&[all, all, all]), Reading::Nothing, "all of it is of the last quarter");
        let older = sum(99.0, 20.0);
        assert!(matches!(figure.read(&[all, older, older]), Reading::Value(_)));
    }
}
