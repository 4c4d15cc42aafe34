//! What was sent and what came of it, seen and sent again; and what was used.

use harness::{House, outside, until};
use reqwest::Method;
use serde_json::{Value, json};
use standins::Kind;

/// What a verb answers.
async fn verb(house: &House, path: &str, sent: Value) -> (u16, Value) {
    let request = house.admin.api(Method::POST, path).json(&sent);
    harness::client::body(request.send().await.expect("the api answers")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_shown_and_sent_again() {
    let outside = outside(&[]).await;
    let house = House::start().await;
    let admin = &house.admin;
    let url = format!("{}/hooks/ops", outside.target(Kind::Http).base_url());
    let made = admin.make("/webhooks", json!({"id": "ops", "kind": "http", "url": url})).await;
    outside.set_hook_secret("ops", made["secret"].as_str().expect("the secret is shown once"));
    for title in ["first", "second"] {
        let alert = json!({"severity": "error", "alert_type": "price", "title": title, "source": "test"});
        admin.make("/alerts", alert).await;
    }
    let delivered = async || {
        let page = admin.get("/webhooks/ops/deliveries?state=delivered").await.1;
        page["items"].as_array().cloned().unwrap_or_default()
    };
    let two =
        until("both to be delivered", async || Some(delivered().await).filter(|all| all.len() == 2)).await;
    let page = admin.get("/webhooks/ops/deliveries?page_size=1").await.1;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page}");
    assert!(page["next"].is_string(), "{page}");
    assert_eq!(admin.get("/webhooks/nobody/deliveries").await.0, 404);

    let id = two[0]["id"].as_str().expect("an id");
    let (status, shown) = admin.get(&format!("/deliveries/{id}")).await;
    assert_eq!((status, shown["tries"].as_array().map(Vec::len)), (200, Some(1)), "{shown}");
    assert!(shown["alert"]["title"].is_string(), "{shown}");
    assert_eq!(admin.get("/deliveries/del_00000000000000000000000000").await.0, 404);

    let range = |dry_run: bool| json!({"webhook": "ops", "state": "delivered", "dry_run": dry_run});
    let (status, counted) = verb(&house, "/deliveries:replay", range(true)).await;
    assert_eq!((status, &counted["count"]), (200, &json!(2)), "{counted}");
    assert_eq!(counted["deliveries"], json!([]), "a dry run sends nothing");

    let (status, replayed) = verb(&house, &format!("/deliveries/{id}:replay"), json!({})).await;
    assert_eq!((status, &replayed["count"]), (202, &json!(1)), "{replayed}");
    until("the replay", async || Some(delivered().await).filter(|all| all.len() == 3)).await;
    let (status, replayed) = verb(&house, "/deliveries:replay", range(false)).await;
    assert_eq!((status, &replayed["count"]), (202, &json!(3)), "{replayed}");
    until("the range", async || Some(delivered().await).filter(|all| all.len() == 6)).await;
    let (status, problem) = verb(&house, "/deliveries:replay", json!({"webhook": "nobody"})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/webhook")), "{problem}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_told_for_each_window() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = &house.admin;
    admin.integrate(&outside, "poly", "polygon").await;
    let called = async || {
        let call = admin.call(Method::GET, "/p/poly/v1/marketstatus/now").send().await.expect("it answers");
        call.status().is_success().then_some(())
    };
    for _ in 0..3 {
        until("the gateway to carry a call", called).await;
    }
    for window in ["day", "week", "month"] {
        let told = async || {
            let (status, usage) = admin.get(&format!("/integrations/poly/usage?window={window}")).await;
            let counted = status == 200 && usage["requests"].as_u64().is_some_and(|count| count >= 3);
            counted.then_some(usage)
        };
        let usage = until("three calls to be counted", told).await;
        assert_eq!((&usage["integration"], &usage["window"]), (&json!("poly"), &json!(window)), "{usage}");
        assert!(usage["endpoints"].as_array().is_some_and(|all| !all.is_empty()), "{usage}");
        assert!(usage["history"].as_array().is_some_and(|all| !all.is_empty()), "{usage}");
    }
    assert!((400..500).contains(&admin.get("/integrations/poly/usage?window=decade").await.0));
    assert_eq!(admin.get("/integrations/nobody/usage").await.0, 404);
    house.stop().await;
}
