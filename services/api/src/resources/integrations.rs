//! `/integrations`: configured uses of providers, with their health as it is now.

use crate::problems::RETRY_SECS;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::ask::{AdmitUrl, Admitted, Ping, Pong, TestIntegration};
use model::audit::Verb;
use model::config::Kind;
use model::health::{Health, Reason};
use model::integration::Integration;
use model::secret::Fields;
use model::token::Permission;
use model::{IntegrationId, Timestamp};
use runtime::Problem;
use runtime::json::Json;
use runtime::json::Query;
use serde::{Deserialize, Serialize};
use store::Write;
use utoipa::{IntoParams, ToSchema};

use super::{Patch, keeps_id, matching, patched, read, stored, tagged, typed};
use crate::access::Caller;
use crate::change::{Decision, Deed};
use crate::config::{Config, Kept};
use crate::page::{Page, Paging};
use crate::problems::{exists, missing};
use crate::state::Api;
use crate::{resources::trial, validate};

/// An integration with its health.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IntegrationView)]
pub(crate) struct View {
    #[serde(flatten)]
    kept: Kept<Integration>,
    /// What it is now.
    health: Health,
    /// `green`, `yellow`, `red`, `grey`.
    colour: &'static str,
    /// Why; null when it is up.
    reason: Option<Reason>,
    /// Latency of the last answered probe, in milliseconds.
    latency_ms: Option<u32>,
    /// When it was last observed.
    checked_at: Option<Timestamp>,
    /// Since when it is what it is.
    since: Option<Timestamp>,
    /// A sentence for people.
    detail: Option<String>,
}

fn view(api: &Api, kept: Kept<Integration>) -> View {
    let now = api.live.health(&kept.body.id).filter(|_| kept.body.enabled);
    let health = now.as_ref().map_or(Health::Unknown, |now| now.health);
    View {
        health,
        colour: health.colour(),
        reason: now.as_ref().and_then(|now| now.reason),
        latency_ms: now.as_ref().and_then(|now| now.latency_ms),
        checked_at: now.as_ref().and_then(|now| now.checked_at),
        since: now.as_ref().map(|now| now.since),
        detail: now.and_then(|now| now.detail),
        kept,
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only those of this provider.
    provider: Option<String>,
    /// Only those with this health.
    health: Option<Health>,
}

/// All integrations with their health.
#[utoipa::path(get, path = "/integrations", tag = "integrations", params(Which, Paging),
    responses((status = 200, body = Page<View>), (status = 401, body = Problem)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(which): Query<Which>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let mut filter =
        which.provider.as_ref().map(|provider| format!("provider={provider}")).unwrap_or_default();
    if let Some(health) = which.health {
        filter.push_str(&format!("&health={}", health.as_str()));
    }
    let after = paging.after(&filter)?.unwrap_or_default();
    let config = api.config().await?;
    let items: Vec<View> = config
        .integrations
        .into_values()
        .filter(|kept| kept.body.id.as_str() > after.as_str())
        .filter(|kept| which.provider.as_ref().is_none_or(|provider| kept.body.provider.as_str() == provider))
        .filter(|kept| caller.bound_to_integration(&kept.body.id).is_ok())
        .map(|kept| view(&api, kept))
        .filter(|view| which.health.is_none_or(|health| view.health == health))
        .take(paging.size() as usize + 1)
        .collect();
    let page = paging.page("/api/v1/integrations", &filter, items, |view| view.kept.body.id.to_string());
    Ok(axum::Json(page).into_response())
}

pub(super) fn find<'a>(config: &'a Config, id: &str) -> Result<&'a Kept<Integration>, Problem> {
    config
        .integrations
        .get(id)
        .ok_or_else(|| missing(Kind::Integration, id, config.integrations.keys().map(IntegrationId::as_str)))
}

/// One integration with its health.
#[utoipa::path(get, path = "/integrations/{id}", tag = "integrations", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let config = api.config().await?;
    let kept = find(&config, &id)?;
    caller.bound_to_integration(&kept.body.id)?;
    Ok(read(&headers, kept.revision, &view(&api, kept.clone())))
}

