//! Limits hold on real gateways: while they are killed under load, and where three times as much is asked as a provider
//! gives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bus::Bucket;
use harness::{Client, House, Program, key_of, outside, until};
use model::quota::ledger::Ledger;
use reqwest::Method;
use serde_json::{Value, json};
use standins::{Config, InstanceConfig, Mode, Standins};

use super::distributed::{City, caller};

const PATH: &str = "/p/poly/v2/aggs/ticker/IBM/prev";
/// Calls that a day has.
const DAY: u64 = 400;
/// Calls that a day has which probes have a part in.
const FEW: u64 = 20;
/// Calls that the paced provider takes in its window, and the window in seconds.
const PACED: (u64, u64) = (60, 10);

/// An integration with a limit. Whoever tries it is gone afterwards, and what was tried is forgotten.
#[expect(clippy::disallowed_methods, reason = "a test speaks with its own stand-ins")]
async fn integrate(city: &City, api: &Program, outside: &Standins, quota: Value) {
    let prober = city.role("prober", "one").await;
    let key = json!({"id": "poly", "provider": "polygon", "fields": {"api_key": key_of("poly")}});
    api.admin.make("/keys", key).await;
    let base_url = outside.instance("poly").base_url();
    let integration = json!({"id": "poly", "provider": "polygon", "key": "poly", "base_url": base_url,
        "timeout_ms": 5000, "retry": {"attempts": 1}, "quotas": [quota]});
    api.admin.make("/integrations", integration).await;
    prober.kill().await;
    let reset = format!("{}/control/reset", outside.control_url());
    let answer = reqwest::Client::new().post(reset).send().await.expect("the stand-ins answer");
    assert!(answer.status().is_success());
}

/// Callers that ask one gateway again and again until they are told to stop, or it is gone.
fn load(client: &Client, callers: usize, good: &Arc<AtomicU64>, stop: &Arc<AtomicBool>) {
    for _ in 0..callers {
        let (client, good, stop) = (client.clone(), good.clone(), stop.clone());
        tokio::spawn(async move {
            while !stop.load(Relaxed) {
                match client.call(Method::GET, PATH).send().await {
                    Ok(answer) if answer.status() == 200 => {
                        good.fetch_add(1, Relaxed);
                    }
                    Ok(answer) => assert_eq!(answer.status(), 429),
                    Err(_) => return,
                }
            }
        });
    }
}

