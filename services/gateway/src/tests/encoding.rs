//! Compressed bodies: passed on as they are, read where an error may hide in them, decoded for who cannot read them; and
//! what is written here.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use serde_json::json;

use super::house::{House, integration, route};
use super::keys::{KEY, bearer};
use super::provider::{Provider, Seen, answer};

fn gzip(text: &str) -> Bytes {
    let mut to = GzEncoder::new(Vec::new(), Compression::default());
    to.write_all(text.as_bytes()).expect("memory");
    to.finish().expect("memory").into()
}

/// A provider whose answers are all compressed.
async fn compressed(text: &'static str) -> Provider {
    let provider = Provider::start("a").await;
    provider.will(move |_| async move {
        let answer = http::Response::builder().header("content-encoding", "gzip").header("etag", "\"1\"");
        let answer = answer.header("content-type", "application/json");
        answer.body(Full::new(gzip(text)).boxed_unsync()).expect("an answer")
    });
    provider
}

#[tokio::test]
async fn what_is_compressed_passes_unless_the_caller_cannot_read_it() {
    let (house, provider) = (House::start().await, compressed(r#"{"price":1.10}"#).await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    let get = |accept: &'static str| {
        house.call(house.request("GET", "/p/a/x").header("accept-encoding", accept), "")
    };
    let got = get("br, gzip;q=0.5").await;
    assert_eq!((got.header("content-encoding"), &got.body), ("gzip", &gzip(r#"{"price":1.10}"#)));
    assert_eq!(provider.last().header("accept-encoding").as_deref(), Some("br, gzip;q=0.5"));
    assert_eq!(house.get("/p/a/x").await.header("content-encoding"), "gzip");
    let got = get("br").await;
    assert_eq!((got.header("content-encoding"), got.text().as_str()), ("", r#"{"price":1.10}"#));
    assert_eq!((got.header("etag"), got.header("vary")), ("W/\"1\"", "accept-encoding"));
    // What callers compress is not looked at.
    let body = gzip("a question");
    let request = house.request("POST", "/p/a/x").header("content-encoding", "gzip");
    house.call(request, body.clone()).await;
    let Seen { body: came, headers, .. } = provider.last();
    assert_eq!((came, headers["content-encoding"].as_bytes()), (body, &b"gzip"[..]));
    house.stop().await;
}

#[tokio::test]
async fn a_compressed_error_inside_of_a_200_fails_over_and_hides_the_key() {
    let note = r#"{"Information":"We have detected your API key as ABCDEFGH12345678 and our standard API rate limit is 25 requests per day."}"#;
    let (house, limited, good) = (House::start().await, compressed(note).await, Provider::start("b").await);
    house.key("k", &[("api_key", "ABCDEFGH12345678")]).await;
    house
        .configure(|s| {
            let keyed = json!({ "provider": "alpha_vantage", "key": "k", "auth": null });
            integration(s, "limited", &limited.url(), keyed);
            integration(s, "good", &good.url(), json!({}));
            route(s, "both", &["limited", "good"], json!({}));
        })
        .await;
    let request = |path: &str| house.request("GET", path).header("accept-encoding", "gzip, dcz");
    let got = house.call(request("/r/both/query?function=A"), "").await;
    assert_eq!((got.text().as_str(), got.header("x-signalbox-attempts")), ("b", "2"));
    assert_eq!(limited.last().header("accept-encoding").as_deref(), Some("gzip"));
    let got = house.call(request("/p/limited/query?function=A"), "").await;
    assert_eq!(got.header("content-encoding"), "");
    assert!(!got.text().contains("ABCDEFGH12345678") && got.text().contains("****"), "{}", got.text());
    house.stop().await;
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).expect("gzip");
    text
}

#[tokio::test]
async fn a_compressed_question_of_a_chat_is_read_and_its_long_answer_compressed() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            let more = json!({ "provider": "anthropic", "models": { "gpt-4o": "theirs" } });
            integration(s, "anthropic", &provider.url(), more);
            route(s, "chat", &["anthropic"], json!({}));
        })
        .await;
    let words = "All work and no play. ".repeat(200);
    let message = json!({ "id": "msg_1", "type": "message", "content": [{ "type": "text", "text": words }],
        "stop_reason": "end_turn", "usage": { "input_tokens": 7, "output_tokens": 5 } });
    provider.will(move |_| {
        let message = message.to_string();
        async move { answer(200, &[("content-type", "application/json")], &message) }
    });
    let asked = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "Hi" }] }).to_string();
    let chat = |coding: &'static str, accept: &'static str, body: Bytes| {
        let request = house.request("POST", "/r/chat/v1/chat/completions").header("content-encoding", coding);
        house.call(request.header("accept-encoding", accept), body)
    };
    let got = chat("gzip", "gzip, deflate", gzip(&asked)).await;
    assert_eq!((got.status.as_u16(), got.header("content-encoding")), (200, "gzip"), "{}", got.text());
    assert_eq!(got.header("vary"), "accept-encoding");
    let reply: serde_json::Value = serde_json::from_str(&gunzip(&got.body)).expect("JSON");
    assert_eq!(reply["choices"][0]["message"]["content"], json!(words));
    let Seen { headers, body, .. } = provider.last();
    assert!(!headers.contains_key("content-encoding"));
    assert!(String::from_utf8_lossy(&body).contains("Hi"));
    // Plain for who takes nothing else.
    let got = chat("identity", "identity", asked.clone().into()).await;
    assert_eq!(
        (got.header("content-encoding"), got.json()["object"].as_str()),
        ("", Some("chat.completion"))
    );
    // What cannot be read is said to be that.
    let got = chat("compress", "identity", asked.clone().into()).await;
    assert_eq!((got.status.as_u16(), &got.json()["code"]), (415, &json!("unknown_encoding")));
    assert_eq!(got.header("accept-encoding"), "gzip, deflate, br, zstd");
    let bomb = gzip(&" ".repeat(64 * 1024 * 1024));
    for body in [asked.into(), bomb] {
        let got = chat("gzip", "identity", body).await;
        assert_eq!((got.status.as_u16(), &got.json()["code"]), (400, &json!("undecodable")));
    }
    house.stop().await;
}

