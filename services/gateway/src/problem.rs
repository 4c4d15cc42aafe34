//! The gateway's own errors: RFC 9457 (`application/problem+json`).
//!
//! What a provider says passes as it is; this is for what only the gateway knows. Texts name ids and fields of the
//! configuration; they hold no key, no token and nothing of a body.

use std::collections::BTreeSet;

use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use model::token::Permission;
use serde_json::{Map, Value, json};

use crate::body::Body;

/// The media type of problems.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";
/// Where the types of problems live; the last segment is the problem's code.
const TYPE_BASE: &str = "https://signalbox.invalid/problems/";
/// How alike an id must be to be suggested (Jaro-Winkler, 0 to 1), and how many are.
const ALIKE: f64 = 0.8;
const SUGGESTIONS_MAX: usize = 3;
/// Characters of a caller's text that are repeated to it.
const QUOTED_CHARS_MAX: usize = 80;

/// A problem, boxed because it travels as the error of many functions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
    retry_after_secs: Option<u64>,
    closes: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

// === impl Problem ===

impl Problem {
    /// Any problem. The constructors below cover what more than one phase needs.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        let (members, retry_after_secs) = (Map::new(), None);
        let (closes, headers) = (false, Vec::new());
        Self(Box::new(Inner { status, code, title, detail, members, retry_after_secs, closes, headers }))
    }

    /// Adds a member of its own.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header. A value that cannot stand in one is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.0.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// Says after how many seconds to try again.
    pub(crate) fn retry_after(mut self, secs: Option<u64>) -> Self {
        self.0.retry_after_secs = secs.or(self.0.retry_after_secs);
        self
    }

    /// Closes the connection after it: what else is on it cannot be trusted or is not worth reading.
    pub(crate) fn closing(mut self) -> Self {
        self.0.closes = true;
        self
    }

    /// 400: the request cannot be passed on as it is.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "Request cannot be passed on", detail)
    }

    /// 401: nobody we know.
    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "No valid token", detail)
    }

    /// 403: the token's role does not contain the permission.
    pub(crate) fn forbidden(permission: Permission) -> Self {
        let detail = format!("this needs the permission `{}`", permission.as_str());
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
            .with("permission", permission.as_str())
    }

    /// 403: the token is bound to something else.
    pub(crate) fn out_of_bounds(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "out_of_bounds", "Token is bound", detail)
            .with("permission", Permission::Call.as_str())
    }

    /// 404: there is no such thing; ids that look alike are suggested.
    pub(crate) fn not_found<'k>(kind: &str, id: &str, known: impl Iterator<Item = &'k str>) -> Self {
        let id: String = id.chars().take(QUOTED_CHARS_MAX).collect();
        let mut alike: Vec<(f64, &str)> = known
            .map(|known| (strsim::jaro_winkler(&id, known), known))
            .filter(|(score, _)| *score >= ALIKE)
            .collect();
        alike.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        let near: Vec<&str> = alike.into_iter().take(SUGGESTIONS_MAX).map(|(_, id)| id).collect();
        let quoted: Vec<String> = near.iter().map(|id| format!("`{id}`")).collect();
        let hint =
            if near.is_empty() { String::new() } else { format!("; did you mean {}?", quoted.join(" or ")) };
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", format!("there is no {kind} `{id}`{hint}"))
            .with("near", near)
    }

    /// 413: the body has more bytes than allowed.
    pub(crate) fn too_large(max: u64) -> Self {
        let detail = format!("the body is larger than {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Body is too large", detail).closing()
    }

    /// 503: no configuration was seen yet.
    pub(crate) fn not_ready() -> Self {
        let detail = "the gateway has not seen its configuration yet";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "Not ready", detail).retry_after(Some(1))
    }

    /// The same with a member that clients of OpenAI's look for.
    pub(crate) fn in_openai(self) -> Self {
        let Inner { status, code, ref detail, ref members, .. } = *self.0;
        let param = members.get("param").and_then(Value::as_str);
        let kind = crate::chat::fault::kind(status.as_u16());
        let mut told = crate::chat::fault::error(detail, kind, param, Some(code));
        let error = told["error"].take();
        self.with("error", error)
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// One of its own members.
    #[cfg(test)]
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.0.members.get(name)
    }

    /// As a part of a larger answer.
    pub(crate) fn to_json(&self) -> Value {
        let Inner { code, title, status, detail, .. } = &*self.0;
        let kind = format!("{TYPE_BASE}{}", code.replace('_', "-"));
        let status = status.as_u16();
        json!({ "type": kind, "title": title, "status": status, "code": code, "detail": detail })
    }

    /// The answer, with the path that was asked and the request's name.
    pub(crate) fn into_response(self, instance: &str, request_id: &str) -> Response<Body> {
        let inner = *self.0;
        let mut document = Map::new();
        document.insert("type".to_owned(), format!("{TYPE_BASE}{}", inner.code.replace('_', "-")).into());
        document.insert("title".to_owned(), inner.title.into());
        document.insert("status".to_owned(), inner.status.as_u16().into());
        document.insert("code".to_owned(), inner.code.into());
        document.insert("detail".to_owned(), inner.detail.into());
        document.insert("instance".to_owned(), instance.into());
        document.insert("request_id".to_owned(), request_id.into());
        // Members are told apart from the standard ones by construction: a clash would hide the standard one.
        let standard: BTreeSet<String> = document.keys().cloned().collect();
        document.extend(inner.members.into_iter().filter(|(name, _)| !standard.contains(name)));
        let mut response = json(inner.status, &Value::Object(document));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(secs) = inner.retry_after_secs {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        headers.extend(inner.headers);
        if inner.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if inner.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::whole(value.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What `/` answers.
pub(crate) fn index(ready: bool) -> Response<Body> {
    let ways = json!({
        "one provider": "/p/{integration}/{path}",
        "a route with failover": "/r/{route}/{path}",
        "many calls in one": "POST /batch",
    });
    json(StatusCode::OK, &json!({ "name": "signalbox gateway", "ready": ready, "call": ways }))
}
