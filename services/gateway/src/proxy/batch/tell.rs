//! The results of a batch as one answer. Pure.
//!
//! A body that is JSON stands there as it came, digit for digit; any other is base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::body::Body;
use crate::problem::{MEDIA_TYPE, Problem};

/// Headers of an answer that a result tells, besides our own.
const TOLD: [&str; 9] = [
    "content-type",
    "retry-after",
    "age",
    "etag",
    "last-modified",
    "location",
    "x-request-id",
    "ratelimit",
    "ratelimit-policy",
];
const OWN_PREFIX: &str = "x-signalbox-";

/// What came of a call.
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    /// A problem instead of an answer.
    pub(super) fn of(problem: &Problem) -> Self {
        let (status, body) = (problem.status(), problem.to_json().to_string());
        let media_type = (CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        Self { status, headers: HeaderMap::from_iter([media_type]), body: body.into() }
    }

    fn write(&self, id: Option<&str>, to: &mut String) {
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| TOLD.contains(&name.as_str()) || name.as_str().starts_with(OWN_PREFIX));
        let text = |value: &HeaderValue| value.to_str().map(Value::from).ok();
        let headers: Map<String, Value> =
            headers.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect();
        to.push_str(r#"{"id":"#);
        to.push_str(&Value::from(id).to_string());
        to.push_str(r#","status":"#);
        to.push_str(self.status.as_str());
        to.push_str(r#","headers":"#);
        to.push_str(&Value::from(headers).to_string());
        to.push_str(r#","body":"#);
        match self.json() {
            _ if self.body.is_empty() => to.push_str("null"),
            Some(json) => to.push_str(json),
            None => {
                to.push('"');
                STANDARD.encode_string(&self.body, to);
                to.push_str(r#"","encoding":"base64"#);
                to.push('"');
            }
        }
        to.push('}');
    }

    /// Its body, if it is JSON by its own word and in truth.
    fn json(&self) -> Option<&str> {
        let media_type = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let said = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = said.ends_with("/json") || said.ends_with("+json");
        let raw: &RawValue = serde_json::from_slice(Some(&self.body).filter(|_| is_json)?).ok()?;
        Some(raw.get())
    }
}

/// All of them.
pub(super) fn response(results: &[(Option<String>, Got)]) -> Response<Body> {
    let mut text = String::from(r#"{"results":["#);
    for (place, (id, got)) in results.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        got.write(id.as_deref(), &mut text);
    }
    text.push_str("]}");
    let mut response = Response::new(Body::whole(text.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
