//! The program `standins`: plays the outside world until it is told to stop.
//!
//! Prints one JSON line per listening address, then `ready`. Ends on SIGTERM or SIGINT. What hinders it is one line on
//! standard error, never a backtrace: a port that is taken is no bug.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use serde_json::json;
use standins::{Config, Standins, demo};
use tokio::signal::unix::{SignalKind, signal};

/// Plays providers and notification targets over HTTP for tests and demos.
#[derive(Debug, Parser)]
#[command(name = "standins")]
struct Args {
    /// What to play, TOML or JSON (`*.json`).
    #[arg(long, conflicts_with = "demo", required_unless_present = "demo")]
    config: Option<PathBuf>,

    /// Play the built-in set on fixed ports.
    #[arg(long)]
    demo: bool,

    /// Where the control API listens, instead of what the configuration says.
    #[arg(long, env = "STANDINS_CONTROL_ADDR")]
    control_addr: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match play().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who cannot be told here either has the exit code.
            writeln!(std::io::stderr(), "error: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn play() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let args = Args::parse();
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => demo(),
    };
    if let Some(addr) = args.control_addr {
        config.control_addr = addr;
    }
    let mut terminated = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let running = Standins::start(config).await?;
    announce(&running).context("print the addresses")?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    tracing::info!("Stand-ins stop.");
    drop(running);
    Ok(())
}

fn announce(running: &Standins) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, provider, addr) in running.addresses() {
        let line = match provider {
            Some(provider) => {
                json!({ "instance": name, "provider": provider, "url": running.instance(&name).base_url(), "addr": addr })
            }
            None => json!({ "listener": name, "url": format!("http://{addr}"), "addr": addr }),
        };
        writeln!(out, "{line}")?;
    }
    writeln!(out, "ready")?;
    out.flush()
}
