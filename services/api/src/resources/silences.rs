//! `/silences`: alerts that nobody wants to hear of for a while. They are written down, but not delivered.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::audit::Verb;
use model::config::Kind;
use model::id::Slug;
use model::token::Permission;
use runtime::Problem;
use runtime::json::Json;
use runtime::json::Query;
use store::Write;

use super::{matching, stored, tagged};
use crate::access::Caller;
use crate::change::{Decision, Deed};
use crate::config::{Config, Kept, Silence};
use crate::page::{Page, Paging};
use crate::problems::{exists, missing};
use crate::state::Api;

fn find<'a>(config: &'a Config, id: &str) -> Result<&'a Kept<Silence>, Problem> {
    config
        .silences
        .get(id)
        .ok_or_else(|| missing(Kind::Silence, id, config.silences.keys().map(Slug::as_str)))
}

fn check(silence: &Silence) -> Result<(), Problem> {
    if silence.ends_at <= silence.starts_at {
        return Err(Problem::validation("/ends_at", "must be after `starts_at`"));
    }
    Ok(())
}

/// All silences.
#[utoipa::path(get, path = "/silences", tag = "alerts", params(Paging), responses((status = 200, body = Page<Kept<Silence>>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let after = paging.after("")?.unwrap_or_default();
    let config = api.config().await?;
    let items: Vec<_> = config
        .silences
        .into_values()
        .filter(|kept| kept.body.id.as_str() > after.as_str())
        .take(paging.size() as usize + 1)
        .collect();
    Ok(axum::Json(paging.page("/api/v1/silences", "", items, |kept| kept.body.id.to_string()))
        .into_response())
}

/// One silence.
#[utoipa::path(get, path = "/silences/{id}", tag = "alerts", params(("id" = String, Path)),
    responses((status = 200, body = Kept<Silence>), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let config = api.config().await?;
    let kept = find(&config, &id)?;
    Ok(tagged(StatusCode::OK, kept.revision, kept))
}

/// Silences alerts.
#[utoipa::path(post, path = "/silences", tag = "alerts", request_body = Silence,
    responses((status = 201, body = Kept<Silence>), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(silence): Json<Silence>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Silence, &silence.id, "silence.create", Verb::Create);
    caller.may(&api, Permission::Configure, &deed).await?;
    check(&silence)?;
    let body = stored(&silence)?;
    api.change(&caller, |config, _| {
        if config.silences.contains_key(&silence.id) {
            return Err(exists("silence", silence.id.as_str()));
        }
        let write = Write::Create { kind: Kind::Silence, id: silence.id.to_string(), body: body.clone() };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    let config = api.config().await?;
    let kept = find(&config, silence.id.as_str())?;
    Ok(tagged(StatusCode::CREATED, kept.revision, kept))
}

/// Ends a silence.
#[utoipa::path(delete, path = "/silences/{id}", tag = "alerts", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::Silence, &id, "silence.delete", Verb::Delete);
    caller.may(&api, Permission::Configure, &deed).await?;
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        matching(&headers, kept.revision)?;
        let write = Write::Delete { kind: Kind::Silence, id: id.clone(), expected: Some(kept.revision) };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
