//! Requests: what is asked of each provider, and what is refused by name.

use serde_json::{Value, json};

use crate::chat::{Ask, Dialect, Refused, write};

/// What a request becomes; `more` are fields beside model and messages.
fn written(dialect: Dialect, more: Value) -> Result<crate::chat::Written, Refused> {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let ask = Ask::read(body.to_string().as_bytes())?;
    Ok(write(&ask, dialect, "theirs", 4_096)?.expect("another dialect"))
}

fn long() -> Value {
    json!({
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "developer", "content": [{ "type": "text", "text": "Be kind." }] },
            { "role": "user", "content": [
                { "type": "text", "text": "What is this?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBOR==", "detail": "low" } }] },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "quote", "arguments": "{\"symbol\":\"IBM\"}" } }] },
            { "role": "tool", "tool_call_id": "call_1", "content": "{\"price\":\"190.20\"}" },
            { "role": "user", "content": "And?" },
        ],
        "tools": [{ "type": "function", "function": { "name": "quote", "description": "A price",
            "parameters": { "type": "object", "properties": { "symbol": { "type": "string" } } } } }],
        "tool_choice": "required", "temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 100, "stop": "END",
        "user": "u-1", "n": 1, "stream": true, "stream_options": { "include_usage": true }, "metadata": { "a": "b" },
    })
}

#[test]
fn a_conversation_becomes_anthropics_messages() {
    let written = written(Dialect::Anthropic, long()).expect("all of it can be said");
    assert_eq!((written.path.as_str(), written.query), ("/v1/messages", None));
    assert_eq!(
        written.body,
        json!({
            "model": "theirs", "max_tokens": 100, "system": "Be brief.\n\nBe kind.",
            "messages": [
                { "role": "user", "content": [
                    { "type": "text", "text": "What is this?" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBOR==" } }] },
                { "role": "assistant", "content": [
                    { "type": "tool_use", "id": "call_1", "name": "quote", "input": { "symbol": "IBM" } }] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "call_1",
                      "content": [{ "type": "text", "text": "{\"price\":\"190.20\"}" }] },
                    { "type": "text", "text": "And?" }] },
            ],
            "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"], "metadata": { "user_id": "u-1" },
            "tools": [{ "name": "quote", "description": "A price",
                "input_schema": { "type": "object", "properties": { "symbol": { "type": "string" } } } }],
            "tool_choice": { "type": "any" }, "stream": true,
        })
    );
}

#[test]
fn a_conversation_becomes_googles_contents() {
    let written = written(Dialect::Gemini, long()).expect("all of it can be said");
    assert_eq!(
        (written.path.as_str(), written.query),
        ("/v1beta/models/theirs:streamGenerateContent", Some("alt=sse"))
    );
    assert_eq!(
        written.body,
        json!({
            "systemInstruction": { "parts": [{ "text": "Be brief." }, { "text": "Be kind." }] },
            "contents": [
                { "role": "user", "parts": [
                    { "text": "What is this?" }, { "inlineData": { "mimeType": "image/png", "data": "iVBOR==" } }] },
                { "role": "model", "parts": [
                    { "functionCall": { "name": "quote", "args": { "symbol": "IBM" }, "id": "call_1" } }] },
                { "role": "user", "parts": [
                    { "functionResponse": { "name": "quote", "response": { "price": "190.20" }, "id": "call_1" } },
                    { "text": "And?" }] },
            ],
            "generationConfig": { "temperature": 0.5, "topP": 0.9, "maxOutputTokens": 100, "stopSequences": ["END"] },
            "tools": [{ "functionDeclarations": [{ "name": "quote", "description": "A price",
                "parametersJsonSchema": { "type": "object", "properties": { "symbol": { "type": "string" } } } }] }],
            "toolConfig": { "functionCallingConfig": { "mode": "ANY" } },
        })
    );
}

