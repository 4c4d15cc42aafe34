//! `/stream`: the bus as server-sent events. `id:` is where to go on, `event:` the type, `data:` the structured event.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use crate::problems::RETRY_SECS;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bus::{Message, Start};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue};
use model::event::{CATALOGUE, TYPE_PREFIX};
use runtime::Problem;
use runtime::json::Query;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::access::Caller;
use crate::problems::internal;
use crate::state::Api;

/// A comment line so often, so that nobody in between takes the silence for an end.
const ALIVE: Duration = Duration::from_secs(15);
/// Subjects that one stream may name.
const SUBJECTS_MAX: usize = 16;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Subjects, comma separated, with the wildcards of NATS: `sb.v1.health.>`. Everything but the audit log when absent.
    subjects: Option<String>,
}

/// Events as they happen.
#[utoipa::path(get, path = "/stream", tag = "events", params(Which),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream"), (status = 400, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let subjects = subjects(which.subjects.as_deref(), caller.role.allows(model::token::Permission::Audit))?;
    let place = api
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::unavailable("too many event streams are open", RETRY_SECS))?;
    let start = match headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
        Some(id) => {
            positions(id).ok_or_else(|| Problem::bad_request("`Last-Event-ID` is not one of this stream"))?
        }
        None => BTreeMap::new(),
    };
    let mut reached = start.clone();
    let start = if start.is_empty() { Start::New } else { Start::After(start) };
    let events = api.bus.tail(subjects, start).await.map_err(internal)?;
    let stopping = api.stopping.clone();
    let events = events
        .map(move |message| {
            let _held = &place;
            reached.insert(message.stream.to_string(), message.sequence);
            Ok::<_, Infallible>(sent(&message, &reached))
        })
        .take_until(stopping.cancelled_owned());
    let hello = stream::iter([Ok(Event::default().retry(Duration::from_secs(2)).comment("connected"))]);
    let mut response =
        Sse::new(hello.chain(events)).keep_alive(KeepAlive::new().interval(ALIVE)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn subjects(wanted: Option<&str>, audit: bool) -> Result<Vec<String>, Problem> {
    let Some(wanted) = wanted else {
        let mut domains: Vec<String> = CATALOGUE
            .iter()
            .filter_map(|event| event.subject.split('.').nth(2))
            .filter(|domain| *domain != "audit")
            .map(|domain| format!("sb.v1.{domain}.>"))
            .collect();
        domains.sort_unstable();
        domains.dedup();
        return Ok(domains);
    };
    let subjects: Vec<String> = wanted.split(',').map(|subject| subject.trim().to_owned()).collect();
    if subjects.len() > SUBJECTS_MAX {
        return Err(Problem::bad_request("at most 16 subjects"));
    }
    for subject in &subjects {
        let token = |t: &str| {
            t == "*"
                || t == ">"
                || (!t.is_empty() && t.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-'))
        };
        if !subject.starts_with("sb.v1.") || !subject.split('.').all(token) {
            return Err(Problem::bad_request(format!(
                "`{}` is not a subject below sb.v1.",
                subject.escape_debug()
            )));
        }
        let reaches_audit = matches!(subject.split('.').nth(2), Some("audit" | "*" | ">"));
        if reaches_audit && !audit {
            return Err(Problem::forbidden("audit"));
        }
    }
    Ok(subjects)
}

/// Where a stream of events has got to, in every JetStream stream that it reads: `ALERTS.12_HEALTH.99`.
fn positions(id: &str) -> Option<BTreeMap<String, u64>> {
    let one = |part: &str| {
        let (stream, sequence) = part.split_once('.')?;
        let known = stream.bytes().all(|c| c.is_ascii_uppercase()) && !stream.is_empty();
        Some((known.then(|| stream.to_owned())?, sequence.parse().ok()?))
    };
    id.split('_').map(one).collect()
}

fn position(reached: &BTreeMap<String, u64>) -> String {
    reached.iter().map(|(stream, sequence)| format!("{stream}.{sequence}")).collect::<Vec<_>>().join("_")
}

fn sent(message: &Message, reached: &BTreeMap<String, u64>) -> Event {
    let envelope = &message.envelope;
    let data: serde_json::Value = serde_json::from_slice(&envelope.data).unwrap_or_default();
    let structured = serde_json::json!({
        "specversion": "1.0",
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.kind,
        "time": envelope.time,
        "subject": envelope.subject.as_str(),
        "datacontenttype": "application/json",
        "dataschema": envelope.dataschema(),
        "data": data,
    });
    let kind = envelope.kind.strip_prefix(TYPE_PREFIX).unwrap_or(&envelope.kind);
    let event = Event::default().id(position(reached)).event(kind);
    event.data(structured.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let id = "ALERTS.12_HEALTH.99";
        assert_eq!(position(&positions(id).expect("a position")), id);
        for wrong in ["", "x", "ALERTS.", "ALERTS.x", "a.1", "ALERTS.1_"] {
            assert!(positions(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_audit_log_is_for_those_who_may_read_it() {
        assert!(subjects(Some("sb.v1.>"), false).is_err());
        assert!(subjects(Some("sb.v1.audit.>"), false).is_err());
        assert!(subjects(Some("sb.v1.audit.>"), true).is_ok());
        assert!(subjects(Some("$JS.API.>"), true).is_err());
        assert!(subjects(None, false).expect("the default").iter().all(|subject| !subject.contains("audit")));
    }
}
