//! `/usage` and `/integrations/{id}/usage`: what passed, by time, endpoint, caller, model and route.
//!
//! One integration's figures are asked of the meter, who knows where they are heading. Sums over all integrations and tables
//! are read where the meter wrote them. Windows are of the calendar of a zone; a token sees the integrations it is bound to.

mod table;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use model::ask::{Figures, IntegrationUse, SpanUse, Usage, UsageOf, UsageOfAll, UsageStep, UsageWindow};
use model::config::Kind;
use model::integration::Integration;
use model::quota::Quota;
use model::usage::Sketch;
use model::{IntegrationId, Timestamp};
use runtime::Problem;
use runtime::json::Query;
use serde::Deserialize;
use store::{Facet, Step, Totals};
use utoipa::IntoParams;

use crate::access::Caller;
use crate::problems::{RETRY_SECS, missing, of_store};
use crate::state::Api;
use crate::validate;

pub(crate) use table::{__path_export, export};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// `hour`, `day` (the default), `week` (from Monday), `month`, or `90d` (today and the 89 days before).
    #[param(value_type = Option<UsageWindow>)]
    window: Option<String>,
    /// How long the spans of the history are: `minute` (of an hour or a day; kept for 2 days), `hour` (kept for 90 days),
    /// `day` (kept for 5 years). Minutes of an hour, hours of a day and days of all else unless said.
    #[param(value_type = Option<UsageStep>)]
    step: Option<String>,
    /// A moment of the window: now unless said.
    #[param(value_type = Option<String>)]
    at: Option<String>,
    /// The zone in which windows and days begin, an IANA name: UTC unless said. Another one knows the 90 days for which hours
    /// are kept; one whose clocks are not whole hours from UTC the 2 days for which minutes are.
    zone: Option<String>,
}

/// A window that was asked for.
#[derive(Clone)]
struct Asked {
    window: UsageWindow,
    step: UsageStep,
    zone: TimeZone,
    from: Timestamp,
    to: Timestamp,
    at: Timestamp,
    now: Timestamp,
}

impl Asked {
    /// The step of the rows that its history is made of.
    fn rows(&self) -> Step {
        Step::from(self.step.rows_in(self.from, self.to, &self.zone))
    }

    /// The history of such rows.
    fn history(&self, rows: Vec<(Timestamp, Totals)>) -> Vec<(Timestamp, Totals)> {
        Totals::gathered(rows, |at| self.step.floor_in(at, &self.zone))
    }

    /// Whether there are rows that end where the window does.
    fn is_kept(&self) -> Result<(), Problem> {
        let rows = Step::from(UsageStep::Day.rows_in(self.from, self.to, &self.zone));
        if rows == Step::Day || self.from >= self.now.minus(rows.kept()) {
            return Ok(());
        }
        let why = match rows {
            Step::Minute => "this zone is not whole hours from UTC, and minutes are kept for 2 days",
            _ => "hours are kept for 90 days",
        };
        let detail = format!("{why}: ask for a window that began since, or without a zone for one of UTC");
        Err(Problem::validation("/zone", detail))
    }
}

impl Which {
    fn asked(&self) -> Result<Asked, Problem> {
        let now = Timestamp::now();
        let window = match self.window.as_deref() {
            None => UsageWindow::Day,
            Some(text) => UsageWindow::parse(text)
                .ok_or_else(|| Problem::validation("/window", "must be hour, day, week, month or 90d"))?,
        };
        let step = match self.step.as_deref() {
            None => window.step(),
            Some(text) => UsageStep::parse(text)
                .ok_or_else(|| Problem::validation("/step", "must be minute, hour or day"))?,
        };
        if step < window.step_min() {
            let detail = format!("is too short for this window: at least {}", window.step_min().as_str());
            return Err(Problem::validation("/step", detail));
        }
        let at = match self.at.as_deref() {
            None => now,
            Some(text) => Timestamp::parse(text)
                .map_err(|_| Problem::validation("/at", "must be a time as RFC 3339 has it"))?,
        };
        let zone = match self.zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => {
                validate::zone("/zone", name)?;
                TimeZone::get(name).unwrap_or(TimeZone::UTC)
            }
        };
        let (from, to) = window.span_in(at, &zone);
        let asked = Asked { window, step, zone, from, to, at, now };
        asked.is_kept()?;
        Ok(asked)
    }
}

