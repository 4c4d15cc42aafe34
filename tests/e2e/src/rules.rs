//! A rule from its dry run to the people who hear: once that it fires, once that it is over. And budgets beside it.

use harness::{House, PATIENCE, outside, until};
use reqwest::Method;
use serde_json::{Value, json};
use standins::{Kind, Mode};

/// Too many calls fail, told and over without waiting.
fn rule() -> Value {
    json!({"id": "poly-errors", "kind": "error_rate", "threshold": 0.5, "window": "1m", "min_requests": 5, "for": "0s",
        "resolve_after": "0s", "severity": "error", "select": {"integrations": ["poly"]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_tried_saved_fires_once_and_is_over() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = &house.admin;
    admin.integrate(&outside, "poly", "polygon").await;
    let url = format!("{}/hooks/ops", outside.target(Kind::Http).base_url());
    let filter = json!({"alert_types": ["error_rate"], "severities": ["error"]});
    let made =
        admin.make("/webhooks", json!({"id": "ops", "kind": "http", "url": url, "filter": filter})).await;
    outside.set_hook_secret("ops", made["secret"].as_str().expect("the secret is shown once"));
    let tested = async || admin.post("/rules:test", json!({"rule": rule(), "window": "1h"})).await;
    let call = async || {
        let call = admin.call(Method::GET, "/p/poly/v1/marketstatus/now").send().await.expect("it answers");
        call.status().as_u16()
    };

    let built_in = admin.get("/rules?page_size=100").await.1;
    let kinds = |kind: &str| {
        let items = built_in["items"].as_array().expect("a list");
        items.iter().any(|rule| rule["kind"] == kind && rule["enabled"] == true && rule["built_in"] == true)
    };
    for kind in [
        "near_limit",
        "exhausted",
        "budget",
        "forecast_breach",
        "anomaly",
        "error_rate",
        "response_time",
        "uptime",
        "availability",
    ] {
        assert!(kinds(kind), "a rule of {kind} is there from the start: {built_in}");
    }
    until("the gateway to carry a call", async || (call().await == 200).then_some(())).await;
    let (status, before) = tested().await;
    assert_eq!((status, &before["fired"]), (200, &json!(0)), "{before}");
    assert_eq!(before["summary"], "would not have fired in the last 1h", "{before}");

    // The provider fails. Probes see it too; callers' calls are what the rule is about.
    outside.instance("poly").switch(Mode::Status { status: 500, retry_after_secs: None, body: None }).await;
    for _ in 0..20 {
        assert!(call().await >= 500);
    }
    // A dry run knows minutes that are over.
    let begun = tokio::time::Instant::now();
    let would = loop {
        let (_, tested) = tested().await;
        if tested["fired"] == 1 {
            break tested;
        }
        assert!(begun.elapsed() < PATIENCE * 4, "it would never have fired: {tested}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!(would["summary"], "would have fired once in the last 1h", "{would}");
    assert_eq!(would["firings"][0]["integration"], "poly", "{would}");

    admin.make("/rules", rule()).await;
    let heard = outside.target(Kind::Http).next_message(PATIENCE).await.expect("people hear of it");
    assert_eq!(heard.json["data"]["data"]["rule"], "poly-errors", "{}", heard.body);
    let open = async || {
        let (_, alerts) = admin.get("/alerts?source=poly").await;
        let ours = |alert: &&Value| alert["fingerprint"] == "rule/poly-errors/integration/poly";
        alerts["items"].as_array().and_then(|items| items.iter().find(ours).cloned())
    };
    let alert = until("the alert", open).await;
    assert_eq!(
        (&alert["severity"], &alert["alert_type"]),
        (&json!("error"), &json!("error_rate")),
        "{alert}"
    );

    // It works again: the share of failures falls below the threshold within the window.
    outside.instance("poly").switch(Mode::Ok).await;
    let over = async || {
        call().await;
        let alert = open().await?;
        (alert["state"] == "resolved").then_some(alert)
    };
    let begun = tokio::time::Instant::now();
    while over().await.is_none() {
        assert!(begun.elapsed() < PATIENCE * 6, "it is never over: {:?}", open().await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let all = outside.target(Kind::Http).messages();
    let of = |kind: &str| {
        all.iter().filter(|message| message.json["type"].as_str().is_some_and(|t| t.contains(kind))).count()
    };
    assert_eq!(of("raised"), 1, "exactly one: {all:?}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_say_where_they_stand_and_do_not_overlap() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = &house.admin;
    admin.integrate(&outside, "poly", "polygon").await;
    let cost = json!({"cost": {"per_request_micros": 400_000}});
    assert_eq!(admin.patch("/integrations/poly", cost).await.0, 200);
    let budget = |id: &str, scope: Value| json!({"id": id, "scope": scope, "amount_micros": 2_000_000, "per": "month", "timezone": "Europe/Berlin"});
    admin.make("/budgets", budget("one", json!({"integration": "poly"}))).await;
    let (status, problem) = admin.post("/budgets", budget("two", json!({"integration": "poly"}))).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/scope")), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("overlaps")), "{problem}");
    // Nor of one caller, here of one that never calls; and no day has more than its month.
    admin.make("/tokens", json!({"id": "reader", "role": "viewer", "actor": "agent:reader"})).await;
    let theirs = json!({"caller": "agent:reader"});
    admin.make("/budgets", budget("reader", theirs.clone())).await;
    let (status, problem) = admin.post("/budgets", budget("reader-too", theirs.clone())).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/scope")), "{problem}");
    for (per, amount, wanted) in [("day", 2_000_001, 422), ("week", 2_000_001, 201), ("day", 2_000_000, 201)]
    {
        let mut other = budget(per, theirs.clone());
        (other["per"], other["amount_micros"]) = (json!(per), json!(amount));
        let (status, told) = admin.post("/budgets", other).await;
        let pointer = &told["errors"][0]["pointer"];
        assert!(status == wanted && (status == 201 || pointer == "/amount_micros"), "{status} {told}");
    }
    assert_eq!(
        admin.patch("/budgets/reader", json!({"amount_micros": 1_999_999})).await.0,
        422,
        "a day has more"
    );
    for _ in 0..3 {
        let call = async || {
            let call =
                admin.call(Method::GET, "/p/poly/v1/marketstatus/now").send().await.expect("it answers");
            (call.status() == 200).then_some(())
        };
        until("a call", call).await;
    }
    let stands = async || {
        let budget = admin.get("/budgets/one").await.1;
        (budget["now"]["spent_micros"].as_u64() >= Some(1_200_000)).then_some(budget)
    };
    let stands = until("three calls to be paid", stands).await;
    assert!(stands["now"]["ratio"].as_f64() >= Some(0.6), "{stands}");
    assert_eq!(stands["now"]["forecast_micros"], Value::Null, "not enough data: {stands}");
    let alert = async || {
        let (_, alerts) = admin.get("/alerts?alert_type=budget").await;
        let items = alerts["items"].as_array().cloned().unwrap_or_default();
        (items.len() == 1).then(|| items[0].clone())
    };
    let alert = until("half of it to be told", alert).await;
    assert_eq!(
        (&alert["data"]["budget"], &alert["alert_type"]),
        (&json!("one"), &json!("budget")),
        "{alert}"
    );
    house.stop().await;
}
