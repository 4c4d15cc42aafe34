//! Providers in trouble: who answers instead, and what is never done twice.

use std::time::{Duration, Instant};

use bus::Bucket;
use model::health::HealthNow;
use model::route::RouteNow;
use serde_json::json;

use super::house::{House, eventually, integration, route};
use super::provider::{Provider, blunt};

/// A route over two integrations.
async fn pair(more: serde_json::Value) -> (House, Provider, Provider) {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({ "timeout_ms": 1_000 }));
            integration(s, "b", &b.url(), json!({}));
            route(s, "both", &["a", "b"], more);
        })
        .await;
    (house, a, b)
}

#[tokio::test]
async fn a_failing_member_is_passed_over() {
    let (house, b) = (House::start().await, Provider::start("b").await);
    for status in [500, 503, 429, 401, 402, 403, 404] {
        // Another one each time: what was seen of one says nothing of the next.
        let a = Provider::start("a").await;
        house
            .configure(|s| {
                integration(s, "a", &a.url(), json!({}));
                integration(s, "b", &b.url(), json!({}));
                route(s, "both", &["a", "b"], json!({}));
            })
            .await;
        a.will(move |_| async move { super::provider::answer(status, &[], "trouble") });
        let got = house.get("/r/both/x").await;
        let wanted = if status == 404 { (404, "trouble", "a", "1") } else { (200, "b", "b", "2") };
        let found = (
            got.status.as_u16(),
            &*got.text(),
            got.header("x-signalbox-integration"),
            got.header("x-signalbox-attempts"),
        );
        assert_eq!(found, wanted, "{status}");
        assert_eq!(a.count(), 1);
    }
    assert_eq!(b.count(), 6);
    house.stop().await;
}

/// Framing that breaks before anything went to the caller.
const BROKEN: [&[&str]; 6] = [
    &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno size\r\nx\r\n0\r\n\r\n"],
    &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "zz\r\n"],
    &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n-1\r\n"],
    &["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":"],
    &["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", "{\"half\":"],
    &["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"],
];