/// What passed through an integration: in all, by endpoint, caller, model, route and time; its limits, and where it goes.
///
/// Each call is counted once, in the minute in which it happened, within seconds. What a gateway that was killed had counted
/// in its last second is lost. Percentiles are true ones of all calls of the window.
#[utoipa::path(get, path = "/integrations/{id}/usage", tag = "integrations", params(("id" = String, Path), Which),
    responses((status = 200, body = Usage), (status = 404, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let Asked { window, step, at, now, .. } = which.asked()?;
    let it = integration(&api, &caller, &id).await?;
    let (quotas, shown) = limits(&api, &it);
    let plan_micros = it.cost.plan.as_ref().map(|plan| plan.per_month_micros);
    let question = UsageOf {
        integration: it.id,
        window,
        zone: which.zone,
        step,
        quotas,
        shown,
        key: it.key,
        plan_micros,
        at,
        now,
    };
    match api.ask::<_, Usage>("meter", "usage", &question).await? {
        Ok(usage) => Ok(axum::Json(usage).into_response()),
        Err(refused) => Err(Problem::unavailable(refused.detail, RETRY_SECS)),
    }
}

/// What passed through all integrations: in all, by integration and by time.
#[utoipa::path(get, path = "/usage", tag = "integrations", params(Which),
    responses((status = 200, body = UsageOfAll), (status = 422, body = Problem)))]
pub(crate) async fn all(
    State(api): State<Api>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    caller.may_read()?;
    let asked = which.asked()?;
    let Asked { window, step, from, to, .. } = asked;
    let config = api.config().await?;
    let seen = config.integrations.values().map(|kept| &kept.body.id);
    let ids: Vec<IntegrationId> =
        seen.filter(|id| caller.bound_to_integration(id).is_ok()).cloned().collect();
    let (each, history) = tokio::try_join!(
        api.store.usage_of_each(&ids, Facet::All, "", from, to),
        api.store.usage_history_of_all(&ids, from, to, asked.rows())
    )
    .map_err(of_store)?;
    let mut sum = Totals { latency: Sketch::default(), ..Totals::default() };
    each.iter().for_each(|(_, totals)| sum.add(totals));
    let mut integrations: Vec<IntegrationUse> = each
        .into_iter()
        .map(|(integration, totals)| IntegrationUse { integration, figures: Figures::from(totals) })
        .collect();
    integrations.sort_by_key(|one| std::cmp::Reverse(one.figures.requests));
    let history = asked.history(history).into_iter();
    let history = history.map(|(start, totals)| SpanUse { start, figures: totals.into() });
    let zone = which.zone.unwrap_or_else(|| "UTC".to_owned());
    let usage = UsageOfAll {
        window,
        zone,
        from,
        to,
        figures: sum.into(),
        integrations,
        step,
        history: history.collect(),
    };
    Ok(axum::Json(usage).into_response())
}

/// The limits that gateways keep to, and those of the catalogue that are only shown: of the plan that most accounts have.
fn limits(api: &Api, it: &Integration) -> (Vec<Quota>, Vec<Quota>) {
    if !it.quotas.is_empty() {
        return (it.quotas.clone(), Vec::new());
    }
    let Some(provider) = api.catalogue.get(it.provider.as_str()) else { return (Vec::new(), Vec::new()) };
    let plan = it.settings.get("plan").and_then(serde_json::Value::as_str);
    let kept = provider.quotas_of(it);
    // Of a plan that is named all limits are kept that are known for certain.
    let is_new = |quota: &Quota| plan.is_none() && kept.iter().all(|other: &Quota| other.name != quota.name);
    let shown = provider.preset_quotas().into_iter().filter(is_new).collect();
    (kept, shown)
}

/// An integration that the caller may see.
async fn integration(api: &Api, caller: &Caller, id: &str) -> Result<Integration, Problem> {
    caller.may_read()?;
    let config = api.config().await?;
    let ids = config.integrations.keys().map(IntegrationId::as_str);
    let kept = config.integrations.get(id).ok_or_else(|| missing(Kind::Integration, id, ids))?;
    caller.bound_to_integration(&kept.body.id)?;
    Ok(kept.body.clone())
}
