//! What a configuration says of prices. Money is whole millionths of a dollar, so that less than nothing is refused where it is read.

use std::collections::BTreeMap;

use model::integration::Cost;
use model::price::{PLAN_MICROS_MAX, REQUEST_MICROS_MAX};
use runtime::Problem;

use super::within;

/// Models that one integration prices.
const PRICES_MAX: u64 = 200;

/// Checks prices and plan; the first thing that is wrong.
pub(super) fn check(cost: &Cost) -> Result<(), Problem> {
    within("/cost/per_request_micros", cost.per_request_micros, 0, REQUEST_MICROS_MAX)?;
    within("/cost/prices", cost.prices.len() as u64, 0, PRICES_MAX)?;
    let mut known = BTreeMap::new();
    for (n, price) in cost.prices.iter().enumerate() {
        if let Some((member, why)) = price.fault() {
            return Err(Problem::validation(format!("/cost/prices/{n}/{member}"), why));
        }
        if let Some(first) = known.insert(&price.model, n) {
            let detail = format!("`{}` has prices already, in /cost/prices/{first}", price.model);
            return Err(Problem::validation(format!("/cost/prices/{n}/model"), detail));
        }
    }
    let Some(plan) = &cost.plan else { return Ok(()) };
    within("/cost/plan/per_month_micros", plan.per_month_micros, 0, PLAN_MICROS_MAX)?;
    let included = plan.included_requests.or(plan.included_tokens);
    if plan.per_month_micros == 0 && included.is_none() {
        return Err(Problem::validation("/cost/plan", "costs nothing and includes nothing: leave it out"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a document is written where it is checked")]
    fn check(cost: Value, pointer: &str) {
        let read: Result<Cost, Problem> =
            runtime::json::from_value(json!({ "cost": cost })).map(|it: Outer| it.cost);
        let found = read.and_then(|cost| super::check(&cost));
        let problem = found.err().map(|problem| (problem.status, problem.errors[0].pointer.clone()));
        let wanted = (!pointer.is_empty()).then(|| (422, pointer.to_owned()));
        assert_eq!(problem, wanted, "{cost}");
    }

    #[derive(serde::Deserialize)]
    struct Outer {
        cost: Cost,
    }

    #[test]
    fn what_costs_less_than_nothing_or_too_much_is_refused_with_its_place() {
        check(json!({"per_request_micros": 100}), "");
        check(json!({"per_request_micros": -1}), "/cost/per_request_micros");
        check(json!({"per_request_micros": 0.5}), "/cost/per_request_micros");
        check(json!({"per_request_micros": 2_000_000_000_u64}), "/cost/per_request_micros");
        let price = |input: Value| json!({"prices": [{"model": "m", "input": input, "output": 1}]});
        check(price(json!(1)), "");
        check(price(json!(-5)), "/cost/prices/0/input");
        check(price(json!(u64::MAX)), "/cost/prices/0/input");
        check(price(json!("1")), "/cost/prices/0/input");
    }

    #[test]
    fn a_model_has_one_price_and_a_plan_says_something() {
        let twice = json!({"prices": [
            {"model": "m", "input": 1, "output": 1},
            {"model": "n", "input": 1, "output": 1},
            {"model": "m", "input": 2, "output": 1},
        ]});
        check(twice, "/cost/prices/2/model");
        check(json!({"prices": [{"model": "", "input": 1, "output": 1}]}), "/cost/prices/0/model");
        check(json!({"plan": {"per_month_micros": 0}}), "/cost/plan");
        check(json!({"plan": {"per_month_micros": -1}}), "/cost/plan/per_month_micros");
        check(json!({"plan": {"per_month_micros": 5_000_000, "included_requests": 1000}}), "");
        check(
            json!({"plan": {"per_month_micros": 0, "included_requests": -1}}),
            "/cost/plan/included_requests",
        );
    }
}
