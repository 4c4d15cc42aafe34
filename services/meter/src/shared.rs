//! Whose calls a limit counts, and where its ledger lies: of one for each credential, those of all integrations with that key.
//!
//! Pure.

use model::IntegrationId;
use model::KeyId;
use model::integration::Integration;
use model::quota::{Quota, Scope, keep, key};

/// Gateways that estimates reckon with, where their own setting is not known: its default.
pub(crate) const REPLICAS: u32 = 4;

/// A limit as all who share it know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// The key of its ledger.
    pub(crate) ledger: String,
    /// Its integration, and those with which it is shared and whose calls all count, by their names.
    pub(crate) integrations: Vec<IntegrationId>,
    /// The smallest of what they allow in a window.
    pub(crate) requests: u64,
    /// The smallest of what they keep: with a burst, that.
    pub(crate) amount: u64,
}

/// Whose use a limit without parts counts; nothing of one that cannot be kept. `all`: the integrations that there are.
pub(crate) fn shared<'a>(
    all: impl Iterator<Item = &'a Integration>,
    id: &IntegrationId,
    with: Option<&KeyId>,
    quota: &Quota,
) -> Option<Shared> {
    let (ledger, amount) = kept(id, with, quota)?;
    let mut shared = Shared { ledger, integrations: vec![id.clone()], requests: quota.requests, amount };
    if quota.scope == Scope::Credential && with.is_some() {
        for other in all.filter(|other| other.id != *id && other.key.as_ref() == with) {
            let same = |theirs: &Quota| {
                let is_same = theirs.scope == Scope::Credential && theirs.unit == quota.unit;
                let (ledger, amount) = kept(&other.id, with, theirs).filter(|_| is_same)?;
                (ledger == shared.ledger).then_some((theirs.requests, amount, theirs.counts_calls()))
            };
            if let Some((requests, amount, counts)) = other.quotas.iter().find_map(same) {
                shared.requests = shared.requests.min(requests);
                shared.amount = shared.amount.min(amount);
                shared.integrations.extend(counts.then(|| other.id.clone()));
            }
        }
        shared.integrations.sort();
    }
    Some(shared)
}

/// The key of a limit's ledger, and how much it holds.
fn kept(id: &IntegrationId, with: Option<&KeyId>, quota: &Quota) -> Option<(String, u64)> {
    let limit = keep(quota, REPLICAS).ok()?;
    let key = key::of(&key::owner(id, with, quota.scope), &key::limit(&limit, false), None)?;
    Some((key, limit.amount))
}

#[cfg(test)]
mod tests {
    use model::integration::Window;
    use serde_json::json;

    use super::*;

    fn integration(id: &str, key: &str, quota: &Quota) -> Integration {
        let body = json!({ "id": id, "provider": "custom", "key": key, "quotas": [quota] });
        serde_json::from_value(body).expect("an integration")
    }

    fn day(name: &str, requests: u64, scope: Scope) -> Quota {
        let mut quota = Quota::new(name, requests, Some(Window::Day));
        (quota.scope, quota.timezone) = (scope, Some("UTC".to_owned()));
        quota
    }

    #[test]
    fn a_limit_of_a_credential_counts_the_calls_of_all_that_have_it() {
        let all = [
            integration("c", "one", &day("day", 10, Scope::Credential)),
            integration("a", "one", &day("day", 8, Scope::Credential)),
            integration("b", "one", &day("other", 1, Scope::Credential)),
            integration("d", "two", &day("day", 1, Scope::Credential)),
            integration("e", "one", &day("day", 1, Scope::Integration)),
        ];
        let of = |place: usize| {
            let one: &Integration = &all[place];
            let shared = shared(all.iter(), &one.id, one.key.as_ref(), &one.quotas[0]).expect("can be kept");
            let ids: Vec<String> = shared.integrations.iter().map(ToString::to_string).collect();
            (ids.join(" "), shared.amount)
        };
        assert_eq!(of(0), ("a c".to_owned(), 8));
        assert_eq!(of(1), ("a c".to_owned(), 8));
        assert_eq!(of(2), ("b".to_owned(), 1));
        assert_eq!(of(3), ("d".to_owned(), 1));
        assert_eq!(of(4), ("e".to_owned(), 1));
    }
}
