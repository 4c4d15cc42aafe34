//! What is refused before a provider sees it: too large, or framed so that two readers could differ.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::house::{House, PATIENCE, TOKEN, integration};
use super::provider::Provider;
use crate::Settings;

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
async fn a_length_beside_chunks_makes_no_second_request() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    let text = format!(
        "POST /p/a/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\
         content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /p/a/evil HTTP/1.1\r\n\r\n"
    );
    let answer = raw(&house, &text).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let seen = provider.seen();
    assert_eq!(
        (
            seen.len(),
            &seen[0].body[..],
            seen[0].headers.contains_key("content-length")
                && seen[0].headers.contains_key("transfer-encoding")
        ),
        (1, &b"abc"[..], false)
    );
    house.stop().await;
}
