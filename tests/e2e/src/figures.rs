//! Figures of weeks and minutes that came by the bus: a forecast where enough is known, alert rules that fire by them, and
//! questions about them that are refused.

use std::time::Duration;

use harness::{House, until};
use model::usage::{Count, Sketch, UsageCounted};
use model::{IntegrationId, ProviderId, Timestamp};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3_600);

/// An integration that nobody calls: what is counted of it is what this test tells.
async fn integrate(house: &House, id: &str, quotas: Value) {
    let integration = json!({"id": id, "provider": "custom", "base_url": "http://127.0.0.1:9",
        "auth": {"scheme": "none"}, "probe": {"every_secs": 86_400}, "quotas": quotas});
    house.admin.make("/integrations", integration).await;
}

/// Tells what a gateway would have that counted this until a moment.
async fn counted(house: &House, id: &str, to: Timestamp, count: Count) {
    let fact = UsageCounted {
        integration: IntegrationId::new(id).expect("an id"),
        provider: ProviderId::new("custom").expect("an id"),
        counter: "gateway/test".to_owned(),
        from: to.minus(Duration::from_secs(1)),
        to,
        counts: vec![Count { actor: "user:ada".to_owned(), endpoint: "/v1".to_owned(), ..count }],
    };
    let bus = house.bus();
    bus.publish(&bus.envelope(fact)).await.expect("the bus takes it");
}

fn calls(requests: u64, errors: u64) -> Count {
    Count { requests, errors, ..Count::default() }
}

