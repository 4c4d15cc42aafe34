//! The real executable as a child process, to be killed at any time.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{ADMIN_TOKEN, Client, PATIENCE};

/// A running `signalbox up`.
pub struct Program {
    child: Child,
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
    /// Starts it on a directory, and waits until it says that it is ready.
    pub async fn start(data: &Path) -> Self {
        let server = std::env::var_os("SIGNALBOX_TEST_NATS_SERVER")
            .expect("SIGNALBOX_TEST_NATS_SERVER names a nats-server");
        let mut child = Command::new(executable())
            .args([
                "up",
                "--api-addr=127.0.0.1:0",
                "--gateway-addr=127.0.0.1:0",
                "--admin-addr=127.0.0.1:0",
                "--nats-port=0",
            ])
            .arg("--data-dir")
            .arg(data)
            .arg("--nats-server")
            .arg(server)
            .env("SIGNALBOX_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("SIGNALBOX_EGRESS_ALLOW", "127.0.0.0/8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.expect("its output is text") {
                if line.starts_with("ready") {
                    return line;
                }
            }
            panic!("the program ended before it was ready");
        };
        let line = tokio::time::timeout(PATIENCE, ready).await.expect("it is ready in time");
        let address = |name: &str| {
            let found = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_else(|| panic!("`{line}` names {name}")).to_owned()
        };
        let admin = Client::at(&address("api"), &address("gateway"), &address("admin"), ADMIN_TOKEN);
        Self { child, admin }
    }

    /// Starts it where it cannot start: its exit code, and what it says on standard error.
    pub async fn refused(data: &Path, environment: &[(&str, &str)]) -> (Option<i32>, String) {
        let server = std::env::var_os("SIGNALBOX_TEST_NATS_SERVER")
            .expect("SIGNALBOX_TEST_NATS_SERVER names a nats-server");
        let run = Command::new(executable())
            .args([
                "up",
                "--api-addr=127.0.0.1:0",
                "--gateway-addr=127.0.0.1:0",
                "--admin-addr=127.0.0.1:0",
                "--nats-port=0",
            ])
            .args(["--log-level=error", "--data-dir"])
            .arg(data)
            .arg("--nats-server")
            .arg(server)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, run).await.expect("it ends in time").expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
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
