//! The names of the api's metrics, each described once.

use metrics::{Unit, describe_counter, describe_gauge};

/// Audit entries written, by action.
pub const AUDIT_ENTRIES: &str = "signalbox_audit_entries_total";
/// Values of keys shown to people.
pub const KEY_REVEALS: &str = "signalbox_key_reveals_total";
/// When a key stops being taken by its provider.
pub const KEY_EXPIRY: &str = "signalbox_key_expiry_timestamp_seconds";
/// The configuration's revision as it was last published.
pub const REVISION: &str = "signalbox_config_revision";

/// Describes them.
pub fn describe() {
    describe_counter!(AUDIT_ENTRIES, Unit::Count, "Audit entries written.");
    describe_counter!(KEY_REVEALS, Unit::Count, "Key values revealed, by provider.");
    describe_gauge!(KEY_EXPIRY, Unit::Seconds, "When a key stops being taken by its provider.");
    describe_gauge!(REVISION, Unit::Count, "Revision of the configuration that was last published.");
}
