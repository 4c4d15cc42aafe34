//! Every setting of the gateway: type, unit, default, environment name.

mod callers;

pub use callers::Callers;

/// The settings of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// The largest body of a request, in bytes. A larger one is refused at the first byte too many.
    #[arg(
        id = "gateway_body_bytes_max",
        long = "gateway-body-bytes-max",
        env = "SIGNALBOX_GATEWAY_BODY_BYTES_MAX",
        default_value_t = 10 * 1024 * 1024
    )]
    pub body_bytes_max: u64,

    /// How long the body of an answer may be silent before it is cut, in milliseconds.
    #[arg(
        id = "gateway_idle_timeout_ms",
        long = "gateway-idle-timeout-ms",
        env = "SIGNALBOX_GATEWAY_IDLE_TIMEOUT_MS",
        default_value_t = 120_000
    )]
    pub idle_timeout_ms: u64,

    /// How long a WebSocket may be silent in both directions before it is closed, in milliseconds.
    #[arg(
        id = "gateway_websocket_idle_timeout_ms",
        long = "gateway-websocket-idle-timeout-ms",
        env = "SIGNALBOX_GATEWAY_WEBSOCKET_IDLE_TIMEOUT_MS",
        default_value_t = 120_000
    )]
    pub websocket_idle_timeout_ms: u64,

    /// The largest frame of a WebSocket, in bytes. A larger one closes it (1009).
    #[arg(
        id = "gateway_websocket_frame_bytes_max",
        long = "gateway-websocket-frame-bytes-max",
        env = "SIGNALBOX_GATEWAY_WEBSOCKET_FRAME_BYTES_MAX",
        default_value_t = 16 * 1024 * 1024
    )]
    pub websocket_frame_bytes_max: u64,

    /// How long one call may take to its answer's head, all its attempts together, in milliseconds. An integration
    /// with a longer timeout has that.
    #[arg(
        id = "gateway_deadline_ms",
        long = "gateway-deadline-ms",
        env = "SIGNALBOX_GATEWAY_DEADLINE_MS",
        default_value_t = 120_000
    )]
    pub deadline_ms: u64,

    /// What the port takes of callers.
    #[command(flatten)]
    pub callers: Callers,

    /// Threads that carry calls, each with connections of its own; at most 64. 0: one for each processor.
    #[arg(
        id = "gateway_threads",
        long = "gateway-threads",
        env = "SIGNALBOX_GATEWAY_THREADS",
        default_value_t = 0
    )]
    pub threads: usize,

    /// Tokens that an answer to a chat may have where the caller does not say and the provider must be told. An
    /// integration's `settings.max_tokens` stands above it.
    #[arg(
        id = "gateway_chat_max_tokens",
        long = "gateway-chat-max-tokens",
        env = "SIGNALBOX_GATEWAY_CHAT_MAX_TOKENS",
        default_value_t = 4_096
    )]
    pub chat_max_tokens: u64,

    /// Cached answers, all together, in bytes.
    #[arg(
        id = "gateway_cache_bytes_max",
        long = "gateway-cache-bytes-max",
        env = "SIGNALBOX_GATEWAY_CACHE_BYTES_MAX",
        default_value_t = 64 * 1024 * 1024
    )]
    pub cache_bytes_max: u64,

    /// How long a call may wait for units of its limits that come again by themselves, in milliseconds; one that names its
    /// deadline waits until then. 0: it is refused at once.
    #[arg(
        id = "gateway_quota_wait_ms",
        long = "gateway-quota-wait-ms",
        env = "SIGNALBOX_GATEWAY_QUOTA_WAIT_MS",
        default_value_t = 2_000
    )]
    pub quota_wait_ms: u64,

    /// How many gateways there are at most: without the bus each goes on with an equal share of limits of a minute and
    /// less.
    #[arg(
        id = "gateway_replicas_max",
        long = "gateway-replicas-max",
        env = "SIGNALBOX_GATEWAY_REPLICAS_MAX",
        default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub replicas_max: u32,

    /// How old a key may become while the key store is away, in seconds. 0: every call asks.
    #[arg(
        id = "gateway_key_stale_secs",
        long = "gateway-key-stale-secs",
        env = "SIGNALBOX_GATEWAY_KEY_STALE_SECS",
        default_value_t = 3_600
    )]
    pub key_stale_secs: u64,

    /// From when on an answer is slow where neither the integration nor the catalogue says, in milliseconds: what the
    /// prober is told, so that a call and a probe mean the same.
    #[arg(skip = model::integration::SLOW_MS)]
    pub slow_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes_max: 10 * 1024 * 1024,
            idle_timeout_ms: 120_000,
            websocket_idle_timeout_ms: 120_000,
            websocket_frame_bytes_max: 16 * 1024 * 1024,
            deadline_ms: 120_000,
            callers: Callers::default(),
            threads: 0,
            chat_max_tokens: 4_096,
            cache_bytes_max: 64 * 1024 * 1024,
            quota_wait_ms: 2_000,
            replicas_max: 4,
            key_stale_secs: 3_600,
            slow_ms: model::integration::SLOW_MS,
        }
    }
}

impl Settings {
    /// How many threads carry calls.
    pub fn lanes(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let wanted = if self.threads == 0 { processors() } else { self.threads };
        wanted.min(egress::upstream::LANES_MAX)
    }
}
