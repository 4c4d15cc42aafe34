//! A provider that names when it wants calls again gets none until then, of no gateway.

use http::StatusCode;
use serde_json::{Value, json};

use super::house::{Got, House, eventually, integration, route};
use super::provider::Provider;
use super::quotas::Other;

/// What is said of a pause: the status, the code, and the seconds that are left.
fn told(got: &Got) -> (StatusCode, Value, u64) {
    let left = got.header("retry-after").parse().unwrap_or_default();
    (got.status, got.json()["code"].clone(), left)
}

async fn pair(more: Value) -> (House, Provider, Other) {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), more)).await;
    let other = Other::start(&house).await;
    (house, provider, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_gateway_heeds_what_one_was_told_and_so_does_one_that_starts_later() {
    for more in [
        json!({}),
        json!({ "quotas": [{ "name": "day", "requests": 100, "per": "day", "timezone": "UTC" }] }),
    ] {
        let (house, provider, other) = pair(more).await;
        provider.always(429, &[("retry-after", "40")], "slow down");
        assert_eq!(house.get("/p/a/x").await.text(), "slow down");
        let (status, code, left) = told(&house.get("/p/a/x").await);
        assert_eq!((status.as_u16(), code), (429, json!("quota_exceeded")));
        assert!((38..=40).contains(&left), "{left}");
        assert_eq!(provider.count(), 1);
        // Those asked before it heard of it may reach the provider, which would say the same; this one says it itself.
        provider.always(200, &[], "well");
        let got = eventually("that the other one heard of it", || async {
            let got = other.get(&house, "/p/a/x").await;
            (got.status == 429).then_some(got)
        })
        .await;
        let (_, code, left) = told(&got);
        assert!(code == json!("quota_exceeded") && (35..=41).contains(&left), "{code} {left}");
        let count = provider.count();
        let third = Other::start(&house).await;
        eventually("that a later one found it", || async {
            (third.get(&house, "/p/a/x").await.status == 429).then_some(())
        })
        .await;
        assert!(provider.count() <= count + 20, "it knows as soon as it knows the time");
        let count = provider.count();
        for gateway in [&other, &third] {
            assert_eq!(gateway.get(&house, "/p/a/x").await.status, 429);
        }
        assert_eq!(provider.count(), count);
        other.stop().await;
        third.stop().await;
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_at_its_time_and_no_time_is_believed_for_long() {
    let (house, provider, other) = pair(json!({})).await;
    provider.always(429, &[("retry-after", "2")], "slow down");
    assert_eq!(house.get("/p/a/x").await.status, 429);
    provider.always(200, &[], "well");
    let began = std::time::Instant::now();
    eventually("its end", || async { (house.get("/p/a/x").await.status == 200).then_some(()) }).await;
    assert!(began.elapsed().as_millis() >= 1_900, "{:?}", began.elapsed());
    eventually("its end there", || async { (other.get(&house, "/p/a/x").await.status == 200).then_some(()) })
        .await;
    provider.always(429, &[("retry-after", "31536000")], "in a year");
    assert_eq!(house.get("/p/a/x").await.status, 429);
    for gateway in [None, Some(&other)] {
        let left = eventually("the pause", || async {
            let got = match gateway {
                None => house.get("/p/a/x").await,
                Some(other) => other.get(&house, "/p/a/x").await,
            };
            (got.text() != "in a year").then(|| told(&got).2)
        })
        .await;
        assert!((3_590..=3_600).contains(&left), "{left}");
    }
    other.stop().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_is_heeded_without_a_time_and_a_refusal_without_one_is_no_pause() {
    let (house, provider, other) = pair(json!({})).await;
    provider.always(429, &[], "later");
    for _ in 0..3 {
        assert_eq!(house.get("/p/a/x").await.text(), "later");
    }
    assert_eq!(provider.count(), 3);
    provider.always(418, &[], "banned");
    assert_eq!(house.get("/p/a/x").await.text(), "banned");
    provider.always(200, &[], "well");
    let got = house.get("/p/a/x").await;
    assert_eq!((told(&got).0.as_u16(), told(&got).1), (503, json!("banned")));
    eventually("that the other one heard of it", || async {
        (other.get(&house, "/p/a/x").await.status == 503).then_some(())
    })
    .await;
    // Whoever disables it may have it tried afterwards.
    for enabled in [false, true] {
        house.configure(|s| integration(s, "a", &provider.url(), json!({ "enabled": enabled }))).await;
    }
    assert_eq!(house.get("/p/a/x").await.status, 200);
    other.stop().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_go_on_to_another_member_in_every_gateway() {
    let (house, provider, other) = pair(json!({})).await;
    let backup = Provider::start("b").await;
    house
        .configure(|s| {
            integration(s, "b", &backup.url(), json!({}));
            route(s, "both", &["a", "b"], json!({}));
            route(s, "one", &["a"], json!({}));
        })
        .await;
    provider.always(429, &[("retry-after", "40")], "slow down");
    assert_eq!(house.get("/p/a/x").await.status, 429);
    eventually("that the other one heard of it", || async {
        (other.get(&house, "/p/a/x").await.text() != "slow down").then_some(())
    })
    .await;
    let count = provider.count();
    assert_eq!(house.get("/r/both/x").await.status, 200);
    eventually("the route", || async { (other.get(&house, "/r/both/x").await.status == 200).then_some(()) })
        .await;
    let got = other.get(&house, "/r/one/x").await;
    assert!(!got.status.is_success() && told(&got).2 > 30, "{}", got.text());
    assert_eq!(got.json()["attempts"][0], json!({ "integration": "a", "skipped": "blocked" }));
    assert_eq!(provider.count(), count, "nobody asked it");
    other.stop().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_with_one_key_pause_together_where_their_limit_is_the_keys() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let limit = |scope: &str, key: &str| {
        let quota = json!({ "name": "minute", "requests": 100, "per": "minute", "scope": scope });
        json!({ "key": key, "quotas": [quota] })
    };
    house.key("shared", &[("api_key", "k")]).await;
    house.key("apart", &[("api_key", "k")]).await;
    house
        .configure(|s| {
            integration(s, "a", &provider.url(), limit("credential", "shared"));
            integration(s, "b", &provider.url(), limit("credential", "shared"));
            integration(s, "c", &provider.url(), limit("integration", "shared"));
            integration(s, "d", &provider.url(), limit("credential", "apart"));
        })
        .await;
    provider.always(429, &[("retry-after", "40")], "slow down");
    assert_eq!(house.get("/p/a/x").await.status, 429);
    provider.always(200, &[], "well");
    for (id, status) in [("b", 429), ("c", 200), ("d", 200), ("a", 429)] {
        assert_eq!(house.get(&format!("/p/{id}/x")).await.status, status, "{id}");
    }
    house.stop().await;
}
