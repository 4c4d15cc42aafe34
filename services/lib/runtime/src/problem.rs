//! What went wrong, told to a caller: RFC 9457 (`application/problem+json`), the same everywhere.
//!
//! What is shown is written for the caller; what caused it is logged here and never shown. Details name ids and fields,
//! never secrets.

use std::fmt::Display;

use axum::Json;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::{EventId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// The header that names a request, in answers and in log lines.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where the types of problems live; the last segment is the problem's code.
const TYPE_BASE: &str = "https://signalbox.invalid/problems/";
/// How alike an id must be to be suggested (Jaro-Winkler, 0 to 1), and how many are.
const ALIKE: f64 = 0.8;
const SUGGESTIONS_MAX: usize = 3;

/// A problem: a [`Document`], boxed because it travels as the error of many functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Document>);

/// What the caller gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// What kind of problem, as an URI that never changes.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words, the same for all problems of the kind.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// The kind as a word for programs: `validation`, `not_found`, …
    pub code: String,
    /// What happened this time, and what to do about it.
    pub detail: String,
    /// The path that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The request, for whoever reads the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Which parts of the request are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What else the kind of problem has to say: `line` and `column` of a template.
    #[serde(flatten)]
    #[schema(additional_properties = true)]
    pub more: serde_json::Map<String, serde_json::Value>,
    /// Seconds after which to try again; also the header `Retry-After`.
    #[serde(skip)]
    pub retry_after_secs: Option<u32>,
}

/// One wrong part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where, as a JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// The name of the request that is being answered, in its extensions.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

// === impl Problem ===

impl Problem {
    /// Any problem. The constructors below cover what most handlers need.
    pub fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Document {
            kind: format!("{TYPE_BASE}{}", code.replace('_', "-")),
            title: title.to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.into(),
            instance: None,
            request_id: None,
            errors: Vec::new(),
            more: serde_json::Map::new(),
            retry_after_secs: None,
        }))
    }

    /// The same with a more special word for programs; the type follows it.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        self.0.kind = format!("{TYPE_BASE}{}", code.replace('_', "-"));
        code.clone_into(&mut self.0.code);
        self
    }

    /// The same with a further member, when there is a value for it.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<impl Into<serde_json::Value>>) -> Self {
        if let Some(value) = value {
            self.0.more.insert(name.to_owned(), value.into());
        }
        self
    }

    /// 405: the path is there, but not for this method.
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        let detail = format!("`{path}` does not take {method}; the header Allow says what it takes");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", detail)
    }

    /// 413: the body is larger than allowed.
    pub fn too_large(bytes_max: usize) -> Self {
        let detail = format!("the body may have {bytes_max} bytes at most");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Body is too large", detail)
    }

    /// 431: the head of the request is larger than allowed.
    pub fn headers_too_large(fields_max: usize, bytes_max: usize) -> Self {
        let detail =
            format!("a request may have {fields_max} headers, and {bytes_max} bytes of head, at most");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::new(status, "headers_too_large", "Head is too large", detail)
    }

    /// 408: the body came too slowly, when that is among the causes of this error.
    pub fn slow_body(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.any(|error| error.is::<crate::serve::TooSlow>()).then(|| {
            let detail = "the body came too slowly; send it again, faster";
            Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "Body is too slow", detail)
        })
    }

    /// 403: known, but what carries the call is bound to something else.
    pub fn out_of_bounds(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "out_of_bounds", "Not allowed", detail)
    }

    /// 400: the request cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "Request cannot be read", detail)
    }

    /// 422: one part of the request is wrong.
    pub fn validation(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::validations(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// 422: several parts of the request are wrong.
    pub fn validations(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [FieldError { pointer, detail }] if pointer.is_empty() => detail.clone(),
            [FieldError { pointer, detail }] => {
                format!("{}: {detail}", pointer.trim_start_matches('/').replace('/', "."))
            }
            several => format!("{} parts are not valid", several.len()),
        };
        let mut problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation", "Request is not valid", detail);
        problem.errors = errors;
        problem
    }

    /// 404: there is no such thing. Of the ids that are `near`, those that look alike are suggested.
    pub fn not_found(kind: &str, id: &str, near: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let id: String = id.chars().take(80).collect();
        let hint = alike(&id, near);
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", format!("there is no {kind} `{id}`{hint}"))
    }

    /// 422: the query string names a parameter that there is not. Of those that there are, what looks alike is suggested.
    pub fn unknown_parameter(name: &str, known: &[impl AsRef<str>]) -> Self {
        let name: String = name.chars().take(80).collect();
        let all = || known.iter().map(|known| format!("`{}`", known.as_ref())).collect::<Vec<_>>().join(", ");
        let hint = match alike(&name, known) {
            hint if !hint.is_empty() => hint,
            _ if known.is_empty() => "; there is none here".to_owned(),
            _ => format!("; there are {}", all()),
        };
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        Self::validation(pointer, format!("unknown parameter of the query string{hint}"))
    }

    /// 409: it does not go together with what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
    }

    /// 412: it was changed since the caller read it.
    pub fn stale() -> Self {
        let detail = "it was changed since you read it; read it again and send its new ETag in If-Match";
        Self::new(StatusCode::PRECONDITION_FAILED, "stale", "Changed meanwhile", detail)
    }

    /// 428: the change needs `If-Match`.
    pub fn precondition_required() -> Self {
        let detail = "send the ETag that you read in If-Match, so that nobody's change is lost";
        Self::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", "If-Match is missing", detail)
    }

    /// 401: nobody we know.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Not signed in", detail)
    }

    /// 403: known, but not allowed. `permission` names what is missing.
    pub fn forbidden(permission: impl Display) -> Self {
        let detail = format!("this needs the permission `{permission}`");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// 429: too many requests; try again after so many seconds.
    pub fn too_many(retry_after_secs: u32) -> Self {
        let detail = format!("too many requests; try again in {retry_after_secs} s");
        let mut problem =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many requests", detail);
        problem.retry_after_secs = Some(retry_after_secs);
        problem
    }

    /// 503: something that this needs is away for now.
    pub fn unavailable(detail: impl Into<String>, retry_after_secs: u32) -> Self {
        let mut problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now", detail);
        problem.retry_after_secs = Some(retry_after_secs);
        problem
    }

    /// 500: our fault. The cause, with its sources, goes to the log and nowhere else.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let cause: anyhow::Error = cause.into();
        tracing::error!(cause = format!("{cause:#}"), "A request failed inside: {cause:#}.");
        let detail = "something failed inside; the log says more under this request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers
    }
}