#[test]
fn what_a_provider_must_be_told_is_told() {
    let body = |dialect, more| written(dialect, more).expect("can be said").body;
    assert_eq!(body(Dialect::Anthropic, json!({}))["max_tokens"], 4_096);
    let tools = json!([{ "type": "function", "function": { "name": "f", "strict": true } }]);
    let one = json!({ "tools": tools, "tool_choice": { "type": "function", "function": { "name": "f" } } });
    let said = body(Dialect::Anthropic, one.clone());
    assert_eq!(said["tool_choice"], json!({ "type": "tool", "name": "f" }));
    assert_eq!(said["tools"][0]["strict"], true);
    let said = body(Dialect::Gemini, one);
    let config = json!({ "mode": "ANY", "allowedFunctionNames": ["f"] });
    assert_eq!(said["toolConfig"]["functionCallingConfig"], config);
    let said = body(Dialect::Anthropic, json!({ "tools": tools, "parallel_tool_calls": false }));
    assert_eq!(said["tool_choice"], json!({ "type": "auto", "disable_parallel_tool_use": true }));
    let schema = json!({ "type": "object" });
    let format = json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": schema } } });
    assert_eq!(body(Dialect::Anthropic, format.clone())["output_config"]["format"]["schema"], schema);
    assert_eq!(body(Dialect::Gemini, format)["generationConfig"]["responseJsonSchema"], schema);
    let said = body(
        Dialect::Gemini,
        json!({ "response_format": { "type": "json_object" }, "reasoning_effort": "low" }),
    );
    let config =
        json!({ "responseMimeType": "application/json", "thinkingConfig": { "thinkingBudget": 1_024 } });
    assert_eq!(said["generationConfig"], config);
}

#[track_caller]
fn check(dialects: &[Dialect], more: &Value, param: &str) {
    for dialect in dialects {
        let refused = written(*dialect, more.clone()).expect_err("refused");
        assert_eq!(refused.param.as_deref(), Some(param), "{dialect:?}: {}", refused.why);
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    use Dialect::{Anthropic, Gemini};
    let both = &[Anthropic, Gemini][..];
    check(both, &json!({ "n": 2 }), "n");
    check(both, &json!({ "logprobs": true }), "logprobs");
    check(both, &json!({ "audio": {} }), "audio");
    check(both, &json!({ "functions": [] }), "functions");
    check(both, &json!({ "something_new": 1 }), "something_new");
    check(both, &json!({ "temperature": 3 }), "temperature");
    check(both, &json!({ "max_tokens": 5, "max_completion_tokens": 6 }), "max_completion_tokens");
    check(both, &json!({ "tools": [{ "type": "custom" }] }), "tools[0].type");
    check(both, &json!({ "tool_choice": "required" }), "tool_choice");
    check(both, &json!({ "messages": [] }), "messages");
    check(
        both,
        &json!({ "messages": [{ "role": "user", "content": [{ "type": "input_audio" }] }] }),
        "messages[0].content[0].type",
    );
    check(
        both,
        &json!({ "messages": [{ "role": "tool", "tool_call_id": "x", "content": "" }] }),
        "messages[0].tool_call_id",
    );
    check(
        both,
        &json!({ "messages": [{ "role": "user", "name": "Ann", "content": "" }] }),
        "messages[0].name",
    );
    check(&[Anthropic], &json!({ "temperature": 1.5 }), "temperature");
    check(&[Anthropic], &json!({ "seed": 1 }), "seed");
    check(&[Anthropic], &json!({ "presence_penalty": 0.5 }), "presence_penalty");
    check(&[Anthropic], &json!({ "response_format": { "type": "json_object" } }), "response_format");
    let url = json!({ "messages": [{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }] }] });
    check(&[Gemini], &url, "messages[0].content[0].image_url");
    assert!(written(Anthropic, url).is_ok());
    assert!(written(Gemini, json!({ "presence_penalty": 0.0, "frequency_penalty": 1, "seed": 4 })).is_ok());
}

#[test]
fn a_model_cannot_leave_its_place_in_a_path() {
    let ask = |model: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }] });
        let ask = Ask::read(body.to_string().as_bytes()).expect("a request");
        write(&ask, Dialect::Gemini, model, 1).map(|written| written.expect("another dialect").path)
    };
    assert_eq!(ask("models/gemini-2.5-pro").as_deref(), Ok("/v1beta/models/gemini-2.5-pro:generateContent"));
    for bad in ["../files", "models/../x", "a/b", "a?b", "a:b", "a%2fb", "", "models/"] {
        assert!(bad.is_empty() || ask(bad).is_err(), "{bad}");
    }
}
