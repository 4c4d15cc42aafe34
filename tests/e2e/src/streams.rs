//! What is large or long passes through the whole program as it comes: byte for byte, in order, and without being held.

mod provider;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{SinkExt, StreamExt, stream};
use harness::{ADMIN_TOKEN, Client, PATIENCE, Program, until};
use provider::{CHUNK_BYTES, EVENTS, KEY, Provider, chunk, digest_of, event, hex};
use reqwest::Method;
use ring::digest::{Context, SHA256};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const MIB: u64 = 1024 * 1024;
const DOWN_BYTES: u64 = 200 * MIB;
const UP_BYTES: u64 = 100 * MIB;
/// What the program may hold more while a large body passes than before.
const GROWTH_BYTES_MAX: u64 = 32 * MIB;
/// After how many chunks it is looked what the program holds.
const LOOK_EVERY_CHUNKS: u64 = 128;
/// Streams of events at a time.
const STREAMS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_websockets_and_events_pass_as_they_come() {
    let provider = Provider::start().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let up_max = UP_BYTES.to_string();
    let settings = [("SIGNALBOX_GATEWAY_BODY_BYTES_MAX", up_max.as_str())];
    let program = Program::start_with(&directory.path().join("data"), &settings).await;
    let admin = &program.admin;
    for (name, url) in [("plain", &provider.plain), ("sockets", &provider.sockets)] {
        let key = json!({"id": name, "provider": "custom", "fields": {"api_key": KEY}});
        admin.make("/keys", key).await;
        let integration = json!({"id": name, "provider": "custom", "base_url": url, "key": name,
            "auth": {"scheme": "header", "name": "X-Api-Key"}, "timeout_ms": 60_000,
            "probe": {"path": "/", "every_secs": 3600}});
        admin.make("/integrations", integration).await;
    }
    until("the provider is served", || async {
        let answer = admin.call(Method::GET, "/p/plain/blob/1").send().await.expect("the gateway answers");
        (answer.status() == 200).then_some(())
    })
    .await;

    // Once small, so that what is made at first use is there.
    downloads(&program, 4 * MIB).await;
    uploads(&program, 4 * MIB).await;
    let before = program.resident_bytes();
    for (what, most) in [
        ("a download", downloads(&program, DOWN_BYTES).await),
        ("an upload", uploads(&program, UP_BYTES).await),
    ] {
        let growth = most.saturating_sub(before);
        assert!(growth < GROWTH_BYTES_MAX, "{what}: {growth} bytes more than the {before} before");
    }
    talks(&program).await;
    streams(admin, &provider).await;
    assert_eq!(program.interrupt().await, Some(0), "it ends in order");
}

/// Downloads and compares; the most that the program held meanwhile, in bytes.
async fn downloads(program: &Program, bytes: u64) -> u64 {
    let chunks = bytes / CHUNK_BYTES;
    let path = format!("/p/plain/blob/{chunks}");
    let answer = program.admin.call(Method::GET, &path).send().await.expect("the gateway answers");
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(bytes)));
    let (mut context, mut count, mut looked, mut most) = (Context::new(&SHA256), 0, 0, 0);
    let mut body = answer.bytes_stream();
    while let Some(bytes) = body.next().await {
        let bytes = bytes.expect("a whole body");
        context.update(&bytes);
        count += bytes.len() as u64;
        if count / CHUNK_BYTES >= looked {
            looked += LOOK_EVERY_CHUNKS;
            most = most.max(program.resident_bytes());
        }
    }
    assert_eq!((count, hex(context)), (bytes, digest_of(chunks)), "every byte, in order");
    most
}

/// Uploads and has it compared; the most that the program held meanwhile, in bytes.
async fn uploads(program: &Program, bytes: u64) -> u64 {
    let chunks = bytes / CHUNK_BYTES;
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let body = stream::iter((0..chunks).map(move |n| {
        count.store(n, Ordering::Relaxed);
        Ok::<_, std::io::Error>(chunk(n))
    }));
    let request = program.admin.call(Method::POST, "/p/plain/blob/0");
    let mut answer = Box::pin(request.body(reqwest::Body::wrap_stream(body)).send());
    let (mut looked, mut most) = (0, 0);
    let answer = std::future::poll_fn(|context| {
        if sent.load(Ordering::Relaxed) >= looked {
            looked += LOOK_EVERY_CHUNKS;
            most = most.max(program.resident_bytes());
        }
        answer.as_mut().poll(context)
    });
    let (status, told) = harness::client::body(answer.await.expect("the gateway answers")).await;
    assert_eq!((status, told), (200, json!({"bytes": bytes, "digest": digest_of(chunks)})));
    most.max(program.resident_bytes())
}

/// A WebSocket, with the provider's key at its handshake.
async fn talks(program: &Program) {
    let gateway = program.url("gateway");
    let address = gateway.strip_prefix("http://").expect("an address");
    let url = format!("ws://{address}/p/sockets/ws/btcusdt@trade?depth=5");
    let mut request = url.into_client_request().expect("a request");
    request.headers_mut().insert("x-signalbox-token", ADMIN_TOKEN.parse().expect("a value"));
    let tcp = TcpStream::connect(address).await.expect("connects");
    let (mut socket, answer) = client_async(request, tcp).await.expect("a WebSocket");
    assert_eq!(answer.headers()["x-signalbox-integration"], "sockets");
    let mut messages = vec![Message::text("subscribe"), Message::binary(vec![7; MIB as usize])];
    messages.extend((0..100).map(|n| Message::text(format!("trade {n}"))));
    let all = async {
        for message in &messages {
            socket.send(message.clone()).await.expect("sends");
        }
        for message in &messages {
            assert_eq!(socket.next().await.expect("a message").expect("whole"), *message);
        }
        let enough = CloseFrame { code: CloseCode::Normal, reason: "enough".into() };
        socket.close(Some(enough)).await.expect("closes");
        let closed = socket.next().await.expect("an end").expect("whole");
        let Message::Close(Some(frame)) = closed else { panic!("not closed: {closed:?}") };
        assert_eq!(frame.code, CloseCode::Normal);
    };
    tokio::time::timeout(PATIENCE, all).await.expect("in time");
}

/// Many streams of events at once. The first event of each comes before any second one is made.
async fn streams(admin: &Client, provider: &Provider) {
    let begun = Arc::new(Barrier::new(STREAMS + 1));
    let tasks: Vec<_> = (0..STREAMS)
        .map(|n| tokio::spawn(stream_of(admin.clone(), format!("s{n}"), begun.clone())))
        .collect();
    tokio::time::timeout(PATIENCE, begun.wait()).await.expect("the first event of each stream comes");
    provider.gate.send_replace(true);
    for (n, task) in tasks.into_iter().enumerate() {
        let told = tokio::time::timeout(PATIENCE, task).await.expect("every stream ends").expect("well");
        let name = format!("s{n}");
        let wanted: String = (0..EVENTS).map(|n| event(&name, n)).collect();
        assert_eq!(told, wanted, "every event, once and in order");
    }
}

async fn stream_of(admin: Client, name: String, begun: Arc<Barrier>) -> String {
    let path = format!("/p/plain/events/{name}");
    let answer = admin.call(Method::GET, &path).send().await.expect("the gateway answers");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let (mut body, mut told, first) = (answer.bytes_stream(), Vec::new(), event(&name, 0));
    let mut has_begun = false;
    while let Some(bytes) = body.next().await {
        told.extend_from_slice(&bytes.expect("a whole stream"));
        if !has_begun && told.len() >= first.len() {
            has_begun = true;
            begun.wait().await;
        }
    }
    String::from_utf8(told).expect("text")
}
