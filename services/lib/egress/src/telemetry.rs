//! The names of egress's metrics, and the places that count.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::refusal::Refusal;

/// Connections opened or not, by `outcome`: `opened`, `failed`, `refused`.
pub const CONNECTIONS: &str = "signalbox_egress_connections_total";
/// Connections that are open now, used or not.
pub const CONNECTIONS_OPEN: &str = "signalbox_egress_connections_open";
/// Targets that the guard refused, by `reason` (the words of [`Refusal::as_str`]).
pub const REFUSED: &str = "signalbox_egress_refused_total";

/// Describes the metrics and creates their known series with 0.
pub fn describe() {
    describe_counter!(CONNECTIONS, "Outgoing connections, by outcome.");
    describe_gauge!(CONNECTIONS_OPEN, "Outgoing connections that are open, used or not.");
    gauge!(CONNECTIONS_OPEN).increment(0.0);
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

/// Counts a connection for as long as it is open.
pub(crate) struct OpenConnection(());

impl OpenConnection {
    pub(crate) fn new() -> Self {
        gauge!(CONNECTIONS_OPEN).increment(1.0);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        gauge!(CONNECTIONS_OPEN).decrement(1.0);
    }
}
