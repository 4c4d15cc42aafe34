//! `/audit`: who did what, newest first; export and verification of the chain.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderValue, header};
use model::Timestamp;
use model::audit::Verb;
use model::token::Permission;
use runtime::Problem;
use runtime::json::Query;
use serde::{Deserialize, Serialize};
use store::{AuditFilter, AuditRow};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::change::Deed;
use crate::csv;
use crate::page::{Page, Paging};
use crate::problems::of_store;
use crate::state::Api;

/// How long a read waits for entries that were written before it and are still on their way into the log.
const CATCH_UP: std::time::Duration = std::time::Duration::from_secs(2);
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(10);
/// Rows read at once for an export.
const EXPORT_ROWS: u32 = 500;

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    actor: Option<String>,
    action: Option<String>,
    target: Option<String>,
    #[param(value_type = Option<String>)]
    verb: Option<Verb>,
    outcome: Option<String>,
    /// At this moment or later.
    #[param(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// Before this moment.
    #[param(value_type = Option<String>)]
    to: Option<Timestamp>,
}

impl Which {
    fn text(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let parts = [
            ("actor", self.actor.clone()),
            ("action", self.action.clone()),
            ("target", self.target.clone()),
            ("verb", self.verb.map(|verb| verb.as_str().to_owned())),
            ("outcome", self.outcome.clone()),
            ("from", self.from.map(|at| at.to_string())),
            ("to", self.to.map(|at| at.to_string())),
        ];
        for (name, value) in parts {
            value.map(|value| query.append_pair(name, &value));
        }
        query.finish()
    }

    fn filter(self) -> AuditFilter {
        AuditFilter {
            actor: self.actor,
            action: self.action,
            target: self.target,
            verb: self.verb,
            outcome: self.outcome,
            from: self.from,
            to: self.to,
        }
    }
}

/// An entry of the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct Entry {
    sequence: u64,
    at: Timestamp,
    actor: String,
    method: String,
    source_ip: Option<String>,
    action: String,
    verb: Verb,
    target: String,
    outcome: String,
    reason: Option<String>,
    request_id: Option<String>,
    /// SHA-256 of the hash before it and of the stored entry.
    hash: String,
}

impl From<AuditRow> for Entry {
    fn from(row: AuditRow) -> Self {
        let AuditRow {
            sequence,
            at,
            actor,
            method,
            source_ip,
            action,
            verb,
            target,
            outcome,
            reason,
            request_id,
            hash,
            ..
        } = row;
        Self {
            sequence,
            at,
            actor,
            method,
            source_ip,
            action,
            verb,
            target,
            outcome,
            reason,
            request_id,
            hash,
        }
    }
}

fn deed(action: &'static str) -> Deed {
    Deed { action, verb: Verb::View, target: "audit".to_owned(), reason: None }
}

/// Waits, for a bounded time, until what was written before this read is in the log.
async fn catch_up(api: &Api) -> Result<(), Problem> {
    let asked = Timestamp::now();
    let deadline = Instant::now() + CATCH_UP;
    while api.store.audit_waiting(asked).await.map_err(of_store)? > 0 && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// The audit log, newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Which, Paging),
    responses((status = 200, body = Page<Entry>), (status = 403, body = Problem)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(which): Query<Which>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Permission::Audit, &deed("audit.view")).await?;
    catch_up(&api).await?;
    let text = which.text();
    let before = paging.after(&text)?.and_then(|text| text.parse().ok());
    let rows = api.store.audit_page(&which.filter(), before, paging.size() + 1).await.map_err(of_store)?;
    let items: Vec<Entry> = rows.into_iter().map(Entry::from).collect();
    Ok(axum::Json(paging.page("/api/v1/audit", &text, items, |item| item.sequence.to_string()))
        .into_response())
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Format {
    /// `ndjson` (the default) or `csv`.
    format: Option<String>,
}

/// The whole audit log, oldest first, as NDJSON or CSV.
#[utoipa::path(get, path = "/audit/export", tag = "audit", params(Which, Format),
    responses((status = 200, description = "NDJSON or CSV"), (status = 403, body = Problem)))]
pub(crate) async fn export(
    State(api): State<Api>,
    caller: Caller,
    Query(which): Query<Which>,
    Query(format): Query<Format>,
) -> Result<Response, Problem> {
    let as_csv = match format.format.as_deref() {
        None | Some("ndjson") => false,
        Some("csv") => true,
        Some(_) => return Err(Problem::bad_request("`format` must be ndjson or csv")),
    };
    caller.may(&api, Permission::Audit, &deed("audit.export")).await?;
    api.audit(&caller, &deed("audit.export"), "ok").await?;
    catch_up(&api).await?;
    let head = if as_csv { CSV_HEAD } else { "" };
    let start = Some((which.filter(), None::<u64>));
    let rows = stream::unfold((api, start), move |(api, state)| async move {
        let (filter, after) = state?;
        // An answer that has begun cannot become an error: it ends early, and the reader sees no last line feed.
        let rows = api.store.audit_export(&filter, after, EXPORT_ROWS).await.ok()?;
        let last = rows.last()?.sequence;
        let text: String = rows.into_iter().map(|row| line(row, as_csv)).collect();
        Some((Ok::<_, Infallible>(Bytes::from(text)), (api, Some((filter, Some(last))))))
    });
    let body = futures_util::StreamExt::chain(stream::iter([Ok(Bytes::from(head))]), rows);
    let mut response = Body::from_stream(body).into_response();
    let kind = if as_csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

const CSV_HEAD: &str =
    "sequence,at,actor,method,source_ip,action,verb,target,outcome,reason,request_id,hash\r\n";

fn line(row: AuditRow, as_csv: bool) -> String {
    let entry = Entry::from(row);
    if !as_csv {
        return serde_json::to_string(&entry).map(|text| text + "\n").unwrap_or_default();
    }
    let cells = [
        entry.sequence.to_string(),
        entry.at.to_string(),
        entry.actor,
        entry.method,
        entry.source_ip.unwrap_or_default(),
        entry.action,
        entry.verb.as_str().to_owned(),
        entry.target,
        entry.outcome,
        entry.reason.unwrap_or_default(),
        entry.request_id.unwrap_or_default(),
        entry.hash,
    ];
    cells.iter().map(|text| csv::cell(text)).collect::<Vec<_>>().join(",") + "\r\n"
}

/// What the chain says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerified)]
pub(crate) struct Verified {
    /// Whether every entry follows from the one before it.
    intact: bool,
    /// Entries that were checked.
    entries: u64,
    /// The last hash.
    head: String,
    /// The first entry that does not follow.
    first_bad: Option<u64>,
}

/// Checks the whole chain.
#[utoipa::path(get, path = "/audit/verify", tag = "audit", responses((status = 200, body = Verified), (status = 403, body = Problem)))]
pub(crate) async fn verify(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    caller.may(&api, Permission::Audit, &deed("audit.verify")).await?;
    let found = api.store.audit_verify().await.map_err(of_store)?;
    let verified = Verified {
        intact: found.first_bad.is_none(),
        entries: found.entries,
        head: found.head,
        first_bad: found.first_bad,
    };
    Ok(axum::Json(verified).into_response())
}
