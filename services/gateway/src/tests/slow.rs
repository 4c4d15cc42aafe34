//! Callers who are slow, who are many, or who send too much, over real sockets. Limits are small, so that they are soon over.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::house::{House, PATIENCE, TOKEN, eventually, integration};
use super::provider::{Answer, Provider};
use crate::Settings;
use crate::settings::Callers;

const HEAD: &str =
    "HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sbt_0123456789abcdef0123456789abcdef0123456789a\r\n";

async fn house(callers: Callers) -> (House, Provider) {
    let settings = Settings { callers, body_bytes_max: 1_000_000, ..Settings::default() };
    let (house, provider) = (House::with(settings).await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    (house, provider)
}

/// What comes until the connection closes; an end by reset is one, too.
async fn rest(tcp: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let _ = timeout(PATIENCE, tcp.read_to_end(&mut heard)).await.expect("ends");
    String::from_utf8(heard).expect("text")
}

/// Sends this, and nothing more.
async fn ask(house: &House, text: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(house.address).await.expect("connects");
    tcp.write_all(text.as_bytes()).await.expect("writes");
    tcp
}

/// Sends a request over HTTP/2 whose body is this, and then does not end if it is to hang.
async fn ask_h2(
    house: &House,
    request: http::request::Builder,
    body: Vec<Bytes>,
    hangs: bool,
) -> (StatusCode, Value) {
    let tcp = TcpStream::connect(house.address).await.expect("connects");
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(1 << 20)
        .handshake::<_, UnsyncBoxBody<Bytes, Infallible>>(TokioIo::new(tcp))
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let frames = stream::iter(body).map(|data| Ok(Frame::data(data)));
    let body = if hangs {
        StreamBody::new(frames.chain(stream::pending())).boxed_unsync()
    } else {
        StreamBody::new(frames).boxed_unsync()
    };
    let answering = sender.send_request(request.body(body).expect("a request"));
    let answer: Response<Incoming> = timeout(PATIENCE, answering).await.expect("in time").expect("an answer");
    let status = answer.status();
    let body = timeout(PATIENCE, answer.into_body().collect()).await.expect("in time");
    let body = body.expect("a whole body").to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn post(house: &House) -> http::request::Builder {
    let uri = format!("http://{}/p/a/x", house.address);
    Request::builder().method("POST").uri(uri).header("authorization", format!("Bearer {TOKEN}"))
}

#[tokio::test]
async fn an_address_has_its_share_of_connections() {
    let (house, provider) = house(Callers { connections_per_address_max: 2, ..Callers::default() }).await;
    let request = format!("GET /p/a/x {HEAD}connection: close\r\n\r\n");
    let mut held = [ask(&house, "").await, ask(&house, "").await];
    let mut third = TcpStream::connect(house.address).await.expect("the system takes it");
    drop(third.write_all(request.as_bytes()).await);
    assert_eq!(rest(&mut third).await, "", "closed, and unheard");
    held[0].write_all(request.as_bytes()).await.expect("writes");
    assert!(rest(&mut held[0]).await.starts_with("HTTP/1.1 200 "), "who was there is served");
    eventually("place that is given out again", async || {
        let mut tcp = TcpStream::connect(house.address).await.expect("connects");
        drop(tcp.write_all(request.as_bytes()).await);
        rest(&mut tcp).await.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
    drop(held);
    assert_eq!(provider.count(), 2);
    house.stop().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let (house, provider) = house(Callers { head_timeout_ms: 200, ..Callers::default() }).await;
    for begun in ["GET", "PRI * HT", &format!("GET /p/a/x {HEAD}x-more: ")] {
        let answer = rest(&mut ask(&house, begun).await).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("head_timeout"), "{begun}: {answer}");
    }
    assert_eq!(rest(&mut ask(&house, "").await).await, "", "there is nothing to answer");
    // So is one behind a request that was answered.
    let (whole, begun) = (format!("GET /p/a/x {HEAD}\r\n"), format!("GET /p/a/y {HEAD}"));
    let answer = rest(&mut ask(&house, &format!("{whole}{begun}")).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("HTTP/1.1 408 "), "{answer}");
    assert_eq!(provider.count(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_cut() {
    let (house, provider) =
        house(Callers { body_grace_ms: 200, body_bytes_per_sec_min: 100_000_000, ..Callers::default() })
            .await;
    let (some, much) = ("x".repeat(10), "x".repeat(100_000));
    for (length, sent) in [(20, &some), (200_000, &much)] {
        let text = format!("POST /p/a/x {HEAD}content-length: {length}\r\n\r\n{sent}");
        let answer = rest(&mut ask(&house, &text).await).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{length}: {answer}");
        let body = vec![Bytes::from(sent.clone())];
        let (status, problem) = ask_h2(&house, post(&house), body, true).await;
        assert_eq!((status.as_u16(), problem["code"].as_str()), (408, Some("body_timeout")), "{length}");
    }
    assert_eq!(provider.count(), 0, "none was whole");
    house.stop().await;
}

#[tokio::test]
async fn a_slow_caller_is_not_the_providers_fault() {
    let (house, provider) = house(Callers { body_grace_ms: 60_000, ..Callers::default() }).await;
    house.configure(|s| integration(s, "a", &provider.url(), json!({ "timeout_ms": 200 }))).await;
    let text = format!("POST /p/a/x {HEAD}content-length: 200000\r\n\r\n{}", "x".repeat(100_000));
    // As many as would open its breaker.
    for _ in 0..10 {
        let answer = rest(&mut ask(&house, &text).await).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{answer}");
    }
    assert_eq!(house.get("/p/a/x").await.status, 200);
    house.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_with_a_silent_answer_is_not() {
    let (house, provider) = house(Callers { keep_alive_ms: 200, ..Callers::default() }).await;
    let (open, gate) = watch::channel(false);
    provider.will(move |_| {
        let mut gate = gate.clone();
        async move {
            let first = stream::iter([Bytes::from("data: 1\n\n")]);
            let last = stream::once(async move {
                let _ = gate.wait_for(|open| *open).await;
                Bytes::from("data: 2\n\n")
            });
            let frames = first.chain(last).map(|data| Ok(Frame::data(data)));
            let answer: Answer = Response::new(StreamBody::new(frames).boxed_unsync());
            answer
        }
    });
    let request = format!("GET /p/a/x {HEAD}\r\n");
    let mut streams = ask(&house, &request).await;
    let mut heard = Vec::new();
    while !heard.ends_with(b"data: 1\n\n\r\n") {
        let read = timeout(PATIENCE, streams.read_buf(&mut heard)).await.expect("in time").expect("reads");
        assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
    }
    // While it is silent others come, have nothing to ask any more, and are closed: twice as long as is kept.
    for _ in 0..2 {
        let answer = rest(&mut ask(&house, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    open.send_replace(true);
    let answer = rest(&mut streams).await;
    assert!(answer.contains("data: 2\n\n") && answer.ends_with("0\r\n\r\n"), "the stream is whole: {answer}");
    house.stop().await;
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_cut() {
    let (house, provider) = house(Callers { write_timeout_ms: 200, ..Callers::default() }).await;
    let (ended, mut end) = watch::channel(());
    let ended = std::sync::Arc::new(std::sync::Mutex::new(Some(ended)));
    provider.will(move |_| {
        let ended = ended.lock().expect("not poisoned").take();
        async move {
            let endless = stream::repeat(Bytes::from(vec![b'x'; 1 << 16])).map(move |data| {
                let _held = &ended;
                Ok(Frame::data(data))
            });
            let answer: Answer = Response::new(StreamBody::new(endless).boxed_unsync());
            answer
        }
    });
    let tcp = ask(&house, &format!("GET /p/a/x {HEAD}\r\n")).await;
    let cut = async { while end.changed().await.is_ok() {} };
    timeout(PATIENCE, cut).await.expect("the provider is let go");
    drop(tcp);
    house.stop().await;
}

#[tokio::test]
async fn too_much_is_refused_over_http2_as_well() {
    let (house, provider) = house(Callers::default()).await;
    // At the first byte too many: it never ends.
    let much = vec![Bytes::from(vec![0; 100_000]); 11];
    let (status, problem) = ask_h2(&house, post(&house), much, true).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (413, Some("too_large")));
    let said = post(&house).header("content-length", 1_000_001);
    let (status, _) = ask_h2(&house, said, vec![Bytes::from_static(b"a")], true).await;
    assert_eq!(status.as_u16(), 413, "not a byte of it is waited for");
    let many = (0..101).fold(post(&house), |request, number| request.header(format!("x-{number}"), "1"));
    let long = post(&house).header("x-long", "x".repeat(33 * 1024));
    let longest = post(&house).header("x-long", "x".repeat(200 * 1024));
    for (request, has_problem) in [(many, true), (long, true), (longest, false)] {
        let (status, problem) = ask_h2(&house, request, Vec::new(), false).await;
        assert_eq!((status.as_u16(), problem["code"] == "headers_too_large"), (431, has_problem));
    }
    assert_eq!(provider.count(), 0);
    let whole = post(&house).body(Full::new(Bytes::from("a"))).expect("a request");
    assert_eq!(
        house.call(post(&house), whole.into_body().collect().await.expect("whole").to_bytes()).await.status,
        200
    );
    house.stop().await;
}

#[tokio::test]
async fn a_head_over_http1_is_refused_before_it_ends() {
    let (house, provider) = house(Callers::default()).await;
    let (fields, long) = ("a: b\r\n".repeat(99), "y".repeat(50_000));
    for (more, status) in [(format!("{fields}{fields}"), "431"), (format!("x: {long}"), "431")] {
        let answer = rest(&mut ask(&house, &format!("GET /p/a/x {HEAD}{more}")).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let answer = rest(&mut ask(&house, &format!("GET /p/a/{long}")).await).await;
    assert!(answer.starts_with("HTTP/1.1 414 "), "{answer}");
    assert_eq!(provider.count(), 0);
    house.stop().await;
}
