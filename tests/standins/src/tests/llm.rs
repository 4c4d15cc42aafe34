//! The LLM providers: keys, whole and streamed answers, usage, rate headers.

use serde_json::{Value, json};

use super::{World, header, open, told};
use crate::{InstanceConfig, Mode, Tokens};

const TOKENS: Tokens = Tokens { input: 100, cached_input: 40, cache_write: 10, output: 7, reasoning: 3 };

/// The data of a stream's frames.
async fn frames(request: reqwest::RequestBuilder) -> Vec<String> {
    let text = request.send().await.unwrap().text().await.unwrap();
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn openai_masks_a_wrong_key_and_tells_its_limits() {
    let world =
        World::with(InstanceConfig::new("ai", "openai").key("api_key", "sk-right").limit(2, 60)).await;
    let (status, refused) = told(world.get("ai", "/models").bearer_auth("sk-proj-wrong-key-0001")).await;
    assert_eq!((status, refused["error"]["code"].as_str()), (401, Some("invalid_api_key")));
    assert!(!refused.to_string().contains("wrong-key"));
    let answer = world.get("ai", "/models").bearer_auth("sk-right").send().await.unwrap();
    assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), "1");
    told(world.get("ai", "/models").bearer_auth("sk-right")).await;
    let answer = world.get("ai", "/models").bearer_auth("sk-right").send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(header(&answer, "retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn openai_streams_usage_only_when_asked() {
    let world = World::with(open("openai").tokens(TOKENS)).await;
    let mut body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "good morning" }] });
    let (_, whole) = told(world.post("openai", "/chat/completions").bearer_auth("k").json(&body)).await;
    assert_eq!(whole["choices"][0]["message"]["content"], "You said: good morning");
    assert_eq!(whole["usage"]["prompt_tokens"], 150);
    assert_eq!(whole["usage"]["completion_tokens"], 10);
    body["stream"] = json!(true);
    let plain = frames(world.post("openai", "/chat/completions").bearer_auth("k").json(&body)).await;
    assert!(!plain.join("").contains("\"usage\"") && plain.last().unwrap() == "[DONE]");
    body["stream_options"] = json!({ "include_usage": true });
    let asked = frames(world.post("openai", "/chat/completions").bearer_auth("k").json(&body)).await;
    let last: Value = serde_json::from_str(&asked[asked.len() - 2]).unwrap();
    assert_eq!(
        (last["choices"].as_array().unwrap().len(), last["usage"]["total_tokens"].as_u64()),
        (0, Some(160))
    );
}

#[tokio::test]
async fn anthropic_needs_its_headers_and_streams_named_events() {
    let world = World::with(open("anthropic").key("api_key", "k").tokens(TOKENS)).await;
    let (status, refused) = told(world.get("anthropic", "/v1/models").header("x-api-key", "other")).await;
    assert_eq!((status, refused["error"]["type"].as_str()), (401, Some("authentication_error")));
    assert_eq!(told(world.get("anthropic", "/v1/models").header("x-api-key", "k")).await.0, 400);
    let post = |body: &Value| {
        world
            .post("anthropic", "/v1/messages")
            .header("x-api-key", "k")
            .header("anthropic-version", "2023-06-01")
            .json(body)
    };
    let mut body = json!({ "model": "claude-sonnet-4-6", "max_tokens": 10, "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }] });
    let (_, whole) = told(post(&body)).await;
    assert_eq!(whole["content"][0]["text"], "You said: hi");
    assert_eq!(
        (whole["usage"]["input_tokens"].as_u64(), whole["usage"]["cache_read_input_tokens"].as_u64()),
        (Some(100), Some(40))
    );
    body["stream"] = json!(true);
    let events = frames(post(&body)).await;
    assert!(events[0].contains("message_start") && events.last().unwrap().contains("message_stop"));
    world.standins.instance("anthropic").switch(Mode::StreamError).await;
    assert!(frames(post(&body)).await.last().unwrap().contains("overloaded_error"));
}

#[tokio::test]
async fn anthropic_tells_when_its_limit_comes_back() {
    let world = World::with(InstanceConfig::new("a", "anthropic").limit(1, 60)).await;
    let get =
        || world.get("a", "/v1/models").header("x-api-key", "k").header("anthropic-version", "2023-06-01");
    let answer = get().send().await.unwrap();
    assert_eq!(header(&answer, "anthropic-ratelimit-requests-remaining"), "0");
    assert!(header(&answer, "anthropic-ratelimit-requests-reset").ends_with('Z'));
    let over = get().send().await.unwrap();
    assert_eq!(over.status(), 429);
    assert!(!header(&over, "retry-after").is_empty());
}

#[tokio::test]
async fn gemini_answers_a_bad_key_with_400_and_a_reason() {
    let world = World::with(open("google_gemini").key("api_key", "k").tokens(TOKENS)).await;
    let (status, refused) =
        told(world.get("google_gemini", "/v1beta/models").header("x-goog-api-key", "x")).await;
    assert_eq!((status, refused["error"]["details"][0]["reason"].as_str()), (400, Some("API_KEY_INVALID")));
    let body = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] });
    let path = "/v1beta/models/gemini-2.5-flash:generateContent";
    let (_, whole) = told(world.post("google_gemini", path).header("x-goog-api-key", "k").json(&body)).await;
    assert_eq!(whole["candidates"][0]["content"]["parts"][0]["text"], "You said: hi");
    assert_eq!(whole["usageMetadata"]["thoughtsTokenCount"], 3);
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let chunks = frames(world.post("google_gemini", path).header("x-goog-api-key", "k").json(&body)).await;
    assert!(chunks.last().unwrap().contains("\"finishReason\":\"STOP\""));
    world.standins.instance("google_gemini").switch(Mode::Throttle { retry_after_secs: None }).await;
    let (status, over) =
        told(world.get("google_gemini", "/v1beta/models").header("x-goog-api-key", "k")).await;
    assert_eq!((status, over["error"]["status"].as_str()), (429, Some("RESOURCE_EXHAUSTED")));
}

