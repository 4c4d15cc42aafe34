//! `/integrations/{id}/usage`: asked of the meter's figures.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use model::config::Kind;
use runtime::Problem;
use runtime::json::Query;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::access::Caller;
use crate::problems::missing;
use crate::state::Api;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// `day` (the default), `week` or `month`.
    window: Option<String>,
}

/// Quotas, requests, errors and cost of an integration.
#[utoipa::path(get, path = "/integrations/{id}/usage", tag = "integrations", params(("id" = String, Path), Which),
    responses((status = 200, body = model::ask::Usage), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let window = which.window.as_deref().unwrap_or("day");
    if !matches!(window, "day" | "week" | "month") {
        return Err(Problem::bad_request("`window` must be day, week or month"));
    }
    let config = api.config().await?;
    let ids = config.integrations.keys().map(model::IntegrationId::as_str);
    let kept = config.integrations.get(id.as_str()).ok_or_else(|| missing(Kind::Integration, &id, ids))?;
    caller.bound_to_integration(&kept.body.id)?;
    let quotas = match kept.body.quotas.is_empty() {
        true => api
            .catalogue
            .get(kept.body.provider.as_str())
            .map(|provider| provider.preset_quotas())
            .unwrap_or_default(),
        false => kept.body.quotas.clone(),
    };
    let question = model::ask::UsageOf {
        integration: kept.body.id.clone(),
        window: window.to_owned(),
        quotas,
        at: Timestamp::now(),
    };
    match api.ask::<_, model::ask::Usage>("meter", "usage", &question).await? {
        Ok(usage) => Ok(axum::Json(usage).into_response()),
        Err(refused) => Err(Problem::validation("", refused.detail)),
    }
}
