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
/// Probes that were left out because a limit counts them and callers' calls showed how the provider is.
pub(crate) const SPARED: &str = "signalbox_probes_spared_total";
/// Probes that were left out because nothing was left of a limit.
pub(crate) const UNPAID: &str = "signalbox_probes_unpaid_total";

/// Describes them.
pub(crate) fn describe() {
    describe_histogram!(DURATION, Unit::Seconds, "Time from start of a health probe to its verdict.");
    describe_counter!(PROBES, Unit::Count, "Health probes, by integration and outcome.");
    describe_gauge!(LAG, Unit::Seconds, "How late the last health probe started.");
    describe_counter!(SKIPPED, Unit::Count, "Health probes left out because the one before still ran.");
    describe_counter!(SPARED, Unit::Count, "Health probes left out because callers' calls showed as much.");
    describe_counter!(UNPAID, Unit::Count, "Health probes left out because nothing was left of a limit.");
    metrics::counter!(SKIPPED).increment(0);
}
