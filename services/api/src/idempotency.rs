//! `Idempotency-Key`: a POST that is sent again with the same key and body gets the same answer again.
//!
//! Kept 24 hours with status and body. Another body under the same key is refused (422), and a second one
//! while the first still runs is told to wait (409). Answers that show a secret once are not kept: their key
//! is refused the second time rather than shown again.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use model::Timestamp;
use runtime::Problem;
use runtime::problem::Document;
use sha2::{Digest, Sha256};
use store::{Answered, Begin};

use crate::access::token;
use crate::problems::{internal, of_store};
use crate::state::Api;

/// Longest key, in characters.
const KEY_CHARS_MAX: usize = 255;
/// Largest answer that is kept, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The header that an answer that must not be kept carries inside the program: its value is shown once.
pub(crate) const SHOWN_ONCE: &str = "x-signalbox-shown-once";

pub(crate) async fn layer(State(api): State<Api>, request: Request, next: Next) -> Response {
    match replay(api, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn replay(api: Api, request: Request, next: Next) -> Result<Response, Problem> {
    let key = request.headers().get("idempotency-key").filter(|_| request.method() == Method::POST);
    let Some(key) = key else { return Ok(clean(next.run(request).await)) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_CHARS_MAX);
    let key = key
        .ok_or_else(|| Problem::bad_request("`Idempotency-Key` must be 1 to 255 visible characters"))?
        .to_owned();
    // Whoever holds the same credential is the same caller; the credential itself is not kept.
    let credential = [header::AUTHORIZATION, header::COOKIE].map(|name| request.headers().get(name).cloned());
    let caller = token::hash(&format!("{credential:?}"));
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, api.settings.body_bytes_max).await.map_err(|error| {
        Problem::slow_body(&error).unwrap_or_else(|| Problem::too_large(api.settings.body_bytes_max))
    })?;
    let mut digest = Sha256::new();
    digest.update(parts.uri.path_and_query().map_or(parts.uri.path(), |asked| asked.as_str()));
    digest.update([0]);
    digest.update(&body);
    let hash = token::hash(&format!("{:x}", digest.finalize()));
    match api.store.answered_begin(&key, &caller, &hash, Timestamp::now()).await.map_err(of_store)? {
        Begin::Running => {
            return Err(Problem::conflict("the first request with this `Idempotency-Key` is still running"));
        }
        Begin::Done(kept) if kept.request_hash != hash => {
            return Err(Problem::validation("", "this `Idempotency-Key` was used for another request"));
        }
        Begin::Done(kept) => return again(&kept),
        Begin::Started => {}
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let once = response.headers().contains_key(SHOWN_ONCE);
    if response.status().is_server_error() || once {
        api.store.answered_abandon(&key, &caller).await.map_err(of_store)?;
        return Ok(clean(response));
    }
    let (parts, body) = response.into_parts();
    let body: Bytes = to_bytes(body, ANSWER_BYTES_MAX).await.map_err(internal)?;
    let kept = Answered {
        key,
        actor: caller,
        request_hash: hash,
        status: parts.status.as_u16(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    api.store.answered_end(&kept).await.map_err(of_store)?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn clean(mut response: Response) -> Response {
    response.headers_mut().remove(SHOWN_ONCE);
    response
}

/// The kept answer. A problem is put together again, so that it names this request, as every problem does.
fn again(kept: &Answered) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(kept.status).map_err(internal)?;
    let mut response = if status.is_success() {
        let kind = HeaderValue::from_static("application/json");
        (status, [(header::CONTENT_TYPE, kind)], kept.body.clone()).into_response()
    } else {
        let problem: Document = serde_json::from_str(&kept.body).map_err(internal)?;
        Problem::from(problem).into_response()
    };
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(status: u16, body: String) -> Answered {
        Answered { key: "k".to_owned(), actor: "a".to_owned(), request_hash: "h".to_owned(), status, body }
    }

    async fn text(response: Response) -> String {
        let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_success_comes_again_byte_for_byte() {
        let body = "{ \"id\":\"a\",\"n\": 1.50 }\n";
        let response = again(&kept(201, body.to_owned())).unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["idempotency-replayed"], "true");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(text(response).await, body);
    }

    #[tokio::test]
    async fn a_problem_comes_again_as_a_problem_that_can_be_named() {
        let first = Problem::validation("/id", "is taken").with("line", Some(3));
        let body = text(first.clone().into_response()).await;
        let response = again(&kept(422, body.clone())).unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], runtime::problem::MEDIA_TYPE);
        assert_eq!(response.extensions().get::<Problem>(), Some(&first), "who names requests finds it");
        assert_eq!(text(response).await, body);
    }
}
