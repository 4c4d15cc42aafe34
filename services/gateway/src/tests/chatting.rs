//! Chats on a route: one client, whoever answers.

use bytes::Bytes;
use futures_util::StreamExt;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::house::{Got, House, integration, route};
use super::provider::{Answer, Provider, answer};

const JSON: (&str, &str) = ("content-type", "application/json");
const EVENTS: (&str, &str) = ("content-type", "text/event-stream");
const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
const END: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn",
    "usage":{"input_tokens":7,"output_tokens":5}}"#;
const CONTENT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}]},"finishReason":"STOP"}],
    "usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"thoughtsTokenCount":2},"responseId":"r1"}"#;
const COMPLETION: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o",
    "choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":5}}"#;

fn word(text: &str) -> String {
    let delta =
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
    format!("event: content_block_delta\ndata: {delta}\n\n")
}

/// A route over members of these providers; each maps every model to one of its own.
async fn chat(providers: &[&str]) -> (House, Vec<Provider>) {
    let house = House::start().await;
    let mut members = Vec::new();
    for _ in providers {
        members.push(Provider::start("nobody chats").await);
    }
    house
        .configure(|s| {
            for (provider, member) in providers.iter().zip(&members) {
                let models = if *provider == "openai" { json!({}) } else { json!({ "gpt-4o": "theirs" }) };
                let more = json!({ "provider": provider, "models": models });
                integration(s, &provider.replace('_', "-"), &member.url(), more);
            }
            let ids: Vec<String> = providers.iter().map(|provider| provider.replace('_', "-")).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            route(s, "chat", &ids, json!({}));
        })
        .await;
    (house, members)
}

async fn ask(house: &House, path: &str, keyed: bool, more: Value) -> Got {
    let mut body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "Hi" }] });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let mut request = house.request("POST", path).header("content-type", "application/json");
    if keyed {
        request = request.header("idempotency-key", "k1");
    }
    house.call(request, body.to_string()).await
}

const PATH: &str = "/r/chat/v1/chat/completions";

#[tokio::test]
async fn a_member_of_the_same_dialect_gets_and_gives_every_byte() {
    let (house, members) = chat(&["openai"]).await;
    let body =
        "{ \"model\":\"gpt-4o\" , \"messages\":[], \"temperature\":1.50, \"unheard_of\":{\"a\":1,\"a\":2} }";
    members[0].always(200, &[JSON], COMPLETION);
    for path in [PATH, "/r/chat/chat/completions"] {
        let got = house.call(house.request("POST", path), body).await;
        assert_eq!((got.status.as_u16(), got.text().as_str()), (200, COMPLETION));
        let seen = members[0].last();
        assert_eq!((seen.target.as_str(), &seen.body[..]), ("/v1/chat/completions", body.as_bytes()));
    }
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\ndata: [DONE]\r\n\r\n";
    members[0].always(200, &[EVENTS], stream);
    assert_eq!(house.call(house.request("POST", PATH), body).await.text(), stream);
    // Its errors too.
    members[0].always(400, &[JSON], "{\"error\": {\"message\":\"no\"}}");
    let got = house.call(house.request("POST", PATH), body).await;
    assert_eq!((got.status.as_u16(), got.text().as_str()), (400, "{\"error\": {\"message\":\"no\"}}"));
    house.stop().await;
}

#[tokio::test]
async fn anthropic_and_google_answer_as_openai_does() {
    let (house, members) = chat(&["anthropic"]).await;
    members[0].always(200, &[JSON, ("etag", "\"x\""), ("request-id", "req_1")], MESSAGE);
    let got = ask(&house, PATH, false, json!({})).await;
    let reply = got.json();
    assert_eq!((&reply["object"], &reply["model"]), (&json!("chat.completion"), &json!("gpt-4o")));
    assert_eq!(reply["choices"][0]["message"]["content"], "Hello");
    assert_eq!(
        (&reply["usage"]["prompt_tokens"], &reply["usage"]["completion_tokens"]),
        (&json!(7), &json!(5))
    );
    assert_eq!((got.header("content-type"), got.header("etag")), ("application/json", ""));
    assert_eq!((got.header("request-id"), got.header("x-signalbox-integration")), ("req_1", "anthropic"));
    let seen = members[0].last();
    let asked: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!((seen.target.as_str(), &asked["model"]), ("/v1/messages", &json!("theirs")));
    assert_eq!(
        (seen.header("anthropic-version").as_deref(), &asked["max_tokens"]),
        (Some("2023-06-01"), &json!(4096))
    );
    house.stop().await;

    let (house, members) = chat(&["google_gemini"]).await;
    members[0].always(200, &[JSON], CONTENT);
    let reply = ask(&house, PATH, false, json!({})).await.json();
    assert_eq!((&reply["id"], &reply["choices"][0]["message"]["content"]), (&json!("r1"), &json!("Hello")));
    assert_eq!(reply["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);
    assert_eq!(members[0].last().target, "/v1beta/models/theirs:generateContent");
    let chunk = format!("data: {}\n\n", CONTENT.replace('\n', ""));
    members[0].will(move |_| {
        let chunk = chunk.clone();
        async move { answer(200, &[EVENTS], &chunk) }
    });
    let got = ask(&house, PATH, false, json!({ "stream": true })).await;
    assert!(
        got.text().contains("\"content\":\"Hello\"") && got.text().ends_with("data: [DONE]\n\n"),
        "{}",
        got.text()
    );
    assert_eq!(members[0].last().target, "/v1beta/models/theirs:streamGenerateContent?alt=sse");
    house.stop().await;
}

/// Pieces that wait to be heard.
const PIECES_MAX: usize = 8;

/// An answer whose body a test sends piece by piece.
fn piecewise() -> (mpsc::Sender<String>, impl FnOnce() -> Answer) {
    let (to, from) = mpsc::channel::<String>(PIECES_MAX);
    let make = move || {
        let pieces = tokio_stream_of(from)
            .map(|text| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(text))));
        let body = StreamBody::new(pieces).boxed_unsync();
        Response::builder().header(EVENTS.0, EVENTS.1).body(body).expect("an answer")
    };
    (to, make)
}

