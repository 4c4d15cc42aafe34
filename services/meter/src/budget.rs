//! What budgets stand at: spent so far, and what will have been spent when the window ends.

use model::IntegrationId;
use model::Timestamp;
use model::budget::{Budget, BudgetNow, BudgetsNow};

use crate::forecasts::{self, Unit, WINDOW_MIN};
use crate::rules::{Book, Span, source_of};
use crate::{Meter, window};

/// Says where each of these budgets stands.
pub(crate) async fn now(meter: &Meter, asked: BudgetsNow) -> anyhow::Result<Vec<BudgetNow>> {
    let BudgetsNow { budgets, at } = asked;
    let book = Book::of(meter.store.everything().await?);
    let all: Vec<IntegrationId> = book.integrations.keys().cloned().collect();
    let mut stand = Vec::with_capacity(budgets.len());
    for budget in &budgets {
        let span = window::at(at, budget.per, &budget.timezone);
        let source = source_of(&budget.scope);
        let each =
            meter.store.usage_of_each(source.among(&all), source.facet, &source.name, span.from, at).await?;
        let spent = each.iter().fold(0_u64, |sum, (_, totals)| sum.saturating_add(totals.cost_micros));
        let ahead = expected(meter, budget, &all, (span, spent), at).await?;
        stand.push(stands(budget, span, spent, ahead));
    }
    Ok(stand)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn stands(budget: &Budget, span: Span, spent: u64, forecast_micros: Option<u64>) -> BudgetNow {
    let ratio = spent as f64 / budget.amount_micros.max(1) as f64;
    BudgetNow {
        spent_micros: spent,
        ratio: (ratio * 10_000.0).round() / 10_000.0,
        began_at: span.from,
        resets_at: span.to,
        forecast_micros,
    }
}

/// What will have been spent when the window ends; none when there is not enough data to say.
async fn expected(
    meter: &Meter,
    budget: &Budget,
    all: &[IntegrationId],
    (span, spent): (Span, u64),
    at: Timestamp,
) -> anyhow::Result<Option<u64>> {
    if span.to.since(span.from) < WINDOW_MIN {
        return Ok(None);
    }
    let series = source_of(&budget.scope).series(all, Unit::CostMicros);
    let weighed = meter.forecasts.outlook(&meter.store, &series, span, &budget.timezone, at).await?;
    Ok(forecasts::cost_at_reset(&weighed, span, spent, at))
}
