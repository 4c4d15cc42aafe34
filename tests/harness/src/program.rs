//! The real executable as a child process, to be killed at any time.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{ADMIN_TOKEN, Client, PATIENCE};

/// Lines of its log that are shown when it does not become ready.
const LAST_WORDS: usize = 15;

/// How a program is started: what it is told to do, and its environment.
#[derive(Clone, Debug)]
pub struct Launch {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// Everything in one process, on a directory, with a nats-server of its own unless `NATS_URL` is set.
    pub fn up(data: &Path) -> Self {
        let server = std::env::var("SIGNALBOX_TEST_NATS_SERVER")
            .expect("SIGNALBOX_TEST_NATS_SERVER names a nats-server");
        Self::of(&["up", "--nats-port=0"], data).with("SIGNALBOX_NATS_SERVER", server)
    }

    /// Some roles, each of which takes what it needs from the environment.
    pub fn run(roles: &[&str], data: &Path) -> Self {
        Self::of(&[&["run"], roles].concat(), data)
    }

    fn of(arguments: &[&str], data: &Path) -> Self {
        let ports = ["api", "gateway", "admin"].map(|name| format!("--{name}-addr=127.0.0.1:0"));
        let data = format!("--data-dir={}", data.display());
        let arguments = arguments.iter().map(|text| (*text).to_owned()).chain(ports).chain([data]).collect();
        Self { arguments, environment: Vec::new() }
            .with("SIGNALBOX_ADMIN_TOKEN", ADMIN_TOKEN)
            .with("SIGNALBOX_EGRESS_ALLOW", "127.0.0.0/8")
    }

    /// With this in its environment too.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// With all of these in its environment too.
    #[must_use]
    pub fn with_all(mut self, environment: &[(&str, String)]) -> Self {
        self.environment.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(executable());
        // Settings of whoever runs the tests are not the tests'.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SIGNALBOX_"))
        {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// A running `signalbox`.
pub struct Program {
    child: Child,
    ready: String,
    log: NamedTempFile,
    /// A client with the admin's token.
    pub admin: Client,
}

fn executable() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a file");
    let directory = test.parent().and_then(Path::parent).expect("a test lies in target/<profile>/deps");
    let program = directory.join("signalbox");
    assert!(program.exists(), "{} is missing; ./tests/run builds it first", program.display());
    program
}

impl Program {
    /// Starts everything on a directory, and waits until it says that it is ready.
    pub async fn start(data: &Path) -> Self {
        Self::launch(Launch::up(data)).await
    }

    /// The same with further settings in its environment.
    pub async fn start_with(data: &Path, environment: &[(&str, &str)]) -> Self {
        Self::launch(with_each(Launch::up(data), environment)).await
    }

    /// Starts it, and waits until it says that it is ready.
    pub async fn launch(launch: Launch) -> Self {
        let log = NamedTempFile::new().expect("a file for its log");
        let mut child = launch
            .command()
            .stdout(Stdio::piped())
            .stderr(log.reopen().expect("the file is there"))
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.expect("its output is text") {
                if line.starts_with("ready") {
                    return Some(line);
                }
            }
            None
        };
        let Ok(Some(ready)) = tokio::time::timeout(PATIENCE, ready).await else {
            panic!("{:?} did not become ready:\n{}", launch.arguments, last_words(log.path()));
        };
        let admin =
            Client::at(&url(&ready, "api"), &url(&ready, "gateway"), &url(&ready, "admin"), ADMIN_TOKEN);
        Self { child, ready, log, admin }
    }

    /// The URL of one of its ports, `api`, `gateway` or `admin`; empty when it has none of this name.
    pub fn url(&self, name: &str) -> String {
        url(&self.ready, name)
    }

    /// What it holds of memory now (`VmRSS`), in bytes. Its children are not counted.
    pub fn resident_bytes(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the kernel tells");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number of KiB");
        kib * 1024
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Starts everything where it cannot start: its exit code, and what it says on standard error.
    pub async fn refused(data: &Path, environment: &[(&str, &str)]) -> (Option<i32>, String) {
        let launch = with_each(Launch::up(data), environment);
        Self::ended(&launch.with("SIGNALBOX_LOG", "error")).await
    }

    /// Runs it until it ends by itself: its exit code, and what it says on standard error.
    pub async fn ended(launch: &Launch) -> (Option<i32>, String) {
        let run = launch.command().output();
        let Output { status, stderr, .. } =
            tokio::time::timeout(PATIENCE, run).await.expect("it ends in time").expect("it runs");
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    }

    /// Ends it at once, as a power cut would end the process.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Asks it to end, as Ctrl-C does; its exit code.
    pub async fn interrupt(mut self) -> Option<i32> {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await.expect("kill runs");
        assert!(sent.success(), "the signal arrives");
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time");
        ended.expect("its exit is seen").code()
    }
}

fn with_each(launch: Launch, environment: &[(&str, &str)]) -> Launch {
    environment.iter().fold(launch, |launch, (name, value)| launch.with(name, *value))
}

fn url(ready: &str, name: &str) -> String {
    ready
        .split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_default()
        .to_owned()
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
}
