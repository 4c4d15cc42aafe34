//! JSON and query strings of requests as types, with errors that say where they are wrong.
//!
//! What is no JSON is a 400 with line and column; what does not fit is a 422 with a JSON pointer. A text that a caller
//! sent in the wrong place is not repeated: it may be a key.

mod words;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problem::Problem;

/// A body in JSON: of a request as an extractor, of an answer as a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// A query string as a type. Parameters that it does not know are refused before, by whoever knows all of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_media_type(request.headers())?;
        parse(&read(request, state).await?).map(Self)
    }
}

/// A body that may be left out: no byte is none, whatever the head says of it.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        let checked = check_media_type(request.headers());
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        checked?;
        parse(&bytes).map(Self).map(Some)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, why)| why);
            Problem::bad_request(format!(
                "the query string is not valid: {}",
                words::plain(&without_texts(text))
            ))
        })
    }
}

/// Reads JSON into a type, or says what is wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        // The reader calls it a mistake in the text, too, where a choice has another form than it knows.
        if error.inner().classify() == Category::Syntax && is_json(bytes) {
            return Problem::validation(pointer, "it has none of the forms that are allowed here");
        }
        explain(error.inner(), pointer)
    })?;
    reader.end().map_err(|error| explain(&error, String::new()))?;
    Ok(value)
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Reads a JSON value that is there already into a type, or says what is wrong.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer = pointer(error.path());
        explain(error.inner(), pointer)
    })
}

/// All of a body.
async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(status, "too_large", "Body is too large", "the body is larger than allowed here")
        }
        _ => Problem::slow_body(&rejection).unwrap_or_else(|| Problem::bad_request("the body broke off")),
    })
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let detail = "send the body as JSON, with the header Content-Type: application/json";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Not JSON", detail))
}

fn explain(error: &serde_json::Error, pointer: String) -> Problem {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    match error.classify() {
        Category::Data => {
            let pointer = match quoted(text, &["missing field", "unknown field"]) {
                Some(field) if !pointer.ends_with(&format!("/{}", escape(field))) => {
                    format!("{pointer}/{}", escape(field))
                }
                _ => pointer,
            };
            Problem::validation(pointer, words::plain(&without_texts(text)))
        }
        Category::Syntax | Category::Eof | Category::Io => {
            let (line, column) = (error.line(), error.column());
            Problem::bad_request(format!("the body is not JSON: {text} (line {line}, column {column})"))
        }
    }
}

/// The name in backquotes behind one of these words.
fn quoted<'t>(text: &'t str, words: &[&str]) -> Option<&'t str> {
    words.iter().find_map(|word| text.strip_prefix(word)?.trim_start().strip_prefix('`')?.split('`').next())
}

/// Takes out a text that the caller sent where it does not belong.
fn without_texts(text: &str) -> String {
    for kind in ["invalid type: string \"", "invalid value: string \""] {
        if let (Some(rest), Some(expected)) = (text.strip_prefix(kind), text.rfind("\", expected "))
            && rest.len() > 1
        {
            return format!("{}string{}", &kind[..kind.len() - "string \"".len()], &text[expected + 1..]);
        }
    }
    text.to_owned()
}

fn pointer(path: &Path) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(segment).collect()
}