#[tokio::test]
async fn a_batch_comes_and_goes_compressed() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    let calls: Vec<_> = (0..20).map(|n| json!({ "id": n.to_string(), "path": "/p/a/x" })).collect();
    let request = house.request("POST", "/batch").header("content-encoding", "gzip");
    let request = request.header("accept-encoding", "gzip");
    let got = house.call(request, gzip(&json!({ "calls": calls }).to_string())).await;
    assert_eq!((got.status.as_u16(), got.header("content-encoding")), (200, "gzip"), "{}", got.text());
    let results: serde_json::Value = serde_json::from_str(&gunzip(&got.body)).expect("JSON");
    assert_eq!(results["results"].as_array().map(Vec::len), Some(20));
    house.stop().await;
}

/// A text in a coding, as providers write it.
fn coded(coding: &str, text: &str) -> Bytes {
    match coding {
        "gzip" => gzip(text),
        "br" => {
            let mut to = brotli::CompressorWriter::new(Vec::new(), 4_096, 5, 22);
            to.write_all(text.as_bytes()).expect("memory");
            to.into_inner().into()
        }
        _ => zstd::bulk::compress(text.as_bytes(), 3).expect("memory").into(),
    }
}

/// What a coded body of which these are the first bytes shows.
fn shown(coding: &str, body: &[u8]) -> String {
    let mut plain = Vec::new();
    // What broke off shows what came before.
    let _broken = match coding {
        "gzip" => GzDecoder::new(body).read_to_end(&mut plain),
        "br" => brotli_decompressor::Decompressor::new(body, 4_096).read_to_end(&mut plain),
        _ => zstd::stream::read::Decoder::new(body).expect("memory").read_to_end(&mut plain),
    };
    String::from_utf8_lossy(&plain).into_owned()
}

