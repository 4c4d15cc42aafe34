//! Limits are kept to: by one gateway, by two on one bus, across stops, and callers are told.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

use super::house::{Got, House, TOKEN, eventually, integration, route, token};
use super::provider::{Provider, answer};
use crate::Settings;

const OTHER: &str = "sbt_0123456789abcdef0123456789abcdef0123456789b";

fn quota(more: Value) -> Value {
    let mut quota = json!({ "name": "day", "requests": 5, "per": "day", "timezone": "UTC" });
    if let (Value::Object(quota), Value::Object(more)) = (&mut quota, more) {
        quota.extend(more);
    }
    json!({ "quotas": [quota] })
}

/// Calls at once, and how many were answered by whom they were for.
async fn storm(house: &House, count: usize, path: &str) -> usize {
    let calls = (0..count).map(|_| house.get(path));
    join_all(calls).await.iter().filter(|got| got.status == StatusCode::OK).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_lets_so_many_calls_go_and_tells_the_others() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), quota(json!({})))).await;
    let first = house.get("/p/a/x").await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(first.header("ratelimit").starts_with("\"day\";r=4;t="), "{}", first.header("ratelimit"));
    assert_eq!(first.header("ratelimit-policy"), "\"day\";q=5;w=86400");
    assert_eq!(storm(&house, 20, "/p/a/x").await, 4);
    assert_eq!(provider.count(), 5);
    let got = eventually("that nothing is left", || async {
        let got = house.get("/p/a/x").await;
        (got.header("retry-after").parse::<u64>().ok()? > 60 || !is_late()).then_some(got)
    })
    .await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (429, Some("quota_exceeded")));
    assert_eq!(got.header("content-type"), "application/problem+json");
    assert_eq!(got.json()["violated-policies"], json!(["day"]));
    assert!(got.header("ratelimit").starts_with("\"day\";r=0;t="), "{}", got.header("ratelimit"));
    assert_eq!(provider.count(), 5);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_of_a_limit_waits_for_its_grant_however_little_time_it_has() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let limit = quota(json!({ "requests": 100, "scope": "endpoint" }));
    house.configure(|s| integration(s, "a", &provider.url(), limit)).await;
    // Each endpoint has a limit that nobody holds yet. The clock of the bus is known after one.
    let warm = house.get("/p/a/first").await;
    assert_eq!(warm.status, 200, "{}", warm.text());
    // A disk that is slow may cost some: with each try another one.
    let tries = std::sync::atomic::AtomicU32::new(0);
    eventually("a grant in time", || async {
        let path = format!("/p/a/e{}", tries.fetch_add(1, Relaxed));
        let request = house.request("GET", &path).header("x-signalbox-timeout-ms", "100");
        (house.call(request, "").await.status == 200).then_some(())
    })
    .await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_of_many_limits_waits_for_one_grant_after_the_other() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let limits: Vec<Value> = (0..5)
        .map(|n| json!({ "name": format!("l{n}"), "requests": 100 + n, "window_secs": 60, "scope": "endpoint" }))
        .collect();
    house.configure(|s| integration(s, "a", &provider.url(), json!({ "quotas": limits }))).await;
    assert_eq!(house.get("/p/a/first").await.status, 200);
    let tries = std::sync::atomic::AtomicU32::new(0);
    eventually("five grants in time", || async {
        let path = format!("/p/a/e{}", tries.fetch_add(1, Relaxed));
        let request = house.request("GET", &path).header("x-signalbox-timeout-ms", "900");
        (house.call(request, "").await.status == 200).then_some(())
    })
    .await;
    house.stop().await;
}

