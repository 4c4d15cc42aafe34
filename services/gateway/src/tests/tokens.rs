//! Language models: what they used is told with their price, and their events come one by one, byte for byte.

use bus::Start;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use model::usage::UsageCounted;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::house::{House, PATIENCE, integration};
use super::provider::{Provider, answer};

const WHOLE: &str = r#"{"model":"gpt-4o-mini-2024-07-18","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500}}"#;

#[tokio::test]
async fn streamed_or_not_the_same_is_told_and_nothing_of_the_bytes_changes() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let asking = json!({ "provider": "openai", "settings": { "usage": "ask" } });
    house
        .configure(|s| {
            integration(s, "plain", &provider.url(), json!({ "provider": "openai" }));
            integration(s, "asking", &provider.url(), asking);
        })
        .await;
    let mut tail =
        house.bus.tail(vec!["sb.v1.usage.*.counted".to_owned()], Start::New).await.expect("a listener");
    provider.always(200, &[("content-type", "application/json")], WHOLE);
    let got = house.call(house.request("POST", "/p/plain/v1/chat/completions"), "{}").await;
    assert_eq!(got.text(), WHOLE);
    provider.will(|_| async {
        let delta = "data: {\"choices\":[],\"usage\":null}\n\n";
        answer(
            200,
            &[("content-type", "text/event-stream")],
            &format!("{delta}data: {WHOLE}\n\ndata: [DONE]\n\n"),
        )
    });
    let body = r#"{"stream":true, "n":1.0}"#;
    let got = house.call(house.request("POST", "/p/plain/v1/chat/completions"), body).await;
    assert!(got.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(provider.last().body, body);
    house.call(house.request("POST", "/p/asking/v1/chat/completions"), body).await;
    let asked = String::from_utf8(provider.last().body.to_vec()).expect("text");
    assert_eq!(asked, r#"{"stream_options":{"include_usage":true},"stream":true, "n":1.0}"#);
    let (mut answers, mut cost, mut input) = (0, 0, 0);
    while answers < 3 {
        let message = tokio::time::timeout(PATIENCE, tail.next()).await.expect("in time").expect("an event");
        for count in message.decode::<UsageCounted>().expect("usage").data.counts {
            for model in &count.models {
                assert_eq!(model.model, "gpt-4o-mini");
                assert!(model.request_bytes >= 2 && model.response_bytes >= WHOLE.len() as u64, "{model:?}");
                assert!(!model.latency.is_empty(), "{model:?}");
                answers += model.answers;
            }
            cost += count.cost_micros;
            input += count.tokens.input_tokens;
        }
    }
    // 1000 × 0.15 + 500 × 0.6 each.
    assert_eq!((answers, cost, input), (3, 3 * 450, 3_000));
    house.stop().await;
}

#[tokio::test]
async fn events_are_read_as_they_pass_and_one_that_breaks_off_counts() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), json!({ "provider": "anthropic" }))).await;
    let mut tail =
        house.bus.tail(vec!["sb.v1.usage.*.counted".to_owned()], Start::New).await.expect("a listener");
    let (to, from) = mpsc::channel::<Bytes>(1);
    let from = std::sync::Arc::new(tokio::sync::Mutex::new(Some(from)));
    provider.will(move |_| {
        let from = from.clone();
        async move {
            let from = from.lock().await.take().expect("one call");
            let frames = futures_util::stream::unfold(from, |mut from| async {
                Some((Ok(Frame::data(from.recv().await?)), from))
            });
            let body = StreamBody::new(frames).boxed_unsync();
            http::Response::builder()
                .header("content-type", "text/event-stream")
                .body(body)
                .expect("an answer")
        }
    });
    let start = r#"{"type":"message_start","message":{"model":"claude-opus-5-5","usage":{"input_tokens":100,"output_tokens":1}}}"#;
    let delta = r#"{"type":"message_delta","usage":{"output_tokens":10}}"#;
    let mut response = house.open(house.request("POST", "/p/a/v1/messages"), "{}").await;
    for event in [start, delta] {
        let event = Bytes::from(format!("event: x\r\ndata: {event}\r\n\r\n"));
        to.send(event.clone()).await.expect("the provider sends");
        let frame = tokio::time::timeout(PATIENCE, response.body_mut().frame()).await.expect("in time");
        assert_eq!(frame.expect("a frame").expect("whole").into_data().expect("data"), event);
    }
    // The caller goes away in the middle; what was used until then is told.
    drop(response);
    let told = CancellationToken::new();
    while !told.is_cancelled() {
        let message = tokio::time::timeout(PATIENCE, tail.next()).await.expect("in time").expect("an event");
        for count in message.decode::<UsageCounted>().expect("usage").data.counts {
            if let [model] = &count.models[..] {
                assert_eq!((model.tokens.input_tokens, model.tokens.output_tokens), (100, 10));
                assert_eq!((count.cost_micros, count.tokens.unpriced_answers), (400 + 200, 0));
                told.cancel();
            }
        }
    }
    drop(to);
    house.stop().await;
}
