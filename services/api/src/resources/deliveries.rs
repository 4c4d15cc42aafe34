//! `/deliveries` and `/webhooks/{id}/deliveries`: what was sent, what came of it, and sending it again.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::alert::AlertRaised;
use model::audit::Verb;
use model::config::Kind;
use model::delivery::{Attempt, Delivery, DeliveryDue, DeliveryState};
use model::token::Permission;
use model::{DeliveryId, Timestamp, WebhookId};
use runtime::Problem;
use runtime::json::Json;
use runtime::json::Query;
use serde::{Deserialize, Serialize};
use store::Replay;
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::change::Deed;
use crate::page::{Page, Paging};
use crate::problems::{missing, of_store};
use crate::state::{Api, random};

/// Deliveries that one replay may make.
const REPLAYS_MAX: u64 = 10_000;

/// A delivery with all that is known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryView)]
pub(crate) struct View {
    #[serde(flatten)]
    delivery: Delivery,
    /// The alert that it tells of.
    alert: AlertRaised,
    /// Its attempts, first one first.
    tries: Vec<Attempt>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only those in this state.
    state: Option<DeliveryState>,
}

pub(crate) fn position(at: Timestamp, id: &str) -> String {
    format!("{}:{id}", at.as_millis())
}

pub(crate) fn positioned(text: &str) -> Option<(Timestamp, &str)> {
    let (millis, id) = text.split_once(':')?;
    Some((Timestamp::from_millis(millis.parse().ok()?), id))
}

/// Deliveries of a webhook, newest first.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "webhooks", params(("id" = String, Path), Which, Paging),
    responses((status = 200, body = Page<Delivery>), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(which): Query<Which>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let config = api.config().await?;
    let ids = config.webhooks.keys().map(WebhookId::as_str);
    let webhook =
        config.webhooks.get(id.as_str()).ok_or_else(|| missing(Kind::Webhook, &id, ids))?.body.id.clone();
    let filter = which.state.map(|state| format!("state={}", state.as_str())).unwrap_or_default();
    let after = paging.after(&filter)?;
    let before =
        after.as_deref().and_then(positioned).and_then(|(at, id)| Some((at, DeliveryId::parse(id).ok()?)));
    let items = api
        .store
        .deliveries_page(Some(&webhook), which.state, before, paging.size() + 1)
        .await
        .map_err(of_store)?;
    let path = format!("/api/v1/webhooks/{id}/deliveries");
    Ok(axum::Json(paging.page(&path, &filter, items, |item| position(item.created_at, item.id.as_str())))
        .into_response())
}

/// One delivery with its attempts.
#[utoipa::path(get, path = "/deliveries/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = View), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let (delivery, alert, tries) = found(&api, &id).await?;
    Ok(axum::Json(View { delivery, alert, tries }).into_response())
}

async fn found(api: &Api, id: &str) -> Result<(Delivery, AlertRaised, Vec<Attempt>), Problem> {
    let none = || Problem::not_found("delivery", id, [] as [&str; 0]);
    let id = DeliveryId::parse(id).map_err(|_| none())?;
    api.store.delivery(&id).await.map_err(of_store)?.ok_or_else(none)
}

/// What a replay made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryReplayed)]
pub(crate) struct Replayed {
    /// How many deliveries were (or, in a dry run, would be) made.
    count: u64,
    /// The new deliveries; none in a dry run.
    deliveries: Vec<DeliveryId>,
}

/// Sends one delivery again, as a new delivery.
#[utoipa::path(post, path = "/deliveries/{id}/~replay", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 202, body = Replayed), (status = 404, body = Problem)))]
pub(crate) async fn replay(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let deed =
        Deed { action: "delivery.replay", verb: Verb::Use, target: format!("delivery/{id}"), reason: None };
    caller.may(&api, Permission::Configure, &deed).await?;
    let (delivery, _, _) = found(&api, &id).await?;
    again(&api, &caller, deed, vec![(delivery.id, delivery.webhook)]).await
}

async fn again(
    api: &Api,
    caller: &Caller,
    deed: Deed,
    ids: Vec<(DeliveryId, WebhookId)>,
) -> Result<Response, Problem> {
    let at = Timestamp::now();
    let mut replays = Vec::with_capacity(ids.len());
    for (of, webhook) in ids {
        let id = DeliveryId::make(at, random());
        let due = api.fact(DeliveryDue { delivery: id.clone(), webhook, due_at: at })?;
        replays.push(Replay { of, id, due });
    }
    let audit = api.fact(caller.did(&deed, "ok", at))?;
    let deliveries = api.store.replay(&replays, &[audit], at).await.map_err(of_store)?;
    let body = Replayed { count: deliveries.len() as u64, deliveries };
    Ok((StatusCode::ACCEPTED, axum::Json(body)).into_response())
}

/// Which deliveries to send again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeliveryRange)]
pub(crate) struct Range {
    webhook: WebhookId,
    /// Only those in this state; `failed` when absent.
    #[serde(default)]
    state: Option<DeliveryState>,
    /// Made at this moment or later.
    #[serde(default)]
    from: Option<Timestamp>,
    /// Made before this moment.
    #[serde(default)]
    to: Option<Timestamp>,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

/// Sends a range of a webhook's deliveries again, oldest first.
#[utoipa::path(post, path = "/deliveries/~replay", tag = "webhooks", request_body = Range,
    responses((status = 200, body = Replayed), (status = 202, body = Replayed), (status = 422, body = Problem)))]
pub(crate) async fn replay_range(
    State(api): State<Api>,
    caller: Caller,
    Json(range): Json<Range>,
) -> Result<Response, Problem> {
    let deed = Deed::to(Kind::Webhook, &range.webhook, "delivery.replay", Verb::Use);
    caller.may(&api, Permission::Configure, &deed).await?;
    if !api.config().await?.webhooks.contains_key(&range.webhook) {
        return Err(Problem::validation("/webhook", format!("there is no webhook `{}`", range.webhook)));
    }
    let state = range.state.unwrap_or(DeliveryState::Failed);
    let from = range.from.unwrap_or_default();
    let to = range.to.unwrap_or(Timestamp::now());
    let count =
        api.store.deliveries_count(Some(&range.webhook), Some(state), from, to).await.map_err(of_store)?;
    if range.dry_run {
        return Ok(axum::Json(Replayed { count, deliveries: Vec::new() }).into_response());
    }
    if count > REPLAYS_MAX {
        return Err(Problem::validation(
            "",
            format!("{count} deliveries are more than {REPLAYS_MAX} at once; narrow `from` and `to`"),
        ));
    }
    let limit = u32::try_from(REPLAYS_MAX).unwrap_or(u32::MAX);
    let found = api
        .store
        .deliveries_between(Some(&range.webhook), Some(state), from, to, limit)
        .await
        .map_err(of_store)?;
    let ids = found.into_iter().map(|due| (due.delivery.id, due.delivery.webhook)).collect();
    again(&api, &caller, deed, ids).await
}
