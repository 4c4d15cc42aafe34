//! What the gateway tells: every call counted once, and what callers met.

use bus::Start;
use futures_util::StreamExt;
use model::health::{Check, Observed, Reason};
use model::usage::UsageCounted;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::house::{House, PATIENCE, TOKEN, eventually, integration, route};
use super::provider::Provider;

/// Failures until the breaker leaves an integration alone.
const CALLS_A: u64 = 5;

#[tokio::test]
async fn usage_events_sum_to_the_calls_made() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("bb").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({ "cost": { "per_request_micros": 7 } }));
            integration(s, "b", &b.url(), json!({}));
            route(s, "both", &["a", "b"], json!({ "cache": { "ttl_secs": 600 } }));
        })
        .await;
    let subjects = vec!["sb.v1.usage.*.counted".to_owned(), "sb.v1.health.*.observed".to_owned()];
    let mut tail = house.bus.tail(subjects, Start::New).await.expect("a listener");
    a.always(500, &[], "down");
    for n in 0..20 {
        assert_eq!(
            house.call(house.request("GET", &format!("/r/both/v1/quotes?n={n}")), "").await.text(),
            "bb"
        );
    }
    assert_eq!(house.get("/r/both/v1/quotes?n=3").await.header("x-signalbox-cache"), "hit");
    assert_eq!(house.call(house.request("POST", "/p/b/orders"), "buy").await.status, 200);
    let mut running = Some(house);
    let mut stopped = None;
    let (mut a_sum, mut b_sum) = ((0, 0, 0), (0, 0, 0, 0, 0));
    let (mut seen_a, mut seen_b) = ((0, 0), (0, 0));
    while (a_sum.0, b_sum.0, b_sum.2) != (CALLS_A, 22, 1) {
        // Once callers were heard of, one more call, and the end: what was counted last is told too.
        if seen_a.0 > 0
            && seen_b.0 > 0
            && let Some(house) = running.take()
        {
            assert_eq!(house.call(house.request("POST", "/p/b/orders"), "sell").await.status, 200);
            stopped = Some(house.stop().await);
        }
        let message = tokio::time::timeout(PATIENCE, tail.next()).await.expect("in time").expect("an event");
        if let Ok(event) = message.decode::<UsageCounted>() {
            assert!(event.data.counter.starts_with("gateway/"));
            for count in &event.data.counts {
                assert_eq!(count.actor, "user:admin");
                if event.data.integration.as_str() == "a" {
                    a_sum.0 += count.requests;
                    a_sum.1 += count.errors;
                    a_sum.2 += count.cost_micros;
                } else {
                    assert!(
                        ["/v1/quotes", "/orders"].contains(&count.endpoint.as_str()),
                        "{}",
                        count.endpoint
                    );
                    b_sum.0 += count.requests;
                    b_sum.1 += count.errors;
                    b_sum.2 += count.cache_hits;
                    b_sum.3 += count.request_bytes;
                    b_sum.4 += count.response_bytes;
                }
            }
        } else if let Ok(event) = message.decode::<Observed>() {
            assert_eq!(event.data.check, Check::Traffic);
            let sums = if event.data.integration.as_str() == "a" { &mut seen_a } else { &mut seen_b };
            sums.0 += event.data.requests;
            sums.1 += event.data.failures;
            let wanted = (event.data.integration.as_str() == "a").then_some(Reason::UpstreamError);
            assert_eq!(event.data.reason, wanted);
        }
    }
    assert_eq!(a_sum, (CALLS_A, CALLS_A, 7 * CALLS_A));
    assert_eq!(b_sum, (22, 0, 1, 7, 44));
    assert!(stopped.is_some());
    assert_eq!((seen_a.0, seen_b.1), (seen_a.1, 0));
}

#[tokio::test]
async fn a_call_whose_caller_went_away_is_counted_and_nobodys_fault() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &a.url(), json!({ "timeout_ms": 600_000 }))).await;
    let subjects = vec!["sb.v1.usage.*.counted".to_owned(), "sb.v1.health.*.observed".to_owned()];
    let mut tail = house.bus.tail(subjects, Start::New).await.expect("a listener");
    a.hang();
    let mut tcp = TcpStream::connect(house.address).await.expect("connects");
    let head = format!("GET /p/a/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    tcp.write_all(head.as_bytes()).await.expect("writes");
    eventually("the call", || async { (a.count() == 1).then_some(()) }).await;
    drop(tcp);
    let message = tokio::time::timeout(PATIENCE, tail.next()).await.expect("in time").expect("an event");
    let event = message.decode::<UsageCounted>().expect("usage comes first, and no observation");
    assert_eq!((event.data.counts[0].requests, event.data.counts[0].errors), (1, 0));
    house.stop().await;
}
