//! Without the bus: what was known stays true, and what was counted is told later.

use bus::Start;
use futures_util::StreamExt;
use model::snapshot::Snapshot;
use model::usage::UsageCounted;
use serde_json::json;

use super::house::{House, PATIENCE, eventually, integration};
use super::provider::Provider;

#[tokio::test]
async fn an_older_snapshot_is_refused() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            s.revision = 10;
            integration(s, "a", &a.url(), json!({}));
        })
        .await;
    house.publish(&Snapshot { revision: 9, ..Snapshot::default() }).await;
    // What comes after it was seen after it.
    house.configure(|s| s.revision = 11).await;
    assert_eq!((house.gateway.revision(), house.get("/p/a/x").await.text().as_str()), (Some(12), "a"));
    assert!(!house.gateway.0.config.swap(&Snapshot { revision: 11, ..Snapshot::default() }));
    assert_eq!(house.get("/p/a/x").await.text(), "a");
    house.stop().await;
}

#[tokio::test]
async fn traffic_outlives_the_bus() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house.key("main", &[("api_key", "pk-0123456789")]).await;
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({ "key": "main", "auth": { "scheme": "bearer" } }));
        })
        .await;
    let House { gateway, address, bus, server, .. } = house;
    server.stop().await;
    eventually("the outage", || async { (bus.status() == bus::Status::Disconnected).then_some(()) }).await;
    let request = http::Request::get(format!("http://{address}/p/a/x"))
        .header("authorization", format!("Bearer {}", super::house::TOKEN))
        .body(http_body_util::Full::new(bytes::Bytes::new()))
        .expect("a request");
    let client =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    assert_eq!(client.request(request).await.expect("an answer").status(), 200);
    assert!(gateway.ready());
}

#[tokio::test]
async fn what_was_counted_meanwhile_is_told_when_the_bus_is_back() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &a.url(), json!({}))).await;
    let before = house.server.pid().expect("it runs");
    let pid = rustix::process::Pid::from_raw(i32::try_from(before).expect("a process id")).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it is ours to stop");
    for _ in 0..25 {
        assert_eq!(house.get("/p/a/x").await.status, 200);
    }
    // A second look at the cells has passed once they are empty: something waits for a server that is silent.
    let live = house.gateway.0.config.get().expect("configured").integrations["a"].live.clone();
    eventually("the collector", || async { live.is_empty().then_some(()) }).await;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours to kill");
    eventually("a new server", || async { house.server.pid().filter(|pid| *pid != before) }).await;
    for _ in 0..5 {
        assert_eq!(house.get("/p/a/x").await.status, 200);
    }
    let (bus, _server) = house.stop().await;
    let from = Start::Since(model::Timestamp::from_millis(0));
    let mut tail = bus.tail(vec!["sb.v1.usage.*.counted".to_owned()], from).await.expect("a listener");
    let (mut sum, mut ids) = (0, std::collections::BTreeSet::new());
    while sum < 30 {
        let message = tokio::time::timeout(PATIENCE, tail.next()).await.expect("in time").expect("an event");
        let event = message.decode::<UsageCounted>().expect("usage");
        assert!(ids.insert(event.id.to_string()), "told twice");
        sum += event.data.counts.iter().map(|count| count.requests).sum::<u64>();
    }
    assert_eq!(sum, 30);
}
