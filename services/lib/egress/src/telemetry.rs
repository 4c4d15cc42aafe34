//! The names of egress's metrics, and the places that count.

use metrics::{counter, describe_counter};

use crate::refusal::Refusal;

/// Connections opened or not, by `outcome`: `opened`, `failed`, `refused`.
pub const CONNECTIONS: &str = "signalbox_egress_connections_total";
/// Targets that the guard refused, by `reason` (the words of [`Refusal::as_str`]).
pub const REFUSED: &str = "signalbox_egress_refused_total";

/// Describes the metrics and creates their known series with 0.
pub fn describe() {
    describe_counter!(CONNECTIONS, "Outgoing connections, by outcome.");
    describe_counter!(REFUSED, "Outgoing targets refused by the address guard, by reason.");
    for outcome in ["opened", "failed", "refused"] {
        counter!(CONNECTIONS, "outcome" => outcome).absolute(0);
    }
}

pub(crate) fn opened() {
    counter!(CONNECTIONS, "outcome" => "opened").increment(1);
}

pub(crate) fn failed() {
    counter!(CONNECTIONS, "outcome" => "failed").increment(1);
}

pub(crate) fn refused(refusal: &Refusal) {
    counter!(CONNECTIONS, "outcome" => "refused").increment(1);
    counter!(REFUSED, "reason" => refusal.as_str()).increment(1);
}