async fn admitted(api: &Api, it: &Integration) -> Result<(), Problem> {
    let Some(url) = &it.base_url else { return Ok(()) };
    match api.ask::<_, Admitted>("prober", "admit", &AdmitUrl { url: url.clone() }).await? {
        Ok(_) => Ok(()),
        Err(refused) => Err(Problem::validation("/base_url", refused.detail)),
    }
}

/// Configures a use of a provider.
#[utoipa::path(post, path = "/integrations", tag = "integrations", request_body = Integration,
    responses((status = 201, body = View), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(it): Json<Integration>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Integration, &it.id, "integration.create", Verb::Create);
    caller.may(&api, Permission::Configure, &deed).await?;
    caller.bound_to_integration(&it.id)?;
    admitted(&api, &it).await?;
    let body = stored(&it)?;
    let ((), revision) = api
        .change(&caller, |config, _| {
            if config.integrations.contains_key(&it.id) {
                return Err(exists("integration", it.id.as_str()));
            }
            validate::integration(&api, config, &it)?;
            let write = Write::Create { kind: Kind::Integration, id: it.id.to_string(), body: body.clone() };
            Ok(Decision::write(write, deed.clone(), ()))
        })
        .await?;
    answer(&api, &it.id, StatusCode::CREATED, revision).await
}

async fn answer(
    api: &Api,
    id: &IntegrationId,
    status: StatusCode,
    revision: u64,
) -> Result<Response, Problem> {
    let config = api.config().await?;
    let kept = find(&config, id.as_str())?;
    let mut response = tagged(status, revision, &view(api, kept.clone()));
    if status == StatusCode::CREATED
        && let Ok(location) = format!("/api/v1/integrations/{id}").parse()
    {
        response.headers_mut().insert(http::header::LOCATION, location);
    }
    Ok(response)
}

async fn replace(
    api: &Api,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    action: &'static str,
    next: impl Fn(&Integration) -> Result<Integration, Problem>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Integration, id, action, Verb::Update);
    caller.may(api, Permission::Configure, &deed).await?;
    let first = find(&api.config().await?, id)?.body.clone();
    caller.bound_to_integration(&first.id)?;
    admitted(api, &next(&first)?).await?;
    let ((), revision) = api
        .change(caller, |config, _| {
            let kept = find(config, id)?;
            matching(headers, kept.revision)?;
            let it = next(&kept.body)?;
            keeps_id(id, it.id.as_str())?;
            validate::integration(api, config, &it)?;
            let write = Write::Update {
                kind: Kind::Integration,
                id: id.to_owned(),
                body: stored(&it)?,
                expected: Some(kept.revision),
            };
            Ok(Decision::write(write, deed.clone(), ()))
        })
        .await?;
    answer(api, &first.id, StatusCode::OK, revision).await
}

/// Replaces an integration.
#[utoipa::path(put, path = "/integrations/{id}", tag = "integrations", params(("id" = String, Path)), request_body = Integration,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(it): Json<Integration>,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, &headers, "integration.update", |_| Ok(it.clone())).await
}

/// Changes parts of an integration (JSON merge patch).
#[utoipa::path(patch, path = "/integrations/{id}", tag = "integrations", params(("id" = String, Path)), request_body = Object,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Patch,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, &headers, "integration.update", |it| patched(it, &patch)).await
}

/// Deletes an integration that no route needs.
#[utoipa::path(delete, path = "/integrations/{id}", tag = "integrations", params(("id" = String, Path)),
    responses((status = 204), (status = 409, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::Integration, &id, "integration.delete", Verb::Delete);
    caller.may(&api, Permission::Configure, &deed).await?;
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        caller.bound_to_integration(&kept.body.id)?;
        matching(&headers, kept.revision)?;
        let routes: Vec<&str> = config
            .routes
            .values()
            .filter(|route| route.body.route.integrations.contains(&kept.body.id))
            .map(|route| route.body.route.id.as_str())
            .collect();
        if !routes.is_empty() {
            return Err(Problem::conflict(format!(
                "it is part of the route {}; take it out there first",
                routes.join(", ")
            )));
        }
        let write = Write::Delete { kind: Kind::Integration, id: id.clone(), expected: Some(kept.revision) };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn switch(api: &Api, caller: &Caller, id: &str, enabled: bool) -> Result<Response, Problem> {
    let any = HeaderMap::from_iter([(http::header::IF_MATCH, http::HeaderValue::from_static("*"))]);
    let action = if enabled { "integration.enable" } else { "integration.disable" };
    replace(api, caller, id, &any, action, |it| Ok(Integration { enabled, ..it.clone() })).await
}

/// Enables an integration.
#[utoipa::path(post, path = "/integrations/{id}/~enable", tag = "integrations", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn enable(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    switch(&api, &caller, &id, true).await
}

