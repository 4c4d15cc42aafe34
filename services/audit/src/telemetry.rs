//! The names of the audit sink's metrics, each described once.

use metrics::{Unit, describe_counter};

/// Entries that are in the log.
pub(crate) const STORED: &str = "signalbox_audit_stored_total";

/// Describes them, and shows them from the start on.
pub(crate) fn describe() {
    describe_counter!(STORED, Unit::Count, "Audit entries written to the log.");
    metrics::counter!(STORED).increment(0);
}
