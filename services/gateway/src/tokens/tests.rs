//! The same answer streamed and not streamed, chunked at every boundary, plain and compressed: the same count and cost.

use std::io::Write;

use catalogue::Catalogue;
use http::header::{CONTENT_ENCODING, HeaderValue};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const JSON: &str = "application/json; charset=utf-8";
const SSE: &str = "text/event-stream";

fn read(
    provider: &str,
    media_type: &'static str,
    coding: Option<&'static str>,
    chunks: &[&[u8]],
) -> Option<ModelCount> {
    let provider = Catalogue::builtin().get(provider).expect("a provider");
    let rules = Rules::new(provider, &serde_json::Map::new(), &[]).expect("counts tokens");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    let mut reader = Reader::new(&rules, StatusCode::OK, &headers)?;
    for chunk in chunks {
        reader.read(&Bytes::copy_from_slice(chunk));
    }
    reader.end().map(|used| used.count)
}

fn sse(events: &[Value]) -> String {
    events.iter().map(|event| format!("event: x\ndata: {event}\n\n")).collect::<String>() + "data: [DONE]\n\n"
}

/// A dialogue as it is answered whole, and as it is streamed, and what it costs.
struct Dialogue {
    provider: &'static str,
    whole: String,
    stream: String,
    model: &'static str,
    tokens: [u64; 4],
    cost_micros: u64,
}

fn dialogues() -> Vec<Dialogue> {
    let usage = json!({ "prompt_tokens": 1_001, "completion_tokens": 37, "total_tokens": 1_038,
        "prompt_tokens_details": { "cached_tokens": 512 }, "completion_tokens_details": { "reasoning_tokens": 5 } });
    let chunk = |delta: &str, usage: &Value| {
        json!({ "id": "c-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini-2024-07-18",
            "choices": [{ "index": 0, "delta": { "content": delta } }], "usage": usage })
    };
    let chat = Dialogue {
        provider: "openai",
        whole: json!({ "id": "c-1", "model": "gpt-4o-mini-2024-07-18",
            "choices": [{ "message": { "content": "the \"usage\": {\"prompt_tokens\": 9}" } }], "usage": usage })
        .to_string(),
        stream: sse(&[chunk("usage", &Value::Null), chunk("\"usage\":{}", &Value::Null), chunk("", &usage)]),
        model: "gpt-4o-mini",
        tokens: [1_001, 512, 0, 37],
        // 489 × 0.15 + 512 × 0.075 + 37 × 0.6 = 133.95
        cost_micros: 134,
    };
    let used = json!({ "input_tokens": 300_000, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 11 });
    let answer = json!({ "id": "r-1", "model": "gpt-5.4", "usage": used, "output": [{ "content": "ü" }] });
    let responses = Dialogue {
        provider: "openai",
        whole: answer.to_string(),
        stream: sse(&[
            json!({ "type": "response.created", "response": { "model": "gpt-5.4", "usage": null } }),
            json!({ "type": "response.output_text.delta", "delta": "usage" }),
            json!({ "type": "response.completed", "response": answer }),
        ]),
        model: "gpt-5.4",
        tokens: [300_000, 0, 0, 11],
        // A long question: 5 and 22.5 for each.
        cost_micros: 1_500_000 + 248,
    };
    let whole = json!({ "id": "m-1", "model": "claude-opus-5-5", "content": [{ "type": "text", "text": "hi" }],
        "usage": { "input_tokens": 21, "cache_creation_input_tokens": 1_000, "cache_read_input_tokens": 200,
            "cache_creation": { "ephemeral_1h_input_tokens": 400, "ephemeral_5m_input_tokens": 600 }, "output_tokens": 93 } });
    let mut start = whole.clone();
    start["usage"]["output_tokens"] = json!(1);
    let messages = Dialogue {
        provider: "anthropic",
        whole: whole.to_string(),
        stream: sse(&[
            json!({ "type": "message_start", "message": start }),
            json!({ "type": "content_block_delta", "delta": { "text": "usage" } }),
            json!({ "type": "message_delta", "usage": { "output_tokens": 40 } }),
            json!({ "type": "message_delta", "usage": { "output_tokens": 93 } }),
        ]),
        model: "claude-opus-5-5",
        tokens: [1_221, 200, 1_000, 93],
        // 21 × 4 + 200 × 0.2 + 600 × 5 + 400 × 8 + 93 × 20
        cost_micros: 84 + 40 + 3_000 + 3_200 + 1_860,
    };
    let part = |thoughts: u64, text: u64| {
        json!({ "modelVersion": "gemini-3.8-flash", "candidates": [{ "content": {} }], "usageMetadata": {
            "promptTokenCount": 100, "candidatesTokenCount": text, "thoughtsTokenCount": thoughts } })
    };
    let gemini = Dialogue {
        provider: "google_gemini",
        whole: part(7, 30).to_string(),
        stream: sse(&[part(7, 1), part(7, 15), part(7, 30)]),
        model: "gemini-3.8-flash",
        tokens: [100, 0, 0, 37],
        // 100 × 0.75 + 37 × 3.75 = 213.75
        cost_micros: 214,
    };
    vec![chat, responses, messages, gemini]
}