fn slow(requests: u64, ms: u64) -> Count {
    let mut latency = Sketch::default();
    latency.add_times(ms * 1_000, requests);
    Count { latency, latency_sum_ms: ms * requests, ..calls(requests, 0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forecast_is_made_of_the_hours_that_came_by_the_bus() {
    let house = House::start().await;
    let admin = &house.admin;
    let quotas = json!([{"name": "month", "requests": 1_000_000, "per": "month", "timezone": "UTC"},
        {"name": "small", "requests": 1, "per": "month", "timezone": "UTC"}]);
    integrate(&house, "poly", quotas).await;
    // A forecast is made once an hour: nobody, not even a rule, may ask for one before all hours are counted.
    assert_eq!(admin.patch("/integrations/poly", json!({"enabled": false})).await.0, 200);
    let now = Timestamp::now();
    let hour = now.as_millis() - now.as_millis().rem_euclid(3_600_000);
    for back in 1..=60_u32 {
        let at = Timestamp::from_millis(hour).minus(HOUR * back).plus(HOUR / 2);
        counted(&house, "poly", at, Count { cost_micros: 1_000, ..calls(100, 0) }).await;
    }
    until("sixty hours to be counted", async || {
        (admin.get("/usage?window=90d").await.1["requests"] == 6_000).then_some(())
    })
    .await;
    let usage = admin.get("/integrations/poly/usage?window=90d").await.1;
    assert_eq!(usage["requests"], 6_000, "{usage}");
    let [month, small] = [&usage["quotas"][0], &usage["quotas"][1]];
    assert_eq!((&month["kind"], &month["source"]), (&json!("calendar"), &json!("counted")), "{month}");
    let (used, expected) = (month["used"].as_u64(), month["forecast"]["requests_at_reset"].as_f64());
    let reset = Timestamp::parse(month["resets_at"].as_str().expect("a time")).expect("a time");
    let ahead = 100.0 * reset.since(now).as_secs_f64() / HOUR.as_secs_f64();
    let wanted = used.expect("a number") as f64 + ahead;
    assert!(expected.is_some_and(|all| (all - wanted).abs() < wanted * 0.1 + 200.0), "{month} {wanted}");
    assert_eq!(month["forecast"]["missing"], Value::Null, "{month}");
    assert_eq!((&small["near_limit"], &small["left"]), (&json!(true), &json!(0)), "{small}");
    assert!(usage["forecast"]["exhausts_at"].is_string(), "{}", usage["forecast"]);
    assert!(usage["forecast"]["cost_micros_at_reset"].as_u64() > usage["cost_micros"].as_u64(), "{usage}");

    // The same in another zone: all of it, by the days of that zone.
    let there = admin.get("/integrations/poly/usage?window=90d&zone=America/New_York").await.1;
    assert_eq!((&there["requests"], &there["zone"]), (&json!(6_000), &json!("America/New_York")), "{there}");
    let starts: Vec<&str> =
        there["history"].as_array().expect("a list").iter().filter_map(|one| one["start"].as_str()).collect();
    assert!(
        starts.len() >= 3
            && starts.iter().all(|at| at[11..] == *"05:00:00.000Z" || at[11..] == *"04:00:00.000Z")
    );
    let days = admin.get("/usage?window=90d&zone=America/New_York").await.1;
    let sum = |of: &Value| -> u64 {
        of["history"].as_array().into_iter().flatten().filter_map(|one| one["requests"].as_u64()).sum()
    };
    assert_eq!((sum(&there), sum(&days)), (6_000, 6_000));
    let (status, india) = admin.get("/integrations/poly/usage?zone=Asia/Kolkata").await;
    assert_eq!((status, sum(&india)), (200, india["requests"].as_u64().unwrap_or(1)), "{india}");
    for (query, at, word) in [
        ("window=90d&zone=Asia/Kolkata", "/zone", "minutes are kept for 2 days"),
        ("window=month&at=2020-01-10T00:00:00Z&zone=Europe/Berlin", "/zone", "hours are kept for 90 days"),
        ("zone=Mars/Olympus", "/zone", "is not a time zone"),
        ("windw=month", "/windw", "did you mean `window`?"),
    ] {
        let (status, problem) = admin.get(&format!("/integrations/poly/usage?{query}")).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(at)), "{query}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|why| why.contains(word)), "{query}: {problem}");
    }
    for path in ["/rules?page=2", "/integrations/poly/uptime?windw=7d", "/usage?by=time", "/budgets?limit=3"]
    {
        let (status, problem) = admin.get(path).await;
        assert_eq!((status, &problem["code"]), (422, &json!("validation")), "{path}: {problem}");
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_fire_by_what_is_counted_while_it_is_so() {
    let house = House::start().await;
    let admin = &house.admin;
    let day = json!([{"name": "day", "requests": 10, "per": "day", "timezone": "UTC"}]);
    for (id, quotas) in [("full", day), ("slow", json!([])), ("failing", json!([])), ("new", json!([]))] {
        integrate(&house, id, quotas).await;
    }
    let select = |id: &str| json!({"integrations": [id]});
    admin
        .make(
            "/rules",
            json!({"id": "slow-now", "kind": "response_time", "threshold": 3_000, "window": "5m", "for": "0s",
                "min_requests": 10, "select": select("slow")}),
        )
        .await;
    for id in ["failing", "new"] {
        let rule = json!({"id": format!("{id}-now"), "kind": "availability", "window": "12m", "for": "0s",
            "min_requests": 20, "select": select(id)});
        admin.make("/rules", rule).await;
    }
    let now = Timestamp::now();
    counted(&house, "full", now, calls(12, 0)).await;
    counted(&house, "slow", now, slow(50, 4_000)).await;
    // One is known for eight of twelve minutes, the other for none before now.
    counted(&house, "failing", now.minus(Duration::from_secs(480)), calls(40, 20)).await;
    counted(&house, "failing", now, calls(40, 30)).await;
    counted(&house, "new", now, calls(80, 50)).await;
    let alerts = async || {
        let (_, alerts) = admin.get("/alerts?page_size=500").await;
        let all = alerts["items"].as_array().cloned().unwrap_or_default();
        let fingerprint = |alert: &Value| Some((alert["fingerprint"].as_str()?.to_owned(), alert.clone()));
        all.iter().filter_map(fingerprint).collect::<std::collections::BTreeMap<_, _>>()
    };
    let wanted = [
        ("rule/exhausted/integration/full/quota/day", "full has used up its quota `day` (12 of 10)"),
        ("rule/slow-now/integration/slow", "slow answers slowly: 95 % within"),
        ("rule/failing-now/integration/failing", "failing fails "),
    ];
    let told = until("all of them to be told", async || {
        let told = alerts().await;
        wanted.iter().all(|(fingerprint, _)| told.contains_key(*fingerprint)).then_some(told)
    })
    .await;
    for (fingerprint, title) in wanted {
        let alert = &told[fingerprint];
        assert!(alert["title"].as_str().is_some_and(|told| told.starts_with(title)), "{alert}");
        assert_eq!(alert["state"], "raised", "{alert}");
    }
    assert!(!told.contains_key("rule/new-now/integration/new"), "minutes are no history: {told:?}");

    // A dry run says why it cannot say anything.
    let test = json!({"rule": {"id": "a", "kind": "uptime", "select": select("new")}, "window": "1d"});
    let (status, tested) = admin.post("/rules:test", test).await;
    assert_eq!((status, &tested["targets_without_figures"]), (200, &json!(1)), "{tested}");
    let why = tested["without_figures"][0]["why"].as_str().unwrap_or_default();
    assert!(why.ends_with("of the last 1d: 1h are needed"), "{tested}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_itself_is_refused_with_its_place() {
    let house = House::start().await;
    let admin = &house.admin;
    integrate(&house, "poly", json!([])).await;
    let day = json!({"name": "day", "requests": 10, "per": "day", "timezone": "UTC"});
    let with = |name: &str, value: Value| {
        let mut quota = day.clone();
        quota[name] = value;
        quota
    };
    for (quota, at) in [
        (with("throttle", json!(0.5)), "/quotas/0/throttle"),
        (
            with("weights", json!([{"path": "/a", "units": 1}, {"path": "/a", "units": 2}])),
            "/quotas/0/weights/1/path",
        ),
        (json!({"name": "w", "requests": 5, "window_secs": 10, "timezone": "UTC"}), "/quotas/0/timezone"),
    ] {
        let (status, problem) = admin.patch("/integrations/poly", json!({"quotas": [quota]})).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(at)), "{problem}");
    }
    for scope in
        [json!({"team": "a"}), json!({}), json!("poly"), json!({"integration": "poly", "route": "x"})]
    {
        let budget = json!({"id": "b", "scope": scope, "amount_micros": 5, "per": "day", "timezone": "UTC"});
        let (status, problem) = admin.post("/budgets", budget).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/scope")), "{problem}");
        let why = problem["errors"][0]["detail"].as_str().unwrap_or_default();
        assert!(why.contains(r#"{"route": "<id>"}"#), "{problem}");
    }
    house.stop().await;
}
