//! Logs to standard error and metrics for Prometheus, set up once per process.
//!
//! Setting up twice is harmless and changes nothing: tests run several houses in one process. Log lines and
//! labels never hold secrets; that is the business of whoever writes them.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Connections that were closed at once because their address had too many, by `port`.
pub const REFUSED: &str = "signalbox_connections_refused_total";

/// Buckets of durations, in seconds: probes and HTTP.
pub const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets of durations of model calls, in seconds.
pub const MODEL_SECONDS: [f64; 11] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0];
/// Buckets of anything else: bytes, counts.
const OTHERS: [f64; 10] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 65_536.0, 1_048_576.0, 16_777_216.0];
/// How often histograms' samples are put into buckets, in seconds.
const UPKEEP_SECS: u64 = 5;

/// Describes the metrics.
pub(crate) fn describe() {
    describe_counter!(REFUSED, Unit::Count, "Connections closed at once: one address had too many.");
}

static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people on a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// What is logged, and how.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// How log lines look.
    #[arg(long, env = "SIGNALBOX_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,gateway=debug`.
    #[arg(long, env = "SIGNALBOX_LOG", default_value = "info")]
    pub log_level: String,
}

/// The filter cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{filter}` is not a log filter such as `info,gateway=debug`")]
pub struct FilterError {
    filter: String,
}

/// Starts logging to standard error. A second call checks its filter and changes nothing.
pub fn logs(logs: &Logs) -> Result<(), FilterError> {
    let filter = EnvFilter::builder()
        .parse(&logs.log_level)
        .map_err(|_| FilterError { filter: logs.log_level.clone() })?;
    let terminal = std::io::stderr().is_terminal();
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    let is_json = match logs.log_format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !terminal,
    };
    // An error means that logging is set up already.
    let _ =
        if is_json { lines.json().flatten_event(true).with_ansi(false).try_init() } else { lines.try_init() };
    Ok(())
}

/// The metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts collecting, once per process. Names ending in `_seconds` get [`SECONDS`]; `buckets` gives other ones to
    /// whole names. Only the first call's buckets count, so the executable passes those of all services.
    pub fn install(buckets: &[(&str, &[f64])]) -> Self {
        let handle = INSTALLED.get_or_init(|| {
            let recorder = builder(buckets).build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::error!("Metrics are collected by somebody else; /metrics stays empty.");
            }
            handle
        });
        metrics::describe_gauge!("signalbox_build_info", "Always 1; the labels say which build this is.");
        metrics::gauge!("signalbox_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Self(handle.clone())
    }

    /// All metrics as Prometheus reads them. Runs where it may block: ten thousand series take tens of milliseconds.
    pub async fn render(&self) -> Result<String, tokio::task::JoinError> {
        let handle = self.0.clone();
        tokio::task::spawn_blocking(move || handle.render()).await
    }

    /// Keeps histograms small until the process stops. Without it samples pile up between two scrapes.
    pub async fn upkeep(self, stopping: CancellationToken) -> anyhow::Result<()> {
        let mut tick = interval(Duration::from_secs(UPKEEP_SECS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.0.run_upkeep(),
                () = stopping.cancelled() => return Ok(()),
            }
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A histogram without buckets would become a summary, which cannot be added up: everything has some.
fn builder(buckets: &[(&str, &[f64])]) -> PrometheusBuilder {
    const NOT_EMPTY: &str = "every list of buckets has an entry";
    let start = PrometheusBuilder::new().with_recommended_naming(true).set_buckets(&OTHERS).expect(NOT_EMPTY);
    let start =
        start.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS).expect(NOT_EMPTY);
    buckets.iter().filter(|(_, bounds)| !bounds.is_empty()).fold(start, |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds).expect(NOT_EMPTY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_an_error_that_names_it() {
        let of = |level: &str| logs(&Logs { log_format: LogFormat::Auto, log_level: level.to_owned() });
        assert!(of("info,gateway=debug").is_ok());
        assert!(of("warn").is_ok(), "a second time is harmless");
        let error = of("gateway=loud").expect_err("not a filter");
        assert_eq!(error.to_string(), "`gateway=loud` is not a log filter such as `info,gateway=debug`");
    }

    #[test]
    fn own_buckets_win_over_the_ending() {
        let recorder = builder(&[("signalbox_model_seconds", &MODEL_SECONDS)]).build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("signalbox_model_seconds").record(100.0);
            metrics::histogram!("signalbox_probe_seconds").record(0.02);
        });
        let text = recorder.handle().render();
        assert!(text.contains("signalbox_model_seconds_bucket{le=\"160\"} 1"), "{text}");
        assert!(text.contains("signalbox_probe_seconds_bucket{le=\"0.025\"} 1"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn upkeep_ends_with_the_process() {
        let stopping = CancellationToken::new();
        let upkeep = tokio::spawn(Metrics::install(&[]).upkeep(stopping.clone()));
        stopping.cancel();
        assert!(upkeep.await.expect("no panic").is_ok());
    }
}