#[track_caller]
fn check(dialogue: &Dialogue, found: Option<ModelCount>) {
    let found = found.expect("it tells what was used");
    let t = found.tokens;
    assert_eq!(found.model, dialogue.model);
    assert_eq!([t.input_tokens, t.cached_tokens, t.cache_write_tokens, t.output_tokens], dialogue.tokens);
    assert_eq!((found.cost_micros, t.unpriced_answers, found.answers), (dialogue.cost_micros, 0, 1));
}

#[test]
fn streamed_or_not_at_every_boundary_it_costs_the_same() {
    for dialogue in dialogues() {
        let Dialogue { provider, whole, stream, .. } = &dialogue;
        for (text, media_type) in [(whole, JSON), (stream, SSE)] {
            let bytes = text.as_bytes();
            for at in 0..bytes.len() {
                check(&dialogue, read(provider, media_type, None, &[&bytes[..at], &bytes[at..]]));
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            check(&dialogue, read(provider, media_type, None, &single));
        }
    }
}

#[test]
fn compressed_it_costs_the_same() {
    for dialogue in dialogues() {
        let Dialogue { provider, whole, stream, .. } = &dialogue;
        for (text, media_type) in [(whole, JSON), (stream, SSE)] {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            to.write_all(text.as_bytes()).expect("memory");
            let gzip = to.finish().expect("memory");
            for size in [1, 7, gzip.len()] {
                let chunks: Vec<&[u8]> = gzip.chunks(size).collect();
                check(&dialogue, read(provider, media_type, Some("gzip"), &chunks));
            }
        }
    }
}

#[test]
fn an_array_of_events_is_as_a_stream_of_them() {
    for dialogue in dialogues().iter().filter(|dialogue| dialogue.provider == "google_gemini") {
        let array = format!("[{0},\n{0}]", dialogue.whole);
        check(dialogue, read("google_gemini", JSON, None, &[array.as_bytes()]));
    }
}

#[test]
fn a_large_answer_tells_at_its_end() {
    let numbers = "0.123456,".repeat(300_000);
    let usage =
        r#""model": "text-embedding-3-small", "usage": {"prompt_tokens": 1000, "total_tokens": 1000}"#;
    let text = format!(r#"{{"data":[{{"embedding":[{numbers}0]}}], {usage}}}"#);
    let chunks: Vec<&[u8]> = text.as_bytes().chunks(10_000).collect();
    let found = read("openai", JSON, None, &chunks).expect("it tells");
    assert_eq!(
        (found.tokens.input_tokens, found.cost_micros, &*found.model),
        (1_000, 20, "text-embedding-3-small")
    );
}

#[test]
fn a_cost_that_is_not_known_is_never_nothing() {
    let unknown = r#"{"model":"someone-new","usage":{"prompt_tokens":5,"completion_tokens":6}}"#;
    let found = read("openai", JSON, None, &[unknown.as_bytes()]).expect("it tells");
    assert_eq!((found.tokens.unpriced_answers, found.tokens.output_tokens, &*found.model), (1, 6, "other"));
    // Its operator's word is a price.
    let own = TokenPrice { model: "someone-new".to_owned(), input: 1_000_000, ..TokenPrice::default() };
    let provider = Catalogue::builtin().get("openai").expect("a provider");
    let count = |rules: &Arc<Rules>| {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(JSON))]);
        let mut reader = Reader::new(rules, StatusCode::OK, &headers).expect("an answer");
        reader.read(&Bytes::from_static(unknown.as_bytes()));
        reader.end().expect("it tells")
    };
    let unpriced =
        count(&Rules::new(provider, &serde_json::Map::new(), &[]).expect("counts tokens")).unpriced;
    assert_eq!(unpriced.as_deref(), Some("someone-new"));
    let used = count(&Rules::new(provider, &serde_json::Map::new(), &[own]).expect("counts tokens"));
    assert_eq!((used.count.cost_micros, &*used.count.model, used.unpriced), (5, "someone-new", None));
    // A stream that tells nothing, one that cannot be read, and one in a coding that nobody knows.
    for (coding, body) in [(None, "data: {}\n\n"), (Some("gzip"), "no gzip"), (Some("zz"), "?")] {
        let found = read("openai", SSE, coding, &[body.as_bytes()]).expect("an answer");
        assert_eq!((found.tokens.unpriced_answers, found.cost_micros), (1, 0), "{coding:?}");
    }
    // What is no answer of a model is not counted.
    assert_eq!(read("openai", JSON, None, &[br#"{"id":"file-1","usage":null}"#]), None);
    assert_eq!(read("openai", "image/png", None, &[b"x"]), None);
}

#[test]
fn a_sum_that_the_answer_names_is_taken() {
    let body = r#"{"model":"any/one","usage":{"prompt_tokens":5,"completion_tokens":6,"cost":0.00014}}"#;
    let found = read("openrouter", JSON, None, &[body.as_bytes()]).expect("it tells");
    assert_eq!((found.cost_micros, found.tokens.unpriced_answers, found.tokens.input_tokens), (140, 0, 5));
}

proptest! {
    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1_usize..50) {
        for (media_type, coding) in [(JSON, None), (SSE, None), (SSE, Some("br")), (JSON, Some("zstd")), (SSE, Some("gzip"))] {
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            let _ = read("openai", media_type, coding, &chunks);
        }
    }
}
