//! What passes as it is: paths, bodies, streams; and what does not get in.

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::house::{House, PATIENCE, TOKEN, eventually, integration, route, token};
use super::provider::Provider;

#[tokio::test]
async fn nothing_is_served_before_the_first_snapshot() {
    let house = House::start().await;
    let index = house.get("/").await;
    assert_eq!((index.status.as_u16(), index.json()["ready"].as_bool()), (200, Some(false)));
    let got = house.get("/p/a/x").await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (503, Some("not_ready")));
    assert!(!house.gateway.ready());
    house.configure(|_| {}).await;
    assert!(house.gateway.ready());
    house.stop().await;
}

#[tokio::test]
async fn requests_and_answers_pass_byte_for_byte() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let url = format!("{}/base/v1", provider.url());
    house
        .configure(|s| {
            let more =
                json!({ "headers": { "X-Fixed": "yes" }, "params": { "units": "metric", "given": "ours" } });
            integration(s, "a", &url, more);
        })
        .await;
    provider.always(
        201,
        &[
            ("x-own", "1"),
            ("x-request-id", "theirs"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("set-cookie", "a=b"),
        ],
        "created",
    );
    let request = house
        .request("PUT", "/p/a/v1/things/%C3%A4?a=%20b&&given=x")
        .header("x-custom", "kept")
        .header("cookie", "session=1")
        .header("x-forwarded-for", "10.0.0.1")
        .header("connection", "x-mine")
        .header("x-mine", "1");
    let got = house.call(request, "\u{0}\u{1} body").await;
    assert_eq!((got.status.as_u16(), got.text().as_str()), (201, "created"));
    assert_eq!((got.header("x-own"), got.header("x-hop"), got.header("set-cookie")), ("1", "", ""));
    assert_eq!((got.header("x-signalbox-integration"), got.header("x-signalbox-attempts")), ("a", "1"));
    assert_eq!(
        (got.header("x-signalbox-cache"), got.header("x-signalbox-upstream-request-id")),
        ("bypass", "theirs")
    );
    assert_eq!(got.header("x-request-id").len(), 26);
    let seen = provider.last();
    assert_eq!(seen.target, "/base/v1/things/%C3%A4?a=%20b&&given=x&units=metric");
    assert_eq!((seen.method.as_str(), &seen.body[..]), ("PUT", &b"\x00\x01 body"[..]));
    assert_eq!((seen.header("x-custom"), seen.header("x-fixed")), (Some("kept".into()), Some("yes".into())));
    for gone in ["cookie", "x-forwarded-for", "x-mine", "authorization"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    let head = house.call(house.request("HEAD", "/p/a/x"), "").await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (201, "7", 0));
    house.stop().await;
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
    provider.will(move |_| {
        let receiver = receiver.lock().expect("not poisoned").take().expect("asked once");
        let events = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|event| (Ok(Frame::data(event)), receiver))
        });
        async move {
            let answer = http::Response::builder().header("content-type", "text/event-stream");
            answer.body(StreamBody::new(events).boxed_unsync()).expect("an answer")
        }
    });
    let mut response = house.open(house.request("GET", "/p/a/stream"), "").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    for n in 0..3 {
        let event = Bytes::from(format!("data: {n}\n\n"));
        sender.send(event.clone()).await.expect("is read");
        let frame = tokio::time::timeout(PATIENCE, response.body_mut().frame()).await.expect("in time");
        assert_eq!(frame.expect("a frame").expect("whole").into_data().expect("data"), event);
    }
    drop(sender);
    assert!(response.body_mut().frame().await.is_none());
    house.stop().await;
}

#[tokio::test]
async fn whoever_may_not_is_told_why() {
    const BOUND: &str = "sbt_bound-0123456789abcdef0123456789abcdef01234";
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "quotes-main", &provider.url(), json!({}));
            integration(s, "off", &provider.url(), json!({ "enabled": false }));
            route(s, "quotes", &["quotes-main"], json!({}));
            s.tokens.push(token("bound", BOUND, &json!({ "routes": ["quotes"] })));
        })
        .await;
    let as_bound = |path: &str| house.request("GET", path).header("x-signalbox-token", BOUND);
    for (request, status, code) in [
        (house.request("GET", "/p/quotes-man/x"), 404, "not_found"),
        (house.request("GET", "/x"), 404, "not_found"),
        (house.request("GET", "/p/off/x"), 409, "integration_disabled"),
        (house.request("GET", "/p/quotes-main/%2e%2e/x"), 400, "bad_path"),
        (house.request("GET", "/p/quotes-main/x").header("x-signalbox-token", "wrong"), 401, "unauthorized"),
        (as_bound("/p/quotes-main/x"), 403, "out_of_bounds"),
        (as_bound("/r/other/x"), 403, "out_of_bounds"),
    ] {
        let got = house.call(request, "").await;
        assert_eq!(
            (got.status.as_u16(), got.json()["code"].as_str()),
            (status, Some(code)),
            "{}",
            got.text()
        );
        assert_eq!(got.header("content-type"), "application/problem+json");
    }
    assert_eq!(house.get("/p/quotes-man/x").await.json()["near"], json!(["quotes-main"]));
    assert_eq!(provider.count(), 0);
    assert_eq!(house.call(as_bound("/r/quotes/x"), "").await.status, 200);
    assert_eq!(provider.last().header("x-signalbox-token"), None);
    house.stop().await;
}

#[tokio::test]
async fn calls_under_way_are_answered_before_the_end() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    let release = std::sync::Arc::new(tokio::sync::Notify::new());
    let waits = release.clone();
    provider.will(move |_| {
        let waits = waits.clone();
        async move {
            waits.notified().await;
            super::provider::answer(200, &[], "late")
        }
    });
    let address = house.address;
    let calling = tokio::spawn(async move {
        let mut tcp = TcpStream::connect(address).await.expect("connects");
        let head = format!("GET /p/a/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
        tcp.write_all(head.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.expect("reads to the end");
        answer
    });
    eventually("the call", || async { (provider.count() == 1).then_some(()) }).await;
    let stopping = tokio::spawn(house.stop());
    eventually("a closed port", || async { TcpStream::connect(address).await.err() }).await;
    release.notify_one();
    let answer = tokio::time::timeout(PATIENCE, calling).await.expect("in time").expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("late"), "{answer}");
    stopping.await.expect("a good end");
}
