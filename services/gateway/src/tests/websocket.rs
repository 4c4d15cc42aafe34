//! WebSockets through a whole gateway, against a real one: the key at the handshake, bytes and messages both ways, failover
//! of the handshake, bounds, and the end of the process.

use std::sync::{Arc, Mutex};

use bus::Start;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request};
use model::usage::UsageCounted;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

use super::house::{House, PATIENCE, TOKEN, integration, route};
use super::provider::Provider;
use crate::Settings;

/// A provider that answers every message with itself, and what it was asked.
#[expect(clippy::result_large_err, reason = "the shape that the library wants")]
async fn echo() -> (String, Arc<Mutex<Vec<(String, HeaderMap)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("has an address"));
    let seen: Arc<Mutex<Vec<(String, HeaderMap)>>> = Arc::default();
    let saw = seen.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let saw = saw.clone();
            tokio::spawn(async move {
                let look = |request: &Request<()>, response| {
                    let asked = (request.uri().to_string(), request.headers().clone());
                    saw.lock().expect("not poisoned").push(asked);
                    Ok(response)
                };
                let Ok(mut socket) = accept_hdr_async(tcp, look).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        let _ = socket.send(message).await;
                    }
                }
            });
        }
    });
    (url, seen)
}

async fn connect(house: &House, path: &str) -> WebSocketStream<TcpStream> {
    let tcp = TcpStream::connect(house.address).await.expect("connects");
    let request = Request::builder()
        .uri(format!("ws://{}{path}", house.address))
        .header("host", "gateway")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .expect("a request");
    // The client checks what the provider accepted.
    let (socket, response) = client_async(request, tcp).await.expect("a WebSocket");
    assert!(response.headers().contains_key("x-signalbox-integration"));
    socket
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time").expect("a message").expect("whole")
}

#[tokio::test]
async fn messages_pass_both_ways_with_our_key_and_are_counted() {
    let (house, (url, seen)) = (House::start().await, echo().await);
    house.key("k", &[("api_key", "secret-of-the-provider")]).await;
    let auth = json!({ "key": "k", "auth": { "scheme": "header", "name": "x-api-key" } });
    house.configure(|s| integration(s, "a", &url, auth)).await;
    let mut tail =
        house.bus.tail(vec!["sb.v1.usage.*.counted".to_owned()], Start::New).await.expect("a listener");
    let mut socket = connect(&house, "/p/a/stream?symbol=IBM").await;
    let large = Message::binary(vec![7; 300_000]);
    for message in [Message::text("subscribe"), large, Message::text("")] {
        socket.send(message.clone()).await.expect("sends");
        assert_eq!(next(&mut socket).await, message);
    }
    socket.close(None).await.expect("closes");
    assert!(next(&mut socket).await.is_close());
    let (target, headers) = seen.lock().expect("not poisoned").remove(0);
    assert_eq!(target, "/stream?symbol=IBM");
    assert_eq!(headers["x-api-key"], "secret-of-the-provider");
    assert!(!headers.contains_key("authorization"));
    let mut sum = model::usage::Count::default();
    while sum.messages_received < 3 {
        let message = tokio::time::timeout(PATIENCE, tail.next()).await.expect("in time").expect("an event");
        for count in message.decode::<UsageCounted>().expect("usage").data.counts {
            sum.requests += count.requests;
            sum.errors += count.errors;
            sum.messages_sent += count.messages_sent;
            sum.messages_received += count.messages_received;
            sum.response_bytes += count.response_bytes;
        }
    }
    assert_eq!((sum.requests, sum.errors, sum.messages_sent, sum.messages_received), (1, 0, 3, 3));
    assert!(sum.response_bytes > 300_000);
    house.stop().await;
}

#[tokio::test]
async fn only_the_handshake_fails_over_and_its_refusal_passes() {
    let (house, (url, _)) = (House::start().await, echo().await);
    let down = Provider::start("down").await;
    down.always(503, &[], "down");
    house
        .configure(|s| {
            integration(s, "down", &down.url(), json!({}));
            integration(s, "good", &url, json!({}));
            route(s, "feed", &["down", "good"], json!({}));
        })
        .await;
    let mut socket = connect(&house, "/r/feed/stream").await;
    socket.send(Message::text("hello")).await.expect("sends");
    assert_eq!(next(&mut socket).await, Message::text("hello"));
    for (more, status, code) in [
        ("upgrade: tls/1.0", "501", "upgrade_unsupported"),
        ("upgrade: websocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 8", "400", "bad_handshake"),
        ("upgrade: websocket\r\nsec-websocket-version: 13", "400", "bad_handshake"),
        ("upgrade: h2c", "503", "down"),
        ("upgrade: websocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 13", "503", "down"),
    ] {
        let mut tcp = TcpStream::connect(house.address).await.expect("connects");
        let head = format!("GET /p/down/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n");
        let text = format!("{head}connection: upgrade\r\n{more}\r\n\r\n");
        tcp.write_all(text.as_bytes()).await.expect("writes");
        let mut answer = vec![0; 4_096];
        let count =
            tokio::time::timeout(PATIENCE, tcp.read(&mut answer)).await.expect("in time").expect("reads");
        let answer = String::from_utf8_lossy(&answer[..count]);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(code),
            "{more}: {answer}"
        );
    }
    house.stop().await;
}

#[tokio::test]
async fn silence_and_large_frames_close_it_and_so_does_the_end() {
    let settings =
        Settings { websocket_idle_timeout_ms: 300, websocket_frame_bytes_max: 1_000, ..Settings::default() };
    let (house, (url, _)) = (House::with(settings).await, echo().await);
    house.configure(|s| integration(s, "a", &url, json!({}))).await;
    let closed = |message: Message| match message {
        Message::Close(Some(frame)) => frame.code,
        other => panic!("not closed: {other:?}"),
    };
    let mut silent = connect(&house, "/p/a/x").await;
    assert_eq!(closed(next(&mut silent).await), CloseCode::Away);
    let mut large = connect(&house, "/p/a/x").await;
    large.send(Message::text("x".repeat(1_001))).await.expect("sends");
    assert_eq!(closed(next(&mut large).await), CloseCode::Size);
    let mut open = connect(&house, "/p/a/x").await;
    open.send(Message::text("hello")).await.expect("sends");
    assert_eq!(next(&mut open).await, Message::text("hello"));
    let stopping = tokio::spawn(house.stop());
    assert_eq!(closed(next(&mut open).await), CloseCode::Away);
    drop(open);
    stopping.await.expect("a good end");
}
