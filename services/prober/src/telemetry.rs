//! The names of the prober's metrics, each described once.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Time from start of a probe to its verdict.
pub(crate) const DURATION: &str = "signalbox_probe_duration_seconds";
/// Probes, by outcome: `success` or the reason.
pub(crate) const PROBES: &str = "signalbox_probes_total";
/// How late the last probe started.
pub(crate) const LAG: &str = "signalbox_probe_schedule_lag_seconds";
/// Probes that were left out because the one before still ran.
pub(crate) const SKIPPED: &str = "signalbox_probes_skipped_total";

/// Describes them.
pub(crate) fn describe() {
    describe_histogram!(DURATION, Unit::Seconds, "Time from start of a health probe to its verdict.");
    describe_counter!(PROBES, Unit::Count, "Health probes, by integration and outcome.");
    describe_gauge!(LAG, Unit::Seconds, "How late the last health probe started.");
    describe_counter!(SKIPPED, Unit::Count, "Health probes left out because the one before still ran.");
    metrics::counter!(SKIPPED).increment(0);
}
