//! A chat route: one request in OpenAI's words, answered alike by every language model, streamed or not.

use harness::{Client, House, outside, until};
use reqwest::Method;
use serde_json::{Value, json};
use standins::Mode;

const MEMBERS: [(&str, &str, &str); 5] = [
    ("openai", "openai", "gpt-4o"),
    ("anthropic", "anthropic", "claude-sonnet-4-6"),
    ("gemini", "google_gemini", "gemini-2.5-flash"),
    ("mistral", "mistral", "mistral-small-latest"),
    ("openrouter", "openrouter", "openai/gpt-4o"),
];

/// Asks the route; who answered, and the body.
async fn ask(admin: &Client, path: &str, more: Value) -> (u16, String, String) {
    let mut body = json!({"model": "gpt-4o", "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a stock?"}]});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let asked = admin.call(Method::POST, path).header("idempotency-key", "one").json(&body);
    let answer = asked.send().await.expect("the gateway answers");
    let who = answer.headers().get("x-signalbox-integration").map(|id| id.to_str().expect("text").to_owned());
    (answer.status().as_u16(), who.unwrap_or_default(), answer.text().await.expect("text"))
}

/// The text and the use of a stream.
fn told(stream: &str) -> (String, Value) {
    let (mut text, mut usage) = (String::new(), Value::Null);
    assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
    for data in stream.split_terminator("\n\n").filter_map(|event| event.strip_prefix("data: ")) {
        let Ok(chunk) = serde_json::from_str::<Value>(data) else { continue };
        assert_eq!(chunk["object"], "chat.completion.chunk");
        text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        if chunk["usage"].is_object() {
            usage = chunk["usage"].clone();
        }
    }
    (text, usage)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_answered_alike_by_every_model() {
    let instances: Vec<(&str, &str)> = MEMBERS.iter().map(|(name, provider, _)| (*name, *provider)).collect();
    let outside = outside(&instances).await;
    let house = House::start().await;
    let admin = &house.admin;
    for (name, provider, model) in MEMBERS {
        admin.integrate(&outside, name, provider).await;
        let id = format!("/integrations/{name}");
        let models = json!({"models": {"gpt-4o": model, "*": model}, "probe": {"every_secs": 3600}});
        assert_eq!(admin.patch(&id, models).await.0, 200);
        let route = json!({"id": format!("chat-{name}"), "failover": true, "integrations": [name]});
        admin.make("/routes", route).await;
    }
    let all: Vec<&str> = MEMBERS.iter().map(|(name, ..)| *name).collect();
    admin.make("/routes", json!({"id": "chat", "failover": true, "integrations": all})).await;
    until("the route is served", || async {
        let models = admin.call(Method::GET, "/r/chat/v1/models").send().await.ok()?;
        (models.status() == 200).then_some(())
    })
    .await;

    let wanted = "You said: What is a stock?";
    for (name, provider, _) in MEMBERS {
        let path = format!("/r/chat-{name}/v1/chat/completions");
        let (status, who, whole) = ask(admin, &path, json!({})).await;
        assert_eq!((status, who.as_str()), (200, name), "{whole}");
        let whole: Value = serde_json::from_str(&whole).expect("JSON");
        assert_eq!(whole["choices"][0]["message"]["content"], wanted, "{name}");
        let options = json!({"stream": true, "stream_options": {"include_usage": true}});
        let (text, usage) = told(&ask(admin, &path, options).await.2);
        assert_eq!(text, wanted, "{name}");
        for field in ["prompt_tokens", "completion_tokens", "total_tokens"] {
            assert_eq!(usage[field], whole["usage"][field], "{name} {field}");
        }
        let canonical = ask(admin, &format!("/r/chat-{name}/chat"), json!({})).await.2;
        let canonical: Value = serde_json::from_str(&canonical).expect("JSON");
        assert_eq!(
            (&canonical["text"], &canonical["provider"]),
            (&json!(wanted), &json!(provider)),
            "{canonical}"
        );
        assert_eq!(canonical["usage"]["input_tokens"], whole["usage"]["prompt_tokens"], "{name}");
        let prices = matches!(name, "openai" | "anthropic" | "gemini" | "openrouter");
        assert!(!prices || canonical["cost_micros"].is_u64(), "{canonical}");
    }

    // Each in turn is off, and the next one answers as if nothing had been.
    for pair in MEMBERS[..3].windows(2) {
        outside.instance(pair[0].0).switch(Mode::from(503)).await;
        let (status, who, text) = ask(admin, "/r/chat/v1/chat/completions", json!({"stream": true})).await;
        assert_eq!((status, who.as_str()), (200, pair[1].0), "{text}");
        assert_eq!(told(&text).0, wanted);
    }
    house.stop().await;
}
