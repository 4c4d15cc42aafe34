//! The resources: one file a noun. A handler takes the caller, names the permission, decides, answers.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod budgets;
pub(crate) mod caches;
pub(crate) mod deliveries;
pub(crate) mod integrations;
pub(crate) mod keys;
pub(crate) mod providers;
pub(crate) mod routes;
pub(crate) mod rules;
pub(crate) mod sessions;
pub(crate) mod silences;
pub(crate) mod stream;
pub(crate) mod templates;
pub(crate) mod tokens;
pub(crate) mod trial;
pub(crate) mod uptime;
pub(crate) mod usage;
pub(crate) mod users;
pub(crate) mod webhooks;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use runtime::Problem;
use runtime::json::Json;
use serde::Serialize;
use serde_json::Value;

use crate::config::etag;

/// An answer with the entity tag of its revision.
pub(crate) fn tagged<T: Serialize>(status: StatusCode, revision: u64, body: &T) -> Response {
    with_tag((status, axum::Json(body)).into_response(), revision)
}

fn with_tag(mut response: Response, revision: u64) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&etag(revision)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// A read: 304 when the caller already has this revision.
pub(crate) fn read<T: Serialize>(headers: &HeaderMap, revision: u64, body: &T) -> Response {
    let tag = etag(revision);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag)) {
        return with_tag(StatusCode::NOT_MODIFIED.into_response(), revision);
    }
    tagged(StatusCode::OK, revision, body)
}

/// The revision that a change is made on: `If-Match` is required (428) and must be current (412). `*` is any.
pub(crate) fn matching(headers: &HeaderMap, current: u64) -> Result<(), Problem> {
    let Some(given) = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()) else {
        return Err(Problem::precondition_required());
    };
    let tag = etag(current);
    if given.trim() == "*" || given.split(',').any(|one| one.trim() == tag) {
        return Ok(());
    }
    Err(Problem::stale())
}

/// Refuses a body that names itself otherwise than its address does.
pub(crate) fn keeps_id(id: &str, named: &str) -> Result<(), Problem> {
    if named == id {
        return Ok(());
    }
    Err(Problem::validation("/id", "is part of the address and cannot be changed"))
}

/// A JSON merge patch (RFC 7396) of a document.
pub(crate) fn merge(document: &mut Value, patch: Value) {
    match (document, patch) {
        (Value::Object(document), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    document.remove(&name);
                } else {
                    merge(document.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (document, patch) => *document = patch,
    }
}

/// Reads a merged document as a type; what is wrong is pointed at.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Problem> {
    runtime::json::from_value(value)
}

/// A thing with a merge patch over it, read as what it becomes.
pub(crate) fn patched<S: Serialize, T: serde::de::DeserializeOwned>(
    thing: &S,
    patch: &serde_json::Map<String, Value>,
) -> Result<T, Problem> {
    let mut document = stored(thing)?;
    merge(&mut document, Value::Object(patch.clone()));
    typed(document)
}

/// A patch body.
pub(crate) type Patch = Json<serde_json::Map<String, Value>>;

/// Turns a stored thing into the JSON that is stored.
pub(crate) fn stored<T: Serialize>(thing: &T) -> Result<Value, Problem> {
    serde_json::to_value(thing).map_err(crate::problems::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_merges_and_null_removes() {
        let mut document = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        merge(&mut document, json!({"b": {"c": null, "x": 1}, "e": [2], "a": 5}));
        assert_eq!(document, json!({"a": 5, "b": {"d": 3, "x": 1}, "e": [2]}));
    }

    #[test]
    fn a_change_needs_the_current_tag() {
        let with =
            |tag: &'static str| HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static(tag))]);
        assert!(matching(&with("\"7\""), 7).is_ok());
        assert!(matching(&with("*"), 7).is_ok());
        assert_eq!(matching(&with("\"6\""), 7).expect_err("stale").status, 412);
        assert_eq!(matching(&HeaderMap::new(), 7).expect_err("required").status, 428);
    }
}
