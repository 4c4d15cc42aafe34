//! Answers what was used: the body of `GET /integrations/{id}/usage`.

use model::ask::{Answer, EndpointUse, Forecast, QuotaUse, Refused, SpanUse, Usage, UsageOf};
use model::integration::Window;
use model::{Timestamp, subject};
use store::{Facet, Step};
use tokio_util::sync::CancellationToken;

use crate::{Meter, window};

/// The share of a window that must have passed before a forecast is more than a guess.
const ENOUGH: f64 = 0.05;

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
    let mut forecast = Forecast {
        exhausts_at: None,
        requests_at_reset: expected(span, at, total.requests),
        ..Forecast::default()
    };
    let mut longest = 0;
    for quota in quotas {
        let Some(per) = quota.per.filter(|_| quota.counts_calls()) else { continue };
        let span = window::at(at, per, quota.zone());
        let count = meter.store.usage_in_window(&id, span.from, span.to, at).await?.requests;
        let length = span.to.since(span.from).as_secs();
        if length >= 24 * 3600 {
            let ends = exhausts(span, at, count, quota.requests);
            forecast.exhausts_at = forecast.exhausts_at.into_iter().chain(ends).min();
            if length > longest {
                longest = length;
                forecast.requests_at_reset = expected(span, at, count);
            }
        }
        used.push(QuotaUse {
            near_limit: quota.near.reached(count, quota.requests),
            ratio: ratio(count, quota.requests),
            name: quota.name,
            used: count,
            limit: quota.requests,
            near: quota.near,
            resets_at: span.to,
            forecast: Forecast::default(),
        });
    }
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

/// The share of a window that has passed, when it is enough to go by.
#[expect(clippy::cast_precision_loss, reason = "a share of a window")]
fn passed(span: window::Span, now: Timestamp) -> Option<f64> {
    let share = now.since(span.from).as_millis() as f64 / span.to.since(span.from).as_millis().max(1) as f64;
    (share >= ENOUGH).then_some(share)
}

/// Calls at the window's end if they go on as since its start.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a forecast"
)]
fn expected(span: window::Span, now: Timestamp, used: u64) -> Option<u64> {
    passed(span, now).map(|share| (used as f64 / share).round() as u64)
}

/// When the limit is reached if calls go on as since the window's start; none when not in this window.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a forecast")]
fn exhausts(span: window::Span, now: Timestamp, used: u64, limit: u64) -> Option<Timestamp> {
    if used >= limit {
        return Some(now);
    }
    passed(span, now)?;
    let since = now.since(span.from).as_millis() as f64;
    let at = span.from.as_millis() + (since * limit as f64 / used.max(1) as f64) as i64;
    (used > 0 && at < span.to.as_millis()).then_some(Timestamp::from_millis(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> window::Span {
        window::Span { from: Timestamp::from_millis(0), to: Timestamp::from_millis(86_400_000) }
    }

    #[test]
    fn a_forecast_needs_a_twentieth_of_the_window() {
        let hours = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        assert_eq!(expected(day(), hours(1), 10), None);
        assert_eq!(expected(day(), hours(12), 10), Some(20));
        assert_eq!(exhausts(day(), hours(6), 50, 100), Some(hours(12)));
        assert_eq!(exhausts(day(), hours(12), 10, 100), None);
        assert_eq!(exhausts(day(), hours(12), 100, 100), Some(hours(12)));
        assert_eq!(exhausts(day(), hours(12), 0, 100), None);
    }
}