#[tokio::test]
async fn a_compressed_answer_that_repeats_the_key_is_given_plainly_or_breaks_off_before_it() {
    let (house, provider) = bearer(json!({ "ttl_secs": 60 })).await;
    let ask = async |path: &str| {
        let request = house.request("GET", path).header("accept-encoding", "gzip, br, zstd");
        house.open(request, "").await
    };
    let stars = "*".repeat(KEY.len());
    // Numbers that compress badly: far more than is waited for before an answer goes on.
    let digits = (0..100_000_u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761)));
    let long: Arc<str> = digits.collect::<String>().into();
    for coding in ["gzip", "br", "zstd"] {
        for (kind, before, after) in [
            ("short", 0, 0),
            ("dense", 0, 0),
            ("first", 0, 700_000),
            ("mid", 300_000, 400_000),
            ("last", 700_000, 0),
        ] {
            let much = long.clone();
            provider.will(move |seen| {
                let said = seen.header("authorization").filter(|_| !seen.target.contains("none"));
                // Small as it comes, and more than is judged.
                let padding = if kind == "dense" { much[..5_000].repeat(60) } else { String::new() };
                let said = said.unwrap_or_default() + &padding;
                let text = format!("{}<{said}>{}", &much[..before], &much[much.len() - after..]);
                let answer = http::Response::builder().header("content-encoding", coding);
                let answer = answer.body(Full::new(coded(coding, &text)).boxed_unsync());
                async move { answer.expect("an answer") }
            });
            let path = format!("/p/a/{coding}/{kind}");
            let (head, mut body) = ask(&path).await.into_parts();
            let stays = head.headers.get("content-encoding").is_some();
            let (mut came, mut broke) = (Vec::new(), false);
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    broke = true;
                    break;
                };
                came.extend_from_slice(frame.data_ref().expect("bytes"));
            }
            if before + after == 0 {
                assert_eq!((head.status.as_u16(), stays, broke), (200, false, false), "{path}");
                assert!(came.starts_with(format!("<Bearer {stars}").as_bytes()), "{path}");
            } else if head.status == 502 {
                // Nothing had gone on yet.
                let told = String::from_utf8_lossy(&came);
                assert!(told.contains("it repeats its key in a compressed body"), "{path}: {told}");
            } else {
                // Of zstd nothing is read before a whole block is there.
                assert!((before > 0 || coding == "zstd") && stays && broke, "{path}");
                assert!(!shown(coding, &came).contains(&KEY[..12]), "{path}: the key went on");
            }
            // What broke off is not kept, and others of its kind pass as they are.
            let (head, body) = ask(&format!("{path}?none")).await.into_parts();
            assert_eq!(
                (head.headers["x-signalbox-cache"].as_bytes(), head.status.as_u16()),
                (&b"miss"[..], 200)
            );
            let came = body.collect().await.expect("whole").to_bytes();
            let text = shown(coding, &came);
            assert!(
                text.starts_with(&long[..before]) && text.ends_with(&long[long.len() - after..]),
                "{path}"
            );
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn a_compressed_answer_that_is_a_bomb_ends() {
    let (house, provider) = bearer(json!({})).await;
    let zeros = " ".repeat(64 * 1024 * 1024);
    for (coding, status) in [("br", 502), ("zstd", 502)] {
        let bomb = coded(coding, &zeros);
        provider.will(move |_| {
            let answer = http::Response::builder().header("content-encoding", coding);
            let answer = answer.body(Full::new(bomb.clone()).boxed_unsync());
            async move { answer.expect("an answer") }
        });
        let request = house.request("GET", "/p/a/x").header("accept-encoding", coding);
        let got = house.call(request, "").await;
        assert_eq!(got.status, status, "{coding}");
        assert!(got.text().contains("decodes to far more than it is"), "{coding}: {}", got.text());
    }
    // Of those that must be decoded for their callers gzip can be one, too; and what is none cannot be.
    for body in [gzip(&zeros), Bytes::from_static(b"no gzip at all, but so it is called")] {
        provider.will(move |_| {
            let answer = http::Response::builder().header("content-encoding", "gzip");
            let answer = answer.body(Full::new(body.clone()).boxed_unsync());
            async move { answer.expect("an answer") }
        });
        let request = house.request("GET", "/p/a/x").header("accept-encoding", "identity");
        let got = house.call(request, "").await;
        assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (502, Some("undecodable")));
    }
    house.stop().await;
}
