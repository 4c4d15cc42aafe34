//! What budgets stand at: spent so far, and what will have been spent when the window ends.

use model::IntegrationId;
use model::Timestamp;
use model::budget::{Budget, BudgetNow, BudgetsNow};

use crate::rules::{Book, Span, source_of};
use crate::{Meter, window};

/// The share of a window that must have passed before a forecast is more than a guess.
const ENOUGH: f64 = 0.05;

/// Says where each of these budgets stands.
pub(crate) async fn now(meter: &Meter, asked: BudgetsNow) -> anyhow::Result<Vec<BudgetNow>> {
    let BudgetsNow { budgets, at } = asked;
    let book = Book::of(meter.store.everything().await?);
    let all: Vec<IntegrationId> = book.integrations.keys().cloned().collect();
    let mut stand = Vec::with_capacity(budgets.len());
    for budget in &budgets {
        let span = window::at(at, budget.per, &budget.timezone);
        let source = source_of(&budget.scope);
        let ids = source.integration.as_ref().map_or(all.as_slice(), std::slice::from_ref);
        let each = meter.store.usage_of_each(ids, source.facet, &source.name, span.from, at).await?;
        let spent = each.iter().fold(0_u64, |sum, (_, totals)| sum.saturating_add(totals.cost_micros));
        stand.push(stands(budget, span, spent, at));
    }
    Ok(stand)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn stands(budget: &Budget, span: Span, spent: u64, at: Timestamp) -> BudgetNow {
    let ratio = spent as f64 / budget.amount_micros.max(1) as f64;
    BudgetNow {
        spent_micros: spent,
        ratio: (ratio * 10_000.0).round() / 10_000.0,
        began_at: span.from,
        resets_at: span.to,
        forecast_micros: expected(span, spent, at),
    }
}

/// What will have been spent if it goes on as since the window's start.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a forecast"
)]
fn expected(span: Span, spent: u64, at: Timestamp) -> Option<u64> {
    let share = at.since(span.from).as_millis() as f64 / span.to.since(span.from).as_millis().max(1) as f64;
    (share >= ENOUGH).then(|| (spent as f64 / share).round() as u64)
}
