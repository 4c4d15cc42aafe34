//! What of a bucket is watched: calls, the share that failed, latency, cost.
//!
//! Pure. A figure that few calls say little about is left out of such a bucket: it is a gap, never zero.

use model::integration::Integration;
use store::{Aside, WatchedBucket};

use crate::anomaly::{Anomaly, Sensitivity};

/// Calls in a bucket below which a share or a percentile says little.
const CALLS_MIN: u64 = 10;

/// A figure of an integration's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Figure {
    /// Calls in 5 minutes.
    Requests,
    /// The share that failed, 0 to 1.
    Errors,
    /// The time that 95 of 100 answers did not exceed, in milliseconds.
    Latency,
    /// Millionths of a US dollar in 5 minutes.
    Cost,
}

impl Figure {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Requests, Self::Errors, Self::Latency, Self::Cost];

    /// The word in alerts.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Errors => "error_rate",
            Self::Latency => "latency",
            Self::Cost => "cost",
        }
    }

    /// What a bucket says.
    #[expect(clippy::cast_precision_loss, reason = "counts of 5 minutes stay far below 2^53")]
    pub(super) fn of(self, bucket: &WatchedBucket) -> Option<f64> {
        let enough = bucket.requests >= CALLS_MIN;
        match self {
            Self::Requests => Some(bucket.requests as f64),
            Self::Errors => {
                enough.then(|| bucket.errors.min(bucket.requests) as f64 / bucket.requests as f64)
            }
            Self::Latency => bucket.p95_ms.filter(|_| enough).map(f64::from),
            Self::Cost => Some(bucket.cost_micros as f64),
        }
    }

    /// Whether a bucket proves nothing of it.
    pub(super) const fn is_quiet(self, aside: Aside) -> bool {
        match aside {
            Aside::No => false,
            Aside::All => true,
            Aside::Volume => matches!(self, Self::Requests | Self::Cost),
        }
    }

    /// When it is told, from this surprise on and over so many buckets: what matters is the figure's own.
    pub(super) const fn sensitivity(self, surprise: f64, buckets: usize) -> Sensitivity {
        let (matters_from, higher_only) = match self {
            Self::Requests => (20.0, false),
            Self::Errors => (0.05, true),
            Self::Latency => (100.0, true),
            Self::Cost => (50_000.0, true),
        };
        Sensitivity { surprise, buckets, matters_from, higher_only }
    }

    /// A sentence for people.
    pub(super) fn title(self, integration: &Integration, anomaly: &Anomaly) -> String {
        let (id, expected) = (&integration.id, anomaly.expected.unwrap_or_default());
        let more = anomaly.value >= expected;
        let (value, usual) = (self.shown(anomaly.value), self.shown(expected));
        match self {
            Self::Requests => {
                let few = if more { "many" } else { "few" };
                format!("{id} has unusually {few} calls: {value} in 5 minutes, usual are {usual}")
            }
            Self::Errors => format!("{id} fails unusually often: {value} of its calls, usual are {usual}"),
            Self::Latency => format!("{id} is unusually slow: p95 is {value}, usual is {usual}"),
            Self::Cost => format!("{id} costs unusually much: {value} in 5 minutes, usual is {usual}"),
        }
    }

    fn shown(self, value: f64) -> String {
        match self {
            Self::Requests => format!("{value:.0}"),
            Self::Errors => format!("{:.1} %", value * 100.0),
            Self::Latency => format!("{value:.0} ms"),
            Self::Cost => format!("${:.2}", value / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Timestamp;

    fn bucket(requests: u64, errors: u64) -> WatchedBucket {
        WatchedBucket {
            start: Timestamp::default(),
            requests,
            errors,
            p95_ms: Some(120),
            cost_micros: 5,
            aside: Aside::No,
        }
    }

    #[test]
    fn few_calls_say_nothing_of_shares_and_percentiles() {
        let said = |bucket: &WatchedBucket| Figure::ALL.map(|figure| figure.of(bucket));
        assert_eq!(said(&bucket(9, 9)), [Some(9.0), None, None, Some(5.0)]);
        assert_eq!(said(&bucket(10, 5)), [Some(10.0), Some(0.5), Some(120.0), Some(5.0)]);
    }

    #[test]
    fn moved_traffic_hides_volume_alone() {
        let quiet = Figure::ALL.map(|figure| figure.is_quiet(Aside::Volume));
        assert_eq!(quiet, [true, false, false, true]);
    }
}
