//! The settings of the prober.

/// Settings of the role `prober`.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Probes that run at once.
    #[arg(long = "prober-at-once", env = "SIGNALBOX_PROBER_AT_ONCE", default_value_t = 64)]
    pub prober_at_once: usize,

    /// Probes of one provider that run at once.
    #[arg(long = "prober-per-provider", env = "SIGNALBOX_PROBER_PER_PROVIDER", default_value_t = 4)]
    pub prober_per_provider: usize,

    /// Seconds between probes where neither the integration nor the catalogue says.
    #[arg(long = "prober-every-secs", env = "SIGNALBOX_PROBER_EVERY_SECS", default_value_t = 60)]
    pub prober_every_secs: u32,

    /// Milliseconds that a probe may take where neither the integration nor the catalogue says.
    #[arg(long = "prober-timeout-ms", env = "SIGNALBOX_PROBER_TIMEOUT_MS", default_value_t = 5_000)]
    pub prober_timeout_ms: u32,

    /// Milliseconds from which on an answer is slow where neither the integration nor the catalogue says; for the
    /// gateway, too.
    #[arg(
        long = "prober-slow-ms",
        env = "SIGNALBOX_PROBER_SLOW_MS",
        default_value_t = model::integration::SLOW_MS
    )]
    pub prober_slow_ms: u32,
}
