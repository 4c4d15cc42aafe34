//! What was accepted is there after a kill, and a house that was stopped goes on where it was.

use std::collections::BTreeSet;

use harness::{House, Program, outside, until};
use serde_json::{Value, json};
use standins::Kind;

const ALERTS: usize = 40;
const KILLED_AFTER: usize = 25;

fn alert(number: usize) -> Value {
    json!({"severity": "error", "alert_type": "price", "title": format!("alert number {number}"),
           "source": "screener", "data": {"number": number}})
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_alerts_are_delivered_though_the_program_is_killed() {
    let outside = outside(&[]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let program = Program::start(&data).await;
    let url = format!("{}/hooks/ops", outside.target(Kind::Http).base_url());
    let made = program.admin.make("/webhooks", json!({"id": "ops", "kind": "http", "url": url})).await;
    outside.set_hook_secret("ops", made["secret"].as_str().expect("the secret is shown once"));

    let mut accepted = BTreeSet::new();
    for number in 0..KILLED_AFTER {
        let (status, made) = program.admin.post("/alerts", alert(number)).await;
        assert_eq!(status, 201, "{made}");
        accepted.insert(number);
    }
    program.kill().await;

    let program = Program::start(&data).await;
    for number in KILLED_AFTER..ALERTS {
        let (status, made) = program.admin.post("/alerts", alert(number)).await;
        assert_eq!(status, 201, "{made}");
        accepted.insert(number);
    }
    until("every accepted alert arrives", || async {
        let got: BTreeSet<usize> = outside
            .target(Kind::Http)
            .messages()
            .iter()
            .filter(|message| message.verified == Some(true))
            .filter_map(|message| usize::try_from(message.json["data"]["data"]["number"].as_u64()?).ok())
            .collect();
        (got == accepted).then_some(())
    })
    .await;
    assert_eq!(program.admin.get("/audit/verify").await.1["intact"], true);
    assert_eq!(program.interrupt().await, Some(0), "it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_that_was_stopped_goes_on_with_the_same_state() {
    let outside = outside(&[("fred", "fred")]).await;
    let house = House::start().await;
    house.admin.integrate(&outside, "fred", "fred").await;
    let before = house.admin.get("/integrations/fred").await.1["etag"].clone();
    let directory = house.stop().await;

    let house = House::in_directory(directory).await;
    let (status, after) = house.admin.get("/integrations/fred").await;
    assert_eq!((status, &after["etag"]), (200, &before));
    until("its key still works", || async {
        let (_, pong) = house.admin.get("/integrations/fred/ping").await;
        (pong["health"] == "up").then_some(())
    })
    .await;
    house.stop().await;
}
