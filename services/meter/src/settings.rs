//! The settings of the meter.

/// Settings of the role `meter`.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Events that are counted in one transaction at most: 1 to 4,096. What comes together is counted together.
    #[arg(long = "meter-at-once", env = "SIGNALBOX_METER_AT_ONCE", default_value_t = 4_096)]
    pub meter_at_once: usize,

    /// Series that are watched for anomalies: four an integration, up to 200 KiB each. Those with the fewest calls are left out.
    #[arg(long = "meter-watched-series", env = "SIGNALBOX_METER_WATCHED_SERIES", default_value_t = 400)]
    pub meter_watched_series: usize,
}