#[tokio::test]
async fn mistral_and_openrouter_speak_their_own_errors() {
    let world = World::of(
        crate::Config::default()
            .with(open("mistral").key("api_key", "k"))
            .with(open("openrouter").key("api_key", "k")),
    )
    .await;
    assert_eq!(
        told(world.get("mistral", "/v1/models").bearer_auth("x")).await,
        (401, json!({ "detail": "Unauthorized" }))
    );
    let (status, refused) = told(world.get("openrouter", "/key").bearer_auth("x")).await;
    assert_eq!((status, refused["error"]["code"].as_u64()), (401, Some(401)));
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    let (_, whole) = told(world.post("openrouter", "/chat/completions").bearer_auth("k").json(&body)).await;
    assert!(whole["usage"]["cost"].as_f64().unwrap() > 0.0);
    assert_eq!(
        told(world.post("mistral", "/v1/chat/completions").bearer_auth("k").json(&json!({}))).await.0,
        422
    );
}

/// What a tool wants to know.
const CITY: &str = r#"{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}}}"#;

#[tokio::test]
async fn tools_are_asked_for_in_each_dialect_whole_and_streamed() {
    let config = crate::Config::default();
    let config = config.with(open("openai")).with(open("anthropic")).with(open("google_gemini"));
    let world = World::of(config).await;
    let schema: Value = serde_json::from_str(CITY).unwrap();
    let filled = json!({ "city": "Paris", "days": 1 });
    let arguments = |pieces: Vec<&Value>| {
        let text: String = pieces.iter().filter_map(|piece| piece.as_str()).collect();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let events = async |request| -> Vec<Value> {
        let frames = frames(request).await;
        frames.iter().filter_map(|frame| serde_json::from_str(frame).ok()).collect()
    };

    let ask = |body: &Value| world.post("openai", "/chat/completions").bearer_auth("k").json(body);
    let mut body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "Paris" }],
        "tools": [{ "type": "function", "function": { "name": "weather", "parameters": schema } }] });
    let (_, whole) = told(ask(&body)).await;
    let call = &whole["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(
        (&call["function"]["name"], arguments(vec![&call["function"]["arguments"]])),
        (&json!("weather"), filled.clone())
    );
    body["stream"] = json!(true);
    let chunks = events(ask(&body)).await;
    assert_eq!(chunks[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"], "weather");
    let pieces =
        chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]);
    assert_eq!(arguments(pieces.collect()), filled);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    body = json!({ "model": "gpt-4o", "tools": body["tools"], "messages": [{ "role": "tool", "content": "20 degrees" }] });
    assert_eq!(told(ask(&body)).await.1["choices"][0]["message"]["content"], "You said: 20 degrees");

    let ask = |body: &Value| {
        let request = world.post("anthropic", "/v1/messages").header("x-api-key", "k");
        request.header("anthropic-version", "2023-06-01").json(body)
    };
    let mut body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "Paris" }],
        "tools": [{ "name": "other", "input_schema": {} }, { "name": "weather", "input_schema": schema }],
        "tool_choice": { "type": "tool", "name": "weather" } });
    let (_, whole) = told(ask(&body)).await;
    assert_eq!((&whole["content"][0]["input"], &whole["stop_reason"]), (&filled, &json!("tool_use")));
    body["stream"] = json!(true);
    let all = events(ask(&body)).await;
    assert_eq!(arguments(all.iter().map(|event| &event["delta"]["partial_json"]).collect()), filled);
    assert!(all.iter().any(|event| event["delta"]["stop_reason"] == "tool_use"));
    body["stream"] = json!(false);
    body["messages"] = json!([{ "role": "user", "content": [
        { "type": "tool_result", "tool_use_id": "x", "content": [{ "type": "text", "text": "20 degrees" }] }] }]);
    assert_eq!(told(ask(&body)).await.1["content"][0]["text"], "You said: 20 degrees");

    let ask = |verb: &str, body: &Value| {
        let path = format!("/v1beta/models/gemini-2.5-flash:{verb}");
        world.post("google_gemini", &path).header("x-goog-api-key", "k").json(body)
    };
    let mut body = json!({ "contents": [{ "role": "user", "parts": [{ "text": "Paris" }] }],
        "tools": [{ "functionDeclarations": [{ "name": "weather", "parametersJsonSchema": schema }] }] });
    let (_, whole) = told(ask("generateContent", &body)).await;
    let part = &whole["candidates"][0]["content"]["parts"][0];
    assert!(part["functionCall"]["args"] == filled && part["thoughtSignature"].is_string());
    let chunks = events(ask("streamGenerateContent?alt=sse", &body)).await;
    assert_eq!(chunks[0]["candidates"][0]["content"]["parts"][0]["functionCall"]["args"], filled);
    body["contents"] = json!([{ "role": "user", "parts": [{ "functionResponse": { "name": "weather", "response": { "result": 20 } } }] }]);
    let (_, whole) = told(ask("generateContent", &body)).await;
    assert_eq!(whole["candidates"][0]["content"]["parts"][0]["text"], "You said: {\"result\":20}");
}