/// Disables an integration: it is neither called nor probed.
#[utoipa::path(post, path = "/integrations/{id}/~disable", tag = "integrations", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn disable(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    switch(&api, &caller, &id, false).await
}

/// Asks the provider now.
#[utoipa::path(get, path = "/integrations/{id}/ping", tag = "integrations", params(("id" = String, Path)),
    responses((status = 200, body = Pong), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn ping(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let config = api.config().await?;
    let kept = find(&config, &id)?;
    caller.bound_to_integration(&kept.body.id)?;
    if !kept.body.enabled {
        return Err(Problem::conflict(format!(
            "`{id}` is disabled; enable it with POST /api/v1/integrations/{id}:enable"
        )));
    }
    // By configuration rather than by name: the prober may not have seen the newest snapshot yet.
    let question = Ping { integration: kept.body.id.clone() };
    match api.ask::<_, Pong>("prober", "ping", &question).await? {
        Ok(pong) => Ok(axum::Json(pong).into_response()),
        Err(refused) if refused.code == "unknown_integration" => {
            let question = TestIntegration { integration: kept.body.clone(), trial: None, version: None };
            pong(api.ask::<_, Pong>("prober", "test", &question).await?)
        }
        Err(refused) => Err(Problem::unavailable(refused.detail, RETRY_SECS)),
    }
}

fn pong(answer: Result<Pong, model::ask::Refused>) -> Result<Response, Problem> {
    match answer {
        Ok(pong) => Ok(axum::Json(pong).into_response()),
        Err(refused) => Err(Problem::validation("", refused.detail)),
    }
}

/// A configuration to try, with a key that is not stored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IntegrationTrial)]
pub(crate) struct Trial {
    /// The configuration; its id may be any.
    #[schema(value_type = Integration)]
    integration: serde_json::Value,
    /// The key's values, instead of a stored key.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    fields: Option<Fields>,
}

/// Tries a configuration and a key: nothing is stored.
#[utoipa::path(post, path = "/integrations/~test", tag = "integrations", request_body = Trial,
    responses((status = 200, body = Pong), (status = 422, body = Problem)))]
pub(crate) async fn test(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<serde_json::Value>,
) -> Result<Response, Problem> {
    let deed = Deed {
        action: "integration.test",
        verb: Verb::Use,
        target: "integration/(trial)".to_owned(),
        reason: None,
    };
    caller.may(&api, Permission::Configure, &deed).await?;
    let Trial { integration, fields } = trial_of(body)?;
    let mut integration = integration;
    if let Some(object) = integration.as_object_mut() {
        object.entry("id").or_insert_with(|| "trial".into());
    }
    let mut it: Integration = typed(integration)?;
    if fields.is_some() {
        it.key = None;
    }
    let config = api.config().await?;
    let mut checked = it.clone();
    validate::scheme(&it)?;
    if fields.is_some() && checked.auth.is_some() {
        checked.auth = Some(model::auth::Auth::None {});
    }
    validate::integration(&api, &config, &checked)?;
    admitted(&api, &it).await?;
    api.audit(&caller, &deed, "ok").await?;
    let kept = match &fields {
        Some(fields) => Some(trial::keep(&api, fields).await?),
        None => None,
    };
    let question =
        TestIntegration { integration: it, trial: kept.as_ref().map(|kept| kept.id.clone()), version: None };
    let answer = api.ask::<_, Pong>("prober", "test", &question).await;
    if let Some(kept) = kept {
        kept.forget(&api).await?;
    }
    pong(answer?)
}

/// The body is `{"integration": {…}, "fields": {…}}`, or the configuration itself with `fields` beside it.
fn trial_of(body: serde_json::Value) -> Result<Trial, Problem> {
    if body.get("integration").is_some() {
        return typed(body);
    }
    let mut body = body;
    let fields = body.as_object_mut().and_then(|object| object.remove("fields"));
    Ok(Trial { integration: body, fields: fields.map(typed).transpose()? })
}