/// RFC 6901.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::HeaderName;
    use model::Secret;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[expect(dead_code, reason = "only read")]
        id: u8,
        #[serde(default)]
        #[expect(dead_code, reason = "only read")]
        lines: Vec<BTreeMap<String, u8>>,
        #[serde(default)]
        #[expect(dead_code, reason = "only read")]
        secrets: BTreeMap<String, Secret>,
    }

    fn check(body: &str, status: u16, pointer: &str, detail: &str) {
        let problem = parse::<Order>(body.as_bytes()).expect_err("is wrong");
        let found = problem.errors.first().map_or("", |error| error.pointer.as_str());
        assert_eq!((problem.status, found), (status, pointer), "{body}: {problem:?}");
        assert!(problem.detail.contains(detail), "{body}: {}", problem.detail);
    }

    #[test]
    fn what_does_not_fit_has_a_pointer() {
        check(r#"{"id": "x"}"#, 422, "/id", "expected a whole number from 0 to 255, found a text");
        check(r#"{"id": 1, "lines": [{}, {"a/b~c": -1}]}"#, 422, "/lines/1/a~1b~0c", "found `-1`");
        check("{}", 422, "/id", "missing field `id`");
        check(r#"{"id": 1, "extra": 2}"#, 422, "/extra", "unknown field `extra`, expected one of");
        check("[]", 422, "", "");
        check(
            r#"{"id": 1, "secrets": "sk-\", expected hunter2"}"#,
            422,
            "/secrets",
            "expected an object, found a text",
        );
    }

    #[test]
    fn a_choice_of_another_form_is_still_json() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Choice {
            #[expect(dead_code, reason = "only read")]
            One(u8),
        }
        for body in [r#"{"of": {}}"#, r#"{"of": {"one": 1, "two": 2}}"#, r#"{"of": 3}"#] {
            let problem = parse::<BTreeMap<String, Choice>>(body.as_bytes()).expect_err("is wrong");
            let pointer = problem.errors.first().map(|error| error.pointer.as_str());
            assert_eq!((problem.status, pointer), (422, Some("/of")), "{body}: {problem}");
        }
        let broken = parse::<BTreeMap<String, Choice>>(br#"{"of": {}"#).expect_err("is wrong");
        assert_eq!(broken.status, 400, "{broken}");
    }

    #[test]
    fn what_is_no_json_has_line_and_column() {
        check("{\n  \"id\": }", 400, "", "(line 2, column 9)");
        check("", 400, "", "line 1, column 0");
        check(r#"{"id": 1} x"#, 400, "", "trailing characters");
        let deep = parse::<serde_json::Value>("[".repeat(100_000).as_bytes()).expect_err("is too deep");
        assert!(deep.status == 400 && deep.detail.contains("recursion limit"), "{deep}");
    }

    #[test]
    fn a_misplaced_secret_is_not_repeated() {
        for body in [
            r#"{"id": "hunter2"}"#,
            r#"{"id": 1, "secrets": "hunter2"}"#,
            r#"{"id":1,"secrets":{"a":["hunter2"]}}"#,
        ] {
            let problem = parse::<Order>(body.as_bytes()).expect_err("is wrong");
            assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
        }
    }

    #[tokio::test]
    async fn only_json_is_taken() {
        let ask = async |media_type: &str| {
            let request = Request::post("/")
                .header(CONTENT_TYPE, media_type)
                .body(Body::from("{\"id\":1}"))
                .expect("a request");
            let read = <Json<Order> as FromRequest<()>>::from_request(request, &()).await;
            read.map(|_| ()).map_err(|problem| problem.status)
        };
        assert_eq!(ask("application/json; charset=utf-8").await, Ok(()));
        assert_eq!(ask("application/merge-patch+json").await, Ok(()));
        assert_eq!(ask("text/plain").await, Err(415));
        assert_eq!(ask("").await, Err(415));
    }

    #[tokio::test]
    async fn a_body_that_may_be_left_out_is_still_refused_when_it_is_wrong() {
        let ask = async |headers: &[(HeaderName, &str)], body: &'static str| {
            let request = Request::post("/").body(Body::from(body)).expect("a request");
            let (mut parts, body) = request.into_parts();
            for (name, value) in headers {
                parts.headers.insert(name, value.parse().expect("a value"));
            }
            let request = Request::from_parts(parts, body);
            let read = <Json<Order> as OptionalFromRequest<()>>::from_request(request, &()).await;
            read.map(|body| body.is_some()).map_err(|problem| problem.status)
        };
        let json = (CONTENT_TYPE, "application/json");
        assert_eq!(ask(&[], "").await, Ok(false));
        assert_eq!(ask(std::slice::from_ref(&json), "").await, Ok(false));
        assert_eq!(ask(std::slice::from_ref(&json), r#"{"id": 1}"#).await, Ok(true));
        assert_eq!(ask(std::slice::from_ref(&json), "{}").await, Err(422));
        assert_eq!(ask(&[json], " ").await, Err(400));
        assert_eq!(ask(&[(CONTENT_TYPE, "text/plain")], "").await, Ok(false));
        assert_eq!(ask(&[], r#"{"id": 1}"#).await, Err(415));
        assert_eq!(ask(&[(CONTENT_TYPE, "text/plain")], r#"{"id": 1}"#).await, Err(415));
    }

    #[tokio::test]
    async fn a_wrong_query_is_a_problem() {
        #[derive(Debug, Deserialize)]
        struct Page {
            #[expect(dead_code, reason = "only read")]
            page_size: u16,
        }
        let mut parts = Request::get("/?page_size=many").body(()).expect("a request").into_parts().0;
        let problem = Query::<Page>::from_request_parts(&mut parts, &()).await.expect_err("is wrong");
        assert!(problem.status == 400 && problem.detail.ends_with("expected a whole number"), "{problem}");
    }
}