fn tokio_stream_of(from: mpsc::Receiver<String>) -> impl futures_util::Stream<Item = String> {
    futures_util::stream::unfold(from, |mut from| async move { from.recv().await.map(|text| (text, from)) })
}

#[tokio::test]
async fn a_stream_is_passed_on_event_by_event() {
    let (house, members) = chat(&["anthropic"]).await;
    let (to, make) = piecewise();
    let make = std::sync::Mutex::new(Some(make));
    members[0].will(move |_| {
        let make = make.lock().expect("not poisoned").take().expect("asked once");
        async move { make() }
    });
    to.send(format!("{START}{}", word("One"))).await.expect("heard");
    let body = json!({ "model": "gpt-4o", "stream": true, "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": "Hi" }] });
    let response = house.open(house.request("POST", PATH), body.to_string()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut body = response.into_body();
    let mut heard = String::new();
    // Each word is heard before the next one is said.
    for (wanted, next) in [("One", word(" two")), (" two", word(" three")), (" three", END.to_owned())] {
        while !heard.contains(&format!("\"content\":\"{wanted}\"")) {
            let frame = tokio::time::timeout(super::house::PATIENCE, body.frame()).await.expect("in time");
            let data = frame.expect("not at its end").expect("not broken").into_data().expect("data");
            heard.push_str(std::str::from_utf8(&data).expect("text"));
        }
        to.send(next).await.expect("heard");
    }
    drop(to);
    let rest = body.collect().await.expect("a whole body").to_bytes();
    heard.push_str(std::str::from_utf8(&rest).expect("text"));
    assert!(heard.contains("\"finish_reason\":\"stop\"") && heard.ends_with("data: [DONE]\n\n"), "{heard}");
    assert!(heard.contains("\"prompt_tokens\":7,\"completion_tokens\":5"), "{heard}");
    house.stop().await;
}

#[tokio::test]
async fn trouble_goes_to_the_next_member_in_its_own_words() {
    let (house, members) = chat(&["openai", "anthropic", "google_gemini"]).await;
    members[1].always(200, &[JSON], MESSAGE);
    members[2].always(200, &[JSON], CONTENT);
    // A refusal did nothing.
    members[0].always(429, &[JSON], "{\"error\":{\"message\":\"slow down\"}}");
    let got = ask(&house, PATH, false, json!({})).await;
    assert_eq!((got.status.as_u16(), got.header("x-signalbox-integration")), (200, "anthropic"));
    house.stop().await;

    let (house, members) = chat(&["anthropic", "google_gemini"]).await;
    members[1].always(200, &[JSON], CONTENT);
    // What may have been done is done again only where that is safe.
    members[0].always(503, &[JSON], "{}");
    let got = ask(&house, PATH, false, json!({})).await;
    assert_eq!((got.status.as_u16(), got.json()["error"]["code"].as_str()), (503, Some("all_failed")));
    assert_eq!(members[1].count(), 0);
    let got = ask(&house, PATH, true, json!({})).await;
    assert_eq!((got.status.as_u16(), got.header("x-signalbox-integration")), (200, "google-gemini"));
    // An answer that cannot be read is none.
    members[0].always(200, &[JSON], "{\"content\":");
    let got = ask(&house, PATH, true, json!({})).await;
    assert_eq!((got.status.as_u16(), got.header("x-signalbox-integration")), (200, "google-gemini"));
    house.stop().await;
}

