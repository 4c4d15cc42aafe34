//! Calls against real servers on this machine: hostile ones, ordinary ones, and the guard between.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use model::health::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

mod tls;
mod upstream;
mod wire;

/// Every wait for a fact ends here.
const PATIENCE: Duration = Duration::from_secs(10);

fn opened() -> Settings {
    Settings { allow: vec!["127.0.0.0/8".parse().expect("a net")], ..Settings::default() }
}

fn egress() -> Egress {
    Egress::new(&opened()).expect("sets up")
}

/// An egress whose names lead where the script says, answer after answer.
fn scripted(settings: &Settings, answers: &[&[&str]]) -> Egress {
    let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().expect("an address")).collect::<Vec<IpAddr>>();
    let script = answers.iter().map(parse).collect();
    Egress::with(settings, Resolve::Script(Arc::new(Mutex::new(script)))).expect("sets up")
}

/// A server that counts its connections, reads a head, and then does what it is told with the connection.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(TcpStream) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let (connections, heads) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let server = Self { address, connections: connections.clone(), heads: heads.clone() };
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, heads) = (answer.clone(), heads.clone());
                tokio::spawn(async move {
                    let Some(head) = read_head(&mut tcp).await else { return };
                    heads.lock().expect("not poisoned").push(head);
                    answer(tcp).await;
                });
            }
        });
        server
    }

    /// Answers every request on every connection with the same bytes.
    async fn always(bytes: &'static str) -> Self {
        Self::start(move |mut tcp| async move {
            loop {
                if tcp.write_all(bytes.as_bytes()).await.is_err() || read_head(&mut tcp).await.is_none() {
                    return;
                }
            }
        })
        .await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn head(&self) -> String {
        self.heads.lock().expect("not poisoned").first().cloned().unwrap_or_default()
    }
}

async fn read_head(tcp: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).expect("a request")
}

/// Sends a request by the gateway's way, to an upstream of its own.
async fn send(egress: &Egress, request: Request<Bytes>) -> Result<http::Response<Body>, Error> {
    send_within(egress, request, Limits::default()).await
}

async fn send_within(
    egress: &Egress,
    request: Request<Bytes>,
    limits: Limits,
) -> Result<http::Response<Body>, Error> {
    let upstream = egress.upstream(request.uri())?;
    egress.send(&upstream, request.map(Outgoing::whole), limits).await
}

fn quick() -> FetchLimits {
    FetchLimits { deadline_ms: 300, body_bytes_max: 1_024, headers_max: 100 }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b\r\n\r\nhello";

#[tokio::test]
async fn a_whole_answer_comes_with_its_phases() {
    let server = Server::always(OK).await;
    let url = format!("http://localhost:{}/path?q=1", server.address.port());
    let settings = Settings {
        allow: vec!["127.0.0.0/8".parse().expect("a net"), "::1/128".parse().expect("a net")],
        ..opened()
    };
    let egress = Egress::new(&settings).expect("sets up");
    let answer = egress.fetch(get(&url), FetchLimits::default()).await.expect("answers");
    assert_eq!((answer.status.as_u16(), &answer.body[..], answer.truncated), (200, &b"hello"[..], false));
    assert_eq!(answer.headers["x-a"], "b");
    assert_eq!(answer.peer, Some(server.address));
    let phases = answer.phases;
    assert!(
        phases.dns_ms.is_some()
            && phases.connect_ms.is_some()
            && phases.first_byte_ms.is_some()
            && phases.body_ms.is_some()
    );
    assert_eq!(phases.tls_ms, None);
    let head = server.head();
    assert!(head.starts_with("GET /path?q=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: localhost:{}\r\n", server.address.port())), "{head}");
    assert!(
        head.contains("accept-encoding: identity\r\n") && head.contains("user-agent: signalbox/"),
        "{head}"
    );
}

