//! Tests with a real nats-server, started by this crate's own supervisor.

mod ask;
mod consume;
mod declare;
mod kv;
mod leader;
mod outage;
mod publish;
mod server;
mod tail;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use model::health::HealthChanged;
use model::subject::Subject;
use model::{Envelope, EventId};
use tempfile::TempDir;

use crate::{Bus, ServerSettings, Supervised};

/// How long a fact is waited for.
const SOON: Duration = Duration::from_secs(30);

/// A server of its own with everything declared, and a connection to it.
struct Town {
    bus: Bus,
    server: Supervised,
    _data: TempDir,
}

impl Town {
    async fn start() -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let server = Supervised::start(settings(&data, 0)).await.expect("the server starts");
        let bus = Bus::connect(&server.settings("test/1")).await.expect("connects");
        bus.declare().await.expect("declares");
        Self { bus, server, _data: data }
    }

    /// Kills the server with SIGKILL and waits until its successor is there.
    async fn kill_server(&self) {
        let before = self.server.pid().expect("it runs");
        kill(before);
        eventually("a new server", || {
            let now = self.server.pid();
            async move { now.filter(|pid| *pid != before) }
        })
        .await;
    }
}

fn binary() -> PathBuf {
    let path = std::env::var_os("SIGNALBOX_TEST_NATS_SERVER");
    path.expect("SIGNALBOX_TEST_NATS_SERVER names a nats-server >= 2.12 (tests/run sets it)").into()
}

fn settings(data: &TempDir, port: u16) -> ServerSettings {
    ServerSettings {
        binary: Some(binary()),
        data_dir: data.path().to_path_buf(),
        port,
        guests: true,
        version_min: ServerSettings::VERSION_MIN,
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours to kill");
}

/// An event with a body of no type, for tests that only look at ids.
fn event(subject: &str, id: &str) -> Envelope<Vec<u8>> {
    Envelope {
        id: EventId::parse(id).expect("an id"),
        source: "/test".to_owned(),
        kind: "dev.signalbox.test.happened.v1".to_owned(),
        time: model::Timestamp::from_millis(1_000),
        subject: Subject::stored(subject.to_owned()).expect("a subject"),
        correlation: None,
        data: b"{}".to_vec(),
    }
}

fn changed() -> HealthChanged {
    let body = serde_json::json!({
        "integration": "polygon-main", "provider": "polygon", "from": "up", "to": "down", "reason": null,
        "since": "2026-11-21T02:03:04Z", "at": "2026-11-21T02:03:05Z", "latency_ms": null, "evidence": [],
    });
    serde_json::from_value(body).expect("a change")
}

/// Asks until there is an answer, or fails after [`SOON`].
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "no {what} within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Awaits something for at most [`SOON`].
async fn soon<T>(what: &str, wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, wanted).await.unwrap_or_else(|_| panic!("no {what} within {SOON:?}"))
}