#[tokio::test]
async fn an_error_inside_of_a_stream_goes_elsewhere_until_the_first_word() {
    let (house, members) = chat(&["anthropic", "openai"]).await;
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\ndata: [DONE]\n\n";
    members[1].always(200, &[EVENTS], stream);
    let early = format!("{START}{OVERLOADED}");
    members[0].will(move |_| {
        let early = early.clone();
        async move { answer(200, &[EVENTS], &early) }
    });
    let got = ask(&house, PATH, true, json!({ "stream": true })).await;
    assert_eq!((got.text().as_str(), got.header("x-signalbox-attempts")), (stream, "2"));
    let late = format!("{START}{}{OVERLOADED}", word("One"));
    members[0].will(move |_| {
        let late = late.clone();
        async move { answer(200, &[EVENTS], &late) }
    });
    let got = ask(&house, PATH, true, json!({ "stream": true })).await;
    assert_eq!(got.header("x-signalbox-integration"), "anthropic");
    assert!(got.text().contains("\"content\":\"One\"") && !got.text().contains("[DONE]"), "{}", got.text());
    assert!(got.text().ends_with(
        "data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"server_error\",\"param\":null,\"code\":\"overloaded_error\"}}\n\n"
    ));
    house.stop().await;
}

#[tokio::test]
async fn what_a_member_has_no_words_for_goes_to_one_that_has_or_is_refused_by_name() {
    let (house, members) = chat(&["anthropic", "openai"]).await;
    members[1].always(200, &[JSON], COMPLETION);
    let got = ask(&house, PATH, false, json!({ "seed": 7 })).await;
    assert_eq!((got.status.as_u16(), members[0].count(), members[1].count()), (200, 0, 1));
    house.stop().await;
    let (house, members) = chat(&["anthropic"]).await;
    let got = ask(&house, PATH, false, json!({ "seed": 7 })).await;
    assert_eq!((got.status.as_u16(), got.json()["error"]["param"].as_str()), (400, Some("seed")));
    assert_eq!(got.json()["code"], "untranslatable");
    let twice = "{\"model\":\"a\",\"model\":\"b\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";
    let got = house.call(house.request("POST", PATH), twice).await;
    assert!(got.status == 400 && got.text().contains("`model` twice"), "{}", got.text());
    assert_eq!(members[0].count(), 0);
    // What the provider finds wrong is said in OpenAI's words.
    let error =
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too large"}}"#;
    members[0].always(400, &[JSON], error);
    let got = ask(&house, PATH, false, json!({})).await;
    let wanted = json!({ "error": { "message": "max_tokens: too large", "type": "invalid_request_error",
        "param": null, "code": "invalid_request_error" } });
    assert_eq!((got.status.as_u16(), got.json()), (400, wanted));
    house.stop().await;
}

#[tokio::test]
async fn the_canonical_answer_is_the_same_whoever_gives_it() {
    for (provider, body, reasoning) in
        [("openai", COMPLETION, 0), ("anthropic", MESSAGE, 0), ("google_gemini", CONTENT, 2)]
    {
        let (house, members) = chat(&[provider]).await;
        members[0].always(200, &[JSON], body);
        let got = ask(&house, "/r/chat/chat", false, json!({})).await.json();
        assert_eq!((&got["text"], &got["finish_reason"]), (&json!("Hello"), &json!("stop")), "{provider}");
        assert_eq!((&got["model"], &got["provider"]), (&json!("gpt-4o"), &json!(provider)));
        let usage = json!({ "input_tokens": 7, "cached_input_tokens": 0, "cache_write_tokens": 0,
            "output_tokens": 5, "reasoning_tokens": reasoning });
        assert_eq!(got["usage"], usage);
        // 7 at 2.5 and 5 at 10; nothing is known of a model called `theirs`.
        let cost = if provider == "openai" { json!(68) } else { Value::Null };
        assert_eq!(got["cost_micros"], cost);
        let refused = ask(&house, "/r/chat/chat", false, json!({ "stream": true })).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["param"]), (400, &json!("stream")));
        house.stop().await;
    }
}

#[tokio::test]
async fn the_models_of_a_route_are_those_that_its_members_map() {
    let (house, members) = chat(&["anthropic", "openai"]).await;
    let got = house.get("/r/chat/v1/models").await.json();
    assert_eq!(
        got["data"],
        json!([{ "id": "gpt-4o", "object": "model", "created": 0, "owned_by": "anthropic" }])
    );
    // A member of the same dialect is asked for its own model too, and nothing else is changed.
    house
        .configure(|s| {
            let more =
                json!({ "provider": "openai", "models": { "gpt-4o": "gpt-4.1", "*": "gpt-4.1-mini" } });
            integration(s, "openai", &members[1].url(), more);
            route(s, "chat", &["openai"], json!({}));
        })
        .await;
    members[1].always(200, &[JSON], COMPLETION);
    for (asked, theirs) in [("gpt-4o", "gpt-4.1"), ("o9", "gpt-4.1-mini")] {
        let body = |model: &str| format!("{{ \"x\": 1.50,\n\"model\" : \"{model}\" }}");
        house.call(house.request("POST", PATH), body(asked)).await;
        assert_eq!(&members[1].last().body[..], body(theirs).as_bytes());
    }
    house.stop().await;
}
