//! `/routes`: ordered integrations behind one name, and where their traffic goes now.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::audit::Verb;
use model::config::Kind;
use model::route::{Route, RouteCause, RouteNow};
use model::token::Permission;
use model::{IntegrationId, RouteId};
use runtime::Problem;
use runtime::json::Json;
use runtime::json::Query;
use serde::{Deserialize, Serialize};
use store::Write;
use utoipa::ToSchema;

use super::{Patch, keeps_id, matching, patched, stored, tagged};
use crate::access::Caller;
use crate::change::{Decision, Deed};
use crate::config::{Config, Kept, StoredRoute};
use crate::page::{Page, Paging};
use crate::problems::{exists, missing};
use crate::state::Api;
use crate::validate;

/// A route and where its traffic goes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RouteView)]
pub(crate) struct View {
    #[serde(flatten)]
    #[schema(value_type = Kept<Route>)]
    kept: Kept<StoredRoute>,
    /// Who answers now, and why; null before it was first decided.
    now: Option<RouteNow>,
}

fn view(api: &Api, kept: Kept<StoredRoute>) -> View {
    View { now: api.live.route(&kept.body.route.id).map(|now| obeying(now, kept.body.pinned.as_ref())), kept }
}

/// What is true of a route once the operator's last word is: gateways obey a pin as soon as they have the
/// configuration, and failover writes it down a moment later.
fn obeying(now: RouteNow, pin: Option<&IntegrationId>) -> RouteNow {
    match pin {
        _ if now.pinned.as_ref() == pin => now,
        Some(pin) => {
            let pinned = Some(pin.clone());
            RouteNow { active: pinned.clone(), cause: RouteCause::Pinned, reason: None, pinned, ..now }
        }
        // Where it goes now is failover's to say.
        None => RouteNow { pinned: None, ..now },
    }
}

fn find<'a>(config: &'a Config, id: &str) -> Result<&'a Kept<StoredRoute>, Problem> {
    config.routes.get(id).ok_or_else(|| missing(Kind::Route, id, config.routes.keys().map(RouteId::as_str)))
}

/// All routes.
#[utoipa::path(get, path = "/routes", tag = "routes", params(Paging), responses((status = 200, body = Page<View>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let after = paging.after("")?.unwrap_or_default();
    let items: Vec<View> = api
        .config()
        .await?
        .routes
        .into_values()
        .filter(|kept| {
            kept.body.route.id.as_str() > after.as_str() && caller.bound_to_route(&kept.body.route.id).is_ok()
        })
        .map(|kept| view(&api, kept))
        .take(paging.size() as usize + 1)
        .collect();
    Ok(axum::Json(paging.page("/api/v1/routes", "", items, |view| view.kept.body.route.id.to_string()))
        .into_response())
}

/// One route.
#[utoipa::path(get, path = "/routes/{id}", tag = "routes", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let config = api.config().await?;
    let kept = find(&config, &id)?;
    caller.bound_to_route(&kept.body.route.id)?;
    Ok(tagged(StatusCode::OK, kept.revision, &view(&api, kept.clone())))
}

/// Puts integrations behind one name.
#[utoipa::path(post, path = "/routes", tag = "routes", request_body = Route,
    responses((status = 201, body = View), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(route): Json<Route>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Route, &route.id, "route.create", Verb::Create);
    caller.may(&api, Permission::Configure, &deed).await?;
    caller.bound_to_route(&route.id)?;
    let body = stored(&StoredRoute { route: route.clone(), pinned: None, drained: BTreeSet::new() })?;
    api.change(&caller, |config, _| {
        if config.routes.contains_key(&route.id) {
            return Err(exists("route", route.id.as_str()));
        }
        validate::route(config, &route)?;
        let write = Write::Create { kind: Kind::Route, id: route.id.to_string(), body: body.clone() };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    answer(&api, route.id.as_str(), StatusCode::CREATED).await
}

async fn answer(api: &Api, id: &str, status: StatusCode) -> Result<Response, Problem> {
    let config = api.config().await?;
    let kept = find(&config, id)?;
    Ok(tagged(status, kept.revision, &view(api, kept.clone())))
}

async fn replace(
    api: &Api,
    caller: &Caller,
    id: &str,
    headers: Option<&HeaderMap>,
    action: &'static str,
    next: impl Fn(&StoredRoute) -> Result<StoredRoute, Problem>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Route, id, action, Verb::Update);
    caller.may(api, Permission::Configure, &deed).await?;
    api.change(caller, |config, _| {
        let kept = find(config, id)?;
        caller.bound_to_route(&kept.body.route.id)?;
        headers.map_or(Ok(()), |headers| matching(headers, kept.revision))?;
        let mut next = next(&kept.body)?;
        keeps_id(id, next.route.id.as_str())?;
        validate::route(config, &next.route)?;
        next.pinned = next.pinned.filter(|pinned| next.route.integrations.contains(pinned));
        next.drained.retain(|drained| next.route.integrations.contains(drained));
        let write = Write::Update {
            kind: Kind::Route,
            id: id.to_owned(),
            body: stored(&next)?,
            expected: Some(kept.revision),
        };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    answer(api, id, StatusCode::OK).await
}

/// Replaces a route; a pin stays while its integration does.
#[utoipa::path(put, path = "/routes/{id}", tag = "routes", params(("id" = String, Path)), request_body = Route,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(route): Json<Route>,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, Some(&headers), "route.update", |old| {
        Ok(StoredRoute { route: route.clone(), ..old.clone() })
    })
    .await
}

