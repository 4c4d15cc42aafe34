//! `/alerts`: raised by applications here or on the bus, acknowledged and resolved by people.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::alert::{AlertAcknowledged, AlertRaised, AlertResolved, Phase, Severity};
use model::audit::Verb;
use model::id::Slug;
use model::token::Permission;
use model::{AlertId, Timestamp};
use runtime::Problem;
use runtime::json::Json;
use runtime::json::Query;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::{AlertFilter, AlertRow, AlertWrite};
use utoipa::{IntoParams, ToSchema};

use super::deliveries::{position, positioned};
use crate::access::Caller;
use crate::change::Deed;
use crate::page::{Page, Paging};
use crate::problems::of_store;
use crate::state::{Api, random};

const TITLE_CHARS_MAX: usize = 500;
const FINGERPRINT_CHARS_MAX: usize = 255;

/// An alert as an application raises it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertInput)]
pub(crate) struct Input {
    severity: Severity,
    /// What kind of alert: `price`.
    alert_type: String,
    /// One line for people.
    title: String,
    /// The agent or person it comes from.
    #[serde(default)]
    persona: Option<String>,
    /// What it is about, or who raises it: a slug.
    source: Slug,
    /// What makes two alerts the same; made of source, type and title when absent.
    #[serde(default)]
    fingerprint: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Anything else; the variables of templates.
    #[serde(default)]
    #[schema(value_type = Object)]
    data: Map<String, Value>,
}

/// An alert and where it is in its life.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertView)]
pub(crate) struct View {
    /// Its id.
    id: AlertId,
    #[serde(flatten)]
    raised: AlertRaised,
    /// `raised`, `acknowledged` or `resolved`.
    state: Phase,
    /// How often it was raised while it was open.
    count: u64,
    raised_at: Timestamp,
    updated_at: Timestamp,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<Timestamp>,
    resolved_by: Option<String>,
    resolved_at: Option<Timestamp>,
    note: Option<String>,
}

