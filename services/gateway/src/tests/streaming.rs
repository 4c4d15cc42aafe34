//! Bodies in both directions: byte for byte in any chunking, at the reader's pace, within the integration's limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::house::{House, PATIENCE, TOKEN, integration};
use super::provider::{Answer, Provider};

/// So many bytes of no pattern, in pieces of odd sizes.
fn pieces(bytes: usize) -> Vec<Bytes> {
    let (mut left, mut size, mut seed) = (bytes, 1_usize, 7_u32);
    let mut pieces = Vec::new();
    while left > 0 {
        size = (size * 31 + 17) % 70_001 + 1;
        let piece: Vec<u8> = (0..size.min(left))
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            })
            .collect();
        left -= piece.len();
        pieces.push(piece.into());
    }
    pieces
}

fn stream(pieces: Vec<Bytes>, sent: Arc<AtomicU64>) -> Answer {
    let frames = futures_util::stream::iter(pieces).map_frames(sent);
    http::Response::new(StreamBody::new(frames).boxed_unsync())
}

trait Frames {
    fn map_frames(
        self,
        sent: Arc<AtomicU64>,
    ) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> + Send + 'static;
}

impl<S: futures_util::Stream<Item = Bytes> + Send + 'static> Frames for S {
    fn map_frames(
        self,
        sent: Arc<AtomicU64>,
    ) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> + Send + 'static
    {
        futures_util::StreamExt::map(self, move |piece| {
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok(Frame::data(piece))
        })
    }
}

#[tokio::test]
async fn bytes_are_the_same_both_ways_in_any_chunking() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    provider.will(|seen| async move {
        let hash = hex::encode(Sha256::digest(&seen.body));
        let mut answer = stream(pieces(3_000_000), Arc::default());
        answer.headers_mut().insert("x-hash", hash.parse().expect("hex"));
        answer
    });
    let upload = pieces(2_000_000);
    let mut tcp = TcpStream::connect(house.address).await.expect("connects");
    let head =
        format!("POST /p/a/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n");
    tcp.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.expect("writes");
    for piece in &upload {
        tcp.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.expect("writes");
        tcp.write_all(piece).await.expect("writes");
        tcp.write_all(b"\r\n").await.expect("writes");
    }
    tcp.write_all(b"0\r\n\r\n").await.expect("writes");
    let mut first = vec![0; 512];
    let count = tokio::time::timeout(PATIENCE, tcp.read(&mut first)).await.expect("in time").expect("reads");
    let sent = hex::encode(Sha256::digest(upload.concat()));
    let head = String::from_utf8_lossy(&first[..count]).into_owned();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains(&sent), "{head}");
    let got = house.get("/p/a/x").await;
    assert!(got.body == pieces(3_000_000).concat());
    house.stop().await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_provider_back() {
    const BYTES: u64 = 64 * 1024 * 1024;
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    let sent: Arc<AtomicU64> = Arc::default();
    let counts = sent.clone();
    provider.will(move |_| {
        let counts = counts.clone();
        async move {
            let piece = Bytes::from(vec![1; 64 * 1024]);
            stream(vec![piece; (BYTES / (64 * 1024)) as usize], counts)
        }
    });
    let mut response = house.open(house.request("GET", "/p/a/x"), "").await;
    // Until nothing more is taken from the provider for a while.
    let mut before = u64::MAX;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(before < BYTES / 2, "{before} bytes were taken for a reader that reads none");
    let mut read = 0;
    while let Some(frame) = response.body_mut().frame().await {
        read += frame.expect("whole").into_data().map_or(0, |data| data.len() as u64);
    }
    assert_eq!(read, BYTES);
    house.stop().await;
}

#[tokio::test]
async fn an_integration_keeps_to_its_own_limits() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "head", &provider.url(), json!({ "timeouts": { "first_byte_ms": 100 } }));
            integration(s, "whole", &provider.url(), json!({ "timeouts": { "total_ms": 300 } }));
        })
        .await;
    provider.hang();
    let got = house.get("/p/head/x").await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (504, Some("timeout")));
    provider.will(|_| async {
        let beats = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Bytes::from_static(b"x"), ()))
        });
        http::Response::new(StreamBody::new(beats.map_frames(Arc::default())).boxed_unsync())
    });
    let response = house.open(house.request("GET", "/p/whole/x"), "").await;
    let ended = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.expect("in time");
    assert!(ended.is_err(), "it must be cut");
    house.stop().await;
}
