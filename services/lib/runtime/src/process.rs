//! A process from start to end: its tasks, what stops it, and how it drains.
//!
//! Every task has a name and belongs to the process. One that fails or panics stops all, because a process that works by
//! half is worse than one that starts anew. Stopping is polite once (not ready, pause, stop, wait) and bounded always.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::readiness::Readiness;

/// How a process stops.
#[derive(clap::Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Pause between "not ready" and stopping, in milliseconds, so that balancers notice. 5000 suits a cluster.
    #[arg(long, env = "SIGNALBOX_SHUTDOWN_DELAY_MS", default_value_t = 0)]
    pub shutdown_delay_ms: u64,

    /// How long tasks may take to end once they are told to, in milliseconds.
    #[arg(long, env = "SIGNALBOX_SHUTDOWN_TIMEOUT_MS", default_value_t = 25_000)]
    pub shutdown_timeout_ms: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { shutdown_delay_ms: 0, shutdown_timeout_ms: 25_000 }
    }
}

/// Why a process did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// A task failed or panicked, and the rest was stopped.
    #[error("{task} failed: {reason}")]
    Failed {
        /// The task's name.
        task: String,
        /// What it said.
        reason: String,
    },
    /// Tasks did not end in time, or a second signal cut the waiting short.
    #[error("stopped without waiting for: {}", .0.join(", "))]
    Unfinished(Vec<String>),
    /// The system does not let us listen to signals.
    #[error("listen to signals: {0}")]
    Signals(String),
}

/// A process. Cheap to clone; clones are the same process.
#[derive(Clone, Debug)]
pub struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shutdown: Shutdown,
    readiness: Readiness,
    /// Somebody wants the process to end.
    ending: CancellationToken,
    /// Tasks end now.
    stopping: CancellationToken,
    tasks: TaskTracker,
    /// Names of running tasks, by number.
    running: Mutex<BTreeMap<u64, String>>,
    failed: Mutex<Option<Ended>>,
}

/// The signals that end a process: SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Process ===

impl Process {
    /// A process without tasks.
    pub fn new(shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner {
            shutdown,
            readiness: Readiness::default(),
            ending: CancellationToken::new(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            running: Mutex::default(),
            failed: Mutex::default(),
        }))
    }

    /// Cancelled when tasks shall end. Every loop watches it.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }

    /// What must be well before this process takes work.
    pub fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    /// Starts a task. If it fails or panics, the process stops with its name; if it ends well, nothing happens.
    pub fn spawn<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (process, name) = (self.clone(), name.into());
        let number = process.enter(&name);
        self.0.tasks.spawn(async move {
            let outcome = AssertUnwindSafe(task).catch_unwind().await;
            process.leave(number);
            match outcome {
                Ok(Ok(())) => tracing::debug!(task = %name, "Task {name} ended."),
                Ok(Err(error)) => process.fail(&name, format!("{error:#}")),
                Err(panic) => process.fail(&name, format!("panicked: {}", message(&*panic))),
            }
        });
    }

    /// Asks the process to end, as a signal does.
    pub fn stop(&self) {
        self.0.ending.cancel();
    }

    /// Waits for a signal, a failed task or [`Process::stop`]; then drains. A second signal cuts the draining short.
    pub async fn wait(&self) -> Result<(), Ended> {
        let signals = Signals::listen().map_err(|error| Ended::Signals(error.to_string()))?;
        self.wait_with(signals).await
    }

    /// The same with signals that are listened to already.
    pub async fn wait_with(&self, mut signals: Signals) -> Result<(), Ended> {
        tokio::select! {
            name = signals.next() => {
                tracing::info!(signal = name, "Stopping after {name}.");
                self.stop();
            }
            () = self.0.ending.cancelled() => {}
        }
        tokio::select! {
            () = self.drain() => {}
            name = signals.next() => tracing::warn!(signal = name, "Not waiting any longer after a second {name}."),
        }
        self.0.stopping.cancel();
        self.outcome()
    }

    /// Waits for a failed task or [`Process::stop`], and drains, without listening to signals: for a process inside of another.
    pub async fn finished(&self) -> Result<(), Ended> {
        self.0.ending.cancelled().await;
        self.drain().await;
        self.outcome()
    }

    /// Not ready, pause, stop, wait. A process that failed does not pause: it does no good.
    async fn drain(&self) {
        self.0.readiness.drain();
        if lock(&self.0.failed).is_none() {
            sleep(Duration::from_millis(self.0.shutdown.shutdown_delay_ms)).await;
        }
        self.0.stopping.cancel();
        self.0.tasks.close();
        let limit_ms = self.0.shutdown.shutdown_timeout_ms;
        if timeout(Duration::from_millis(limit_ms), self.0.tasks.wait()).await.is_err() {
            let names = self.unfinished().join(", ");
            tracing::error!(limit_ms, tasks = %names, "Tasks did not end within {limit_ms} ms: {names}.");
        }
    }

    fn outcome(&self) -> Result<(), Ended> {
        if let Some(ended) = lock(&self.0.failed).clone() {
            return Err(ended);
        }
        let unfinished = self.unfinished();
        if unfinished.is_empty() { Ok(()) } else { Err(Ended::Unfinished(unfinished)) }
    }

    fn unfinished(&self) -> Vec<String> {
        lock(&self.0.running).values().cloned().collect()
    }

    fn enter(&self, name: &str) -> u64 {
        let mut running = lock(&self.0.running);
        let number = running.last_key_value().map_or(0, |(number, _)| number + 1);
        running.insert(number, name.to_owned());
        number
    }

    fn leave(&self, number: u64) {
        lock(&self.0.running).remove(&number);
    }

    /// The first failure is the one that counts: later ones often follow from it.
    fn fail(&self, task: &str, reason: String) {
        tracing::error!(task, reason, "Task {task} failed; the process stops.");
        lock(&self.0.failed).get_or_insert_with(|| Ended::Failed { task: task.to_owned(), reason });
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks hold is whole after every statement, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

// === impl Signals ===

impl Signals {
    /// Listens from now on. A signal that comes before it is awaited is not lost.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next signal's name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
