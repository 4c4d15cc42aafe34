//! What a plan includes costs nothing: calls and tokens of a month (UTC) up to what is included. Pure.
//!
//! Which call is beyond depends on how many were counted before, so the sum over a month is the same in whatever order
//! its events come.

use model::price::Plan;
use model::usage::Count;

/// What was counted of a month so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sofar {
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

/// What a count costs, and each of its models.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Billed {
    pub(super) cost_micros: u64,
    pub(super) models: Vec<u64>,
}

/// What a count costs beyond what the plan includes; takes it to what was counted so far.
pub(super) fn bill(plan: Option<&Plan>, sofar: &mut Sofar, count: &Count) -> Billed {
    let by_models = count.models.iter().fold(0_u64, |sum, model| sum.saturating_add(model.cost_micros));
    let by_requests = count.cost_micros.saturating_sub(by_models);
    let included = plan.and_then(|plan| plan.included_requests);
    let requests = beyond(included, &mut sofar.requests, count.requests, by_requests);
    let included = plan.and_then(|plan| plan.included_tokens);
    let mut models = Vec::with_capacity(count.models.len());
    for model in &count.models {
        let tokens = model.tokens.input_tokens.saturating_add(model.tokens.output_tokens);
        models.push(beyond(included, &mut sofar.tokens, tokens, model.cost_micros));
    }
    Billed { cost_micros: models.iter().fold(requests, |sum, cost| sum.saturating_add(*cost)), models }
}

/// The part of a cost that is of units beyond what is included.
fn beyond(included: Option<u64>, sofar: &mut u64, units: u64, cost: u64) -> u64 {
    let before = *sofar;
    *sofar = sofar.saturating_add(units);
    let Some(included) = included else { return cost };
    if units == 0 {
        // What cost something without a unit is not what the plan counts.
        return cost;
    }
    let over = (*sofar).saturating_sub(included) - before.saturating_sub(included);
    u64::try_from(u128::from(cost) * u128::from(over) / u128::from(units)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use model::usage::{ModelCount, Tokens};
    use proptest::prelude::*;

    use super::*;

    fn calls(requests: u64) -> Count {
        Count { requests, cost_micros: requests * 7, ..Count::default() }
    }

    #[test]
    fn without_a_plan_all_is_billed() {
        let model = ModelCount { cost_micros: 5, ..ModelCount::default() };
        let count = Count { requests: 1, cost_micros: 12, models: vec![model], ..Count::default() };
        let mut sofar = Sofar::default();
        assert_eq!(bill(None, &mut sofar, &count), Billed { cost_micros: 12, models: vec![5] });
    }

    #[test]
    fn tokens_beyond_are_billed_by_their_share() {
        let plan = Plan { per_month_micros: 0, included_requests: None, included_tokens: Some(100) };
        let tokens = Tokens { input_tokens: 60, output_tokens: 20, ..Tokens::default() };
        let model = ModelCount {
            model: "m".to_owned(),
            answers: 1,
            tokens,
            cost_micros: 800,
            ..ModelCount::default()
        };
        let count = Count { requests: 1, cost_micros: 803, models: vec![model], ..Count::default() };
        let mut sofar = Sofar::default();
        assert_eq!(bill(Some(&plan), &mut sofar, &count).cost_micros, 3);
        assert_eq!(bill(Some(&plan), &mut sofar, &count).cost_micros, 3 + 600);
        assert_eq!(bill(Some(&plan), &mut sofar, &count).cost_micros, 3 + 800);
    }

    proptest! {
        #[test]
        fn a_month_costs_the_same_in_any_order(mut parts in prop::collection::vec(0_u64..50, 1..40), included in 0_u64..900) {
            let plan = Plan { per_month_micros: 1, included_requests: Some(included), included_tokens: None };
            let month = |parts: &[u64]| {
                let mut sofar = Sofar::default();
                parts.iter().map(|n| bill(Some(&plan), &mut sofar, &calls(*n)).cost_micros).sum::<u64>()
            };
            let all: u64 = parts.iter().sum();
            prop_assert_eq!(month(&parts), all.saturating_sub(included) * 7);
            parts.reverse();
            prop_assert_eq!(month(&parts), all.saturating_sub(included) * 7);
        }
    }
}
