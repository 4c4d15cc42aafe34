//! What callers ask of kept answers: conditions, heads, their own, what they wrote, and something when nothing answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::house::{Got, House, eventually, integration, route, token};
use super::provider::{Provider, answer};

/// A token of somebody else.
const OTHER: &str = "sbt_c123456789abcdef0123456789abcdef0123456789a";
/// When the answers of a test were changed.
const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// One integration that keeps its answers so, and a route to it that does too.
async fn house(cache: &Value) -> (House, Provider) {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({ "cache": cache }));
            route(s, "quotes", &["a"], json!({ "cache": cache }));
        })
        .await;
    (house, a)
}

async fn ask(house: &House, method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
    let with = |request: http::request::Builder, (name, value): &(&str, &str)| request.header(*name, *value);
    house.call(headers.iter().fold(house.request(method, path), with), "").await
}

/// Status, what the cache did, and the body.
fn told(got: &Got) -> (u16, &str, String) {
    (got.status.as_u16(), got.header("x-signalbox-cache"), got.text())
}

#[tokio::test]
async fn a_caller_that_has_a_fresh_answer_is_told_so() {
    let (house, a) = house(&json!({ "ttl_secs": 600 })).await;
    let headers =
        &[("etag", "\"1\""), ("last-modified", CHANGED), ("content-type", "text/plain"), ("vary", "accept")];
    a.always(200, headers, "body");
    assert_eq!(told(&house.get("/p/a/x").await), (200, "miss", "body".to_owned()));
    for (name, value, wanted) in [
        ("if-none-match", "\"1\"", 304),
        ("if-none-match", "W/\"1\"", 304),
        ("if-none-match", "\"0\", \"1\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"2\"", 200),
        ("if-modified-since", CHANGED, 304),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 200),
    ] {
        for method in ["GET", "HEAD"] {
            let got = ask(&house, method, "/p/a/x", &[(name, value)]).await;
            let body = if wanted == 200 && method == "GET" { "body" } else { "" };
            assert_eq!(told(&got), (wanted, "hit", body.to_owned()), "{name}: {value}");
            assert_eq!((got.header("etag"), got.header("vary"), got.header("age")), ("\"1\"", "accept", "0"));
            assert_eq!(got.header("content-type").is_empty(), wanted == 304, "{got:?}");
            assert!(got.header("cache-status").starts_with("signalbox; hit; ttl="));
        }
    }
    assert_eq!(a.count(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_condition_fills_the_cache_and_never_spoils_it() {
    let (house, a) = house(&json!({ "ttl_secs": 600 })).await;
    a.will(|seen| async move {
        match seen.header("if-none-match") {
            Some(_) => answer(304, &[("etag", "\"1\"")], ""),
            None => answer(200, &[("etag", "\"1\"")], "body"),
        }
    });
    // Nothing is kept: the provider is asked for all of it, and who has it hears so.
    let got = ask(&house, "GET", "/p/a/x", &[("if-none-match", "\"1\"")]).await;
    assert_eq!(told(&got), (304, "miss", String::new()));
    assert_eq!(got.header("etag"), "\"1\"");
    let kept = async || {
        let got = house.get("/p/a/x").await;
        (got.header("x-signalbox-cache") == "hit").then_some(got.text())
    };
    assert_eq!(eventually("a kept answer", kept).await, "body");
    let asked = a.count();
    // What the provider says to a caller that asks for real time is that caller's.
    let past = [("if-none-match", "\"1\""), ("cache-control", "no-cache")];
    assert_eq!(told(&ask(&house, "GET", "/p/a/x", &past).await), (304, "bypass", String::new()));
    assert_eq!(a.last().header("if-none-match").as_deref(), Some("\"1\""));
    assert_eq!(told(&house.get("/p/a/x").await), (200, "hit", "body".to_owned()));
    // A part of it is asked for past the cache, and is not kept.
    a.always(206, &[("content-range", "bytes 0-1/4")], "bo");
    assert_eq!(
        told(&ask(&house, "GET", "/p/a/y", &[("range", "bytes=0-1")]).await),
        (206, "bypass", "bo".to_owned())
    );
    a.always(200, &[], "whole");
    assert_eq!(told(&house.get("/p/a/y").await), (200, "miss", "whole".to_owned()));
    assert_eq!(told(&house.get("/p/a/x").await), (200, "hit", "body".to_owned()));
    assert_eq!(a.count(), asked + 3);
    house.stop().await;
}

#[tokio::test]
async fn a_condition_is_judged_by_the_answer_that_is_found_to_be_true() {
    let (house, a) = house(&json!({ "by_provider": true })).await;
    a.will(|seen| async move {
        match seen.header("if-none-match").as_deref() {
            Some("\"new\"") => answer(304, &[], ""),
            _ => answer(200, &[("cache-control", "no-cache"), ("etag", "\"new\"")], "body"),
        }
    });
    assert_eq!(told(&house.get("/p/a/x").await), (200, "miss", "body".to_owned()));
    let with = async |tag: &str| told_of(&ask(&house, "GET", "/p/a/x", &[("if-none-match", tag)]).await);
    assert_eq!(with("\"new\"").await, (304, "refresh".to_owned(), String::new()));
    assert_eq!(with("\"old\"").await, (200, "refresh".to_owned(), "body".to_owned()));
    // Whichever tag a caller has, the provider is asked about the one that is kept.
    assert_eq!(a.last().header("if-none-match").as_deref(), Some("\"new\""));
    house.stop().await;
}

fn told_of(got: &Got) -> (u16, String, String) {
    let (status, word, body) = told(got);
    (status, word.to_owned(), body)
}

#[tokio::test]
async fn a_head_is_that_of_a_kept_answer_and_is_not_kept_as_one() {
    let (house, a) = house(&json!({ "ttl_secs": 600 })).await;
    a.will(|seen| async move {
        let body = if seen.method == http::Method::HEAD { "" } else { "body" };
        answer(200, &[("etag", "\"1\""), ("content-type", "text/plain")], body)
    });
    for _ in 0..2 {
        assert_eq!(told(&ask(&house, "HEAD", "/p/a/x", &[]).await), (200, "miss", String::new()));
    }
    assert_eq!(told(&house.get("/p/a/x").await), (200, "miss", "body".to_owned()));
    let head = ask(&house, "HEAD", "/p/a/x", &[]).await;
    assert_eq!(told(&head), (200, "hit", String::new()));
    assert_eq!((head.header("content-length"), head.header("content-type")), ("4", "text/plain"));
    assert_eq!(told(&house.get("/p/a/x").await), (200, "hit", "body".to_owned()));
    assert_eq!(a.count(), 3);
    house.stop().await;
}

#[tokio::test]
async fn what_is_written_ends_what_is_kept_of_its_address() {
    let (house, a) = house(&json!({ "ttl_secs": 600 })).await;
    let b = Provider::start("b").await;
    house.configure(|s| integration(s, "b", &b.url(), json!({ "cache": { "ttl_secs": 600 } }))).await;
    let all = ["/p/a/orders", "/p/a/orders?open=1", "/r/quotes/orders", "/p/a/other", "/p/b/orders"];
    let words = async || {
        let mut words = Vec::new();
        for path in all {
            words.push(house.get(path).await.header("x-signalbox-cache").to_owned());
        }
        words.join(" ")
    };
    assert_eq!(words().await, "miss miss miss miss miss");
    assert_eq!(words().await, "hit hit hit hit hit");
    for (method, path) in
        [("POST", "/p/a/orders"), ("DELETE", "/r/quotes/%6frders"), ("PUT", "/p/a/orders?x=1")]
    {
        ask(&house, method, path, &[]).await;
        assert_eq!(words().await, "miss miss miss hit hit", "{method} {path}");
        assert_eq!(words().await, "hit hit hit hit hit");
    }
    // What its answer names is written too, where it is the provider's own.
    let own = format!("{}/orders?open=1", a.url());
    for (name, place, wanted) in [
        ("location", own, "miss miss miss hit hit"),
        ("content-location", "/orders".to_owned(), "miss miss miss hit hit"),
        ("location", "https://elsewhere.example/orders".to_owned(), "hit hit hit hit hit"),
    ] {
        let there = place.clone();
        a.will(move |_| {
            let place = there.clone();
            async move { answer(201, &[(name, &place)], "made") }
        });
        ask(&house, "POST", "/p/a/new", &[]).await;
        a.always(200, &[], "a");
        assert_eq!(words().await, wanted, "{name}: {place}");
        assert_eq!(words().await, "hit hit hit hit hit");
    }
    // What is refused wrote nothing, and what is safe does not write.
    a.always(400, &[], "no");
    ask(&house, "PATCH", "/p/a/orders", &[]).await;
    a.always(200, &[], "a");
    ask(&house, "OPTIONS", "/p/a/orders", &[]).await;
    assert_eq!(words().await, "hit hit hit hit hit");
    house.stop().await;
}

#[tokio::test]
async fn an_answer_is_only_for_requests_that_are_alike_in_what_it_varies_by() {
    let (house, a) = house(&json!({ "ttl_secs": 600 })).await;
    a.will(|seen| async move {
        answer(200, &[("vary", "x-user, cookie")], &seen.header("x-user").unwrap_or_default())
    });
    let of = async |user: &str, cookie: &str| {
        told_of(&ask(&house, "GET", "/p/a/x", &[("x-user", user), ("cookie", cookie)]).await)
    };
    assert_eq!(of("ada", "1").await, (200, "miss".to_owned(), "ada".to_owned()));
    // No cookie goes to a provider, whatever it says.
    assert_eq!(of("ada", "2").await, (200, "hit".to_owned(), "ada".to_owned()));
    assert_eq!(of("bob", "1").await, (200, "miss".to_owned(), "bob".to_owned()));
    assert_eq!(told(&house.get("/p/a/x").await), (200, "miss", String::new()));
    a.always(200, &[("vary", "*")], "any");
    for _ in 0..2 {
        assert_eq!(told(&house.get("/p/a/y").await), (200, "miss", "any".to_owned()));
    }
    house.stop().await;
}

#[tokio::test]
async fn each_caller_has_its_own_answers_where_that_is_wanted() {
    let (house, a) = house(&json!({ "ttl_secs": 600, "per_caller": true })).await;
    house.configure(|s| s.tokens.push(token("other", OTHER, &json!({})))).await;
    let other = async || {
        let request = http::Request::get(format!("http://{}/p/a/x", house.address));
        told_of(&house.call(request.header("authorization", format!("Bearer {OTHER}")), "").await)
    };
    a.always(200, &[("cache-control", "private")], "admin's");
    assert_eq!(told(&house.get("/p/a/x").await), (200, "miss", "admin's".to_owned()));
    a.always(200, &[("cache-control", "private")], "other's");
    assert_eq!(other().await, (200, "miss".to_owned(), "other's".to_owned()));
    assert_eq!(other().await, (200, "hit".to_owned(), "other's".to_owned()));
    assert_eq!(told(&house.get("/p/a/x").await), (200, "hit", "admin's".to_owned()));
    assert!(a.seen().iter().all(|seen| seen.header("authorization").is_none()));
    house.stop().await;
}

/// Every way in which a call can fail before or without an answer, with a kept one of the same call.
#[tokio::test]
async fn a_call_that_fails_here_has_a_stale_answer_too() {
    let (house, a) = house(&json!({ "stale_if_error_secs": 600, "by_provider": false })).await;
    let stale = async |what: &str| {
        for path in ["/p/a/x", "/r/quotes/x"] {
            let got = house.get(path).await;
            assert_eq!(told(&got), (200, "stale", "a".to_owned()), "{what} {path}");
            assert!(!got.header("age").is_empty() && got.header("cache-status").contains("hit; ttl="));
            assert!(!house.get(&format!("{path}/never")).await.status.is_success(), "{what}");
        }
    };
    for path in ["/p/a/x", "/r/quotes/x"] {
        assert_eq!(told(&house.get(path).await), (200, "miss", "a".to_owned()));
    }
    // Real time is real time.
    a.always(500, &[], "broken");
    let past = ask(&house, "GET", "/r/quotes/x", &[("cache-control", "no-cache")]).await;
    assert_eq!(past.status, 503);
    stale("a broken provider").await;
    let set = async |more: Value| {
        let mut body = json!({ "cache": { "stale_if_error_secs": 600, "by_provider": false } });
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        house.configure(|s| integration(s, "a", &a.url(), body)).await;
    };
    a.hang();
    for path in ["/p/a/x", "/r/quotes/x"] {
        let got = ask(&house, "GET", path, &[("x-signalbox-timeout-ms", "100")]).await;
        assert_eq!(told(&got), (200, "stale", "a".to_owned()), "a provider that hangs");
    }
    // An operator's word: nobody is asked.
    set(json!({ "enabled": false })).await;
    let asked = a.count();
    stale("a disabled integration").await;
    assert_eq!(a.count(), asked);
    set(json!({})).await;
    // Our quota is used up, by the provider's word; then it is not asked before the time that it named.
    a.always(429, &[("retry-after", "600")], "too many");
    stale("an empty quota").await;
    a.always(418, &[("retry-after", "600")], "banned");
    stale("a ban").await;
    let asked = a.count();
    stale("a ban that is known").await;
    assert_eq!(a.count(), asked);
    house.stop().await;
}

#[tokio::test]
async fn a_hot_answer_is_fetched_anew_before_it_is_stale() {
    let (house, a) = house(&json!({ "ttl_secs": 3, "stale_while_revalidate_secs": 600 })).await;
    let version = Arc::new(AtomicU32::new(1));
    a.will(move |_| {
        let version = version.fetch_add(1, Ordering::SeqCst).to_string();
        async move { answer(200, &[], &version) }
    });
    assert_eq!(told(&house.get("/p/a/x").await), (200, "miss", "1".to_owned()));
    // Nobody ever sees a stale one, nor waits for a provider.
    let second = eventually("a new answer", || async {
        let got = house.get("/p/a/x").await;
        assert_eq!(got.header("x-signalbox-cache"), "hit");
        (got.text() != "1").then(|| got.text())
    });
    assert_eq!(second.await, "2");
    assert_eq!(a.count(), 2);
    house.stop().await;
}