#[tokio::test]
async fn an_answer_whose_framing_breaks_at_once_is_none() {
    let (house, b) = (House::start().await, Provider::start("b").await);
    for parts in BROKEN {
        let a = blunt(parts).await;
        house
            .configure(|s| {
                integration(s, "a", &a, json!({}));
                integration(s, "b", &b.url(), json!({}));
                route(s, "both", &["a", "b"], json!({}));
            })
            .await;
        let got = house.get("/r/both/x").await;
        assert_eq!((&*got.text(), got.header("x-signalbox-attempts")), ("b", "2"), "{parts:?}");
        // Nobody else is there: said as what it is.
        let got = house.get("/p/a/x").await;
        assert_eq!((got.status.as_u16(), &got.json()["code"]), (502, &json!("upstream_error")), "{parts:?}");
        // It may have been done.
        let got = house.call(house.request("POST", "/r/both/x"), "1").await;
        assert_eq!((got.status.as_u16(), &got.json()["code"]), (503, &json!("all_failed")), "{parts:?}");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_hanging_member_costs_half_of_its_timeout_while_nothing_is_known() {
    let (house, a, _b) = pair(json!({})).await;
    a.hang();
    let started = Instant::now();
    assert_eq!(house.get("/r/both/x").await.text(), "b");
    assert!(started.elapsed() >= Duration::from_millis(500));
    let direct = house.get("/p/a/x").await;
    assert_eq!((direct.status.as_u16(), direct.json()["code"].as_str()), (504, Some("timeout")));
    house.stop().await;
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    let (house, a, b) = pair(json!({})).await;
    a.always(503, &[], "perhaps");
    let got = house.call(house.request("POST", "/r/both/order"), "buy").await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (503, Some("all_failed")));
    let told = got.json()["detail"].as_str().map(str::to_owned).unwrap_or_default();
    assert!(told.ends_with("; the request may have been done, and is not safe to repeat"), "{told}");
    assert_eq!((a.count(), b.count()), (1, 0));
    let keyed = house.request("POST", "/r/both/order").header("idempotency-key", "k1");
    let got = house.call(keyed, "buy").await;
    assert_eq!((got.text().as_str(), &b.last().body[..]), ("b", &b"buy"[..]));
    assert_eq!(b.last().header("idempotency-key").as_deref(), Some("k1"));
    // A provider that says no has done nothing.
    a.always(429, &[], "later");
    assert_eq!(house.call(house.request("POST", "/r/both/order"), "buy").await.text(), "b");
    house.stop().await;
}

#[tokio::test]
async fn a_route_can_say_what_is_safe_to_repeat() {
    let (house, a, b) = pair(json!({ "repeatable_methods": ["POST"] })).await;
    a.always(503, &[], "down");
    assert_eq!(house.call(house.request("POST", "/r/both/chat"), "hello").await.text(), "b");
    let large = vec![b'x'; 100 * 1024];
    let got = house.call(house.request("POST", "/r/both/chat"), large).await;
    assert_eq!(got.status, 503);
    assert!(got.json()["note"].as_str().is_some_and(|note| note.contains("too large to be held")));
    assert_eq!((a.last().body.len(), b.count()), (100 * 1024, 1));
    house.stop().await;
}

#[tokio::test]
async fn when_all_fail_every_attempt_is_listed() {
    let (house, a, b) = pair(json!({})).await;
    a.hang();
    b.always(500, &[("x-secret-of-provider", "1")], "stack trace");
    let got = house.get("/r/both/x").await;
    let body = got.json();
    assert_eq!((got.status.as_u16(), got.header("x-signalbox-attempts")), (503, "2"));
    assert_eq!(
        (&body["attempts"][0]["integration"], &body["attempts"][0]["reason"]),
        (&json!("a"), &json!("timeout"))
    );
    assert_eq!(
        (&body["attempts"][1]["reason"], &body["attempts"][1]["status"]),
        (&json!("upstream_error"), &json!(500))
    );
    assert!(body["attempts"][0]["duration_ms"].as_u64().is_some_and(|ms| ms >= 1_000), "{body}");
    let told = "no integration of route `both` has an answer: `a` timeout, `b` upstream_error 500";
    assert_eq!(body["detail"], told);
    let detail = body["attempts"][0]["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("no answer within "), "{body}");
    assert!(!got.text().contains("stack trace"));
    // Directly, a provider's own answer is the answer.
    assert_eq!(house.get("/p/b/x").await.text(), "stack trace");
    house.stop().await;
}

#[tokio::test]
async fn where_a_connection_failed_is_told_and_not_to_what() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let closed = free.local_addr().expect("has an address").port();
    drop(free);
    let urls = [
        ("name", "http://nobody.invalid".to_owned(), "its name cannot be resolved"),
        ("tcp", format!("http://127.0.0.1:{closed}"), "no connection"),
        ("tls", a.url().replace("http:", "https:"), "no TLS connection"),
    ];
    house.configure(|s| urls.iter().for_each(|(id, url, _)| integration(s, id, url, json!({})))).await;
    for (id, url, wanted) in urls {
        let got = house.get(&format!("/p/{id}/x")).await;
        let attempt = got.json()["attempts"][0].clone();
        assert_eq!(attempt["reason"], "unreachable", "{attempt}");
        assert!(attempt["detail"].as_str().is_some_and(|said| said.starts_with(wanted)), "{attempt}");
        let address = url.split("//").nth(1).expect("a host");
        assert!(!got.text().contains(address), "{}", got.text());
    }
    house.stop().await;
}

#[tokio::test]
async fn an_integration_is_asked_again_as_often_as_it_says() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    let retry = json!({ "retry": { "attempts": 3, "backoff_ms": 1 } });
    house.configure(|s| integration(s, "a", &a.url(), retry)).await;
    a.always(500, &[], "down");
    // The budget lets one repeat a second pass for a quiet integration.
    let got = house.get("/p/a/x").await;
    let attempts: usize = got.header("x-signalbox-attempts").parse().expect("a number");
    assert!((2..=3).contains(&attempts) && a.count() == attempts, "{attempts}");
    assert_eq!(house.call(house.request("POST", "/p/a/x"), "").await.header("x-signalbox-attempts"), "1");
    house.stop().await;
}

#[tokio::test]
async fn an_integration_says_after_which_answers_it_is_asked_again() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            let retry = json!({ "retry": { "attempts": 2, "backoff_ms": 1, "statuses": [409] } });
            integration(s, "a", &a.url(), retry);
            integration(s, "b", &b.url(), json!({}));
            route(s, "both", &["a", "b"], json!({}));
            route(s, "one", &["a"], json!({}));
        })
        .await;
    a.always(503, &[], "down");
    assert_eq!(house.get("/p/a/x").await.header("x-signalbox-attempts"), "1");
    a.always(409, &[], "not yet");
    let got = house.get("/p/a/x").await;
    assert_eq!((got.status.as_u16(), got.header("x-signalbox-attempts"), a.count()), (409, "2", 3));
    assert_eq!(house.get("/r/both/x").await.text(), "b");
    // Nobody has a better one: it is the caller's.
    let got = house.get("/r/one/x").await;
    assert_eq!((got.status.as_u16(), got.text().as_str()), (409, "not yet"));
    // What was perhaps done is not done again.
    let before = a.count();
    let got = house.call(house.request("POST", "/p/a/x"), "buy").await;
    assert_eq!((got.status.as_u16(), a.count()), (409, before + 1));
    house.stop().await;
}

