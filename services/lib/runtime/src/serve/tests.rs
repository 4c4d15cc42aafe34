//! The port with real sockets: who asks, how it stops, and what it refuses.

use super::*;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

async fn start(
    router: Router,
) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>) {
    start_within(router, Bounds::default()).await
}

async fn start_within(
    router: Router,
    bounds: Bounds,
) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>) {
    let listener = bind("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
    let (address, stopping) = (listener.local_addr().expect("has an address"), CancellationToken::new());
    let server = tokio::spawn(serve(listener, router, bounds, stopping.clone()));
    (address, stopping, server)
}

async fn read_to_end(tcp: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut text)).await.expect("ends").expect("reads");
    text
}

#[tokio::test]
async fn a_handler_knows_its_peer() {
    let router =
        Router::new().route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()));
    let (address, stopping, server) = start(router).await;
    let mut tcp = TcpStream::connect(address).await.expect("connects");
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("writes");
    let answer = read_to_end(&mut tcp).await;
    assert!(answer.ends_with(&tcp.local_addr().expect("has an address").to_string()), "{answer}");
    stopping.cancel();
    timeout(PATIENCE, server).await.expect("ends").expect("no panic").expect("well");
}

#[tokio::test]
async fn requests_under_way_end_and_idle_connections_close() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, wait) = (entered.clone(), release.clone());
    let slow = get(async move || {
        inside.notify_one();
        wait.notified().await;
        "done"
    });
    let (address, stopping, server) = start(Router::new().route("/slow", slow)).await;
    let mut idle = TcpStream::connect(address).await.expect("connects");
    let mut busy = TcpStream::connect(address).await.expect("connects");
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("writes");
    timeout(PATIENCE, entered.notified()).await.expect("the request arrives");
    stopping.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    release.notify_one();
    assert!(read_to_end(&mut busy).await.ends_with("done"));
    timeout(PATIENCE, server).await.expect("ends").expect("no panic").expect("well");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_slow_head_is_cut() {
    tokio::time::pause();
    let (client, server) = tokio::io::duplex(1_024);
    let service = service_fn(async |_| Ok::<_, Infallible>(hyper::Response::new(Body::empty())));
    let server = tokio::spawn(async move {
        builder(Some(Duration::from_millis(HEAD_TIMEOUT_MS)))
            .serve_connection(TokioIo::new(server), service)
            .await
            .is_err()
    });
    let (_, mut write) = tokio::io::split(client);
    write.write_all(b"GET / HTTP/1.1\r\nhost:").await.expect("writes");
    let started = tokio::time::Instant::now();
    assert!(server.await.expect("no panic"), "must be an error");
    assert_eq!(started.elapsed().as_millis().div_euclid(1_000), 10);
}

#[tokio::test]
async fn a_port_in_use_says_what_to_do() {
    let listener = bind("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    let error = bind(address).await.expect_err("is in use");
    let expected =
        format!("{address} is in use by another program; stop it (`ss -ltnp 'sport = :{}'`", address.port());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_refused_and_others_go_on() {
    let bounds = Bounds { connections_per_address_max: 2, ..Bounds::default() };
    let (address, stopping, server) =
        start_within(Router::new().route("/", get(async || "hi")), bounds).await;
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut held = [
        TcpStream::connect(address).await.expect("connects"),
        TcpStream::connect(address).await.expect("connects"),
    ];
    let mut third = TcpStream::connect(address).await.expect("the system takes it");
    // Refused is an end, or a reset when our question was on its way.
    let mut heard = Vec::new();
    drop(third.write_all(ask).await);
    let end = timeout(PATIENCE, third.read_to_end(&mut heard)).await.expect("ends");
    assert!(end.is_err() || heard.is_empty(), "{}", String::from_utf8_lossy(&heard));
    held[0].write_all(ask).await.expect("writes");
    assert!(read_to_end(&mut held[0]).await.ends_with("hi"), "those who were there are served");
    let again = async {
        loop {
            let mut tcp = TcpStream::connect(address).await.expect("connects");
            let mut heard = Vec::new();
            drop(tcp.write_all(ask).await);
            if tcp.read_to_end(&mut heard).await.is_ok() && heard.ends_with(b"hi") {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("a place that was given back is given out");
    drop(held);
    stopping.cancel();
    timeout(PATIENCE, server).await.expect("ends").expect("no panic").expect("well");
}

#[tokio::test]
async fn a_head_over_our_bounds_gets_a_problem() {
    let (address, _stopping, _server) = start(Router::new()).await;
    let many: String = (0..150).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(40_000));
    for headers in [many, long] {
        let mut tcp = TcpStream::connect(address).await.expect("connects");
        let head = format!("GET /api/v1/keys HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
        tcp.write_all(head.as_bytes()).await.expect("writes");
        let answer = read_to_end(&mut tcp).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(head.contains("application/problem+json"), "{head}");
        let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            (&problem["code"], &problem["instance"]),
            (&"headers_too_large".into(), &"/api/v1/keys".into())
        );
        assert!(head.contains(problem["request_id"].as_str().expect("is named")), "{head}");
    }
}

#[tokio::test]
async fn a_body_that_drips_is_answered_and_cut() {
    #[derive(serde::Deserialize)]
    struct Anything {}
    let router = Router::new()
        .route("/", axum::routing::post(async |crate::Json(Anything {}): crate::Json<Anything>| "taken"));
    let (address, _stopping, _server) = start(router).await;
    let mut tcp = TcpStream::connect(address).await.expect("connects");
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    tcp.write_all(head.as_bytes()).await.expect("writes");
    // Past the grace in one step: the clock of the test runs on as soon as everybody waits.
    tokio::time::pause();
    let mut heard = String::new();
    tcp.read_to_string(&mut heard).await.expect("it ends");
    assert!(heard.starts_with("HTTP/1.1 408 ") && heard.contains("body_timeout"), "{heard}");
}