fn view(row: AlertRow) -> View {
    View {
        id: row.raised.alert.clone(),
        state: row.phase,
        count: row.count,
        raised_at: row.raised_at,
        updated_at: row.updated_at,
        acknowledged_by: row.acknowledged_by,
        acknowledged_at: row.acknowledged_at,
        resolved_by: row.resolved_by,
        resolved_at: row.resolved_at,
        note: row.note,
        raised: row.raised,
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only those in this state.
    state: Option<Phase>,
    severity: Option<Severity>,
    source: Option<String>,
    alert_type: Option<String>,
    persona: Option<String>,
}

impl Which {
    fn text(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let parts = [
            ("state", self.state.map(Phase::as_str)),
            ("severity", self.severity.map(Severity::as_str)),
            ("source", self.source.as_deref()),
            ("alert_type", self.alert_type.as_deref()),
            ("persona", self.persona.as_deref()),
        ];
        for (name, value) in parts {
            value.map(|value| query.append_pair(name, value));
        }
        query.finish()
    }
}

/// Alerts, newest first.
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(Which, Paging), responses((status = 200, body = Page<View>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(which): Query<Which>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let text = which.text();
    let after = paging.after(&text)?;
    let before =
        after.as_deref().and_then(positioned).and_then(|(at, id)| Some((at, AlertId::parse(id).ok()?)));
    let filter = AlertFilter {
        phase: which.state,
        severity: which.severity,
        source: which.source,
        alert_type: which.alert_type,
        persona: which.persona,
    };
    let rows = api.store.alerts_page(&filter, before, paging.size() + 1).await.map_err(of_store)?;
    let items: Vec<View> = rows.into_iter().map(view).collect();
    Ok(axum::Json(
        paging.page("/api/v1/alerts", &text, items, |item| position(item.raised_at, item.id.as_str())),
    )
    .into_response())
}

async fn found(api: &Api, id: &str) -> Result<AlertRow, Problem> {
    let none = || Problem::not_found("alert", id, [] as [&str; 0]);
    let id = AlertId::parse(id).map_err(|_| none())?;
    api.store.alert(&id).await.map_err(of_store)?.ok_or_else(none)
}

/// One alert.
#[utoipa::path(get, path = "/alerts/{id}", tag = "alerts", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    Ok(axum::Json(view(found(&api, &id).await?)).into_response())
}

fn check(input: &Input) -> Result<(), Problem> {
    let title = input.title.chars().count();
    if title == 0 || title > TITLE_CHARS_MAX {
        return Err(Problem::validation("/title", format!("must have 1 to {TITLE_CHARS_MAX} characters")));
    }
    if input.alert_type.is_empty() || input.alert_type.len() > 63 {
        return Err(Problem::validation("/alert_type", "must have 1 to 63 characters"));
    }
    if input
        .fingerprint
        .as_ref()
        .is_some_and(|text| text.is_empty() || text.chars().count() > FINGERPRINT_CHARS_MAX)
    {
        return Err(Problem::validation(
            "/fingerprint",
            format!("must have 1 to {FINGERPRINT_CHARS_MAX} characters, or be left out"),
        ));
    }
    Ok(())
}

/// What makes two alerts the same when nobody said.
pub(crate) fn fingerprint(source: &Slug, alert_type: &str, title: &str) -> String {
    crate::access::token::hash(&format!("{source}\0{alert_type}\0{title}"))
}

/// Raises an alert. It is on disk before this answers.
#[utoipa::path(post, path = "/alerts", tag = "alerts", request_body = Input,
    responses((status = 201, body = View), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(input): Json<Input>,
) -> Result<Response, Problem> {
    let deed = Deed {
        action: "alert.raise",
        verb: Verb::Create,
        target: format!("alert/{}", input.source),
        reason: None,
    };
    caller.may(&api, Permission::Alert, &deed).await?;
    check(&input)?;
    let raised = raise(&api, input).await?;
    let row = found(&api, raised.as_str()).await?;
    Ok((StatusCode::CREATED, axum::Json(view(row))).into_response())
}

async fn raise(api: &Api, input: Input) -> Result<AlertId, Problem> {
    let at = Timestamp::now();
    let fingerprint =
        input.fingerprint.unwrap_or_else(|| fingerprint(&input.source, &input.alert_type, &input.title));
    let open = api.store.open_alert(&fingerprint).await.map_err(of_store)?;
    let raised = AlertRaised {
        alert: open.map_or_else(|| AlertId::make(at, random()), |row| row.raised.alert),
        severity: input.severity,
        alert_type: input.alert_type,
        title: input.title,
        persona: input.persona,
        source: input.source,
        fingerprint,
        at,
        labels: input.labels,
        data: input.data,
    };
    let id = raised.alert.clone();
    api.raise(raised).await?;
    Ok(id)
}

/// What somebody says about an alert.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertNote)]
pub(crate) struct Note {
    #[serde(default)]
    note: Option<String>,
}

/// Somebody takes care of an alert.
#[utoipa::path(post, path = "/alerts/{id}/~acknowledge", tag = "alerts", params(("id" = String, Path)), request_body = Note,
    responses((status = 200, body = View), (status = 409, body = Problem)))]
pub(crate) async fn acknowledge(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: Option<Json<Note>>,
) -> Result<Response, Problem> {
    let note = body.and_then(|Json(body)| body.note);
    let row = open(&api, &caller, &id, "alert.acknowledge").await?;
    let at = Timestamp::now();
    let by = caller.actor.to_string();
    let write =
        AlertWrite::Acknowledge { alert: row.raised.alert.clone(), by: by.clone(), at, note: note.clone() };
    let event =
        api.fact(AlertAcknowledged { raised: row.raised, acknowledged_at: at, acknowledged_by: by, note })?;
    finish(&api, &caller, &id, "alert.acknowledge", write, event, at).await
}

/// An alert is over.
#[utoipa::path(post, path = "/alerts/{id}/~resolve", tag = "alerts", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 409, body = Problem)))]
pub(crate) async fn resolve(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = open(&api, &caller, &id, "alert.resolve").await?;
    let at = Timestamp::now();
    let by = caller.actor.to_string();
    let write = AlertWrite::Resolve { alert: row.raised.alert.clone(), by: by.clone(), at };
    let event = api.fact(AlertResolved { raised: row.raised, resolved_at: at, resolved_by: by })?;
    finish(&api, &caller, &id, "alert.resolve", write, event, at).await
}

