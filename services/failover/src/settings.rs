//! Every setting of failover: type, unit, default, environment name.

use std::time::Duration;

use crate::decide::Rules;

/// The settings of failover.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Least time in a health before it may change to a better one, in seconds. 0: none.
    #[arg(
        id = "failover_dwell_secs",
        long = "failover-dwell-secs",
        env = "SIGNALBOX_FAILOVER_DWELL_SECS",
        default_value_t = 5
    )]
    pub dwell_secs: u32,

    /// How long a preferred integration must be up before its routes return to it, in seconds. 0: at once.
    #[arg(
        id = "failover_return_after_secs",
        long = "failover-return-after-secs",
        env = "SIGNALBOX_FAILOVER_RETURN_AFTER_SECS",
        default_value_t = 5
    )]
    pub return_after_secs: u32,

    /// How long a leader that says nothing stays leader, in seconds. A new one takes over after this time; on a
    /// cluster 15 or more outlasts an election of the servers.
    #[arg(
        id = "failover_lease_secs",
        long = "failover-lease-secs",
        env = "SIGNALBOX_FAILOVER_LEASE_SECS",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=300)
    )]
    pub lease_secs: u32,

    /// How often staleness, stays and returns are looked at, in milliseconds.
    #[arg(
        id = "failover_tick_ms",
        long = "failover-tick-ms",
        env = "SIGNALBOX_FAILOVER_TICK_MS",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(10..=60_000)
    )]
    pub tick_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { dwell_secs: 5, return_after_secs: 5, lease_secs: 5, tick_ms: 1_000 }
    }
}

impl Settings {
    /// How patient decisions are.
    pub fn rules(&self) -> Rules {
        Rules {
            dwell: Duration::from_secs(u64::from(self.dwell_secs)),
            return_after: Duration::from_secs(u64::from(self.return_after_secs)),
        }
    }

    /// How long a silent leader stays leader.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(u64::from(self.lease_secs))
    }

    /// How often time alone is looked at.
    pub fn tick(&self) -> Duration {
        Duration::from_millis(u64::from(self.tick_ms))
    }
}
