//! The names of this service's metrics, each described once.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use model::Timestamp;
use model::webhook::Webhook;

/// Attempts, by webhook, kind and outcome.
pub(crate) const DELIVERIES: &str = "signalbox_webhook_deliveries_total";
/// How long attempts took.
pub(crate) const DURATION: &str = "signalbox_webhook_delivery_duration_seconds";
/// When the oldest delivery that waits was made; 0 when none waits.
pub(crate) const OLDEST: &str = "signalbox_webhook_oldest_pending_timestamp_seconds";
/// Deliveries that wait.
pub(crate) const PENDING: &str = "signalbox_webhook_pending";

/// What an attempt's outcome can be.
const OUTCOMES: [&str; 4] = ["delivered", "retry", "permanent", "gone"];

/// Describes all of them.
pub(crate) fn describe() {
    describe_counter!(DELIVERIES, Unit::Count, "Attempts to deliver, by webhook, kind and outcome.");
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time of an attempt, from name look-up to the whole answer."
    );
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "When the oldest delivery that waits was made; 0 when none waits."
    );
    describe_gauge!(PENDING, Unit::Count, "Deliveries that wait for an attempt.");
}

/// Makes the series of a webhook, so that the first delivery is seen as a change.
pub(crate) fn announce(webhook: &Webhook) {
    for outcome in OUTCOMES {
        count(webhook, outcome, 0);
    }
}

fn count(webhook: &Webhook, outcome: &'static str, by: u64) {
    counter!(DELIVERIES, "webhook" => webhook.id.to_string(), "kind" => webhook.kind.as_str(), "outcome" => outcome)
        .increment(by);
}

/// Counts an attempt.
pub(crate) fn attempted(webhook: &Webhook, outcome: &'static str, took: Duration) {
    count(webhook, outcome, 1);
    histogram!(DURATION, "kind" => webhook.kind.as_str()).record(took);
}

/// Shows what waits.
#[expect(clippy::cast_precision_loss, reason = "a metric is a float; moments and counts stay far below 2^52")]
pub(crate) fn waiting(pending: u64, oldest: Option<Timestamp>) {
    gauge!(PENDING).set(pending as f64);
    gauge!(OLDEST).set(oldest.map_or(0.0, |at| at.as_millis() as f64 / 1000.0));
}
