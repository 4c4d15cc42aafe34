//! Answers what was used: the body of `GET /integrations/{id}/usage`.

use std::fmt::Display;

use jiff::tz::TimeZone;
use model::ask::{
    Answer, CallerUse, EndpointUse, Latency, ModelUse, Refused, RouteUse, SpanUse, Usage, UsageOf,
};
use model::integration::Window;
use model::subject;
use store::{Step, Totals};
use tokio_util::sync::CancellationToken;

use crate::{Meter, forecasts, limits, window};

/// Answers until told to stop.
pub(crate) async fn answers(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    let bus = meter.bus.clone();
    let answer = move |question: UsageOf| {
        let meter = meter.clone();
        async move { answered("the figures", usage(&meter, question).await) }
    };
    bus.answer(&subject::ask("meter", "usage"), "meter", answer).until(stopping).await?;
    Ok(())
}

/// An outcome as whoever asked is told it; `what` could not be read otherwise.
pub(crate) fn answered<T, E: Display>(what: &str, outcome: Result<T, E>) -> Answer<T> {
    match outcome {
        Ok(answer) => Answer::Ok(answer),
        Err(error) => Answer::Refused(Refused {
            code: "unavailable".to_owned(),
            detail: format!("{what} could not be read: {error:#}"),
            line: None,
            column: None,
            near: Vec::new(),
        }),
    }
}

async fn usage(meter: &Meter, question: UsageOf) -> anyhow::Result<Usage> {
    let (used, limits) = limits::used(meter, &question).await?;
    let UsageOf { integration: id, window: asked, step, zone, plan_micros, at, now, .. } = question;
    let zone = zone.unwrap_or_else(|| "UTC".to_owned());
    let wall = TimeZone::get(&zone).unwrap_or(TimeZone::UTC);
    let (from, to) = asked.span_in(at, &wall);
    let store = &meter.store;
    let apart = store.usage_apart(&id, from, to, Step::from(step.rows_in(from, to, &wall))).await?;
    // What is over needs no forecast: where there is no limit, it is that of today.
    let of = if now < to { window::Span { from, to } } else { window::at(now, Window::Day, &zone) };
    let sofar =
        if now < to { apart.total.requests } else { store.usage_total(&id, of.from, of.to).await?.requests };
    let forecast = forecasts::overall(meter, &id, &limits, (of, sofar, &zone), now).await?;
    let history = Totals::gathered(apart.history, |at| step.floor_in(at, &wall)).into_iter();
    let (endpoints, callers) = (apart.endpoints.into_iter(), apart.callers.into_iter());
    let (models, routes) = (apart.models.into_iter(), apart.routes.into_iter());
    Ok(Usage {
        integration: id.clone(),
        window: asked,
        zone,
        from,
        to,
        figures: apart.total.into(),
        plan_micros,
        quotas: used,
        endpoints: endpoints.map(|(endpoint, sum)| EndpointUse { endpoint, figures: sum.into() }).collect(),
        callers: callers.map(|(caller, sum)| CallerUse { caller, figures: sum.into() }).collect(),
        models: models
            .map(|(model, sum)| ModelUse {
                model,
                answers: sum.requests,
                tokens: sum.tokens,
                cost_micros: (sum.tokens.unpriced_answers < sum.requests).then_some(sum.cost_micros),
                request_bytes: sum.request_bytes,
                response_bytes: sum.response_bytes,
                latency: Latency::of(&sum.latency),
            })
            .collect(),
        routes: routes
            .filter_map(|(route, sum)| Some(RouteUse { route: route.parse().ok()?, figures: sum.into() }))
            .collect(),
        step,
        history: history.map(|(start, sum)| SpanUse { start, figures: sum.into() }).collect(),
        forecast,
    })
}
