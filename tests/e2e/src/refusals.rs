//! Servers that do not let us in: one line that says which setting to look at, and exit code 2. What may be over
//! soon is waited for first, and then ends with 1, so that whoever watches the process starts it again.

use harness::servers::{Bao, Database, Gate, Nats};
use harness::{Launch, Program};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Starts it; it must end with this code and one line that has each of these texts.
async fn ends(launch: Launch, code: i32, wanted: &[&str]) {
    let (ended, text) = Program::ended(&launch.with("SIGNALBOX_LOG", "error")).await;
    assert_eq!((ended, text.trim().lines().count()), (Some(code), 1), "{text}");
    for part in wanted {
        assert!(text.contains(part), "`{part}` in: {text}");
    }
}

fn failover(data: &TempDir, environment: &[(&'static str, String)]) -> Launch {
    Launch::run(&["failover"], data.path()).with_all(environment)
}

/// A port on which each connection is answered by `answer`.
async fn stand_in<F: Future<Output = ()> + Send>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream).await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_that_does_not_let_us_in_is_named_with_the_setting() {
    let (data, nats, other) =
        tokio::join!(async { directory() }, Nats::start(Gate::Token), Nats::start(Gate::Nkey));
    let environment = nats.environment();
    ends(failover(&data, &environment).with("NATS_TOKEN", "wrong"), 2, &[&nats.url, "NATS_TOKEN"]).await;
    let seedless = failover(&data, &other.environment()).with("NATS_NKEY_SEED", "SUnothing");
    ends(seedless, 2, &[&other.url, "NATS_NKEY_SEED"]).await;
    let foreign = other.file("ca.pem").display().to_string();
    ends(failover(&data, &environment).with("NATS_CA", foreign), 2, &["NATS_CA", "certificate"]).await;
    let nowhere = data.path().join("nowhere.pem").display().to_string();
    ends(failover(&data, &environment).with("NATS_CA", &nowhere), 2, &["NATS_CA", &nowhere]).await;
}

/// Greets as an old server does, and answers whatever comes as if it were a ping.
async fn old_server(mut stream: TcpStream) {
    let info = r#"INFO {"server_id":"old","version":"2.10.24","go":"go1.23","host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576,"proto":1,"jetstream":true}"#;
    // A client that went away needs no answer.
    let _ = stream.write_all(format!("{info}\r\n").as_bytes()).await;
    let mut heard = [0; 4096];
    while stream.read(&mut heard).await.is_ok_and(|read| read > 0) {
        let _ = stream.write_all(b"PONG\r\n").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_that_is_too_old_is_told_what_is_needed() {
    let data = directory();
    let port = stand_in(old_server).await;
    let launch = failover(&data, &[("NATS_URL", format!("nats://127.0.0.1:{port}"))]);
    ends(launch, 2, &["2.10.24", "2.12", "upgrade"]).await;
}

/// Speaks as a PostgreSQL that asks for a password and does not accept it.
async fn refusing_database(mut stream: TcpStream) {
    const SSL_REQUEST_BYTES: usize = 8;
    let mut heard = [0; 1024];
    let read = stream.read(&mut heard).await.unwrap_or(0);
    if read == SSL_REQUEST_BYTES {
        let _ = stream.write_all(b"N").await;
        let _ = stream.read(&mut heard).await;
    }
    let asks_for_password = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
    let _ = stream.write_all(&asks_for_password).await;
    let _ = stream.read(&mut heard).await;
    let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"me\"\0\0";
    let length = u32::try_from(fields.len() + 4).expect("it is short");
    let _ = stream.write_all(&[b"E", length.to_be_bytes().as_slice(), fields].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_does_not_let_us_in_is_quoted_without_the_password() {
    let data = directory();
    let port = stand_in(refusing_database).await;
    let url = format!("postgres://me:hunter2@127.0.0.1:{port}/signalbox");
    let launch = Launch::up(data.path()).with("DATABASE_URL", &url);
    let (code, text) = Program::ended(&launch.clone().with("SIGNALBOX_LOG", "error")).await;
    assert!(code == Some(2) && !text.contains("hunter2"), "{code:?} {text}");
    ends(launch, 2, &["database address", "password authentication failed"]).await;

    let launch = Launch::up(data.path()).with("DATABASE_URL", Database::at("signalbox_nowhere"));
    ends(launch, 2, &["database address", "signalbox_nowhere"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_does_not_know_us_is_a_matter_of_settings_and_a_sealed_one_of_time() {
    let (one, two) = (directory(), directory());
    let (bao, sealed) = tokio::join!(Bao::start(), Bao::sealed());
    let stranger = Launch::up(one.path()).with_all(&bao.environment()).with("VAULT_ROLE_ID", "nobody");
    let closed = Launch::up(two.path()).with_all(&sealed.environment());
    tokio::join!(
        ends(stranger, 2, &["vault", "role id and secret id"]),
        ends(closed, 1, &["vault is sealed"]),
    );
}
