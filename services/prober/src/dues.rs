//! Which limits a question is under, what it takes of each, and how often it may be asked because of that. Pure.
//!
//! A provider counts our questions like its callers' calls. So a question pays, by the same ledgers; and where nobody
//! said how often to ask, it is not asked so often that callers miss what it took.

use std::time::Duration;

use catalogue::{Catalogue, Provider, fit_path};
use model::integration::Integration;
use model::quota::{self, Limit, Quota, Scope, Span, Unit, key};
use model::snapshot::Snapshot;

/// What of a limit questions may take, as its part: where the interval is ours or the catalogue's to choose.
const PART: u64 = 10;
/// The same where the integration itself says how often.
const PART_SAID: u64 = 2;
/// The part of a limit that questions may take at any pace.
const PART_AHEAD: u64 = 20;
/// The most questions at any pace.
const BURST_MAX: u32 = 10_000;
/// The longest interval that is made so, in seconds: a week.
const EVERY_SECS_MAX: u64 = 7 * 86_400;

/// What is asked, as far as limits go by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// The path below the base URL, without a query.
    pub(crate) path: &'a str,
    /// Its endpoint's name.
    pub(crate) endpoint: &'a str,
    /// What the catalogue says that it takes, where it is the catalogue's question.
    pub(crate) units: Option<u32>,
}

/// What a question takes of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    /// The limit's name, for people.
    pub(crate) name: String,
    /// Its ledger's key in the bucket.
    pub(crate) key: String,
    /// The limit.
    pub(crate) limit: Limit,
    /// How much.
    pub(crate) units: u64,
}

/// What a question takes. Limits of calls at a time are for calls that last, limits of each caller or token for callers;
/// none counts tokens of ours: a question has none.
pub(crate) fn dues(provider: &Provider, it: &Integration, asked: &Asked<'_>) -> Vec<Due> {
    let quotas = provider.quotas_of(it);
    quotas.iter().filter_map(|quota| due(it, quota, asked)).filter(|due| due.units > 0).collect()
}

fn due(it: &Integration, quota: &Quota, asked: &Asked<'_>) -> Option<Due> {
    let part = match quota.scope {
        Scope::Integration | Scope::Credential => None,
        Scope::Endpoint => Some(asked.endpoint),
        Scope::Caller | Scope::Token => return None,
    };
    let limit = quota::keep(quota, 1).ok()?;
    if quota.unit != Unit::Requests || matches!(limit.span, Span::Concurrent) {
        return None;
    }
    let weight = quota.weighs(asked.path, fit_path);
    let is_named = quota.weights.iter().any(|one| fit_path(&one.path, asked.path).is_some());
    let units = match asked.units {
        Some(0) => 0,
        Some(units) if weight > 0 && !is_named && !quota.weights.is_empty() => units.into(),
        _ => weight,
    };
    let name = key::limit(&limit, part.is_some());
    let key = key::of(&key::owner(&it.id, it.key.as_ref(), quota.scope), &name, part)?;
    Some(Due { name: quota.name.clone(), key, limit, units })
}

/// Lowers limits to what the strictest of all integrations says that count for them.
pub(crate) fn agree(dues: &mut [Due], catalogue: &Catalogue, snapshot: &Snapshot, it: &Integration) {
    let others = snapshot.integrations.values().filter(|other| other.id != it.id && other.key == it.key);
    for other in others.filter(|other| other.key.is_some()) {
        let Ok(provider) = catalogue.callable(other.provider.as_str()) else { continue };
        for quota in provider.quotas_of(other).iter().filter(|quota| quota.scope == Scope::Credential) {
            let Ok(limit) = quota::keep(quota, 1) else { continue };
            let key = key::of(
                &key::owner(&other.id, other.key.as_ref(), quota.scope),
                &key::limit(&limit, false),
                None,
            );
            for due in dues.iter_mut().filter(|due| Some(&due.key) == key.as_ref()) {
                due.limit.amount = due.limit.amount.min(limit.amount);
            }
        }
    }
}

/// How often it may be asked: as often as it should, but not so often that questions take more than their part of a limit.
/// `is_said`: whether the integration itself says how often.
pub(crate) fn pace(dues: &[Due], every: Duration, is_said: bool) -> Duration {
    let part = if is_said { PART_SAID } else { PART };
    let least = dues.iter().map(|due| {
        let window_ms = match &due.limit.span {
            Span::Calendar { per, .. } => u64::from(per.secs()) * 1_000,
            Span::Rolling { millis } | Span::Bucket { millis } => u64::from(*millis),
            Span::Concurrent => 0,
        };
        let ms = window_ms.saturating_mul(due.units).saturating_mul(part) / due.limit.amount.max(1);
        Duration::from_millis(ms)
    });
    let least = least.max().unwrap_or_default().min(Duration::from_secs(EVERY_SECS_MAX));
    // Observations say it in whole seconds.
    let whole = Duration::from_secs(least.as_millis().div_ceil(1_000).try_into().unwrap_or(EVERY_SECS_MAX));
    if least <= every { every } else { whole }
}

