//! Dialogues in every dialect: what is asked of each, and what is made of its answers.

mod asking;
mod streaming;

use serde_json::Value;

use super::Dialect;
use super::reply::{Called, Finish, Reply, Words};
use super::stream::Translator;

fn words() -> Words {
    Words { model: "gpt-4o".to_owned(), created: 1_741_569_952, include_usage: true }
}

/// A recorded answer, streamed and not.
struct Dialogue {
    dialect: Dialect,
    whole: &'static str,
    stream: &'static str,
}

const ANTHROPIC_TEXT: Dialogue = Dialogue {
    dialect: Dialect::Anthropic,
    whole: r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-6",
        "content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"text","text":"Grüße, 世界"}],
        "stop_reason":"max_tokens","stop_sequence":null,
        "usage":{"input_tokens":12,"cache_creation_input_tokens":3,"cache_read_input_tokens":5,"output_tokens":9}}"#,
    stream: r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-6","content":[],"stop_reason":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":3,"cache_read_input_tokens":5,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Grüße, "}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"世界"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":9}}

event: message_stop
data: {"type":"message_stop"}

"#,
};

const ANTHROPIC_TOOLS: Dialogue = Dialogue {
    dialect: Dialect::Anthropic,
    whole: r#"{"id":"msg_2","type":"message","role":"assistant","content":[{"type":"text","text":"Let me look."},
        {"type":"tool_use","id":"toolu_1","name":"quote","input":{"symbol":"IBM"}},
        {"type":"tool_use","id":"toolu_2","name":"now","input":{}}],
        "stop_reason":"tool_use","usage":{"input_tokens":20,"output_tokens":31}}"#,
    stream: r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_2","type":"message","content":[],"usage":{"input_tokens":20,"output_tokens":2}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Let me "}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"look."}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"quote","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"symbol\""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":": \"IBM\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_2","name":"now","input":{}}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"input_tokens":20,"output_tokens":31}}

event: message_stop
data: {"type":"message_stop"}

"#,
};

const GEMINI_TEXT: Dialogue = Dialogue {
    dialect: Dialect::Gemini,
    whole: r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"I think","thought":true},{"text":"Hello, "},{"text":"世界"}]},
        "finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":8,"cachedContentTokenCount":4,
        "candidatesTokenCount":3,"thoughtsTokenCount":20,"totalTokenCount":31},"modelVersion":"gemini-2.5-flash","responseId":"r1"}"#,
    stream: r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"I think","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":8,"totalTokenCount":8},"responseId":"r1"}

data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hello, "}]},"index":0}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":1},"responseId":"r1"}

data: {"candidates":[{"content":{"role":"model","parts":[{"text":"世界"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":8,"cachedContentTokenCount":4,"candidatesTokenCount":3,"thoughtsTokenCount":20,"totalTokenCount":31},"responseId":"r1"}

"#,
};

const GEMINI_TOOLS: Dialogue = Dialogue {
    dialect: Dialect::Gemini,
    whole: r#"{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"quote","args":{"symbol":"IBM"}},"thoughtSignature":"c2ln"},
        {"functionCall":{"name":"now","id":"g7"}}]},"finishReason":"STOP","index":0}],
        "usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":3},"responseId":"r2"}"#,
    stream: r#"data: {"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"quote","args":{"symbol":"IBM"}},"thoughtSignature":"c2ln"}]},"index":0}],"responseId":"r2"}

data: {"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"now","id":"g7"}}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":3},"responseId":"r2"}

"#,
};

const DIALOGUES: [Dialogue; 4] = [ANTHROPIC_TEXT, ANTHROPIC_TOOLS, GEMINI_TEXT, GEMINI_TOOLS];

/// What a client gets of a stream, event by event; `[DONE]` as null.
fn events(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("text");
    let events = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("data"));
    events
        .map(|data| if data == "[DONE]" { Value::Null } else { serde_json::from_str(data).expect("JSON") })
        .collect()
}

fn translate<'b>(dialect: Dialect, parts: impl IntoIterator<Item = &'b [u8]>) -> Vec<u8> {
    let mut translator = Translator::new(dialect, words());
    let mut out: Vec<u8> = Vec::new();
    for part in parts {
        out.extend_from_slice(&translator.feed(part));
    }
    if !translator.is_ended() {
        out.extend_from_slice(&translator.end());
    }
    out
}

/// Puts chunks together as a client does.
fn fold(events: &[Value]) -> (Reply, Value) {
    let (mut reply, mut usage) = (Reply::default(), Value::Null);
    for event in events.iter().filter(|event| !event.is_null()) {
        event["id"].as_str().expect("an id").clone_into(&mut reply.id);
        if !event["usage"].is_null() {
            usage = event["usage"].clone();
        }
        let Some(choice) = event["choices"].get(0) else { continue };
        reply.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().expect("an index")).expect("small");
            if reply.calls.len() == index {
                reply.calls.push(Called {
                    id: call["id"].as_str().expect("an id").to_owned(),
                    name: call["function"]["name"].as_str().expect("a name").to_owned(),
                    arguments: String::new(),
                    signature: call["extra_content"]["google"]["thought_signature"]
                        .as_str()
                        .map(str::to_owned),
                });
            }
            reply.calls[index].arguments.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
        reply.finish = match choice["finish_reason"].as_str() {
            Some("length") => Finish::Length,
            Some("tool_calls") => Finish::ToolCalls,
            _ => Finish::Stop,
        };
    }
    (reply, usage)
}

/// Arguments without their white space.
fn squeezed(mut reply: Reply) -> Reply {
    for call in &mut reply.calls {
        let value: Value = serde_json::from_str(&call.arguments).expect("arguments are JSON");
        call.arguments = value.to_string();
    }
    reply
}
