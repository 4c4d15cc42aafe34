//! What a batch asks, checked before any of it is sent. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::problem::Problem;

/// Calls of a batch.
const CALLS_MAX: usize = 50;
/// Characters of a call's name.
const ID_CHARS_MAX: usize = 200;
/// Headers of a call.
const HEADERS_MAX: usize = 50;
/// Headers that a call of a batch has from the batch, or that belong to one connection.
const NEVER: [&str; 11] = [
    "authorization",
    "x-signalbox-token",
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
];

/// A batch.
pub(super) struct Asked {
    pub(super) calls: Vec<One>,
    pub(super) timeout_ms: Option<u64>,
}

/// One call of it.
#[derive(Debug)]
pub(super) struct One {
    /// What its caller calls it.
    pub(super) id: Option<String>,
    pub(super) request: Request<Full<Bytes>>,
}

/// How a body is written.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    /// As it is: JSON.
    #[default]
    Json,
    /// A text of base64.
    Base64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    calls: Vec<&'a RawValue>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCall<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default = "get")]
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default, borrow)]
    body: Option<&'a RawValue>,
    #[serde(default)]
    encoding: Encoding,
}

fn get() -> String {
    "GET".to_owned()
}

fn wrong(pointer: impl Into<String>, detail: impl std::fmt::Display) -> Problem {
    let pointer = pointer.into();
    let text =
        if pointer.is_empty() { format!("the batch: {detail}") } else { format!("{pointer}: {detail}") };
    Problem::bad_request("bad_batch", text).with("pointer", pointer)
}

impl Asked {
    /// Reads a batch, or says what is wrong with it and where.
    pub(super) fn read(body: &[u8], longest_ms: u64) -> Result<Self, Problem> {
        let written: Written<'_> = serde_json::from_slice(body).map_err(|error| wrong("", error))?;
        if written.calls.is_empty() || written.calls.len() > CALLS_MAX {
            return Err(wrong("/calls", format!("must be 1 to {CALLS_MAX} calls")));
        }
        if written.timeout_ms.is_some_and(|ms| ms == 0 || ms > longest_ms) {
            return Err(wrong("/timeout_ms", format!("must be 1 to {longest_ms}")));
        }
        let calls = written.calls.iter().enumerate().map(|(place, raw)| One::read(place, raw));
        Ok(Self { calls: calls.collect::<Result<_, _>>()?, timeout_ms: written.timeout_ms })
    }
}

impl One {
    fn read(place: usize, raw: &RawValue) -> Result<Self, Problem> {
        let at = |member: &str| format!("/calls/{place}{member}");
        let written: WrittenCall<'_> =
            serde_json::from_str(raw.get()).map_err(|error| wrong(at(""), error))?;
        let WrittenCall { id, method, path, headers, body, encoding } = written;
        if id.as_ref().is_some_and(|id| id.chars().count() > ID_CHARS_MAX) {
            return Err(wrong(at("/id"), format!("has more than {ID_CHARS_MAX} characters")));
        }
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT && *method != Method::TRACE)
            .ok_or_else(|| wrong(at("/method"), "is no method of a call"))?;
        if path.split(['?', '/']).nth(1) == Some("batch") {
            return Err(wrong(at("/path"), "a batch holds no batch"));
        }
        let uri = Some(&path).filter(|path| path.starts_with("/p/") || path.starts_with("/r/"));
        let uri: Option<Uri> = uri.and_then(|path| path.parse().ok());
        let uri = uri.ok_or_else(|| {
            wrong(
                at("/path"),
                "must be /p/{integration}/{path} or /r/{route}/{path}, with a query if need be",
            )
        })?;
        let mut headers = read_headers(&headers, &at("/headers"))?;
        let body = read_body(body, encoding, &mut headers).map_err(|detail| wrong(at("/body"), detail))?;
        let mut request = Request::new(Full::new(body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        Ok(Self { id, request })
    }
}

fn read_headers(written: &BTreeMap<String, String>, pointer: &str) -> Result<HeaderMap, Problem> {
    if written.len() > HEADERS_MAX {
        return Err(wrong(pointer, format!("has more than {HEADERS_MAX}")));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        let read = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
        let (Ok(name), Ok(value)) = read else { return Err(wrong(pointer, "cannot be a header")) };
        if NEVER.contains(&name.as_str()) {
            return Err(wrong(pointer, "is not for a call of a batch to say"));
        }
        headers.insert(name, value);
    }
    Ok(headers)
}

fn read_body(
    body: Option<&RawValue>,
    encoding: Encoding,
    headers: &mut HeaderMap,
) -> Result<Bytes, &'static str> {
    let Some(body) = body.filter(|body| body.get() != "null") else { return Ok(Bytes::new()) };
    match encoding {
        Encoding::Json => {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            // As it was written: numbers keep their digits.
            Ok(Bytes::copy_from_slice(body.get().as_bytes()))
        }
        Encoding::Base64 => {
            let text: String = serde_json::from_str(body.get()).map_err(|_| "must be a text of base64")?;
            STANDARD.decode(text).map(Bytes::from).map_err(|_| "is not base64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, pointer: &str) {
        let problem = Asked::read(body.as_bytes(), 1_000).err().unwrap_or_else(|| panic!("{body} was read"));
        let document = problem.clone().into_response("/batch", "1");
        assert_eq!((problem.status().as_u16(), document.status().as_u16()), (400, 400));
        assert_eq!(
            problem.member("pointer").and_then(|p| p.as_str().map(str::to_owned)).as_deref(),
            Some(pointer),
            "{body}"
        );
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        check("", "");
        check("[]", "");
        check(r#"{"calls":[]}"#, "/calls");
        check(r#"{"calls":[{"path":"/p/a/x"}],"more":1}"#, "");
        check(r#"{"calls":[{"path":"/p/a/x"}],"timeout_ms":0}"#, "/timeout_ms");
        check(r#"{"calls":[{"path":"/p/a/x"}],"timeout_ms":1001}"#, "/timeout_ms");
        check(&format!(r#"{{"calls":[{}]}}"#, vec![r#"{"path":"/p/a/x"}"#; 51].join(",")), "/calls");
        for (call, pointer) in [
            ("1", "/calls/1"),
            ("{}", "/calls/1"),
            (r#"{"path":"/p/a/x","unknown":1}"#, "/calls/1"),
            (r#"{"path":"/batch"}"#, "/calls/1/path"),
            (r#"{"path":"/batch/"}"#, "/calls/1/path"),
            (r#"{"path":"http://elsewhere/p/a"}"#, "/calls/1/path"),
            (r#"{"path":"/p/a x"}"#, "/calls/1/path"),
            (r#"{"path":"/p/a","method":"CONNECT"}"#, "/calls/1/method"),
            (r#"{"path":"/p/a","method":"G T"}"#, "/calls/1/method"),
            (r#"{"path":"/p/a","headers":{"Authorization":"x"}}"#, "/calls/1/headers/Authorization"),
            (r#"{"path":"/p/a","headers":{"a/b":"x"}}"#, "/calls/1/headers/a~1b"),
            (r#"{"path":"/p/a","headers":{"a":"x\ny"}}"#, "/calls/1/headers/a"),
            (r#"{"path":"/p/a","body":1,"encoding":"base64"}"#, "/calls/1/body"),
            (r#"{"path":"/p/a","body":"%","encoding":"base64"}"#, "/calls/1/body"),
        ] {
            check(&format!(r#"{{"calls":[{{"path":"/p/a/x"}},{call}]}}"#), pointer);
        }
    }
}
