//! The names of the meter's metrics, each described once.

use metrics::{Unit, describe_counter, describe_gauge};

/// Events that were counted, by whether they were new.
pub(crate) const COUNTED: &str = "signalbox_usage_events_total";
/// What a quota allows in its window.
pub(crate) const LIMIT: &str = "signalbox_quota_limit";
/// What was used of it.
pub(crate) const USED: &str = "signalbox_quota_used";
/// When its window ends.
pub(crate) const RESET: &str = "signalbox_quota_reset_timestamp_seconds";

/// Describes them.
pub(crate) fn describe() {
    describe_counter!(COUNTED, Unit::Count, "Usage events taken, by outcome: new or seen.");
    describe_gauge!(LIMIT, Unit::Count, "Requests that a quota allows in its window.");
    describe_gauge!(USED, Unit::Count, "Requests used of a quota in its current window.");
    describe_gauge!(RESET, Unit::Seconds, "When a quota's current window ends.");
    for outcome in ["new", "seen"] {
        metrics::counter!(COUNTED, "outcome" => outcome).increment(0);
    }
}
