//! What an integration was: an outage of the stand-in is told in its uptime; work is left out of it; and one that became
//! slower than it usually is at this hour is degraded, with the evidence.

use std::time::Duration;

use harness::{Client, House, outside, until};
use model::health::{Check, Observed};
use model::{IntegrationId, ProviderId, Timestamp};
use serde_json::{Value, json};
use standins::Mode;

async fn becomes(admin: &Client, id: &str, wanted: &str) -> Value {
    until(&format!("{id} to be {wanted}"), async || {
        let shown = admin.get(&format!("/integrations/{id}")).await.1;
        (shown["health"] == wanted).then_some(shown)
    })
    .await
}

/// The uptime of the last day, once it is as wanted.
async fn uptime(admin: &Client, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(what, async || {
        let (status, told) = admin.get(&format!("/integrations/{id}/uptime")).await;
        (status == 200 && wanted(&told)).then_some(told)
    })
    .await
}

fn count(of: &Value) -> usize {
    of.as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_in_the_uptime_of_every_window() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = &house.admin;
    admin.integrate(&outside, "poly", "polygon").await;
    becomes(admin, "poly", "up").await;
    outside.instance("poly").switch(Mode::Refuse).await;
    becomes(admin, "poly", "down").await;
    let lasts = uptime(admin, "poly", "an outage that lasts", |told| count(&told["incidents"]) == 1).await;
    assert_eq!(lasts["incidents"][0]["to"], Value::Null, "{lasts}");
    outside.instance("poly").switch(Mode::Ok).await;
    becomes(admin, "poly", "up").await;

    let over = |told: &Value| told["incidents"][0]["to"].is_string();
    let told = uptime(admin, "poly", "the outage to be over", over).await;
    assert_eq!((count(&told["incidents"]), &told["incidents_total"]), (1, &json!(1)), "{told}");
    let outage = &told["incidents"][0];
    assert_eq!((&outage["state"], &outage["reason"]), (&json!("down"), &json!("unreachable")), "{told}");
    let secs = |pointer: &str| told.pointer(pointer).and_then(Value::as_f64).expect(pointer);
    let (up, down) = (secs("/time/up_secs") + secs("/time/degraded_secs"), secs("/time/down_secs"));
    assert!(down > 0.0 && up > 0.0, "{told}");
    assert!((secs("/ratio") - up / (up + down)).abs() < 1e-3, "{told}");
    assert!(secs("/prober/requests") >= 6.0 && secs("/prober/failures") >= 1.0, "{told}");
    assert_eq!(told["excluded"], json!(["maintenance", "unknown"]), "{told}");
    for (window, bars) in [("24h", 24), ("7d", 7), ("30d", 30), ("90d", 90)] {
        let (status, told) = admin.get(&format!("/integrations/poly/uptime?window={window}")).await;
        assert_eq!(
            (status, &told["window"], &told["incidents_total"]),
            (200, &json!(window), &json!(1)),
            "{told}"
        );
        // It begins within an hour or a day.
        assert!((bars..=bars + 1).contains(&count(&told["bars"])), "{told}");
    }
    let (status, problem) = admin.get("/integrations/poly/uptime?window=1y").await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/window")), "{problem}");
    assert_eq!(admin.get("/integrations/nobody/uptime").await.0, 404);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_work_is_left_out_of_uptime() {
    let outside = outside(&[("krak", "kraken")]).await;
    let house = House::start().await;
    let admin = &house.admin;
    let integration = json!({"id": "krak", "provider": "kraken", "base_url": outside.instance("krak").base_url(),
        "probe": {"every_secs": 1, "timeout_ms": 1000}});
    admin.make("/integrations", integration).await;
    becomes(admin, "krak", "up").await;
    let says = json!({"error": [], "result": {"status": "maintenance", "timestamp": "2026-01-01T00:00:00Z"}});
    let mode = Mode::Status { status: 200, retry_after_secs: None, body: Some(says.to_string()) };
    outside.instance("krak").switch(mode).await;
    becomes(admin, "krak", "maintenance").await;
    outside.instance("krak").switch(Mode::Ok).await;
    becomes(admin, "krak", "up").await;
    let over = |told: &Value| told["time"]["maintenance_secs"].as_f64().is_some_and(|secs| secs > 0.0);
    let told = uptime(admin, "krak", "the work to be written down", over).await;
    assert_eq!((&told["ratio"], &told["incidents"]), (&json!(1.0), &json!([])), "{told}");
    house.stop().await;
}

/// Tells of 200 calls in each of so many spans of five minutes, the last of which ended at `to`.
async fn calls(house: &House, spans: u64, to: Timestamp, latency_ms: u32) {
    for span in (1..=spans).rev() {
        let observed = Observed {
            integration: IntegrationId::new("poly").expect("a slug"),
            provider: ProviderId::new("polygon").expect("a slug"),
            check: Check::Traffic,
            at: to.minus(Duration::from_secs(span * 300)),
            reason: None,
            requests: 200,
            failures: 0,
            status_code: Some(200),
            latency_ms: Some(latency_ms + u32::try_from(span % 7).expect("few")),
            phases: None,
            every_secs: None,
            detail: None,
        };
        house.bus().publish(&house.bus().envelope(observed)).await.expect("stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slower_than_usual_is_degraded_with_its_evidence() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    house.admin.integrate(&outside, "poly", "polygon").await;
    becomes(&house.admin, "poly", "up").await;
    // What was observed of callers before now: four hours as usual, then twenty minutes of waiting.
    let minute_ago = Timestamp::now().minus(Duration::from_secs(60));
    let slow_to = Timestamp::from_millis(minute_ago.as_millis() / 300_000 * 300_000);
    calls(&house, 48, slow_to.minus(Duration::from_secs(1200)), 100).await;
    calls(&house, 4, slow_to, 900).await;
    let all = |told: &Value| told["gateway"]["requests"] == json!(52 * 200);
    uptime(&house.admin, "poly", "all calls to be written down", all).await;

    // Who leads next begins with what is written down.
    let house = House::in_directory(house.stop().await).await;
    let shown = becomes(&house.admin, "poly", "degraded").await;
    assert_eq!(shown["reason"], "slow", "{shown}");
    let detail = shown["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("95 of 100 calls took up to ") && detail.contains("usually 10"), "{shown}");
    let alert = until("people to be told", async || {
        let page = house.admin.get("/alerts").await.1;
        let all = page["items"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|alert| alert["data"]["compared"].is_object())
    })
    .await;
    assert_eq!(alert["title"], "poly is degraded (slow).", "{alert}");
    assert_eq!(alert["data"]["compared"]["requests"], 800, "{alert}");
    let open = |told: &Value| told["incidents"][0]["state"] == "degraded";
    let told = uptime(&house.admin, "poly", "the incident to be told", open).await;
    assert_eq!((&told["incidents"][0]["reason"], &told["ratio"]), (&json!("slow"), &json!(1.0)), "{told}");
    house.stop().await;
}
