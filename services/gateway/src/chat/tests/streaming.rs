//! Answers: streamed or not they are the same, however they are cut.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chat::reply;
use crate::chat::stream::{Beginning, Scout};

#[test]
fn streamed_is_not_streamed() {
    for Dialogue { dialect, whole, stream } in DIALOGUES {
        let whole = reply::read(dialect, whole.as_bytes()).expect("an answer");
        let events = events(&translate(dialect, [stream.as_bytes()]));
        assert_eq!(events.last(), Some(&Value::Null), "ends with [DONE]");
        let (streamed, usage) = fold(&events);
        assert_eq!(usage, whole.usage.to_openai());
        let usage = whole.usage;
        assert_eq!(squeezed(Reply { usage, ..streamed }), squeezed(whole));
    }
}

#[test]
fn no_cut_and_no_end_of_line_matters() {
    for Dialogue { dialect, stream, .. } in DIALOGUES {
        let wanted = translate(dialect, [stream.as_bytes()]);
        for end in ["\n", "\r\n", "\r"] {
            let stream = stream.replace('\n', end);
            for at in 0..=stream.len() {
                let (a, b) = stream.as_bytes().split_at(at);
                assert_eq!(translate(dialect, [a, b]), wanted, "cut at {at}");
            }
            assert_eq!(translate(dialect, stream.as_bytes().chunks(1)), wanted);
        }
    }
}

#[test]
fn each_event_is_passed_on_as_it_comes() {
    let mut translator = Translator::new(Dialect::Anthropic, words());
    let mut texts = Vec::new();
    for event in ANTHROPIC_TEXT.stream.split_inclusive("\n\n") {
        let out = translator.feed(event.as_bytes());
        texts.push(events(&out).iter().filter(|e| e["choices"][0]["delta"]["content"] != "").count());
    }
    // Two pieces of text in the seventh and eighth event; the reason, and the use with the end, in the last two.
    assert_eq!(texts, [0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 2]);
}

#[test]
fn an_answer_reads_as_openais() {
    let reply = reply::read(Dialect::Anthropic, ANTHROPIC_TOOLS.whole.as_bytes()).expect("an answer");
    assert_eq!(
        reply.to_openai(&words()),
        json!({
            "id": "msg_2", "object": "chat.completion", "created": 1_741_569_952, "model": "gpt-4o",
            "choices": [{ "index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": "Let me look.", "refusal": null, "tool_calls": [
                    { "id": "toolu_1", "type": "function", "function": { "name": "quote", "arguments": "{\"symbol\":\"IBM\"}" } },
                    { "id": "toolu_2", "type": "function", "function": { "name": "now", "arguments": "{}" } } ] } }],
            "usage": { "prompt_tokens": 20, "completion_tokens": 31, "total_tokens": 51,
                "prompt_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
                "completion_tokens_details": { "reasoning_tokens": 0 } },
        })
    );
    let usage = reply::read(Dialect::Anthropic, ANTHROPIC_TEXT.whole.as_bytes()).expect("an answer").usage;
    assert_eq!((usage.input, usage.cached, usage.cache_write, usage.output), (20, 5, 3, 9));
    let usage = reply::read(Dialect::Gemini, GEMINI_TEXT.whole.as_bytes()).expect("an answer").usage;
    assert_eq!((usage.input, usage.cached, usage.output, usage.reasoning), (8, 4, 23, 20));
}

#[test]
fn the_use_is_told_only_to_who_asked() {
    let mut translator = Translator::new(Dialect::Gemini, Words { include_usage: false, ..words() });
    let mut out = translator.feed(GEMINI_TEXT.stream.as_bytes()).to_vec();
    out.extend_from_slice(&translator.end());
    assert!(events(&out).iter().all(|event| event.get("usage").is_none()));
}

#[test]
fn a_question_that_may_not_be_asked_is_filtered() {
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4},"responseId":"r"}"#;
    let reply = reply::read(Dialect::Gemini, blocked.as_bytes()).expect("an answer");
    assert_eq!((reply.finish, reply.text.as_str()), (Finish::ContentFilter, ""));
    let out = events(&translate(Dialect::Gemini, [format!("data: {blocked}\n\n").as_bytes()]));
    assert_eq!(out[1]["choices"][0]["finish_reason"], "content_filter");
}

#[test]
fn an_error_after_the_first_word_is_an_error_event() {
    let head = ANTHROPIC_TEXT.stream.split_inclusive("\n\n").take(7).collect::<String>();
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let out = events(&translate(Dialect::Anthropic, [head.as_bytes(), error.as_bytes()]));
    let wanted = json!({ "error": { "message": "Overloaded", "type": "server_error", "param": null, "code": "overloaded_error" } });
    assert_eq!(out.last(), Some(&wanted));
    // A stream that ends too early says so as well.
    let out = events(&translate(Dialect::Anthropic, [head.as_bytes()]));
    assert_eq!(out.last().expect("an event")["error"]["message"], "the provider's answer broke off");
    let out = events(&translate(Dialect::Gemini, [&b"data: {\"candidates\":[\n\n"[..]]));
    assert!(out[0]["error"]["message"].as_str().is_some_and(|message| message.contains("cannot be read")));
}

#[test]
fn the_beginning_tells_trouble_from_an_answer() {
    let scout = |dialect, text: &str| Scout::new(dialect).feed(text.as_bytes());
    let status = |found| match found {
        Some(Beginning::Fault(fault, _)) => Some(fault.status),
        Some(Beginning::Content) => Some(200),
        None => None,
    };
    let start = ANTHROPIC_TEXT.stream.split_inclusive("\n\n").take(6).collect::<String>();
    let error = |kind: &str| {
        format!(
            "{start}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"m\"}}}}\n\n"
        )
    };
    assert_eq!(status(scout(Dialect::Anthropic, &start)), None);
    assert_eq!(status(scout(Dialect::Anthropic, ANTHROPIC_TEXT.stream)), Some(200));
    assert_eq!(status(scout(Dialect::Anthropic, &error("overloaded_error"))), Some(529));
    assert_eq!(status(scout(Dialect::Anthropic, &error("rate_limit_error"))), Some(429));
    assert_eq!(
        status(scout(Dialect::Gemini, "data: {\"error\":{\"code\":503,\"message\":\"m\"}}\n\n")),
        Some(503)
    );
    let chunk =
        |delta: &str| format!("data: {{\"choices\":[{{\"delta\":{delta},\"finish_reason\":null}}]}}\n\n");
    assert_eq!(status(scout(Dialect::Openai, &chunk("{\"role\":\"assistant\",\"content\":\"\"}"))), None);
    assert_eq!(status(scout(Dialect::Openai, &chunk("{\"content\":\"a\"}"))), Some(200));
    assert_eq!(
        status(scout(Dialect::Openai, "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\"}}\n\n")),
        Some(500)
    );
}

proptest! {
    #[test]
    fn no_bytes_stop_a_translation(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1_usize..40) {
        for dialect in [Dialect::Anthropic, Dialect::Gemini, Dialect::Openai] {
            let out = translate(dialect, bytes.chunks(cut));
            prop_assert_eq!(&out, &translate(dialect, [&bytes[..]]));
        }
    }

    #[test]
    fn cuts_anywhere_change_nothing(which in 0_usize..4, cuts in proptest::collection::vec(0_usize..3_000, 0..8)) {
        let Dialogue { dialect, stream, .. } = &DIALOGUES[which];
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % stream.len()).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]);
        prop_assert_eq!(translate(*dialect, parts), translate(*dialect, [stream.as_bytes()]));
    }
}