async fn serves(client: &Client) {
    until("the gateway serves it", || async {
        let answer = client.call(Method::GET, PATH).send().await.ok()?;
        (answer.status() == 200 || answer.status() == 429).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_never_overspent_though_gateways_are_killed_under_load() {
    let (city, outside) = tokio::join!(City::start(), outside(&[("poly", "polygon")]));
    let api = city.role("api", "one").await;
    let day = json!({"name": "day", "requests": DAY, "per": "day", "timezone": "UTC"});
    integrate(&city, &api, &outside, day).await;
    let (good, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let count = || outside.instance("poly").counts().total;
    let mut survivor: Option<Program> = None;
    for life in 1..=3_u64 {
        let (one, two) = tokio::join!(city.role("gateway", "one"), city.role("gateway", "two"));
        for gateway in [&one, &two] {
            let client = caller(&api, gateway);
            serves(&client).await;
            load(&client, 4, &good, &stop);
        }
        until("a part of it is spent", || async { (count() >= life * DAY / 5).then_some(()) }).await;
        // One dies in the middle of it; the other one goes on until the next pair has come.
        one.kill().await;
        if let Some(old) = survivor.replace(two) {
            old.kill().await;
        }
    }
    // What is left goes in small parts now: the dead are not known to be dead.
    until("most of it is spent", || async { (count() >= DAY * 7 / 10).then_some(()) }).await;
    stop.store(true, Relaxed);
    let survivor = survivor.expect("the last one lives");
    assert_eq!(survivor.interrupt().await, Some(0), "it ends in order");
    let seen = count();
    let bus = city.bus().await;
    let bucket = bus.bucket(Bucket::Quota).await.expect("the bucket is there");
    let ledgers = bucket.all::<Value>().await.expect("ledgers");
    let ledger = ledgers.into_iter().find(|(key, _)| key.starts_with("poly.")).expect("the limit's").1.value;
    let ledger: Ledger = serde_json::from_value(ledger).expect("a ledger");
    // Whatever was killed when: all that the provider saw was leased, and not more was leased than there is.
    assert!(seen <= ledger.taken() && ledger.taken() <= DAY, "{seen} of {DAY}: {ledger:?}");
    assert!(good.load(Relaxed) <= seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_times_the_limit_is_paced_so_that_the_provider_refuses_none_of_it() {
    let (requests, per_secs) = PACED;
    let poly = InstanceConfig::new("poly", "polygon").key("api_key", key_of("poly"));
    let poly = poly.limit(requests, per_secs);
    let outside = Standins::start(Config::default().with(poly)).await.expect("the stand-ins start");
    let city = City::start().await;
    let (api, gateway) = tokio::join!(city.role("api", "one"), city.role("gateway", "one"));
    let quota = json!({"name": "window", "requests": requests, "window_secs": per_secs});
    integrate(&city, &api, &outside, quota).await;
    let client = caller(&api, &gateway);
    serves(&client).await;
    let began = Instant::now();
    // Windows begin with their first call: two more and a half.
    let end = Duration::from_millis(per_secs * 1_000 * 5 / 2);
    let every = Duration::from_secs_f64(per_secs as f64 / (3 * requests) as f64);
    while began.elapsed() < end {
        let client = client.clone();
        tokio::spawn(async move { drop(client.call(Method::GET, PATH).send().await) });
        tokio::time::sleep(every).await;
    }
    let counts = outside.instance("poly").counts();
    let of = |status: u16| counts.by_status.get(&status).copied().unwrap_or(0);
    assert_eq!(of(429), 0, "{:?}", counts.by_status);
    assert!(of(200) * 100 >= 3 * requests * 95, "{:?} of {}", counts.by_status, 3 * requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_probers_are_paid_out_of_the_limit_as_calls_are() {
    let (city, outside) = tokio::join!(City::start(), outside(&[("poly", "polygon")]));
    let (api, prober) = tokio::join!(city.role("api", "one"), city.role("prober", "one"));
    let gateway = city.role("gateway", "one").await;
    let key = json!({"id": "poly", "provider": "polygon", "fields": {"api_key": key_of("poly")}});
    api.admin.make("/keys", key).await;
    let day = json!({"name": "day", "requests": FEW, "per": "day", "timezone": "UTC"});
    let base_url = outside.instance("poly").base_url();
    let integration = json!({"id": "poly", "provider": "polygon", "key": "poly", "base_url": base_url,
        "retry": {"attempts": 1}, "quotas": [day], "probe": {"every_secs": 1}});
    api.admin.make("/integrations", integration).await;
    let count = || outside.instance("poly").counts().total;
    until("it is probed", || async { (count() >= 1).then_some(()) }).await;
    let client = caller(&api, &gateway);
    serves(&client).await;
    until("all of it is used", || async {
        let answer = client.call(Method::GET, PATH).send().await.ok()?;
        (answer.status() == 429 && count() >= FEW).then_some(())
    })
    .await;
    for _ in 0..3 {
        let (_, pong) = api.admin.get("/integrations/poly/ping").await;
        assert_eq!(pong["reason"], "quota_exhausted", "{pong}");
        assert!(pong["detail"].as_str().is_some_and(|detail| detail.contains("`day`")), "{pong}");
    }
    assert_eq!(count(), FEW);
    prober.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_costs_is_spared_while_calls_show_as_much_and_asked_when_they_end() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = house.admin.clone();
    let key = json!({"id": "poly", "provider": "polygon", "fields": {"api_key": key_of("poly")}});
    admin.make("/keys", key).await;
    let quota = json!({"name": "minute", "requests": 5_000, "per": "minute"});
    let base_url = outside.instance("poly").base_url();
    let integration = json!({"id": "poly", "provider": "polygon", "key": "poly", "base_url": base_url,
        "quotas": [quota], "probe": {"every_secs": 1}});
    admin.make("/integrations", integration).await;
    let figure = async |series: &str| {
        let metrics = admin.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<u64>().ok());
        value.unwrap_or(0)
    };
    let (asked, spared) = (
        "signalbox_probes_total{integration=\"poly\",outcome=\"success\"}",
        "signalbox_probes_spared_total{integration=\"poly\"}",
    );
    until("it is probed", async || (figure(asked).await >= 2).then_some(())).await;
    until("calls spare probes", async || {
        drop(admin.call(Method::GET, PATH).send().await);
        (figure(spared).await >= 3).then_some(())
    })
    .await;
    let before = figure(asked).await;
    until("it is probed again", async || (figure(asked).await >= before + 2).then_some(())).await;
    let (_, now) = admin.get("/integrations/poly/ping").await;
    assert_eq!(now["health"], "up", "{now}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_trouble_is_found_soon_though_a_limit_leaves_few_probes() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = house.admin.clone();
    let key = json!({"id": "poly", "provider": "polygon", "fields": {"api_key": key_of("poly")}});
    admin.make("/keys", key).await;
    // A probe in 72 minutes, while all is well.
    let quota = json!({"name": "day", "requests": 2 * FEW - 1, "per": "day", "timezone": "UTC"});
    let base_url = outside.instance("poly").base_url();
    let integration = json!({"id": "poly", "provider": "polygon", "key": "poly", "base_url": base_url,
        "retry": {"attempts": 1}, "quotas": [quota], "probe": {"every_secs": 1}});
    admin.make("/integrations", integration).await;
    let health = async || admin.get("/integrations/poly").await.1["health"].clone();
    until("it is up", async || (health().await == "up").then_some(())).await;
    outside.instance("poly").switch(Mode::Refuse).await;
    until("calls show that it is down", async || {
        drop(admin.call(Method::GET, PATH).send().await);
        (health().await == "down").then_some(())
    })
    .await;
    outside.instance("poly").switch(Mode::Ok).await;
    until("a probe shows that it is up again", async || (health().await == "up").then_some(())).await;
    let seen = outside.instance("poly").counts().total;
    assert!(seen < 2 * FEW, "{seen}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_bans_us_is_not_probed_meanwhile() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = house.admin.clone();
    admin.integrate(&outside, "poly", "polygon").await;
    let call = async || admin.call(Method::GET, PATH).send().await.expect("the gateway answers");
    until("it is called", async || (call().await.status() == 200).then_some(())).await;
    let ban = Mode::Status { status: 418, retry_after_secs: Some(600), body: None };
    outside.instance("poly").switch(ban).await;
    assert_eq!(call().await.status(), 418);
    let ping = async || admin.get("/integrations/poly/ping").await.1;
    let heeded = |pong: &Value| pong["detail"].as_str().is_some_and(|detail| detail.contains("bans us"));
    until("probes heed it", async || heeded(&ping().await).then_some(())).await;
    let seen = outside.instance("poly").counts().total;
    for _ in 0..3 {
        let pong = ping().await;
        assert!(heeded(&pong) && pong["reason"] == "banned", "{pong}");
    }
    until("it is shown so", async || {
        let (_, shown) = admin.get("/integrations/poly").await;
        (shown["health"] == "down" && shown["reason"] == "banned").then_some(())
    })
    .await;
    assert_eq!(outside.instance("poly").counts().total, seen);
    house.stop().await;
}
