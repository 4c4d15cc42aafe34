//! What is refused before a provider sees it: too large, or framed so that two readers could differ.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::house::{House, PATIENCE, TOKEN, integration, route, token};
use super::provider::Provider;
use crate::Settings;

/// A token that is bound to something else.
const BOUND: &str = "sbt_bbbb456789abcdef0123456789abcdef0123456789b";

/// Sends bytes and gives what comes back until the connection closes.
async fn raw(house: &House, text: &str) -> String {
    let mut tcp = TcpStream::connect(house.address).await.expect("connects");
    tcp.write_all(text.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, tcp.read_to_string(&mut answer)).await.expect("ends").expect("reads");
    answer
}

#[tokio::test]
async fn what_is_too_large_or_doubtful_is_refused() {
    let settings = Settings { body_bytes_max: 100_000, ..Settings::default() };
    let (house, provider) = (House::with(settings).await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    let large = house.call(house.request("POST", "/p/a/x"), vec![0; 100_001]).await;
    assert_eq!((large.status.as_u16(), large.json()["code"].as_str()), (413, Some("too_large")));
    assert_eq!(house.call(house.request("POST", "/p/a/x"), vec![0; 100_000]).await.status, 200);
    let seen = provider.count();
    let head = format!("POST /p/a/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n");
    // A chunked body is refused at the first byte too many.
    let chunks = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(2);
    let answer = raw(&house, &format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    for (framing, status) in [
        ("transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400"),
        ("transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "400"),
        ("content-length: 1\r\ncontent-length: 2\r\n\r\nab", "400"),
        ("content-length: +1\r\n\r\na", "400"),
    ] {
        let answer = raw(&house, &format!("{head}{framing}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{framing}: {answer}");
    }
    for headers in ["a: b\r\n".repeat(101), format!("x: {}\r\n", "y".repeat(33 * 1024))] {
        let answer = raw(&house, &format!("{head}connection: close\r\n{headers}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(provider.count(), seen);
    house.stop().await;
}

#[tokio::test]
async fn a_first_line_that_asks_for_nothing_here_is_told_so() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    for (line, status, code) in [
        ("CONNECT example.com:443 HTTP/1.1", "405", "method_not_allowed"),
        ("TRACE /p/a/x HTTP/1.1", "405", "method_not_allowed"),
        ("GET example.com HTTP/1.1", "404", "not_found"),
        ("GET /p/a/a-long-path b HTTP/1.1", "400", "bad_head"),
        ("GET /p/a/<> HTTP/1.1", "400", "bad_head"),
    ] {
        let answer = raw(&house, &format!("{line}\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        let is_told = answer.contains(&format!("\"code\":\"{code}\""));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && is_told, "{line}: {answer}");
    }
    let answer = raw(&house, "GET /p/a/x HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("`Host`"), "{answer}");
    assert!(answer.contains("\r\nx-request-id: ") && answer.contains("\"request_id\":\""), "{answer}");
    assert_eq!(provider.count(), 0);
    house.stop().await;
}

#[tokio::test]
async fn what_two_readers_could_read_in_two_ways_is_refused_and_the_connection_closed() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    let evil = format!("GET /p/a/evil HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    for (framing, code) in [
        (format!("content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"), "bad_framing"),
        (format!("transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n{chunks}"), "bad_framing"),
        ("content-length: 3\r\ncontent-length: 3\r\n\r\nabc".to_owned(), "bad_framing"),
        ("content-length: 3, 3\r\n\r\nabc".to_owned(), "bad_framing"),
        ("content-length: -3\r\n\r\nabc".to_owned(), "bad_framing"),
        (format!("transfer-encoding: identity, chunked\r\n\r\n{chunks}"), "bad_framing"),
        (format!("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n{chunks}"), "bad_framing"),
        (format!("transfer-encoding : chunked\r\n\r\n{chunks}"), "bad_head"),
        (format!("x: y\n transfer-encoding: chunked\r\n\r\n{chunks}"), "bad_head"),
        ("x: y\ncontent-length: 3\r\n\r\nabc".to_owned(), "bad_head"),
        ("transfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n".to_owned(), "bad_framing"),
        ("transfer-encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n".to_owned(), "bad_framing"),
        ("transfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n".to_owned(), "bad_framing"),
        ("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n".to_owned(), "bad_framing"),
        ("x: y\r\n z\r\n\r\n".to_owned(), "bad_head"),
        ("x: y\r\n\tz\r\n\r\n".to_owned(), "bad_head"),
        ("x: y\0z\r\n\r\n".to_owned(), "bad_head"),
        ("host: b\r\n\r\n".to_owned(), "bad_head"),
    ] {
        let head = format!("POST /p/a/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n");
        let answer = raw(&house, &format!("{head}{framing}{evil}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{framing:?}: {answer}");
        assert!(answer.contains("application/problem+json"), "{framing:?}: {answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{framing:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{framing:?}: {answer}");
    }
    for line in
        ["GET /p/a/x", "GET  /p/a/x HTTP/1.1", "GET /p/a/x HTTP/1.2", "GET /p/a/x y HTTP/1.1", "nonsense"]
    {
        let answer = raw(&house, &format!("{line}\r\nhost: a\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("first line"), "{line}: {answer}");
    }
    let answer = raw(&house, &format!("GET /p/a/{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(20_000))).await;
    assert!(answer.starts_with("HTTP/1.1 414 "), "{answer}");
    assert_eq!(provider.count(), 0);
    house.stop().await;
}

#[tokio::test]
async fn a_kept_connection_is_watched_too() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    let mut tcp = TcpStream::connect(house.address).await.expect("connects");
    let head = format!("POST /p/a/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    for _ in 0..3 {
        tcp.write_all(chunked.as_bytes()).await.expect("writes");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\na") {
            let mut byte = [0];
            tokio::time::timeout(PATIENCE, tcp.read_exact(&mut byte)).await.expect("in time").expect("reads");
            answer.push(byte[0]);
        }
    }
    tcp.write_all(format!("{head}content-length: 1\r\ncontent-length: 1\r\n\r\na").as_bytes())
        .await
        .expect("writes");
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, tcp.read_to_string(&mut answer)).await.expect("ends").expect("reads");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("more than once"), "{answer}");
    assert_eq!(provider.count(), 3);
    house.stop().await;
}

#[tokio::test]
async fn a_refusal_reaches_who_still_sends() {
    let house = House::with(Settings { threads: 1, ..Settings::default() }).await;
    house.configure(|_| {}).await;
    let mut tcp = TcpStream::connect(house.address).await.expect("connects");
    tcp.set_nodelay(true).expect("a connection");
    let head = "POST /p/a/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer wrong\r\ncontent-length: 3\r\n\r\n";
    // Head and body are writes of their own, as many clients have it; the connection is kept.
    for _ in 0..5 {
        tcp.write_all(head.as_bytes()).await.expect("writes");
        // The one thread has seen the head when it has answered somebody who came later.
        assert_eq!(house.get("/p/a/x").await.status, 404);
        tcp.write_all(b"abc").await.expect("writes");
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let mut byte = [0];
            tokio::time::timeout(PATIENCE, tcp.read_exact(&mut byte)).await.expect("in time").expect("reads");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 401 "), "{}", String::from_utf8_lossy(&answer));
    }
    house.stop().await;
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_or_not_theirs_is_told() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "polygon-main", &provider.url(), json!({}));
            route(s, "quotes", &["polygon-main"], json!({}));
            s.tokens.push(token("bound", BOUND, &json!({ "integrations": ["other"] })));
        })
        .await;
    for (path, near) in [("/p/polygon-mian/x", "polygon-main"), ("/r/quotse/x", "quotes")] {
        let got = house.get(path).await;
        assert_eq!((got.status.as_u16(), got.json()["near"][0].as_str()), (404, Some(near)), "{path}");
    }
    let uri = format!("http://{}/p/polygon-main/x", house.address);
    let request = http::Request::builder().uri(uri).header("authorization", format!("Bearer {BOUND}"));
    let got = house.call(request, "").await;
    assert_eq!((got.status.as_u16(), got.json()["permission"].as_str()), (403, Some("call")));
    assert_eq!(provider.count(), 0);
    house.stop().await;
}
