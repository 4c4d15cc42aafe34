//! The names of the bus's metrics, each described once.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

/// Events that the server confirmed, by type.
pub const PUBLISHED: &str = "signalbox_events_published_total";
/// Messages that came more than once, by consumer.
pub const REDELIVERED: &str = "signalbox_consumer_redelivered_total";
/// Messages that were put aside, by consumer.
pub const DEAD_LETTERS: &str = "signalbox_dead_letters_total";
/// Whether the connection stands: 1 or 0.
pub const CONNECTED: &str = "signalbox_bus_connected";

/// Describes the metrics and creates the series that are known beforehand. Call it once, after the recorder
/// is installed.
pub fn describe() {
    describe_counter!(PUBLISHED, Unit::Count, "Events that the message bus confirmed.");
    describe_counter!(REDELIVERED, Unit::Count, "Messages that a consumer got more than once.");
    describe_counter!(DEAD_LETTERS, Unit::Count, "Messages that no worker could do and that were put aside.");
    describe_gauge!(CONNECTED, Unit::Count, "Whether the connection to the message bus stands.");
    for event in model::event::CATALOGUE {
        counter!(PUBLISHED, "type" => event.kind).increment(0);
    }
    for durable in crate::table::DURABLES {
        counter!(REDELIVERED, "consumer" => durable.name).increment(0);
        counter!(DEAD_LETTERS, "consumer" => durable.name).increment(0);
    }
}

/// A type as a label: only those of the catalogue, so that what applications send makes no series.
pub(crate) fn published(kind: &str) {
    let short = kind.strip_prefix(model::event::TYPE_PREFIX).unwrap_or(kind);
    let label =
        model::event::CATALOGUE.iter().find(|event| event.kind == short).map_or("other", |event| event.kind);
    counter!(PUBLISHED, "type" => label).increment(1);
}

pub(crate) fn redelivered(consumer: &'static str) {
    counter!(REDELIVERED, "consumer" => consumer).increment(1);
}

pub(crate) fn dead_letter(consumer: &'static str) {
    counter!(DEAD_LETTERS, "consumer" => consumer).increment(1);
}

pub(crate) fn connected(yes: bool) {
    gauge!(CONNECTED).set(if yes { 1.0 } else { 0.0 });
}
