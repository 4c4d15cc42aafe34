//! The command line: `up`, `run`, `schemas`; and what the program is started as by itself.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use runtime::process::Process;
use runtime::{exit, settings, telemetry};

use crate::house::{House, Options, Role};
use crate::schemas;

/// The command that makes this program a helper which renders templates and does nothing else.
const RENDER_TEMPLATES: &str = "render-templates";

/// Keeps a team's third-party APIs alive, inside their quotas, and under control.
#[derive(Debug, Parser)]
#[command(name = "signalbox", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything in one process, with a nats-server of its own.
    Up(Box<Everything>),
    /// Runs some roles, against a NATS, a database and a key store that are named by the environment.
    Run(Box<Some>),
    /// Writes the schemas of events, snapshot, providers and the API into a directory.
    Schemas {
        /// Where to.
        directory: PathBuf,
    },
    /// Renders templates for the process that started it.
    #[command(name = RENDER_TEMPLATES, hide = true)]
    RenderTemplates,
}

#[derive(Debug, Args)]
struct Everything {
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Some {
    /// Which roles.
    #[arg(required = true, value_enum)]
    roles: Vec<Role>,
    #[command(flatten)]
    options: Options,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli: Cli = settings::of_process(&[]);
    match cli.command {
        Command::Schemas { directory } => match schemas::write(&directory) {
            Ok(()) => ExitCode::from(exit::OK),
            Err(error) => exit::failure(&error),
        },
        Command::RenderTemplates => match webhooks::render_templates() {
            Ok(()) => ExitCode::from(exit::OK),
            Err(error) => exit::failure(&error.into()),
        },
        Command::Up(everything) => start(Role::ALL.to_vec(), everything.options, true),
        Command::Run(some) => start(some.roles, some.options, false),
    }
}

fn start(roles: Vec<Role>, options: Options, supervised: bool) -> ExitCode {
    if let Err(error) = telemetry::logs(&options.logs) {
        exit::say(&error.to_string());
        return ExitCode::from(exit::USAGE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failure(&anyhow::Error::new(error).context("start the async runtime")),
    };
    runtime.block_on(async {
        match Box::pin(serve(roles, options, supervised)).await {
            Ok(()) => ExitCode::from(exit::OK),
            Err(error) if error.is::<crate::doors::Misconfigured>() => {
                exit::say(&format!("{error:#}"));
                ExitCode::from(exit::USAGE)
            }
            Err(error) => exit::failure(&error),
        }
    })
}

async fn serve(roles: Vec<Role>, mut options: Options, supervised: bool) -> anyhow::Result<()> {
    // Signals are listened to before anything is started, so that none is missed while starting.
    let signals = runtime::process::Signals::listen().context("listen to signals")?;
    let renderer = webhooks::Renderer::this_program(&[RENDER_TEMPLATES]);
    options.renderer = Option::Some(renderer.context("find this program's file")?);
    let process = Process::new(options.shutdown);
    let house = House::start(roles, options, supervised, process.clone()).await?;
    house.announce();
    let ended = process.wait_with(signals).await;
    house.close().await;
    Ok(ended?)
}
