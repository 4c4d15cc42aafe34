//! Without the bus: what was known stays true, and what was counted is told later.

use model::snapshot::Snapshot;
use serde_json::json;

use super::house::{House, eventually, integration};
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