async fn open(api: &Api, caller: &Caller, id: &str, action: &'static str) -> Result<AlertRow, Problem> {
    let deed = Deed { action, verb: Verb::Update, target: format!("alert/{id}"), reason: None };
    caller.may(api, Permission::Alert, &deed).await?;
    let row = found(api, id).await?;
    if row.phase == Phase::Resolved {
        return Err(Problem::conflict("it is already resolved"));
    }
    Ok(row)
}

async fn finish(
    api: &Api,
    caller: &Caller,
    id: &str,
    action: &'static str,
    write: AlertWrite,
    event: crate::change::Fact,
    at: Timestamp,
) -> Result<Response, Problem> {
    let deed = Deed { action, verb: Verb::Update, target: format!("alert/{id}"), reason: None };
    let audit = api.fact(caller.did(&deed, "ok", at))?;
    let change = store::Change {
        based_on: None,
        writes: Vec::new(),
        events: vec![event, audit],
        alerts: vec![write],
        answer: None,
    };
    api.store.commit(change, at).await.map_err(of_store)?;
    Ok(axum::Json(view(found(api, id).await?)).into_response())
}

/// An alert as Prometheus sends it to an Alertmanager (API v2).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Prometheus {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    ends_at: Option<Timestamp>,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
}

/// Takes alerts as an Alertmanager does, so that Prometheus can be pointed here.
pub(crate) async fn from_prometheus(
    State(api): State<Api>,
    caller: Caller,
    Json(alerts): Json<Vec<Prometheus>>,
) -> Result<StatusCode, Problem> {
    let deed = Deed {
        action: "alert.raise",
        verb: Verb::Create,
        target: "alert/prometheus".to_owned(),
        reason: None,
    };
    caller.may(&api, Permission::Alert, &deed).await?;
    for alert in alerts {
        let name = alert.labels.get("alertname").cloned().unwrap_or_else(|| "alert".to_owned());
        let labels: String = alert.labels.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
        let fingerprint = format!("prometheus/{}", &crate::access::token::hash(&labels)[..32]);
        let over = alert.ends_at.is_some_and(|at| at <= Timestamp::now() && at.as_millis() > 0);
        let open = api.store.open_alert(&fingerprint).await.map_err(of_store)?;
        match (over, open) {
            (true, None) => {}
            (true, Some(row)) => {
                let at = Timestamp::now();
                let write =
                    AlertWrite::Resolve { alert: row.raised.alert.clone(), by: "prometheus".to_owned(), at };
                let event = api.fact(AlertResolved {
                    raised: row.raised,
                    resolved_at: at,
                    resolved_by: "prometheus".to_owned(),
                })?;
                let change = store::Change {
                    based_on: None,
                    writes: Vec::new(),
                    events: vec![event],
                    alerts: vec![write],
                    answer: None,
                };
                api.store.commit(change, at).await.map_err(of_store)?;
            }
            (false, _) => {
                let severity = match alert.labels.get("severity").map(String::as_str) {
                    Some("critical" | "page") => Severity::Critical,
                    Some("error") => Severity::Error,
                    Some("info" | "none") => Severity::Info,
                    _ => Severity::Warning,
                };
                let title = alert
                    .annotations
                    .get("summary")
                    .or(alert.annotations.get("description"))
                    .unwrap_or(&name);
                let mut data: Map<String, Value> = alert
                    .annotations
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone().into()))
                    .collect();
                alert
                    .generator_url
                    .as_ref()
                    .map(|url| data.insert("generator_url".to_owned(), url.clone().into()));
                let input = Input {
                    severity,
                    alert_type: name.chars().take(63).collect(),
                    title: title.chars().take(TITLE_CHARS_MAX).collect(),
                    persona: None,
                    source: Slug::of(alert.labels.get("job").unwrap_or(&"prometheus".to_owned())),
                    fingerprint: Some(fingerprint),
                    labels: alert.labels,
                    data,
                };
                raise(&api, input).await?;
            }
        }
    }
    Ok(StatusCode::OK)
}