#[tokio::test]
async fn nothing_reaches_a_private_server_when_no_network_is_open() {
    let server = Server::always(OK).await;
    let port = server.address.port();
    let egress = Egress::new(&Settings { plain_http: true, ports: vec![port], ..Settings::default() })
        .expect("sets up");
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "localhost",
        "0",
        "localhost.",
        "[::1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let Ok(uri) = url.parse::<http::Uri>() else { continue };
        let request = Request::get(uri).body(Bytes::new()).expect("a request");
        let failure = egress.fetch(request.clone(), quick()).await.expect_err("is refused");
        assert_eq!(failure.error.reason(), Reason::TargetRefused, "{url}");
        assert!(
            !failure.error.sent()
                && !failure.error.is_transient()
                && failure.error.blame() == Blame::Configuration
        );
        let error = send(&egress, request).await.expect_err("is refused");
        assert_eq!(error.reason(), Reason::TargetRefused, "{url}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_with_one_private_address_is_refused_at_every_connect() {
    let server = Server::always(OK).await;
    let settings = Settings {
        plain_http: true,
        ports: vec![server.address.port()],
        connect_timeout_ms: 200,
        ..Settings::default()
    };
    let url = format!("http://rebind.example.com:{}/", server.address.port());
    for answers in [
        &["127.0.0.1"][..],
        &["93.184.216.34", "127.0.0.1"],
        &["::1", "8.8.8.8"],
        &["::ffff:127.0.0.1"],
        &["169.254.169.254"],
    ] {
        let egress = scripted(&settings, &[answers]);
        let failure = egress.fetch(get(&url), quick()).await.expect_err("is refused");
        assert_eq!(failure.error.reason(), Reason::TargetRefused, "{answers:?}: {failure}");
        let error = send(&egress, get(&url)).await.expect_err("is refused");
        assert_eq!(error.reason(), Reason::TargetRefused, "{answers:?}: {error}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_that_moves_into_the_private_network_is_refused_from_then_on() {
    let server = Server::always("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let egress = scripted(&opened(), &[&["127.0.0.1"], &["10.0.0.1"], &["127.0.0.1", "169.254.169.254"]]);
    let url = format!("http://moves.example.com:{}/", server.address.port());
    assert!(egress.fetch(get(&url), FetchLimits::default()).await.is_ok());
    for _ in 0..3 {
        let failure = egress.fetch(get(&url), quick()).await.expect_err("is refused");
        assert_eq!(failure.error.reason(), Reason::TargetRefused);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn too_many_addresses_and_none_are_failures() {
    let many: Vec<String> = (0..17).map(|n| format!("8.8.8.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let egress = scripted(&Settings::default(), &[&many, &[]]);
    let failure = egress.fetch(get("https://example.com/"), quick()).await.expect_err("too many");
    assert_eq!(failure.error.reason(), Reason::TargetRefused);
    let failure = egress.fetch(get("https://example.com/"), quick()).await.expect_err("none");
    assert!(
        matches!(failure.error, Error::Dns { .. }) && failure.error.is_transient() && !failure.error.sent()
    );
}

#[tokio::test]
async fn redirects_are_answers() {
    for status in [301, 302, 303, 307, 308] {
        let second = Server::always(OK).await;
        let location = second.url("/secret");
        let first = Server::start(move |mut tcp| {
            let answer =
                format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            async move { tcp.write_all(answer.as_bytes()).await.unwrap_or(()) }
        })
        .await;
        let answer = egress().fetch(get(&first.url("/")), FetchLimits::default()).await.expect("answers");
        assert_eq!(answer.status, status);
        let answer = send(&egress(), get(&first.url("/"))).await.expect("answers");
        assert_eq!(answer.status(), status);
        assert_eq!(second.connections(), 0);
    }
}

#[tokio::test]
async fn slow_and_dripping_targets_are_cut_at_the_deadline() {
    let silent = Server::start(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
    })
    .await;
    let dripping = Server::start(|mut tcp| async move {
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while tcp.write_all(b".").await.is_ok() {
            tick.tick().await;
        }
    })
    .await;
    for (server, status, phase) in [(&silent, None, Phase::FirstByte), (&dripping, Some(200), Phase::Body)] {
        let started = Instant::now();
        let failure = egress().fetch(get(&server.url("/")), quick()).await.expect_err("is cut");
        assert!(
            matches!(failure.error, Error::Timeout { phase: p, sent: true, .. } if p == phase),
            "{failure:?}"
        );
        assert_eq!(failure.error.reason(), Reason::Timeout);
        assert_eq!(failure.status.map(|s| s.as_u16()), status);
        assert!(started.elapsed() < Duration::from_secs(2) && failure.total_ms >= 300);
    }
}

#[tokio::test]
async fn an_endless_body_is_kept_up_to_the_cap() {
    let endless = Server::start(|mut tcp| async move {
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while tcp.write_all(&[b'x'; 4_096]).await.is_ok() {}
    })
    .await;
    let limits = FetchLimits { deadline_ms: 10_000, ..quick() };
    let answer = egress().fetch(get(&endless.url("/")), limits).await.expect("answers");
    assert!(answer.truncated && answer.body.len() == 1_024);

    let limits = Limits { body_bytes_max: Some(10_000), ..Limits::default() };
    let answer = send_within(&egress(), get(&endless.url("/")), limits).await.expect("answers");
    let error = answer.into_body().collect().await.expect_err("is too large");
    assert!(matches!(error, Error::TooLarge(_)), "{error}");

    let exact = Server::always("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let limits = FetchLimits { body_bytes_max: 5, ..FetchLimits::default() };
    assert!(!egress().fetch(get(&exact.url("/")), limits).await.expect("answers").truncated);
    let limits = FetchLimits { body_bytes_max: 4, ..FetchLimits::default() };
    assert!(egress().fetch(get(&exact.url("/")), limits).await.expect("answers").truncated);
}

#[tokio::test]
async fn heads_that_are_bombs_are_refused() {
    let many = |count: usize, bytes: usize| {
        Server::start(move |mut tcp| async move {
            let mut head = String::from("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n");
            (0..count).for_each(|n| head.push_str(&format!("x-{n}: {}\r\n", "v".repeat(bytes))));
            head.push_str("\r\n");
            let _ = tcp.write_all(head.as_bytes()).await;
        })
    };
    let endless = Server::start(|mut tcp| async move {
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nx-a: ").await;
        while tcp.write_all(&[b'x'; 4_096]).await.is_ok() {}
    })
    .await;
    let limits = FetchLimits { deadline_ms: 5_000, ..quick() };
    for bomb in [many(200, 1).await, many(20, 2_000).await, endless] {
        let failure = egress().fetch(get(&bomb.url("/")), limits).await.expect_err("is refused");
        assert_eq!(failure.error.reason(), Reason::UpstreamError, "{failure:?}");
        assert!(matches!(failure.error, Error::TooLarge(_)), "{failure:?}");
        let sent = send(&egress(), get(&bomb.url("/"))).await;
        assert!(bomb.connections() == 2 && sent.is_err_and(|error| matches!(error, Error::TooLarge(_))));
    }
    assert!(egress().fetch(get(&many(90, 10).await.url("/")), limits).await.is_ok());
}

#[tokio::test]
async fn a_silent_stream_is_cut_and_a_slow_reader_is_not() {
    let server = Server::start(|mut tcp| async move {
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst").await;
        std::future::pending::<()>().await;
    })
    .await;
    let limits = Limits { idle_ms: 100, ..Limits::default() };
    let answer = send_within(&egress(), get(&server.url("/")), limits).await.expect("the head comes at once");
    let mut body = answer.into_body();
    let first = body.frame().await.expect("a frame").expect("bytes").into_data().expect("data");
    assert_eq!(&first[..], b"first");
    let error = body.frame().await.expect("a frame").expect_err("is cut");
    assert!(matches!(error, Error::Timeout { phase: Phase::Body, limit_ms: 100, .. }), "{error}");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn the_head_must_come_in_time() {
    let server = Server::start(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
    })
    .await;
    let limits = Limits { head_ms: 150, ..Limits::default() };
    let error = send_within(&egress(), get(&server.url("/")), limits).await.expect_err("is cut");
    assert!(matches!(error, Error::Timeout { phase: Phase::FirstByte, sent: true, .. }), "{error:?}");
}

#[tokio::test]
async fn everything_must_come_in_time_where_that_is_limited() {
    let server = Server::start(|mut tcp| async move {
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while tcp.write_all(b"1\r\nx\r\n").await.is_ok() {
            beat.tick().await;
        }
    })
    .await;
    let limits = Limits { total_ms: Some(200), ..Limits::default() };
    let answer = send_within(&egress(), get(&server.url("/")), limits).await.expect("the head comes at once");
    let error = answer.into_body().collect().await.expect_err("is cut");
    assert!(matches!(error, Error::Timeout { phase: Phase::Body, limit_ms: 200, .. }), "{error}");
    let silent = Server::start(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
    })
    .await;
    let limits = Limits { first_byte_ms: Some(100), ..Limits::default() };
    let error = send_within(&egress(), get(&silent.url("/")), limits).await.expect_err("is cut");
    assert!(
        matches!(error, Error::Timeout { phase: Phase::FirstByte, limit_ms: 100, sent: true }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_protocol_is_not_changed_unasked() {
    let server = Server::always(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    .await;
    let error =
        send_within(&egress(), get(&server.url("/")), Limits::default()).await.expect_err("is refused");
    assert!(matches!(error, Error::Protocol { sent: true, .. }), "{error:?}");
    let limits = Limits { upgrade: true, ..Limits::default() };
    let answer = send_within(&egress(), get(&server.url("/")), limits).await.expect("was asked");
    assert_eq!(answer.status(), 101);
}

#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    let proxy = Server::always(OK).await;
    let program = std::env::current_exe().expect("this program");
    let mut child = tokio::process::Command::new(program);
    child
        .args(["--exact", "tests::a_whole_answer_comes_with_its_phases"])
        .env("NETRC", "/dev/null")
        .env_remove("NO_PROXY");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, proxy.url(""));
    }
    let output = timeout(PATIENCE, child.output()).await.expect("ends").expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn a_closed_port_and_a_broken_answer_say_what_was_sent() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("has an address");
    let failure = egress().fetch(get(&format!("http://{closed}/")), quick()).await.expect_err("is closed");
    assert!(matches!(failure.error, Error::Connect { .. }) && !failure.error.sent(), "{failure:?}");
    assert_eq!((failure.error.reason(), failure.error.is_transient()), (Reason::Unreachable, true));

    for nonsense in
        ["", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!"]
    {
        let server =
            Server::start(
                move |mut tcp| async move { tcp.write_all(nonsense.as_bytes()).await.unwrap_or(()) },
            )
            .await;
        let failure =
            egress().fetch(get(&server.url("/")), FetchLimits::default()).await.expect_err("is broken");
        assert!(matches!(failure.error, Error::Protocol { sent: true, .. }), "{nonsense:?}: {failure:?}");
        assert_eq!(failure.error.blame(), Blame::Target);
    }
}

#[tokio::test]
async fn headers_of_one_connection_are_not_passed_on() {
    let server = Server::always(OK).await;
    let request = Request::post(server.url("/"))
        .header("host", "evil.example.com")
        .header("connection", "x-secret, close")
        .header("transfer-encoding", "chunked")
        .header("proxy-authorization", "Basic eDp5")
        .header("te", "trailers")
        .header("upgrade", "h2c")
        .header("x-kept", "1")
        .body(Bytes::from_static(b"{}"))
        .expect("a request");
    egress().fetch(request, FetchLimits::default()).await.expect("answers");
    let head = server.head();
    assert!(
        head.contains(&format!("host: {}\r\n", server.address)) && head.contains("x-kept: 1\r\n"),
        "{head}"
    );
    assert!(head.contains("content-length: 2\r\n"), "{head}");
    for gone in ["evil", "connection", "transfer-encoding", "proxy", "te:", "upgrade"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
}
