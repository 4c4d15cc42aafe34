//! The helper processes: started when needed, kept warm, asked one thing at a time, replaced when they end or hang.
//!
//! A helper gets no environment, so it holds no secret, and answers within the deadline or is killed. One that is
//! dropped is killed too; one whose parent is gone sees the end of its input. This side never renders.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::render::frame::{self, ANSWERED_BYTES_MAX, ASKED_BYTES_MAX, Answered, Asked, HELLO, LENGTH_BYTES};
use crate::render::{Fault, GRACE, Job, budget};

/// How long a helper may take until it says hello.
const START_WAIT: Duration = Duration::from_secs(10);
/// Bytes that may stand before the hello.
const BEFORE_HELLO_BYTES_MAX: usize = 4 * 1024;
/// How long a helper that nobody needs is kept.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Renderings of one helper, so that what its memory becomes over time is bounded too.
const RENDERINGS_MAX: u32 = 10_000;

/// The command that becomes a helper: a program that calls [`crate::render_templates`] when it is given these arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renderer {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment, none of which may be a secret.
    pub environment: BTreeMap<OsString, OsString>,
}

impl Renderer {
    /// The program that is running, with other arguments, and no environment.
    ///
    /// # Errors
    ///
    /// When the system does not say which program is running.
    pub fn this_program(arguments: &[&str]) -> io::Result<Self> {
        // The link leads to the program that runs even when its file was replaced by a newer one.
        let link = Path::new("/proc/self/exe");
        let program = if link.exists() { link.to_owned() } else { std::env::current_exe()? };
        let arguments = arguments.iter().map(OsString::from).collect();
        Ok(Self { program, arguments, environment: BTreeMap::new() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            // Without a heap for each thread, which would count as address space: glibc only, others ignore it.
            .env("MALLOC_ARENA_MAX", "1")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What a terminal tells the program is not for its helpers.
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Helpers that wait for work. How many there are in all is bounded by the engine's places.
#[derive(Debug)]
pub(crate) struct Helpers {
    renderer: Renderer,
    idle: Mutex<Vec<Helper>>,
}

/// Why a helper gave no answer.
enum Failure {
    /// It ended, or said something that is no answer.
    Ended(io::Error),
    /// It did not answer in time.
    Late,
}

impl Helpers {
    /// None yet.
    pub(crate) const fn new(renderer: Renderer) -> Self {
        Self { renderer, idle: Mutex::new(Vec::new()) }
    }

    /// Renders in a helper. One that waited and is found dead says nothing about the job, so then another one is asked, once.
    pub(crate) async fn render(&self, job: &Job, within: Duration) -> Result<String, Fault> {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let question = frame::frame(&Asked { job, within_ms }, ASKED_BYTES_MAX)
            .ok_or_else(|| over(&format!("more than {ASKED_BYTES_MAX} bytes with its variables")))?;
        if let Some(waiting) = self.waiting() {
            match waiting.ask(&question, within).await {
                Ok((helper, answered)) => return self.keep(helper, answered),
                Err(Failure::Late) => return Err(over("too much time")),
                Err(Failure::Ended(error)) => {
                    debug!(%error, "A helper for templates ended; another one is asked.");
                }
            }
        }
        let fresh = Helper::start(&self.renderer).await.map_err(|error| {
            warn!(%error, "A helper for templates cannot be started.");
            Fault::new("busy", "no template can be rendered now; try again")
        })?;
        match fresh.ask(&question, within).await {
            Ok((helper, answered)) => self.keep(helper, answered),
            Err(Failure::Late) => Err(over("too much time")),
            Err(Failure::Ended(error)) => {
                warn!(%error, "A template ended the helper that rendered it.");
                Err(over("too much memory or time"))
            }
        }
    }

    /// The one that was used last, so that those that are too many grow old.
    fn waiting(&self) -> Option<Helper> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|helper| helper.used_at.elapsed() < IDLE_MAX);
        while let Some(mut helper) = idle.pop() {
            if matches!(helper.child.try_wait(), Ok(None)) {
                return Some(helper);
            }
        }
        None
    }

    fn keep(&self, helper: Helper, answered: Answered) -> Answered {
        if helper.renderings < RENDERINGS_MAX {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(helper);
        }
        answered
    }
}

fn over(what: &str) -> Fault {
    Fault::new("template_limit", format!("{} {what}", budget::LIMIT))
}

/// A running helper.
#[derive(Debug)]
struct Helper {
    child: Child,
    questions: ChildStdin,
    answers: ChildStdout,
    renderings: u32,
    used_at: Instant,
}

impl Helper {
    async fn start(renderer: &Renderer) -> io::Result<Self> {
        let mut child = renderer.command().spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let questions = child.stdin.take().ok_or_else(missing)?;
        let mut answers = child.stdout.take().ok_or_else(missing)?;
        let greeted = timeout(START_WAIT, hello(&mut answers)).await;
        greeted.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it said no hello"))??;
        Ok(Self { child, questions, answers, renderings: 0, used_at: Instant::now() })
    }

    /// Asks one question. Without an answer the helper is gone.
    async fn ask(mut self, question: &[u8], within: Duration) -> Result<(Self, Answered), Failure> {
        let answered = timeout(within + GRACE, async {
            self.questions.write_all(question).await?;
            let mut head = [0; LENGTH_BYTES];
            self.answers.read_exact(&mut head).await?;
            let length = frame::length(head, ANSWERED_BYTES_MAX);
            let mut bytes = vec![0; length.ok_or_else(|| io::Error::other("the answer is too long"))?];
            self.answers.read_exact(&mut bytes).await?;
            frame::parse::<Answered>(&bytes)
        })
        .await;
        let answered = answered.map_err(|_| Failure::Late)?.map_err(Failure::Ended)?;
        self.renderings += 1;
        self.used_at = Instant::now();
        Ok((self, answered))
    }
}

/// Reads up to the end of the hello.
async fn hello(answers: &mut ChildStdout) -> io::Result<()> {
    let hello = format!("{HELLO}\n");
    let mut seen = Vec::new();
    while !seen.ends_with(hello.as_bytes()) {
        if seen.len() >= BEFORE_HELLO_BYTES_MAX {
            return Err(io::Error::other("it says other things than hello"));
        }
        seen.push(answers.read_u8().await?);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
