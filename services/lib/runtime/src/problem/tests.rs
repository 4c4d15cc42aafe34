//! What callers get.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::get;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

async fn read(response: Response) -> (u16, HeaderMap, Value) {
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    (head.status.as_u16(), head.headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn ask(method: &str, path: &str) -> (u16, HeaderMap, Value) {
    let router = Router::new()
        .route("/keys/{id}", get(async || Problem::not_found("key", "polygn", ["polygon", "other"])))
        .route("/busy", get(async || ([("x-own", "1")], Problem::too_many(7))))
        .route("/fine", get(async || "fine"))
        .layer(axum::middleware::from_fn(name_requests));
    let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
    read(router.oneshot(request).await.expect("never fails")).await
}

#[tokio::test]
async fn a_problem_names_its_path_and_request() {
    let (status, headers, body) = ask("GET", "/keys/polygn?secret=1").await;
    let id = headers[REQUEST_ID].to_str().expect("ASCII").to_owned();
    assert_eq!((status, id.len(), &headers[CONTENT_TYPE]), (404, 26, &HeaderValue::from_static(MEDIA_TYPE)));
    let expected = json!({
        "type": "https://signalbox.invalid/problems/not-found", "title": "Not found", "status": 404, "code": "not_found",
        "detail": "there is no key `polygn`; did you mean `polygon`?", "instance": "/keys/polygn", "request_id": id,
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn refusals_of_the_framework_become_problems() {
    let (status, _, body) = ask("GET", "/nothing").await;
    assert_eq!(
        (status, &body["code"], &body["detail"]),
        (404, &json!("not_found"), &json!("there is nothing at /nothing"))
    );
    let (status, headers, body) = ask("DELETE", "/fine").await;
    assert_eq!(
        (status, &body["code"], headers["allow"].as_bytes()),
        (405, &json!("method_not_allowed"), &b"GET,HEAD"[..])
    );
    let (status, headers, _) = ask("GET", "/fine").await;
    assert!(status == 200 && headers.contains_key(REQUEST_ID));
}

#[tokio::test]
async fn waiting_and_own_headers_are_kept() {
    let (status, headers, body) = ask("GET", "/busy").await;
    assert_eq!(
        (status, headers["retry-after"].as_bytes(), headers["x-own"].as_bytes()),
        (429, &b"7"[..], &b"1"[..])
    );
    assert_eq!(body["code"], "too_many_requests");
}

#[tokio::test]
async fn an_internal_error_shows_nothing_of_its_cause() {
    let cause = anyhow::anyhow!("password hunter2 at db.example").context("store");
    let (status, _, body) = read(Problem::internal(cause).into_response()).await;
    assert!(
        status == 500 && !body.to_string().contains("hunter2") && !body.to_string().contains("store"),
        "{body}"
    );
}

#[tokio::test]
async fn constructors_have_their_status() {
    let field = |pointer: &str| FieldError { pointer: pointer.to_owned(), detail: "is wrong".to_owned() };
    let table = [
        (Problem::bad_request("x"), 400, "bad_request"),
        (Problem::unauthorized("x"), 401, "unauthorized"),
        (Problem::forbidden("key.reveal"), 403, "forbidden"),
        (Problem::conflict("x"), 409, "conflict"),
        (Problem::stale(), 412, "stale"),
        (Problem::validation("/a/0", "is wrong"), 422, "validation"),
        (Problem::validations(vec![field("/a"), field("/b")]), 422, "validation"),
        (Problem::precondition_required(), 428, "precondition_required"),
        (Problem::unavailable("x", 1), 503, "unavailable"),
    ];
    for (problem, status, code) in table {
        assert_eq!((problem.status, problem.code.as_str()), (status, code));
        assert_eq!(problem.clone().into_response().status(), status);
    }
    assert_eq!(Problem::validation("/a/0", "is wrong").detail, "a.0: is wrong");
    let answer = Problem::unauthorized("x").into_response();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
}
