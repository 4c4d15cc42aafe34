//! Every setting of the role `webhooks`.

use std::time::Duration;

/// Settings of the role `webhooks`.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Webhooks that are delivered to at the same time.
    #[arg(
        id = "webhooks_lanes_max",
        long = "webhooks-lanes-max",
        env = "SIGNALBOX_WEBHOOKS_LANES_MAX",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub lanes_max: u32,

    /// How long one attempt may take, the whole answer included, in milliseconds.
    #[arg(
        id = "webhooks_deadline_ms",
        long = "webhooks-deadline-ms",
        env = "SIGNALBOX_WEBHOOKS_DEADLINE_MS",
        default_value_t = 15_000,
        value_parser = clap::value_parser!(u64).range(100..=60_000)
    )]
    pub deadline_ms: u64,

    /// The longest pause before each attempt, in seconds: the first, the second, … After the last one a delivery fails.
    #[arg(
        id = "webhooks_pauses_secs",
        long = "webhooks-pauses-secs",
        env = "SIGNALBOX_WEBHOOKS_PAUSES_SECS",
        value_delimiter = ',',
        default_values_t = [0, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 36_000],
        value_parser = clap::value_parser!(u64).range(0..=604_800)
    )]
    pub pauses_secs: Vec<u64>,

    /// How long a delivery that is tried again holds up newer ones of its webhook at most before its next attempt, in
    /// milliseconds. Deliveries keep their order, so without it an alert could wait for hours behind one that failed.
    #[arg(
        id = "webhooks_hurry_ms",
        long = "webhooks-hurry-ms",
        env = "SIGNALBOX_WEBHOOKS_HURRY_MS",
        default_value_t = 30_000,
        value_parser = clap::value_parser!(u64).range(100..=3_600_000)
    )]
    pub hurry_ms: u64,

    /// How long rendering one template may take, in milliseconds.
    #[arg(
        id = "webhooks_render_ms",
        long = "webhooks-render-ms",
        env = "SIGNALBOX_WEBHOOKS_RENDER_MS",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u64).range(10..=10_000)
    )]
    pub render_ms: u64,

    /// Templates that are rendered at the same time.
    #[arg(
        id = "webhooks_renders_max",
        long = "webhooks-renders-max",
        env = "SIGNALBOX_WEBHOOKS_RENDERS_MAX",
        default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(1..=256)
    )]
    pub renders_max: u32,

    /// How often due deliveries are looked for when nothing wakes the worker, in milliseconds.
    #[arg(
        id = "webhooks_poll_ms",
        long = "webhooks-poll-ms",
        env = "SIGNALBOX_WEBHOOKS_POLL_MS",
        default_value_t = 5_000,
        value_parser = clap::value_parser!(u64).range(50..=60_000)
    )]
    pub poll_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lanes_max: 64,
            deadline_ms: 15_000,
            pauses_secs: vec![0, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 36_000],
            hurry_ms: 30_000,
            render_ms: 1_000,
            renders_max: 8,
            poll_ms: 5_000,
        }
    }
}

impl Settings {
    /// How long one attempt may take.
    pub const fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// How long a worker holds a lane without a sign of life: longer than an attempt takes with its writes.
    pub const fn lane_hold(&self) -> Duration {
        Duration::from_millis(self.deadline_ms * 2 + 10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn the_defaults_of_the_program_are_those_of_the_type() {
        let parsed = Program::try_parse_from(["test"]).expect("defaults are valid").settings;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Settings::default()));
        let short =
            Program::try_parse_from(["test", "--webhooks-pauses-secs", "0,1"]).expect("a list").settings;
        assert_eq!(short.pauses_secs, [0, 1]);
    }
}
