//! The two words every stand-in shares: a `Call` as it arrived and the `Answer` it gets.
//!
//! A call keeps the path, query and body exactly as they came, because signatures are made over
//! them. Nothing here decides anything.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The largest request body a stand-in reads, in bytes.
pub(crate) const BODY_MAX_BYTES: usize = 8 * 1024 * 1024;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The method, upper case.
    pub(crate) method: Method,
    /// The path as sent, still percent-encoded.
    pub(crate) path: String,
    /// The query as sent, still percent-encoded; empty when there is none.
    pub(crate) query: String,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The whole body.
    pub(crate) body: Bytes,
    /// When it arrived, in milliseconds since 1970.
    pub(crate) at_ms: i64,
}

impl Call {
    /// Reads a request whole. `None` when the body breaks off or is over `BODY_MAX_BYTES`.
    pub(crate) async fn read(request: Request<Body>, at_ms: i64) -> Option<Call> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, BODY_MAX_BYTES).collect().await.ok()?.to_bytes();
        Some(Call {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
            at_ms,
        })
    }

    /// The path's parts, decoded, without the empty one before the first slash.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
    }

    /// A query parameter, decoded (`+` is a space).
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        pair(&self.query, name)
    }

    /// A query parameter, or a default.
    pub(crate) fn param_or(&self, name: &str, default: &str) -> String {
        self.param(name).unwrap_or_else(|| default.to_owned())
    }

    /// A number in the query.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.param(name)?.parse().ok()
    }

    /// A field of a form-encoded body, decoded.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        pair(&self.text(), name)
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    /// The token after `Authorization: <scheme> `; the scheme is compared without case.
    pub(crate) fn authorization(&self, scheme: &str) -> Option<String> {
        let value = self.header("authorization")?;
        let (given, token) = value.split_once(' ')?;
        given.eq_ignore_ascii_case(scheme).then(|| token.trim().to_owned())
    }

    /// The body as text; bytes that are no UTF-8 are replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Path and query as sent.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

/// Percent-decodes one word.
pub(crate) fn decode(word: &str) -> String {
    percent_decode_str(word).decode_utf8_lossy().into_owned()
}

fn pair(encoded: &str, name: &str) -> Option<String> {
    encoded.split('&').find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(key) == name).then(|| decode(&value.replace('+', " ")))
    })
}

/// What a stand-in answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Headers beside the content type.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) content: Content,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// No body and no content type.
    Empty,
    /// A JSON document.
    Json(Value),
    /// Text of a named type.
    Text(&'static str, String),
    /// Server-sent events, each already framed with its blank line.
    Events(Vec<String>),
}

impl Answer {
    /// A 200 with JSON.
    pub(crate) fn ok(body: Value) -> Answer {
        Answer::json(200, body)
    }

    /// JSON with any status.
    pub(crate) fn json(status: u16, body: Value) -> Answer {
        Answer { status, headers: Vec::new(), content: Content::Json(body) }
    }

    /// Plain text with any status.
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            content: Content::Text("text/plain; charset=utf-8", body.into()),
        }
    }

    /// HTML with any status.
    pub(crate) fn html(status: u16, body: impl Into<String>) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            content: Content::Text("text/html; charset=utf-8", body.into()),
        }
    }

    /// A status alone.
    pub(crate) fn empty(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), content: Content::Empty }
    }

    /// A stream of framed events.
    pub(crate) fn events(frames: Vec<String>) -> Answer {
        Answer { status: 200, headers: Vec::new(), content: Content::Events(frames) }
    }

    /// The same with one more header; an earlier one of the same name is replaced.
    #[expect(clippy::needless_pass_by_value, reason = "callers give numbers and texts alike")]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Answer {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The body's bytes; a stream's frames joined.
    pub(crate) fn bytes(&self) -> Bytes {
        match &self.content {
            Content::Empty => Bytes::new(),
            Content::Json(value) => Bytes::from(value.to_string()),
            Content::Text(_, text) => Bytes::from(text.clone()),
            Content::Events(frames) => Bytes::from(frames.concat()),
        }
    }

    /// The response without its body: status, content type and headers.
    pub(crate) fn head(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = match &self.content {
            Content::Empty => None,
            Content::Json(_) => Some("application/json"),
            Content::Text(kind, _) => Some(*kind),
            Content::Events(_) => Some("text/event-stream"),
        };
        if let Some(kind) = kind {
            response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
            {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    /// The whole response; events are sent one frame at a time with `pause` between them.
    pub(crate) fn into_response(self, pause: Duration) -> Response<Body> {
        let (parts, ()) = self.head().into_parts();
        let body = match self.content {
            Content::Events(frames) => Body::from_stream(stream::unfold(
                (frames.into_iter(), true),
                move |(mut frames, first)| async move {
                    let frame = frames.next()?;
                    if !first && !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    Some((Ok::<_, Infallible>(Bytes::from(frame)), (frames, false)))
                },
            )),
            _ => Body::from(self.bytes()),
        };
        Response::from_parts(parts, body)
    }
}
