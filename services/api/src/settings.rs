//! The settings of the api.

/// Settings of the role `api`.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// How long a console session lasts, in seconds.
    #[arg(long = "api-session-secs", env = "SIGNALBOX_API_SESSION_SECS", default_value_t = 12 * 3600)]
    pub session_secs: u64,

    /// How long ago a session may have proved its password to reveal a key, in seconds.
    #[arg(long = "api-reveal-fresh-secs", env = "SIGNALBOX_API_REVEAL_FRESH_SECS", default_value_t = 300)]
    pub reveal_fresh_secs: u64,

    /// Event streams that may be open at once.
    #[arg(long = "api-streams-max", env = "SIGNALBOX_API_STREAMS_MAX", default_value_t = 256)]
    pub streams_max: usize,

    /// Largest request body, in bytes.
    #[arg(long = "api-body-bytes-max", env = "SIGNALBOX_API_BODY_BYTES_MAX", default_value_t = 1024 * 1024)]
    pub body_bytes_max: usize,
}
