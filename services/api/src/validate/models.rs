//! Models of an integration: names that can be asked for, and whether their tokens are known to be counted.

use catalogue::Provider;
use model::integration::Integration;
use model::price::TokenPrice;
use model::quota::{Quota, Unit};
use runtime::{Problem, alike};

use super::within;

/// Names of models that one integration maps, and the characters of a name.
const MODELS_MAX: u64 = 100;
const MODEL_CHARS_MAX: usize = 200;

/// Checks the names that are mapped. What a model costs must be known from the catalogue or from the integration itself,
/// but for what is mapped so already: a newer catalogue may know it no more.
pub(super) fn check(
    it: &Integration,
    provider: Option<&Provider>,
    before: Option<&Integration>,
) -> Result<(), Problem> {
    within("/models", it.models.len() as u64, 0, MODELS_MAX)?;
    for (asked, theirs) in &it.models {
        let pointer = format!("/models/{}", asked.replace('~', "~0").replace('/', "~1"));
        // A model's name goes into a path at some providers: one that could leave it is not taken.
        let is_name = |name: &str| {
            (1..=MODEL_CHARS_MAX).contains(&name.chars().count())
                && name.chars().all(|c| c.is_ascii_graphic())
        };
        if !is_name(asked) || !is_name(theirs) || theirs == "*" {
            let detail = format!(
                "a model's name has 1 to {MODEL_CHARS_MAX} visible characters; `*` can be asked for, not given"
            );
            return Err(Problem::validation(pointer, detail));
        }
        let is_kept = before
            .is_some_and(|before| before.provider == it.provider && before.models.get(asked) == Some(theirs));
        if let Some(provider) = provider.filter(|_| !is_kept)
            && !is_priced(it, provider, theirs)
        {
            let known = provider.cost.prices.iter().map(|price| price.model.as_str());
            let detail = format!(
                "`{theirs}` is no model of {} that is known here{}; if it is new, say what it costs in /cost/prices",
                provider.name,
                alike(theirs, known)
            );
            return Err(Problem::validation(pointer, detail));
        }
    }
    Ok(())
}

/// Whether it is known what a model costs; of providers without a list of prices, or that say it with each answer, it need
/// not be.
fn is_priced(it: &Integration, provider: &Provider, model: &str) -> bool {
    let cost = &provider.cost;
    cost.prices.is_empty()
        || cost.reported.is_some()
        || TokenPrice::find(&it.cost.prices, model).or_else(|| provider.price_of(model)).is_some()
}

/// Checks that limits of tokens stand where tokens are counted. What stands is let stand, and of a custom provider nothing
/// is known.
pub(super) fn counted(
    it: &Integration,
    provider: Option<&Provider>,
    before: Option<&Integration>,
) -> Result<(), Problem> {
    if provider.is_none_or(|provider| provider.cost.tokens.is_some()) {
        return Ok(());
    }
    let is_new = |quota: &Quota| !before.is_some_and(|before| before.quotas.contains(quota));
    match it.quotas.iter().position(|quota| quota.unit != Unit::Requests && is_new(quota)) {
        Some(n) => {
            let detail = "this provider has no tokens: its answers say nothing of them";
            Err(Problem::validation(format!("/quotas/{n}/unit"), detail))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use catalogue::Catalogue;
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn refused(body: Value, before: Option<&Integration>) -> Option<String> {
        let it: Integration = serde_json::from_value(body).expect("an integration");
        let provider = Catalogue::builtin().get(it.provider.as_str());
        let outcome = check(&it, provider, before).and_then(|()| counted(&it, provider, before));
        outcome.err().map(|problem| serde_json::to_value(problem).expect("JSON").to_string())
    }

    #[test]
    fn a_model_of_which_nothing_is_known_is_refused_with_those_that_look_alike() {
        let with = |more: Value| {
            let mut body = json!({ "id": "a", "provider": "anthropic", "name": "a" });
            more.as_object().expect("members").iter().for_each(|(name, value)| body[name] = value.clone());
            body
        };
        let wrong = with(json!({ "models": { "gpt-4o": "claude-sonet-4-6" } }));
        let told = refused(wrong.clone(), None).expect("a typo");
        assert!(
            told.contains("/models/gpt-4o") && told.contains("did you mean `claude-sonnet-4-6`"),
            "{told}"
        );
        assert_eq!(refused(with(json!({ "models": { "*": "claude-sonnet-4-6" } })), None), None);
        let price = json!({ "model": "claude-new", "input": 1, "output": 2 });
        let priced = json!({ "models": { "*": "claude-new" }, "cost": { "prices": [price] } });
        assert_eq!(refused(with(priced), None), None);
        // What stands is let stand.
        let before: Integration = serde_json::from_value(wrong.clone()).expect("an integration");
        assert_eq!(refused(wrong, Some(&before)), None);
        let any =
            json!({ "id": "a", "provider": "openrouter", "name": "a", "models": { "*": "someone/new" } });
        assert_eq!(refused(any, None), None);
    }

    #[test]
    fn tokens_are_limited_where_they_are_counted() {
        let with = |provider: &str| {
            let quota = json!({ "name": "t", "requests": 10, "per": "minute", "unit": "tokens" });
            json!({ "id": "a", "provider": provider, "name": "a", "quotas": [quota] })
        };
        assert_eq!(refused(with("openai"), None), None);
        assert!(refused(with("polygon"), None).is_some_and(|told| told.contains("/quotas/0/unit")));
    }
}