impl From<Document> for Problem {
    fn from(document: Document) -> Self {
        Self(Box::new(document))
    }
}

impl std::ops::Deref for Problem {
    type Target = Document;

    fn deref(&self) -> &Document {
        &self.0
    }
}

impl std::ops::DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut Document {
        &mut self.0
    }
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        Document::schema()
    }
}

impl ToSchema for Problem {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Document::schemas(schemas);
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        response.headers_mut().extend(self.headers());
        response.extensions_mut().insert(self);
        response
    }
}

// === around every request ===

/// Middleware for `axum::middleware::from_fn`: names the request, puts name and path into problems, and turns the
/// framework's own refusals (unknown path or method, a body too large) into problems.
pub async fn name_requests(mut request: Request, next: Next) -> Response {
    let id = EventId::make(Timestamp::now(), rand::random()).to_string();
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| foreign(&response, &path));
    if let Some(mut problem) = problem {
        problem.instance = Some(path);
        problem.request_id = Some(id.clone());
        let before = std::mem::take(response.headers_mut());
        response = problem.into_response();
        for (name, value) in before.iter().filter(|(name, _)| !is_of_body(name)) {
            response.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// What looks like a word, of those that are `known`, as the end of a sentence; empty when nothing does.
pub fn alike(word: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut alike: Vec<(f64, String)> = known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(word, known.as_ref()), known.as_ref().to_owned()))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let alike: Vec<String> =
        alike.into_iter().take(SUGGESTIONS_MAX).map(|(_, word)| format!("`{word}`")).collect();
    if alike.is_empty() { String::new() } else { format!("; did you mean {}?", alike.join(" or ")) }
}

fn is_of_body(name: &HeaderName) -> bool {
    matches!(name.as_str(), "content-type" | "content-length" | "content-encoding" | "transfer-encoding")
}

/// A refusal that is no problem yet: an error status with plain text or nothing.
fn foreign(response: &Response, path: &str) -> Option<Problem> {
    let status = response.status();
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_plain = media_type.is_none_or(|media_type| media_type.starts_with("text/plain"));
    if !(status.is_client_error() || status.is_server_error()) || !is_plain {
        return None;
    }
    let path: String = path.chars().take(200).collect();
    Some(match status {
        StatusCode::NOT_FOUND => {
            Problem::new(status, "not_found", "Not found", format!("there is nothing at {path}"))
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let detail = format!("{path} exists, but not for this method");
            Problem::new(status, "method_not_allowed", "Method not allowed", detail)
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(status, "too_large", "Body is too large", "the body is larger than allowed here")
        }
        other => {
            let title = other.canonical_reason().unwrap_or("Error");
            Problem::new(other, &title.to_lowercase().replace([' ', '-', '\''], "_"), title, title)
        }
    })
}

#[cfg(test)]
mod tests;
