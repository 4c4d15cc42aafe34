//! What the gateway's port takes of callers: how many connections, and how slow they may be.

use std::time::Duration;

use runtime::serve::{BODY_BYTES_PER_SEC_MIN, Pace};

/// How long a caller may take to send a body that is held, all waiting together.
const HELD_BODY: Duration = Duration::from_secs(30);

/// The bounds of callers.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Callers {
    /// Connections at a time. More wait in the system's queue.
    #[arg(
        id = "gateway_connections_max",
        long = "gateway-connections-max",
        env = "SIGNALBOX_GATEWAY_CONNECTIONS_MAX",
        default_value_t = 10_000
    )]
    pub connections_max: usize,

    /// Connections that one address may have at a time; of IPv6 one /64 network. One too many is closed at once. 0: as
    /// many as there are places. Behind a proxy all callers have its address; hence half of the places.
    #[arg(
        id = "gateway_connections_per_address_max",
        long = "gateway-connections-per-address-max",
        env = "SIGNALBOX_GATEWAY_CONNECTIONS_PER_ADDRESS_MAX",
        default_value_t = 5_000
    )]
    pub connections_per_address_max: usize,

    /// How long a request's head may take once its first bytes are here, in milliseconds. That of a connection's first
    /// request is counted from the connection's beginning.
    #[arg(
        id = "gateway_head_timeout_ms",
        long = "gateway-head-timeout-ms",
        env = "SIGNALBOX_GATEWAY_HEAD_TIMEOUT_MS",
        default_value_t = 10_000
    )]
    pub head_timeout_ms: u64,

    /// How long a connection is kept on which nothing is asked, in milliseconds; up to a quarter more.
    #[arg(
        id = "gateway_keep_alive_ms",
        long = "gateway-keep-alive-ms",
        env = "SIGNALBOX_GATEWAY_KEEP_ALIVE_MS",
        default_value_t = 60_000
    )]
    pub keep_alive_ms: u64,

    /// How long a caller may take nothing of an answer that is here for it, in milliseconds. Pauses of the answer itself
    /// do not count.
    #[arg(
        id = "gateway_write_timeout_ms",
        long = "gateway-write-timeout-ms",
        env = "SIGNALBOX_GATEWAY_WRITE_TIMEOUT_MS",
        default_value_t = 60_000
    )]
    pub write_timeout_ms: u64,

    /// How fast a request's body must come once its grace is over, in bytes per second. 0: as slow as it likes.
    #[arg(
        id = "gateway_body_bytes_per_sec_min",
        long = "gateway-body-bytes-per-sec-min",
        env = "SIGNALBOX_GATEWAY_BODY_BYTES_PER_SEC_MIN",
        default_value_t = BODY_BYTES_PER_SEC_MIN
    )]
    pub body_bytes_per_sec_min: u32,

    /// How long a request's body may be waited for before its pace counts, in milliseconds.
    #[arg(
        id = "gateway_body_grace_ms",
        long = "gateway-body-grace-ms",
        env = "SIGNALBOX_GATEWAY_BODY_GRACE_MS",
        default_value_t = 5_000
    )]
    pub body_grace_ms: u64,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 5_000,
            head_timeout_ms: 10_000,
            keep_alive_ms: 60_000,
            write_timeout_ms: 60_000,
            body_bytes_per_sec_min: BODY_BYTES_PER_SEC_MIN,
            body_grace_ms: 5_000,
        }
    }
}

impl Callers {
    /// How fast the body of a request must come that is passed on as it comes.
    pub(crate) fn pace(&self) -> Pace {
        Pace::new(self.body_bytes_per_sec_min).after(Duration::from_millis(self.body_grace_ms))
    }

    /// The same for one that is held: holding it has an end.
    pub(crate) fn held_pace(&self) -> Pace {
        self.pace().at_most(HELD_BODY)
    }
}