#[tokio::test]
async fn an_error_inside_of_a_200_is_an_error() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            integration(
                s,
                "a",
                &a.url(),
                json!({ "provider": "alpha_vantage", "auth": { "scheme": "none" } }),
            );
            integration(s, "b", &b.url(), json!({}));
            route(s, "both", &["a", "b"], json!({}));
        })
        .await;
    a.always(200, &[("content-type", "application/json")], r#"{"Global Quote":{"price":1}}"#);
    assert_eq!(house.get("/r/both/query?function=CPI").await.text(), r#"{"Global Quote":{"price":1}}"#);
    a.always(
        200,
        &[("content-type", "application/json")],
        r#"{"Information":"our standard API rate limit is 25 requests per day"}"#,
    );
    assert_eq!(house.get("/r/both/query?function=CPI").await.text(), "b");
    assert_eq!(a.last().header("accept-encoding").as_deref(), Some("identity"));
    house.stop().await;
}

#[tokio::test]
async fn garbage_inside_of_a_200_is_trouble() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            let of = json!({ "provider": "kraken", "auth": { "scheme": "none" } });
            integration(s, "a", &a.url(), of);
            integration(s, "b", &b.url(), json!({}));
            route(s, "both", &["a", "b"], json!({}));
        })
        .await;
    for (kind, body) in [
        ("application/json", r#"{"error":[],"result":{"#),
        ("text/html; charset=utf-8", "<html>hello</html>"),
    ] {
        let kind: &'static [(&'static str, &'static str)] = Box::leak(Box::new([("content-type", kind)]));
        a.always(200, kind, body);
        assert_eq!(house.get("/r/both/0/public/Ticker").await.text(), "b", "{body}");
        // A call past all routes has what the provider said.
        let direct = house.get("/p/a/0/public/Ticker").await;
        assert_eq!((direct.status.as_u16(), direct.text().as_str()), (200, body));
    }
    house.stop().await;
}

#[tokio::test]
async fn failovers_word_is_followed_but_never_a_lower_epoch() {
    let (house, a, b) = pair(json!({})).await;
    let routes = house.bus.bucket(Bucket::Routes).await.expect("declared");
    let word = |active: &str, epoch: u64| -> RouteNow {
        serde_json::from_value(json!({ "route": "both", "active": active, "cause": "failover",
            "since": "2026-01-01T00:00:00Z", "epoch": epoch, "version": 1 }))
        .expect("an entry")
    };
    routes.put("both", &word("b", 5)).await.expect("written");
    eventually("the switch", || async { (house.get("/r/both/x").await.text() == "b").then_some(()) }).await;
    routes.put("both", &word("a", 4)).await.expect("written");
    // Words come in order: once a later one is there, the refused one was seen.
    let other = RouteNow { route: model::RouteId::new("other").expect("a slug"), ..word("a", 1) };
    routes.put("other", &other).await.expect("written");
    let board = &house.gateway.0.board;
    eventually("the later word", || async { board.active(&other.route) }).await;
    let health = house.bus.bucket(Bucket::Health).await.expect("declared");
    let down: HealthNow = serde_json::from_value(json!({ "integration": "b", "health": "down",
        "reason": "unreachable", "since": "2026-01-01T00:00:00Z", "checked_at": null, "latency_ms": null,
        "status_code": null, "detail": null, "flapping": false }))
    .expect("an entry");
    assert_eq!(house.get("/r/both/x").await.text(), "b");
    health.put("b", &down).await.expect("written");
    eventually("the other", || async { (house.get("/r/both/x").await.text() == "a").then_some(()) }).await;
    // One that is known to be down is still asked when nobody else answers.
    a.always(500, &[], "down");
    assert_eq!(house.get("/r/both/x").await.text(), "b");
    assert!(b.count() > 0);
    house.stop().await;
}

#[tokio::test]
async fn an_integration_of_a_provider_that_this_gateway_does_not_know_breaks_alone() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            integration(s, "theirs", &a.url(), json!({ "provider": "acme" }));
            integration(s, "ours", &b.url(), json!({}));
            route(s, "both", &["theirs", "ours"], json!({}));
        })
        .await;
    let got = house.get("/p/theirs/x").await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (503, Some("integration_broken")));
    let detail = got.text();
    assert!(detail.contains("no provider `acme`") && detail.contains("--providers-dir"), "{detail}");
    let got = house.get("/r/both/x").await;
    assert_eq!((got.status.as_u16(), got.text().as_str()), (200, "b"));
    assert_eq!((a.count(), b.count()), (0, 1), "what is not understood is never sent a key");
    house.stop().await;
}
