//! Every kind of limit is told of as its ledger or the counted calls have it, and what gateways hold is not spent.

use std::time::Duration;

use model::ask::{UsageStep, UsageWindow};
use model::quota::Scope;
use model::quota::ledger::{Holder, Lease};
use model::usage::Count;
use serde_json::{Value, json};

use super::*;
use crate::rules::tests::{House, configured, integration};

/// Leases as they are written: granted, spent, and how many seconds ago their holder was heard.
type Leases<'a> = &'a [(u64, u64, u64)];

/// Puts a ledger among those that are known, as a gateway would write it.
fn lease(house: &House, quota: &Value, part: Option<&str>, leases: Leases<'_>, at: Timestamp) {
    let quota: Quota = serde_json::from_value(quota.clone()).expect("a quota");
    let limit = keep(&quota, REPLICAS).expect("can be kept");
    let owner = if quota.scope == Scope::Credential { "key/poly-key" } else { "poly" };
    let key = key::of(owner, &key::limit(&limit, part.is_some()), part).expect("short");
    let window = quota.per.filter(|_| !limit.renews());
    let window = window.map_or(0, |per| window::at(at, per, quota.zone()).from.as_millis());
    let mut ledger = Ledger::new(&limit, window);
    for (place, (granted, spent, heard)) in leases.iter().enumerate() {
        // A share ends some time after it was heard last; of a window it is told when that was.
        let renewed = Duration::from_secs(u64::from(limit.renews()) * 15);
        let until = at.plus(renewed).minus(Duration::from_secs(*heard)).as_millis();
        let lease = Lease { granted: *granted, spent: *spent, until, ..Lease::default() };
        ledger.holders.insert(Holder::new(&format!("g{place}"), 1), lease);
    }
    let value = serde_json::to_value(ledger).expect("JSON");
    house.meter.ledgers.begin([(key, value)].into_iter());
}

async fn told(house: &House, quotas: &Value, shown: &Value, at: Timestamp) -> Vec<QuotaUse> {
    let read = |quotas: &Value| serde_json::from_value(quotas.clone()).expect("quotas");
    let question = UsageOf {
        integration: integration(),
        window: UsageWindow::Day,
        step: UsageStep::Hour,
        zone: None,
        quotas: read(quotas),
        shown: read(shown),
        key: Some("poly-key".parse().expect("an id")),
        plan_micros: None,
        at,
        now: at,
    };
    used(&house.meter, &question).await.expect("the figures").0
}

