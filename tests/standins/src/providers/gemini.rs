//! Google Gemini: a bad key is a 400 with a reason, the operation stands after a colon in the path.

use http::Method;
use serde_json::{Value, json};

use super::chat::{Turn, data, prompt, text_of};
use super::{Desk, Provider, tools};
use crate::call::{Answer, Call};
use crate::config::Tokens;
use crate::limits::{Rule, Tally};
use crate::signing::base64;

#[derive(Debug)]
pub(crate) struct Gemini;

impl Provider for Gemini {
    fn id(&self) -> &'static str {
        "google_gemini"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["gemini"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(60, 60)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.header("x-goog-api-key").or_else(|| call.param("key"))
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = self.credential(call);
        if given.is_none() {
            return Err(error(
                403,
                "PERMISSION_DENIED",
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
                &json!([]),
            ));
        }
        if desk.accepts("api_key", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        let details = json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
                               "domain": "googleapis.com", "metadata": { "service": "generativelanguage.googleapis.com" } }]);
        error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", &details)
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, tally: &Tally) -> Answer {
        let unit = if tally.is_quota() { "Day" } else { "Minute" };
        let details = json!([
            { "@type": "type.googleapis.com/google.rpc.QuotaFailure",
              "violations": [{ "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                               "quotaId": format!("GenerateRequestsPer{unit}PerProjectPerModel-FreeTier"), "quotaValue": tally.max.to_string() }] },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{}s", tally.reset_secs()) }
        ]);
        error(
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing details.",
            &details,
        )
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let own =
            call.path.strip_prefix("/v1beta/").or_else(|| call.path.strip_prefix("/v1/")).unwrap_or_default();
        let model = own.strip_prefix("models/").and_then(|rest| rest.rsplit_once(':'));
        match (&call.method, own, model) {
            (&Method::GET, "models", _) => Answer::ok(json!({ "models": [{
                "name": "models/gemini-2.5-flash", "version": "001", "displayName": "Gemini 2.5 Flash",
                "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536, "supportedGenerationMethods": ["generateContent", "countTokens"]
            }], "nextPageToken": "" })),
            (&Method::POST, _, Some((model, "generateContent"))) => match read(desk, call) {
                Ok(turn) => Answer::ok(chunk(desk, model, &whole(desk, &turn), Some("STOP"), turn.tokens)),
                Err(refusal) => refusal,
            },
            (&Method::POST, _, Some((model, "streamGenerateContent"))) => match read(desk, call) {
                Ok(turn) => stream(desk, call, model, &turn),
                Err(refusal) => refusal,
            },
            _ => error(404, "NOT_FOUND", "Requested entity was not found.", &json!([])),
        }
    }
}

fn error(code: u16, status: &str, message: &str, details: &Value) -> Answer {
    Answer::json(
        code,
        json!({ "error": { "code": code, "message": message, "status": status, "details": details } }),
    )
}

fn read(desk: &Desk<'_>, call: &Call) -> Result<Turn, Answer> {
    let body = call.json().unwrap_or_default();
    let (whole, last) = prompt(&body["contents"], "parts").ok_or_else(|| {
        error(
            400,
            "INVALID_ARGUMENT",
            "* GenerateContentRequest.contents: contents is not specified",
            &json!([]),
        )
    })?;
    let turn = Turn::of(desk, &format!("{}{whole}", text_of(&body["systemInstruction"]["parts"])), &last);
    Ok(turn.asking(desk, tools::gemini(&body, &last)))
}

/// The part that says it all. A call has a signature of the thought before it, to be shown again with it.
fn whole(desk: &Desk<'_>, turn: &Turn) -> Value {
    match &turn.tool {
        None => json!({ "text": turn.text }),
        Some(tool) => {
            let call = json!({ "name": tool.name, "args": tool.arguments });
            json!({ "functionCall": call, "thoughtSignature": base64(format!("thought {}", desk.sequence).as_bytes()) })
        }
    }
}

/// Prompt tokens include the cached ones; candidates' tokens exclude the thoughts.
fn chunk(desk: &Desk<'_>, model: &str, part: &Value, finish: Option<&str>, tokens: Tokens) -> Value {
    let input = tokens.input + tokens.cached_input + tokens.cache_write;
    let mut candidate = json!({ "content": { "role": "model", "parts": [part] }, "index": 0 });
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": { "promptTokenCount": input, "cachedContentTokenCount": tokens.cached_input,
                           "candidatesTokenCount": tokens.output, "thoughtsTokenCount": tokens.reasoning,
                           "totalTokenCount": input + tokens.output + tokens.reasoning },
        "modelVersion": model, "responseId": format!("{:022x}", desk.sequence)
    })
}

fn stream(desk: &Desk<'_>, call: &Call, model: &str, turn: &Turn) -> Answer {
    // A call comes in one piece.
    let pieces: Vec<Value> = match &turn.tool {
        None => turn.pieces().into_iter().map(|piece| json!({ "text": piece })).collect(),
        Some(_) => vec![whole(desk, turn)],
    };
    let chunks: Vec<Value> = pieces
        .iter()
        .enumerate()
        .map(|(index, piece)| {
            let last = index + 1 == pieces.len();
            let done =
                Tokens { output: if last { turn.tokens.output } else { index as u64 + 1 }, ..turn.tokens };
            chunk(desk, model, piece, last.then_some("STOP"), done)
        })
        .collect();
    if call.param("alt").as_deref() == Some("sse") {
        Answer::events(chunks.iter().map(data).collect())
    } else {
        Answer::ok(Value::Array(chunks))
    }
}