/// A second gateway on the same bus.
pub(super) struct Other {
    address: std::net::SocketAddr,
    stopping: tokio_util::sync::CancellationToken,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Other {
    pub(super) async fn start(house: &House) -> Self {
        let egress = egress::Egress::new(&egress::Settings {
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            lanes: Settings::default().lanes(),
            ..egress::Settings::default()
        });
        let doors = crate::Doors {
            bus: house.bus.clone(),
            vault: house.vault.clone(),
            egress: egress.expect("a way out"),
            catalogue: catalogue::Catalogue::builtin(),
        };
        let gateway = crate::Gateway::new(Settings::default(), doors);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let stopping = tokio_util::sync::CancellationToken::new();
        let (served, end) = (gateway.clone(), stopping.clone());
        let serving = tokio::spawn(async move { served.serve(listener, end).await });
        eventually("its configuration", || async { gateway.ready().then_some(()) }).await;
        Self { address, stopping, serving }
    }

    pub(super) async fn get(&self, house: &House, path: &str) -> Got {
        let uri = format!("http://{}{path}", self.address);
        let request = http::Request::builder().uri(uri).header("authorization", format!("Bearer {TOKEN}"));
        house.call(request, "").await
    }

    async fn storm(&self, house: &House, count: usize) -> usize {
        let calls = (0..count).map(|_| self.get(house, "/p/a/x"));
        join_all(calls).await.iter().filter(|got| got.status == StatusCode::OK).count()
    }

    pub(super) async fn stop(self) {
        self.stopping.cancel();
        self.serving.await.expect("no panic").expect("a good end");
    }
}

/// Whether more than a minute of the day is left.
fn is_late() -> bool {
    model::Timestamp::now().as_secs().rem_euclid(86_400) < 86_340
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_bus_spend_one_limit_and_a_stop_gives_back() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let limit = quota(json!({ "requests": 60 }));
    house.configure(|s| integration(s, "a", &provider.url(), limit.clone())).await;
    let other = Other::start(&house).await;
    let (mine, theirs) = tokio::join!(storm(&house, 20, "/p/a/x"), other.storm(&house, 20));
    assert!(mine + theirs <= 60 && mine > 0 && theirs > 0, "{mine} {theirs}");
    other.stop().await;
    // What the other one held is free again: all that is left can be spent here.
    eventually("that all of it was spent", || async {
        storm(&house, 10, "/p/a/x").await;
        (provider.count() == 60).then_some(())
    })
    .await;
    assert_eq!(storm(&house, 10, "/p/a/x").await, 0);
    assert_eq!(provider.count(), 60);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_goes_on_to_a_member_with_something_left() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), quota(json!({ "requests": 3 })));
            integration(s, "b", &b.url(), json!({}));
            route(s, "both", &["a", "b"], json!({}));
        })
        .await;
    for _ in 0..8 {
        assert_eq!(house.get("/r/both/x").await.status, 200);
    }
    assert_eq!((a.count(), b.count()), (3, 5));
    house.configure(|s| route(s, "both", &["a"], json!({}))).await;
    let got = house.get("/r/both/x").await;
    let told = got.json();
    assert_eq!((got.status.as_u16(), told["code"].as_str()), (429, Some("quota_exceeded")), "{told}");
    assert_eq!(
        told["attempts"][0],
        json!({ "integration": "a", "skipped": "quota_exhausted", "quota": "day" })
    );
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_units_that_come_again_callers_in_turn() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let limit = quota(json!({ "name": "second", "requests": 10, "per": "second", "timezone": null }));
    house
        .configure(|s| {
            integration(s, "a", &provider.url(), limit);
            s.tokens.push(token("other", OTHER, &json!({})));
        })
        .await;
    assert_eq!(house.get("/p/a/x").await.status, 200);
    let began = Instant::now();
    let greedy = storm(&house, 60, "/p/a/x");
    let modest = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let uri = format!("http://{}/p/a/x", house.address);
        let request = http::Request::builder().uri(uri).header("authorization", format!("Bearer {OTHER}"));
        (house.call(request, "").await.status, began.elapsed())
    };
    let (greedy, (status, took)) = tokio::join!(greedy, modest);
    // Two seconds of waiting bring twenty more; whoever has one call does not wait behind the fifty others.
    assert!((15..=45).contains(&greedy), "{greedy}");
    assert!(status == 200 && took < Duration::from_millis(1_900), "{status} {took:?}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_of_a_higher_priority_does_not_wait_behind_others_and_takes_a_place() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let limit = quota(json!({ "name": "second", "requests": 10, "per": "second", "timezone": null }));
    house
        .configure(|s| {
            integration(s, "a", &provider.url(), limit);
            let priority = model::token::Priority::High;
            s.tokens.push(model::token::Token { priority, ..token("other", OTHER, &json!({})) });
            // The same caller, so that only its token tells them apart.
            let actor = s.tokens[0].actor.clone();
            s.tokens.last_mut().expect("one").actor = actor;
        })
        .await;
    assert_eq!(house.get("/p/a/x").await.status, 200);
    let began = Instant::now();
    let many = storm(&house, 300, "/p/a/x");
    let few = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let ask = || async {
            let uri = format!("http://{}/p/a/x", house.address);
            let request =
                http::Request::builder().uri(uri).header("authorization", format!("Bearer {OTHER}"));
            house.call(request, "").await.status
        };
        (join_all((0..5).map(|_| ask())).await, began.elapsed())
    };
    let (many, (few, took)) = tokio::join!(many, few);
    assert!(few.iter().all(|status| *status == 200), "{few:?}");
    assert!((5..=45).contains(&many) && took < Duration::from_millis(1_900), "{many} {took:?}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_has_its_own_limit_where_it_says_so() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "a", &provider.url(), quota(json!({ "requests": 2, "scope": "token" })));
            s.tokens.push(token("other", OTHER, &json!({})));
        })
        .await;
    for bearer in [TOKEN, OTHER] {
        let mut good = 0;
        for _ in 0..4 {
            let uri = format!("http://{}/p/a/x", house.address);
            let request =
                http::Request::builder().uri(uri).header("authorization", format!("Bearer {bearer}"));
            good += usize::from(house.call(request, "").await.status == 200);
        }
        assert_eq!(good, 2, "{bearer}");
    }
    assert_eq!(provider.count(), 4);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_different_amounts_for_one_key_the_smallest_holds() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let limit = |requests: u64, id: &str| {
        let mut limit = quota(json!({ "requests": requests, "scope": "credential" }));
        limit["key"] = json!(id);
        limit
    };
    house.key("shared", &[("api_key", "k")]).await;
    house
        .configure(|s| {
            integration(s, "a", &provider.url(), limit(3, "shared"));
            integration(s, "b", &provider.url(), limit(50, "shared"));
        })
        .await;
    let both = async || storm(&house, 6, "/p/b/x").await + storm(&house, 6, "/p/a/x").await;
    assert_eq!(both().await, 3);
    // When who wants less is gone, the other one's word holds.
    house.configure(|s| drop(s.integrations.remove("a"))).await;
    eventually("that more may go", || async { (storm(&house, 6, "/p/b/x").await == 6).then_some(()) }).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_weigh_by_their_path_and_heavier_ones_than_the_limit_never_go() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let weights = json!([{ "path": "/heavy", "units": 4 }, { "path": "/free", "units": 0 }]);
    house
        .configure(|s| {
            integration(s, "a", &provider.url(), quota(json!({ "requests": 9, "weights": weights })));
        })
        .await;
    for (path, status) in [
        ("/p/a/heavy", 200),
        ("/p/a/light", 200),
        ("/p/a/heavy/x", 200),
        ("/p/a/light", 429),
        ("/p/a/free", 200),
    ] {
        let got = house.get(path).await;
        assert_eq!(got.status, status, "{path} {}", got.text());
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_weighs_more_than_is_left_is_told_what_is_left() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let weights = json!([{ "path": "/heavy", "units": 4 }, { "path": "/free", "units": 0 }]);
    let limit = quota(json!({ "requests": 6, "weights": weights }));
    house.configure(|s| integration(s, "a", &provider.url(), limit)).await;
    assert_eq!(house.get("/p/a/heavy").await.status, 200);
    let got = house.get("/p/a/heavy").await;
    assert_eq!(got.status, 429, "{}", got.text());
    assert!(got.header("ratelimit").starts_with("\"day\";r=2;t="), "{}", got.header("ratelimit"));
    let detail = got.json()["detail"].to_string();
    assert!(detail.contains("of which 2 are left"), "{detail}");
    assert_eq!(house.get("/p/a/light").await.status, 200);
    let free = house.get("/p/a/free").await;
    assert!(free.status == 200 && free.headers.get("ratelimit").is_none());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_a_time_are_free_again_when_their_answers_have_ended() {
    let (house, provider) =
        (House::with(Settings { quota_wait_ms: 0, ..Settings::default() }).await, Provider::start("a").await);
    let limit = json!({ "quotas": [{ "name": "at once", "requests": 2, "kind": "concurrent" }] });
    house.configure(|s| integration(s, "a", &provider.url(), limit)).await;
    assert_eq!(house.get("/p/a/x").await.status, 200);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = gate.clone();
    provider.will(move |_| {
        let gate = held.clone();
        async move {
            gate.acquire().await.expect("open").forget();
            answer(200, &[], "late")
        }
    });
    let calls = async { tokio::join!(house.get("/p/a/1"), house.get("/p/a/2")) };
    let third = async {
        eventually("two calls under way", || async { (provider.count() == 3).then_some(()) }).await;
        let refused = house.get("/p/a/3").await;
        gate.add_permits(2);
        refused
    };
    let ((a, b), refused) = tokio::join!(calls, third);
    assert_eq!((a.status.as_u16(), b.status.as_u16(), refused.status.as_u16()), (200, 200, 429));
    gate.add_permits(1);
    eventually("a free place", || async { (house.get("/p/a/4").await.status == 200).then_some(()) }).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_own_count_is_believed_when_it_is_higher() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), quota(json!({ "requests": 100 })))).await;
    assert_eq!(house.get("/p/a/x").await.status, 200);
    provider.always(200, &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "0")], "ok");
    assert_eq!(house.get("/p/a/x").await.status, 200);
    eventually("that others used the rest", || async {
        let got = house.get("/p/a/x").await;
        (got.status == 429 && got.header("retry-after") != "1").then_some(())
    })
    .await;
    assert_eq!(provider.count(), 2);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_wants_no_calls_gets_none_for_as_long() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), quota(json!({ "requests": 100 })))).await;
    provider.always(429, &[("retry-after", "30")], "slow down");
    assert_eq!(house.get("/p/a/x").await.status, 429);
    let got = house.get("/p/a/x").await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (429, Some("quota_exceeded")));
    assert!((28..=30).contains(&got.header("retry-after").parse::<u32>().expect("seconds")));
    assert_eq!(provider.count(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_configuration_forgets_nothing_that_was_spent() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), quota(json!({ "requests": 4 })))).await;
    assert_eq!(storm(&house, 3, "/p/a/x").await, 3);
    house
        .configure(|s| integration(s, "a", &provider.url(), quota(json!({ "requests": 6, "near": 0.5 }))))
        .await;
    eventually("that the rest was spent", || async {
        storm(&house, 4, "/p/a/x").await;
        (provider.count() == 6).then_some(())
    })
    .await;
    assert_eq!(storm(&house, 5, "/p/a/x").await, 0);
    house.configure(|s| integration(s, "a", &provider.url(), json!({}))).await;
    assert_eq!(storm(&house, 5, "/p/a/x").await, 5);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_bus_what_is_held_is_all_that_a_window_has() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), quota(json!({ "requests": 1_000 })))).await;
    assert_eq!(storm(&house, 5, "/p/a/x").await, 5);
    let before = house.server.pid().expect("it runs");
    let pid = rustix::process::Pid::from_raw(i32::try_from(before).expect("a process id")).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it is ours to stop");
    eventually("that what was held is spent", || async {
        let got = house.get("/p/a/x").await;
        (got.status == 429).then_some(())
    })
    .await;
    let held = provider.count();
    assert!(held < 1_000, "{held}");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("it is ours to wake");
    eventually("that it goes on", || async { (house.get("/p/a/x").await.status == 200).then_some(()) }).await;
    house.stop().await;
}
