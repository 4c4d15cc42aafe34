//! The settings of the meter.

/// Settings of the role `meter`.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Events that are counted at once.
    #[arg(long = "meter-at-once", env = "SIGNALBOX_METER_AT_ONCE", default_value_t = 8)]
    pub meter_at_once: usize,
}
