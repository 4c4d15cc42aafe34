//! Which plan of its provider an integration says that it has: the catalogue's limits go by it.

use std::collections::BTreeSet;

use catalogue::Provider;
use model::integration::Integration;
use runtime::Problem;

const POINTER: &str = "/settings/plan";

/// Refuses a plan that the provider does not have: none of its limits would hold. Of a provider whose plans nobody wrote down
/// any word is taken.
pub(super) fn check(it: &Integration, provider: Option<&Provider>) -> Result<(), Problem> {
    let (Some(plan), Some(provider)) = (it.settings.get("plan"), provider) else { return Ok(()) };
    let Some(plan) = plan.as_str() else { return Err(Problem::validation(POINTER, "must be a text")) };
    let of_limits = provider.limits.iter().filter_map(|limit| limit.plan.as_deref());
    let plans: BTreeSet<&str> =
        provider.cost.plans.iter().map(|plan| plan.name.as_str()).chain(of_limits).collect();
    if plans.is_empty() || plans.contains(plan) {
        return Ok(());
    }
    let named: Vec<String> = plans.iter().map(|plan| format!("`{plan}`")).collect();
    Err(Problem::validation(POINTER, format!("{} has the plans {}", provider.name, named.join(", "))))
}