/// How many questions may be asked as often as they should, before they are paced.
pub(crate) fn burst(dues: &[Due]) -> u32 {
    let most = dues.iter().map(|due| due.limit.amount / PART_AHEAD / due.units.max(1)).min();
    most.map_or(0, |most| u32::try_from(most).unwrap_or(u32::MAX).min(BURST_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn integration(provider: &str, quotas: &Value) -> Integration {
        let it = json!({"id": "it", "provider": provider, "key": "k", "base_url": "https://acme.example", "quotas": quotas});
        serde_json::from_value(it).expect("an integration")
    }

    fn asked(path: &str, units: Option<u32>) -> Asked<'_> {
        Asked { path, endpoint: "/v1/status", units }
    }

    fn check(provider: &str, quotas: &Value, asked: &Asked<'_>, wanted: &[(&str, u64)]) {
        let provider_ = Catalogue::builtin().callable(provider).expect("a provider");
        let got = dues(provider_, &integration(provider, quotas), asked);
        let got: Vec<(&str, u64)> = got.iter().map(|due| (due.key.as_str(), due.units)).collect();
        assert_eq!(got, wanted);
    }

    #[test]
    fn a_question_takes_of_the_limits_that_it_is_under() {
        let day = json!({"name": "day", "requests": 20, "per": "day", "timezone": "UTC"});
        let shared = json!({"name": "m", "requests": 9, "window_secs": 60, "scope": "credential"});
        let others = json!([
            {"name": "a", "requests": 9, "window_secs": 60, "paths": ["/v2"]},
            {"name": "b", "requests": 9, "window_secs": 60, "scope": "caller"},
            {"name": "c", "requests": 9, "window_secs": 60, "unit": "tokens"},
            {"name": "d", "requests": 9, "kind": "concurrent"},
        ]);
        let path = asked("/v1/status", None);
        check(
            "custom",
            &json!([day, shared]),
            &path,
            &[("it.day=2fDay=20UTC", 1), ("key=2fk.m=2f60000=20ms", 1)],
        );
        check("custom", &others, &path, &[]);
        let each = json!([{"name": "e", "requests": 9, "window_secs": 60, "scope": "endpoint"}]);
        check("custom", &each, &path, &[("it.e=2f60000=20ms=2fparts.=2fv1=2fstatus", 1)]);
    }

    #[test]
    fn it_weighs_what_the_limit_says_then_what_the_catalogue_says() {
        let weighted = json!([{"name": "w", "requests": 900, "window_secs": 60, "weights": [{"path": "/v1/heavy", "units": 7}]}]);
        let key = "it.w=2f60000=20ms";
        check("custom", &weighted, &asked("/v1/heavy", Some(20)), &[(key, 7)]);
        check("custom", &weighted, &asked("/v1/light", Some(20)), &[(key, 20)]);
        check("custom", &weighted, &asked("/v1/light", None), &[(key, 1)]);
        check("custom", &weighted, &asked("/v1/heavy", Some(0)), &[]);
        let plain = json!([{"name": "w", "requests": 900, "window_secs": 60}]);
        check("custom", &plain, &asked("/v1/light", Some(20)), &[(key, 1)]);
    }

    #[test]
    fn the_strictest_of_all_that_share_a_key_holds() {
        let quota = |requests: u64| json!([{"name": "m", "requests": requests, "window_secs": 60, "scope": "credential"}]);
        let it = integration("custom", &quota(50));
        let mut other = integration("custom", &quota(30));
        other.id = model::IntegrationId::new("other").expect("a slug");
        let mut snapshot = Snapshot::default();
        snapshot.integrations.insert(it.id.clone(), it.clone());
        snapshot.integrations.insert(other.id.clone(), other);
        let catalogue = Catalogue::builtin();
        let mut dues = dues(catalogue.callable("custom").expect("it"), &it, &asked("/", None));
        agree(&mut dues, catalogue, &snapshot, &it);
        assert_eq!(dues[0].limit.amount, 30);
    }

    #[test]
    fn questions_take_a_part_of_a_limit_at_most() {
        let secs = Duration::from_secs;
        for (quota, every, is_said, wanted) in [
            (json!({"name": "d", "requests": 20, "per": "day", "timezone": "UTC"}), 60, false, 43_200),
            (json!({"name": "d", "requests": 20, "per": "day", "timezone": "UTC"}), 60, true, 8_640),
            (json!({"name": "m", "requests": 5, "per": "minute"}), 30, true, 30),
            (json!({"name": "m", "requests": 5, "per": "minute"}), 5, true, 24),
            (json!({"name": "m", "requests": 5, "per": "minute"}), 60, false, 120),
            (json!({"name": "m", "requests": 120, "per": "minute"}), 1, true, 1),
            (
                json!({"name": "d", "requests": 1, "per": "month", "timezone": "UTC"}),
                60,
                false,
                EVERY_SECS_MAX,
            ),
        ] {
            let it = integration("custom", &json!([quota]));
            let provider = Catalogue::builtin().callable("custom").expect("it");
            let dues = dues(provider, &it, &asked("/", None));
            assert_eq!(pace(&dues, secs(every), is_said), secs(wanted), "{quota}");
        }
        assert_eq!(pace(&[], secs(1), false), secs(1));
    }

    #[test]
    fn a_few_may_be_asked_at_any_pace() {
        for (quotas, wanted) in [
            (json!([{"name": "d", "requests": 19, "per": "day", "timezone": "UTC"}]), 0),
            (json!([{"name": "m", "requests": 50_000, "per": "month", "timezone": "UTC"}]), 2_500),
            (
                json!([{"name": "m", "requests": 50_000, "per": "month", "timezone": "UTC"}, {"name": "s", "requests": 60, "per": "minute"}]),
                3,
            ),
            (json!([]), 0),
        ] {
            let provider = Catalogue::builtin().callable("custom").expect("it");
            assert_eq!(
                burst(&dues(provider, &integration("custom", &quotas), &asked("/", None))),
                wanted,
                "{quotas}"
            );
        }
    }
}