fn figures(told: &QuotaUse) -> (u64, u64, bool, Source) {
    (told.used, told.left, told.near_limit, told.source)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_limit_says_what_is_spent_held_lost_and_left() {
    let quotas = json!([
        {"name": "day", "requests": 100, "per": "day", "timezone": "Europe/Berlin"},
        {"name": "tokens", "requests": 1_000, "per": "hour", "unit": "tokens"},
        {"name": "weights", "requests": 100, "window_secs": 30, "weights": [{"path": "/heavy", "units": 5}]},
        {"name": "bucket", "requests": 60, "per": "minute", "kind": "bucket", "burst": 10},
        {"name": "at once", "requests": 10, "kind": "concurrent"},
        {"name": "callers", "requests": 10, "per": "month", "timezone": "UTC", "scope": "caller"},
        {"name": "shared", "requests": 100, "per": "week", "timezone": "UTC", "scope": "credential"},
        {"name": "nobody", "requests": 10, "window_secs": 5},
    ]);
    let house = House::start(&[configured(&quotas)]).await;
    let at = Timestamp::now();
    let all = quotas.as_array().expect("a list");
    house.count(at, Count { requests: 7, ..Count::default() }).await;
    // One gateway was heard just now, the other one is gone.
    lease(&house, &all[0], None, &[(10, 4, 1), (20, 5, 300)], at);
    lease(&house, &all[1], None, &[(900, 850, 1)], at);
    lease(&house, &all[2], None, &[(40, 25, 1), (20, 5, 1)], at);
    lease(&house, &all[3], None, &[(10, 9, 1)], at);
    lease(&house, &all[4], None, &[(5, 3, 1)], at);
    for n in 0..25 {
        lease(&house, &all[5], Some(&format!("user:{n:02}")), &[(9, n % 10, 1)], at);
    }
    lease(&house, &all[6], None, &[(60, 50, 1)], at);

    let told = told(&house, &quotas, &json!([]), at).await;
    let [day, tokens, weights, bucket, at_once, callers, shared, nobody] = &told[..] else {
        panic!("each once: {told:?}")
    };
    // Nine are spent, of which seven were counted yet; fifteen died with their gateway.
    assert_eq!(figures(day), (24, 76, false, Source::Counted));
    let leased = LeasedUse { spent: 9, held: 6, lost: 15, elsewhere: 0, free: 70, gateways: 1 };
    assert_eq!((day.leased, day.kind, day.per), (Some(leased), Kind::Calendar, Some(Window::Day)));
    assert_eq!(day.resets_at, Some(window::at(at, Window::Day, "Europe/Berlin").to));
    assert_eq!(figures(tokens), (850, 150, true, Source::Leased));
    assert_eq!(tokens.leased.map(|leased| (leased.held, leased.free)), Some((50, 100)));
    assert_eq!(figures(weights), (30, 70, false, Source::Leased));
    assert_eq!((weights.kind, weights.window_ms, weights.resets_at), (Kind::Rolling, Some(30_000), None));
    assert!(weights.weighted && weights.per.is_none());
    assert_eq!(figures(bucket), (9, 1, true, Source::Leased));
    assert_eq!((bucket.kind, bucket.window_ms, bucket.limit), (Kind::Bucket, Some(10_000), 10));
    assert_eq!(figures(at_once), (3, 7, false, Source::Leased));
    assert_eq!((at_once.kind, at_once.window_ms, at_once.resets_at), (Kind::Concurrent, None, None));
    assert_eq!((callers.used, callers.left, callers.parts_total, callers.leased), (9, 1, 25, None));
    assert_eq!(callers.parts.len(), 20);
    assert_eq!((&*callers.parts[0].part, callers.parts[0].used), ("user:09", 9));
    assert_eq!((shared.used, shared.leased.map(|leased| leased.held)), (50, Some(10)));
    assert_eq!((nobody.used, nobody.left, nobody.leased), (0, 10, None));
    let counted = [day, shared].map(|told| told.forecast.missing);
    assert_eq!(counted, [Some(Missing::NotEnoughData); 2]);
    assert_eq!(tokens.forecast.missing, Some(Missing::Unsupported));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_over_is_not_used_and_one_that_is_only_shown_is_counted() {
    let day = json!({"name": "day", "requests": 100, "per": "day", "timezone": "UTC"});
    let shown = json!([{"name": "minute", "requests": 5, "per": "minute"},
        {"name": "tokens", "requests": 5, "per": "minute", "unit": "tokens"}]);
    let house = House::start(&[configured(&json!([day]))]).await;
    let at = Timestamp::now();
    lease(&house, &day, None, &[(100, 90, 1)], at.minus(Duration::from_secs(86_400)));
    house.count(at, Count { requests: 4, ..Count::default() }).await;
    let told = told(&house, &json!([day]), &shown, at).await;
    let [day, minute] = &told[..] else { panic!("what nobody counts is not shown: {told:?}") };
    assert_eq!((figures(day), day.kept), ((4, 96, false, Source::Counted), true));
    assert_eq!(day.leased.map(|leased| (leased.spent, leased.free)), Some((0, 100)));
    assert_eq!((minute.kept, minute.kind, minute.limit), (false, Kind::Rolling, 5));
    // The second of the call may have been of the minute before.
    assert!(minute.used == 4 || minute.used == 0, "{minute:?}");
    assert_eq!((minute.source, minute.resets_at, minute.leased), (Source::Counted, None, None));
}
