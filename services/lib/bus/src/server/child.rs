//! The child process and the thread that keeps it.
//!
//! One thread of the operating system spawns every child and waits for it, because the kernel ties "die with
//! your parent" to the thread that spawned. It restarts what dies alone, with growing pauses, and gives up on
//! what cannot start.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::watch;

use super::ServerError;
use super::config::{Files, failed};
use crate::backoff::REOPEN;

/// A server that ends by itself with code 1 within this time could not start.
const AT_ONCE: Duration = Duration::from_secs(2);
/// A server that lived this long is healthy: pauses begin anew.
const HEALTHY: Duration = Duration::from_secs(60);
/// Restarts in a row that could not start, before it is given up. At the very first start there are none.
const CANNOT_START_MAX: u32 = 5;

/// How the child is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// It was spawned, or will be again after a pause.
    Running,
    /// It was stopped on purpose.
    Stopped,
    /// It is given up.
    Failed(ServerError),
}

/// What both sides know of the child.
pub(super) struct Child {
    state: Mutex<State>,
    stop: Condvar,
}

struct State {
    /// The running process. Only set while it is not yet reaped, so that no signal reaches a stranger.
    pid: Option<Pid>,
    stopping: bool,
    port: u16,
}

impl Child {
    /// Starts the thread, which starts the server.
    pub(super) fn spawn(
        binary: PathBuf,
        files: Files,
        lock: File,
        port: u16,
    ) -> Result<(Arc<Self>, watch::Receiver<Phase>), ServerError> {
        files.forget_last_words();
        let child = Arc::new(Self {
            state: Mutex::new(State { pid: None, stopping: false, port }),
            stop: Condvar::new(),
        });
        let (sender, phase) = watch::channel(Phase::Running);
        let keeper = Keeper { child: Arc::clone(&child), binary, files, lock };
        std::thread::Builder::new()
            .name("nats-server".to_owned())
            .spawn(move || {
                let last = keeper.keep();
                sender.send_replace(last);
            })
            .map_err(|error| ServerError::CannotStart { detail: error.to_string() })?;
        Ok((child, phase))
    }

    pub(super) fn pid(&self) -> Option<u32> {
        let pid = self.state().pid?;
        u32::try_from(pid.as_raw_nonzero().get()).ok()
    }

    /// The port that was chosen, for the message when it is taken later.
    pub(super) fn keep_port(&self, port: u16) {
        self.state().port = port;
    }

    /// Asks the server to end; it will not be restarted.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the server at once; it will not be restarted.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let mut state = self.state();
        state.stopping = true;
        if let Some(pid) = state.pid {
            // It may have ended this very moment; then there is nothing to do.
            let _ = rustix::process::kill_process(pid, signal);
        }
        self.stop.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Keeper {
    child: Arc<Child>,
    binary: PathBuf,
    files: Files,
    lock: File,
}

impl Keeper {
    /// Runs the server again and again, and returns how it ended.
    fn keep(self) -> Phase {
        let mut first = true;
        let mut ends = 0_u32;
        let mut no_starts = 0_u32;
        loop {
            let begun = Instant::now();
            let ended = match self.run() {
                Ok(Some(status)) => status,
                Ok(None) => return Phase::Stopped,
                Err(error) => return Phase::Failed(error),
            };
            if self.child.state().stopping {
                return Phase::Stopped;
            }
            let lived = begun.elapsed();
            let no_start = ended.code() == Some(1) && lived < AT_ONCE;
            no_starts = if no_start { no_starts + 1 } else { 0 };
            ends = if lived >= HEALTHY { 1 } else { ends.saturating_add(1) };
            if no_start && (first || no_starts >= CANNOT_START_MAX) {
                return Phase::Failed(self.why());
            }
            first = false;
            let pause = REOPEN.full(ends);
            tracing::error!(status = %ended, pause_ms = pause.as_millis(), "nats-server ended by itself; starting it again.");
            if self.pause(pause) {
                return Phase::Stopped;
            }
        }
    }

    /// Spawns one server and waits for its end. `None` when it should not even start.
    fn run(&self) -> Result<Option<ExitStatus>, ServerError> {
        let cannot = |error: std::io::Error| ServerError::CannotStart { detail: error.to_string() };
        let mut command = self.command()?;
        let mut process = {
            let mut state = self.child.state();
            if state.stopping {
                return Ok(None);
            }
            let process = command.spawn().map_err(cannot)?;
            state.pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
            process
        };
        // In a statement of its own, so that the lock is not held while the server lives.
        let pid = self.child.state().pid;
        if let Some(pid) = pid {
            // Waits without reaping: until the id is forgotten below it cannot become another process's.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options) {}
        }
        self.child.state().pid = None;
        process.wait().map(Some).map_err(cannot)
    }

    fn command(&self) -> Result<Command, ServerError> {
        let stderr =
            File::create(&self.files.stderr).map_err(|e| failed("create", &self.files.stderr, &e))?;
        let lock = self.lock.try_clone().map_err(|e| failed("lock", &self.files.lock, &e))?;
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(&self.files.config)
            // The child shares the lock with us by holding the same open file.
            .stdin(Stdio::from(lock))
            .stdout(Stdio::null())
            .stderr(Stdio::from(stderr))
            // A terminal's Ctrl-C must not reach it before the bus was drained.
            .process_group(0);
        die_with_parent(&mut command);
        Ok(command)
    }

    /// Waits before the next start. `true` when it was stopped meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let state = self.child.state();
        let waited = self.child.stop.wait_timeout_while(state, pause, |state| !state.stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    fn why(&self) -> ServerError {
        let detail = self.files.last_words();
        if detail.contains("address already in use") {
            return ServerError::PortTaken { port: self.child.state().port };
        }
        ServerError::CannotStart { detail }
    }
}

/// Has the kernel kill the child when this thread, and so this process, is gone.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the parent-death signal can only be set in the child before it becomes the server"
)]
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above; then nobody would send the signal.
        if rustix::process::getppid() == Some(parent) {
            return Ok(());
        }
        Err(rustix::io::Errno::SRCH.into())
    };
    // SAFETY: between fork and exec only system calls that are safe there are made: prctl and getppid, through
    // rustix, without allocation and without locks.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Elsewhere the kernel has no such signal.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
