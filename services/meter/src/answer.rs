//! Answers what was used: the body of `GET /integrations/{id}/usage`.

use model::ask::{Answer, EndpointUse, QuotaUse, Refused, SpanUse, Usage, UsageOf};
use model::integration::Window;
use model::subject;
use store::{Facet, Step};
use tokio_util::sync::CancellationToken;

use crate::{Meter, forecasts, window};

/// Answers until told to stop.
pub(crate) async fn answers(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    let bus = meter.bus.clone();
    let answer = move |question: UsageOf| {
        let meter = meter.clone();
        async move {
            match usage(&meter, question).await {
                Ok(usage) => Answer::Ok(usage),
                Err(error) => Answer::Refused(Refused {
                    code: "unavailable".to_owned(),
                    detail: format!("the figures could not be read: {error:#}"),
                    line: None,
                    column: None,
                    near: Vec::new(),
                }),
            }
        }
    };
    bus.answer(&subject::ask("meter", "usage"), "meter", answer).until(stopping).await?;
    Ok(())
}

async fn usage(meter: &Meter, question: UsageOf) -> anyhow::Result<Usage> {
    let UsageOf { integration: id, window: name, quotas, at } = question;
    let (per, step) = match name.as_str() {
        "month" => (Window::Month, Step::Day),
        "week" => (Window::Week, Step::Day),
        _ => (Window::Day, Step::Hour),
    };
    let span = window::at(at, per, "UTC");
    let total = meter.store.usage_total(&id, span.from, span.to).await?;
    let endpoints = meter.store.usage_by(&id, Facet::Endpoint, span.from, span.to).await?;
    let history = meter.store.usage_history(&id, span.from, span.to, step).await?;
    let mut used = Vec::with_capacity(quotas.len());
    let mut limits = Vec::with_capacity(quotas.len());
    for quota in quotas {
        let Some(per) = quota.per.filter(|_| quota.counts_calls()) else { continue };
        let span = window::at(at, per, quota.zone());
        let count = meter.store.usage_in_window(&id, span.from, span.to, at).await?.requests;
        let forecast = forecasts::of_quota(meter, &id, &quota, span, count, at).await?;
        used.push(QuotaUse {
            near_limit: quota.near.reached(count, quota.requests),
            ratio: ratio(count, quota.requests),
            name: quota.name.clone(),
            used: count,
            limit: quota.requests,
            near: quota.near,
            resets_at: span.to,
            forecast: forecast.clone(),
        });
        limits.push((quota, span, forecast));
    }
    let forecast = forecasts::overall(meter, &id, &limits, (span, total.requests), at).await?;
    Ok(Usage {
        integration: id,
        window: name,
        requests: total.requests,
        errors: total.errors,
        cache_hits: total.cache_hits,
        cost_micros: total.cost_micros,
        quotas: used,
        endpoints: endpoints
            .into_iter()
            .map(|(endpoint, totals)| EndpointUse {
                endpoint,
                requests: totals.requests,
                errors: totals.errors,
            })
            .collect(),
        history: history
            .into_iter()
            .map(|(start, totals)| SpanUse {
                start,
                requests: totals.requests,
                errors: totals.errors,
                cost_micros: totals.cost_micros,
            })
            .collect(),
        forecast,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people, to three digits")]
fn ratio(used: u64, limit: u64) -> f64 {
    (used as f64 / limit.max(1) as f64 * 1000.0).round() / 1000.0
}