/// Changes parts of a route (JSON merge patch).
#[utoipa::path(patch, path = "/routes/{id}", tag = "routes", params(("id" = String, Path)), request_body = Object,
    responses((status = 200, body = View), (status = 412, body = Problem), (status = 428, body = Problem)))]
pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Patch,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, Some(&headers), "route.update", |old| {
        Ok(StoredRoute { route: patched(&old.route, &patch)?, ..old.clone() })
    })
    .await
}

/// Deletes a route.
#[utoipa::path(delete, path = "/routes/{id}", tag = "routes", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let deed = Deed::to(Kind::Route, &id, "route.delete", Verb::Delete);
    caller.may(&api, Permission::Configure, &deed).await?;
    api.change(&caller, |config, _| {
        let kept = find(config, &id)?;
        caller.bound_to_route(&kept.body.route.id)?;
        matching(&headers, kept.revision)?;
        let write = Write::Delete { kind: Kind::Route, id: id.clone(), expected: Some(kept.revision) };
        Ok(Decision::write(write, deed.clone(), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where to pin a route.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RoutePin)]
pub(crate) struct Pin {
    /// One of the route's integrations.
    integration: IntegrationId,
}

/// Sends a route's traffic to one integration, whatever its health.
#[utoipa::path(post, path = "/routes/{id}/~pin", tag = "routes", params(("id" = String, Path)), request_body = Pin,
    responses((status = 200, body = View), (status = 422, body = Problem)))]
pub(crate) async fn pin(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(pin): Json<Pin>,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, None, "route.pin", |old| {
        if !old.route.integrations.contains(&pin.integration) {
            return Err(Problem::validation(
                "/integration",
                format!("`{}` is not part of this route", pin.integration),
            ));
        }
        Ok(StoredRoute { pinned: Some(pin.integration.clone()), ..old.clone() })
    })
    .await
}

/// Lets failover decide again.
#[utoipa::path(post, path = "/routes/{id}/~unpin", tag = "routes", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn unpin(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, None, "route.unpin", |old| Ok(StoredRoute { pinned: None, ..old.clone() }))
        .await
}

/// Which integration of a route to drain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RouteDrain)]
pub(crate) struct Drain {
    /// One of the route's integrations.
    integration: IntegrationId,
}

/// Gives an integration of a route no more calls, unless nobody else can answer. Its health goes on being watched.
#[utoipa::path(post, path = "/routes/{id}/~drain", tag = "routes", params(("id" = String, Path)), request_body = Drain,
    responses((status = 200, body = View), (status = 422, body = Problem)))]
pub(crate) async fn drain(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(Drain { integration }): Json<Drain>,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, None, "route.drain", |old| {
        let mut next = old.clone();
        if !next.route.integrations.contains(&integration) {
            return Err(Problem::validation(
                "/integration",
                format!("`{integration}` is not part of this route"),
            ));
        }
        if next.pinned.as_ref() == Some(&integration) {
            return Err(Problem::validation(
                "/integration",
                format!("the route is pinned to `{integration}`"),
            ));
        }
        next.drained.insert(integration.clone());
        Ok(next)
    })
    .await
}

/// Gives an integration of a route its calls back.
#[utoipa::path(post, path = "/routes/{id}/~undrain", tag = "routes", params(("id" = String, Path)), request_body = Drain,
    responses((status = 200, body = View), (status = 422, body = Problem)))]
pub(crate) async fn undrain(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(Drain { integration }): Json<Drain>,
) -> Result<Response, Problem> {
    replace(&api, &caller, &id, None, "route.undrain", |old| {
        let mut next = old.clone();
        if !next.route.integrations.contains(&integration) {
            return Err(Problem::validation(
                "/integration",
                format!("`{integration}` is not part of this route"),
            ));
        }
        next.drained.remove(&integration);
        Ok(next)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_answered_before_failover_wrote_it_down() {
        let id = |text: &str| IntegrationId::new(text).expect("an id");
        let now = RouteNow {
            route: RouteId::new("quotes").expect("an id"),
            active: Some(id("a")),
            cause: RouteCause::Preferred,
            reason: None,
            since: model::Timestamp::from_millis(1_000),
            epoch: 1,
            version: 2,
            pinned: None,
        };
        assert_eq!(obeying(now.clone(), None), now);
        let pinned = obeying(now, Some(&id("b")));
        assert_eq!((&pinned.active, &pinned.pinned), (&Some(id("b")), &Some(id("b"))));
        assert_eq!(pinned.cause, RouteCause::Pinned);
        assert_eq!(obeying(pinned.clone(), Some(&id("b"))), pinned, "failover wrote it down");
        assert_eq!(obeying(pinned, None).pinned, None);
    }
}
