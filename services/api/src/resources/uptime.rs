//! `/integrations/{id}/uptime`: asked of the meter, who writes down what integrations were.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use model::config::Kind;
use model::uptime::{Uptime, UptimeOf, UptimeWindow};
use runtime::Problem;
use runtime::json::Query;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::access::Caller;
use crate::problems::{RETRY_SECS, missing};
use crate::state::Api;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// `24h` (the default), `7d`, `30d` or `90d`: it ends now.
    #[param(value_type = Option<UptimeWindow>)]
    window: Option<String>,
}

/// What an integration was: its ratio of uptime, incidents, time in each health, percentiles, and bars for a chart.
///
/// The ratio is of time up or degraded, by time up, degraded or down. Maintenance and time in which nothing was known are left
/// out, and so is what was before it was known.
#[utoipa::path(get, path = "/integrations/{id}/uptime", tag = "integrations", params(("id" = String, Path), Which),
    responses((status = 200, body = Uptime), (status = 404, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn uptime(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let window = match which.window.as_deref() {
        None => UptimeWindow::Day,
        Some(text) => UptimeWindow::parse(text)
            .ok_or_else(|| Problem::validation("/window", "must be 24h, 7d, 30d or 90d"))?,
    };
    let config = api.config().await?;
    let ids = config.integrations.keys().map(model::IntegrationId::as_str);
    let kept = config.integrations.get(id.as_str()).ok_or_else(|| missing(Kind::Integration, &id, ids))?;
    caller.bound_to_integration(&kept.body.id)?;
    let question = UptimeOf { integration: kept.body.id.clone(), window, at: Timestamp::now() };
    match api.ask::<_, Uptime>("meter", "uptime", &question).await? {
        Ok(uptime) => Ok(axum::Json(uptime).into_response()),
        Err(refused) => Err(Problem::unavailable(refused.detail, RETRY_SECS)),
    }
}
