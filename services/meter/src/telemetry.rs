//! The names of the meter's metrics, each described once.

use metrics::{Unit, describe_counter, describe_gauge};

/// Events that were counted, by whether they were new.
pub(crate) const COUNTED: &str = "signalbox_usage_events_total";
/// Messages about health that were taken, by whether they were new.
pub(crate) const HEALTH_TAKEN: &str = "signalbox_health_events_total";
/// Words on an integration that was compared with its usual self, by what they say.
pub(crate) const COMPARED: &str = "signalbox_health_comparisons_total";
/// What a quota allows in its window.
pub(crate) const LIMIT: &str = "signalbox_quota_limit";
/// What was used of it.
pub(crate) const USED: &str = "signalbox_quota_used";
/// When its window ends.
pub(crate) const RESET: &str = "signalbox_quota_reset_timestamp_seconds";
/// Alerts that rules have open.
pub(crate) const RULES_FIRING: &str = "signalbox_rules_firing";
/// What rules told.
pub(crate) const RULES_TOLD: &str = "signalbox_rules_events_total";
/// How long the last look at all rules took.
pub(crate) const RULES_LOOK: &str = "signalbox_rules_look_seconds";

/// Series that are watched for anomalies, and those left out.
pub(crate) const WATCHED: &str = "signalbox_anomaly_series";

/// Describes them.
pub(crate) fn describe() {
    describe_counter!(COUNTED, Unit::Count, "Usage events taken, by outcome: new or seen.");
    describe_gauge!(LIMIT, Unit::Count, "Requests that a quota allows in its window.");
    describe_gauge!(USED, Unit::Count, "Requests used of a quota in its current window.");
    describe_gauge!(RESET, Unit::Seconds, "When a quota's current window ends.");
    describe_gauge!(RULES_FIRING, Unit::Count, "Things for which an alert rule fires.");
    describe_counter!(RULES_TOLD, Unit::Count, "Alerts raised and resolved by rules.");
    describe_gauge!(RULES_LOOK, Unit::Seconds, "How long the last look at all rules took.");
    metrics::counter!(RULES_TOLD).increment(0);
    describe_counter!(
        HEALTH_TAKEN,
        Unit::Count,
        "Observations and changes of health taken, by outcome: new or seen."
    );
    describe_counter!(
        COMPARED,
        Unit::Count,
        "Times that it was told how an integration compares with its usual self: worse or over."
    );
    for outcome in ["worse", "over"] {
        metrics::counter!(COMPARED, "outcome" => outcome).increment(0);
    }
    describe_gauge!(
        WATCHED,
        Unit::Count,
        "Series watched for anomalies, by state: watched, or dropped for want of room."
    );
    for outcome in ["new", "seen"] {
        metrics::counter!(HEALTH_TAKEN, "outcome" => outcome).increment(0);
        metrics::counter!(COUNTED, "outcome" => outcome).increment(0);
    }
}
