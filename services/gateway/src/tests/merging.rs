//! Single calls that come together go as one, and nobody can tell but by the header and the number of calls upstream.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use model::IntegrationId;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::house::{Got, House, eventually, integration, route};
use super::provider::{Provider, Seen, answer};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
/// Long, so that what is sent together comes together also where much else is going on.
const WINDOW_MS: u32 = 50;

/// A form in which path, parameter and shape differ.
fn merge() -> Value {
    json!({ "merge": { "/price": { "window_ms": WINDOW_MS, "form": { "parameter": "symbol", "many": "symbols",
        "path": "/prices", "at": "/data", "symbol": "s", "single": "part" } } } })
}

fn one(symbol: &str) -> String {
    format!(r#"{{"s":"{symbol}", "p":1.10000000000000000001}}"#)
}

/// The value of a parameter.
fn parameter(seen: &Seen, name: &str) -> String {
    let (_, query) = seen.target.split_once('?').expect("a query");
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_default().to_owned()
}

/// Symbols are `GONE…` where there is none.
fn prices(seen: &Seen) -> super::provider::Answer {
    if !seen.target.starts_with("/prices?") {
        let symbol = parameter(seen, "symbol");
        let (status, body) =
            if symbol.starts_with("GONE") { (404, "{}".to_owned()) } else { (200, one(&symbol)) };
        return answer(status, JSON, &body);
    }
    let symbols = parameter(seen, "symbols");
    let parts: Vec<String> = symbols.split(',').filter(|s| !s.starts_with("GONE")).map(one).collect();
    let headers = [("content-type", "application/json"), ("etag", "\"all\""), ("x-left", "7")];
    answer(200, &headers, &format!(r#"{{"n":1,"data":[{}]}}"#, parts.join(" , ")))
}

async fn merging() -> (House, Provider) {
    let (house, provider) = (House::start().await, Provider::start("p").await);
    provider.will(|seen| async move { prices(&seen) });
    house.configure(|s| integration(s, "p", &provider.url(), merge())).await;
    (house, provider)
}

/// Calls that begin at the same time.
async fn together(house: &House, paths: &[&str]) -> Vec<Got> {
    join_all(paths.iter().map(|path| house.get(path))).await
}

fn several(provider: &Provider) -> usize {
    provider.seen().iter().filter(|seen| seen.target.starts_with("/prices?")).count()
}

#[tokio::test]
async fn fifty_calls_of_ten_symbols_are_one_or_two_upstream() {
    let (house, provider) = merging().await;
    let calls: Vec<Value> =
        (0..50).map(|n| json!({ "path": format!("/p/p/price?a=%20&symbol=S{}&b", n % 10) })).collect();
    let calls = json!({ "calls": calls }).to_string();
    // A machine that stands still for longer than the window makes more of them; not each time.
    eventually("calls that came together", async || {
        let before = provider.count();
        let got = house.call(house.request("POST", "/batch"), calls.clone()).await;
        assert_eq!(got.text().matches("1.10000000000000000001").count(), 50, "{}", got.text());
        let results = got.json()["results"].clone();
        for n in 0..50 {
            assert_eq!(
                (&results[n]["status"], &results[n]["body"]["s"]),
                (&json!(200), &json!(format!("S{}", n % 10)))
            );
        }
        (provider.count() - before <= 2).then_some(())
    })
    .await;
    let last = provider.last();
    assert!(last.target.starts_with("/prices?a=%20&symbols=S"), "{}", last.target);
    assert!(last.target.ends_with("&b"), "{}", last.target);
    house.stop().await;
}

#[tokio::test]
async fn each_caller_sees_what_a_single_call_would_have_said() {
    let (house, _provider) = merging().await;
    let got = eventually("two calls that came together", async || {
        let got = together(&house, &["/p/p/price?symbol=A", "/p/p/price?symbol=B"]).await;
        (got[0].header("x-signalbox-merged") == "2").then_some(got)
    })
    .await;
    for (got, symbol) in got.iter().zip(["A", "B"]) {
        assert_eq!((got.status.as_u16(), got.text()), (200, one(symbol)));
        assert_eq!(
            (got.header("x-left"), got.header("etag")),
            ("7", ""),
            "what the whole has is not the part's"
        );
        assert_eq!(got.header("x-signalbox-merged"), "2");
        assert_eq!(got.header("x-signalbox-attempts"), "1");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_call_that_stays_alone_goes_as_it_came() {
    let (house, provider) = merging().await;
    let request = house.request("GET", "/p/p/price?b=%2f&symbol=%41&&a").header("accept-encoding", "gzip, x");
    let got = house.call(request, "").await;
    assert_eq!((got.status.as_u16(), got.header("x-signalbox-merged")), (200, ""));
    assert_eq!(provider.last().target, "/price?b=%2f&symbol=%41&&a");
    assert_eq!(provider.last().header("accept-encoding").as_deref(), Some("gzip, x"));
    // None of these is a single call for a symbol that could go with others.
    let paths =
        ["/p/p/price?symbol=A,B", "/p/p/price", "/p/p/price?symbol=A&symbols=B", "/p/p/other?symbol=A"];
    for path in paths {
        let got = together(&house, &[path, path]).await;
        assert!(got.iter().all(|got| got.header("x-signalbox-merged").is_empty()), "{path}");
    }
    let posts =
        ["A", "B"].map(|s| house.call(house.request("POST", &format!("/p/p/price?symbol={s}")), "{}"));
    join_all(posts).await;
    let ranges = ["A", "B"].map(|s| {
        house.call(house.request("GET", &format!("/p/p/price?symbol={s}")).header("range", "bytes=0-1"), "")
    });
    join_all(ranges).await;
    assert_eq!(several(&provider), 0);
    house.stop().await;
}

#[tokio::test]
async fn calls_that_differ_in_more_than_the_symbol_do_not_go_together() {
    let (house, provider) = merging().await;
    together(&house, &["/p/p/price?symbol=A&v=1", "/p/p/price?symbol=B&v=2"]).await;
    let apart = ["text/csv", "application/json"]
        .map(|accept| house.call(house.request("GET", "/p/p/price?symbol=A").header("accept", accept), ""));
    join_all(apart).await;
    assert_eq!((several(&provider), provider.count()), (0, 4));
    house.stop().await;
}

#[tokio::test]
async fn equal_calls_are_asked_once_as_they_came() {
    let (house, provider) = merging().await;
    let got = eventually("two calls that came together", async || {
        let got = together(&house, &["/p/p/price?symbol=A&x", "/p/p/price?symbol=A&x"]).await;
        (got[0].header("x-signalbox-merged") == "2").then_some(got)
    })
    .await;
    assert_eq!((got[0].text(), got[1].text()), (one("A"), one("A")));
    assert_eq!((provider.last().target.as_str(), several(&provider)), ("/price?symbol=A&x", 0));
    house.stop().await;
}

#[tokio::test]
async fn a_symbol_that_is_missing_is_asked_for_by_itself() {
    let (house, provider) = merging().await;
    let got = eventually("three calls that came together", async || {
        let paths = ["A", "GONE", "B"].map(|symbol| format!("/p/p/price?symbol={symbol}"));
        let before = provider.count();
        let got = together(&house, &[&paths[0], &paths[1], &paths[2]]).await;
        (provider.count() == before + 2).then_some(got)
    })
    .await;
    let statuses: Vec<u16> = got.iter().map(|got| got.status.as_u16()).collect();
    assert_eq!(statuses, [200, 404, 200]);
    assert_eq!((got[0].header("x-signalbox-merged"), got[1].header("x-signalbox-merged")), ("3", ""));
    assert_eq!(provider.last().target, "/price?symbol=GONE");
    house.stop().await;
}

#[tokio::test]
async fn after_an_error_each_goes_by_itself_once_and_merging_rests() {
    let (house, provider) = merging().await;
    provider.will(|seen| async move {
        if seen.target.starts_with("/prices?") { answer(400, JSON, "{}") } else { prices(&seen) }
    });
    eventually("three merged calls that failed", async || {
        let before = (several(&provider), provider.count());
        let got = together(&house, &["/p/p/price?symbol=A", "/p/p/price?symbol=B"]).await;
        assert!(got.iter().zip(["A", "B"]).all(|(got, symbol)| got.text() == one(symbol)));
        let more = (several(&provider) - before.0, provider.count() - before.1);
        assert!(matches!(more, (0, 2) | (1, 3)), "{more:?}");
        (several(&provider) == 3).then_some(())
    })
    .await;
    for _ in 0..3 {
        together(&house, &["/p/p/price?symbol=A", "/p/p/price?symbol=B"]).await;
    }
    assert_eq!(several(&provider), 3);
    house.stop().await;
}

#[tokio::test]
async fn a_limit_is_everyones() {
    let (house, provider) = merging().await;
    provider.will(|seen| async move {
        let several = seen.target.starts_with("/prices?");
        if several { answer(429, &[("retry-after", "9")], "slow down") } else { prices(&seen) }
    });
    let got = eventually("a merged call", async || {
        let before = provider.count();
        let got = together(&house, &["/p/p/price?symbol=A", "/p/p/price?symbol=B"]).await;
        (several(&provider) > 0).then(|| (got, provider.count() - before))
    })
    .await;
    let (got, calls) = got;
    assert_eq!(calls, 1, "nobody asks again");
    for got in got {
        assert_eq!((got.status.as_u16(), got.text()), (429, "slow down".to_owned()));
        assert_eq!((got.header("retry-after"), got.header("x-signalbox-merged")), ("9", "2"));
    }
    house.stop().await;
}

#[tokio::test]
async fn each_callers_deadline_holds_and_who_goes_away_takes_nobody_along() {
    let (house, provider) = merging().await;
    let (open, gate) = watch::channel(false);
    provider.will(move |seen| {
        let mut gate = gate.clone();
        async move {
            let _ = gate.wait_for(|open| *open).await;
            prices(&seen)
        }
    });
    let house = Arc::new(house);
    let ask = |symbol: &str, timeout_ms: &str| {
        let request = house.request("GET", &format!("/p/p/price?symbol={symbol}"));
        let (house, request) = (house.clone(), request.header("x-signalbox-timeout-ms", timeout_ms));
        tokio::spawn(async move { house.call(request, "").await })
    };
    // The first opens the group, and goes away while its call is under way.
    let (gone, quick, patient) = (ask("A", "20000"), ask("B", "400"), ask("C", "20000"));
    eventually("the call", async || (provider.count() > 0).then_some(())).await;
    gone.abort();
    let quick = quick.await.expect("no panic");
    assert_eq!(quick.status, 504, "{}", quick.text());
    assert!(!patient.is_finished());
    open.send(true).expect("the provider listens");
    let patient = patient.await.expect("no panic");
    assert_eq!((patient.status.as_u16(), patient.text()), (200, one("C")));
    Arc::into_inner(house).expect("nobody else holds it").stop().await;
}

#[tokio::test]
async fn one_call_is_counted_and_the_others_as_answered_without_one() {
    let (house, provider) = merging().await;
    let id = IntegrationId::new("p").expect("a slug");
    eventually("three calls that came together", async || {
        let live = house.gateway.0.config.get().expect("configured").integrations[&id].live.clone();
        live.take_counts();
        let paths = ["A", "B", "C"].map(|symbol| format!("/p/p/price?symbol={symbol}"));
        let before = provider.count();
        together(&house, &[&paths[0], &paths[1], &paths[2]]).await;
        let counts = live.take_counts();
        let (requests, hits): (u64, u64) =
            (counts.iter().map(|c| c.requests).sum(), counts.iter().map(|c| c.cache_hits).sum());
        assert_eq!((requests + hits, requests), (3, (provider.count() - before) as u64), "{counts:?}");
        (requests == 1).then_some(())
    })
    .await;
    house.stop().await;
}

#[tokio::test]
async fn quotes_of_a_route_go_together_in_the_providers_words() {
    let (house, fmp) = (House::start().await, Provider::start("fmp").await);
    fmp.will(|seen| async move {
        let name = if seen.target.starts_with("/batch-quote?") { "symbols" } else { "symbol" };
        let part = |symbol: &str| format!(r#"{{"symbol":"{symbol}","price":1.10,"timestamp":1786737600}}"#);
        let parts: Vec<String> = parameter(&seen, name).split(',').map(part).collect();
        answer(200, JSON, &format!("[{}]", parts.join(",")))
    });
    let merge = json!({ "provider": "fmp", "auth": { "scheme": "none" }, "merge": { "/quote": { "window_ms": WINDOW_MS } } });
    house
        .configure(|s| {
            integration(s, "fmp", &fmp.url(), merge);
            route(s, "quotes", &["fmp"], json!({}));
        })
        .await;
    let got = eventually("two quotes that came together", async || {
        let got = together(&house, &["/r/quotes/quote?symbol=ibm", "/r/quotes/quote?symbol=MSFT"]).await;
        (got[0].header("x-signalbox-merged") == "2").then_some(got)
    })
    .await;
    assert!(fmp.last().target.starts_with("/batch-quote?symbols="), "{}", fmp.last().target);
    for (got, symbol) in got.iter().zip(["ibm", "MSFT"]) {
        assert_eq!((got.header("x-signalbox-integration"), &got.json()["price"]), ("fmp", &json!("1.10")));
        let alone = house.get(&format!("/r/quotes/quote?symbol={symbol}")).await;
        assert_eq!((alone.header("x-signalbox-merged"), alone.text()), ("", got.text()));
    }
    house.stop().await;
}

#[tokio::test]
async fn a_merged_answer_is_kept_part_by_part() {
    let (house, provider) = (House::start().await, Provider::start("p").await);
    provider.will(|seen| async move { prices(&seen) });
    let mut more = merge();
    more["cache"] = json!({ "ttl_secs": 600 });
    house.configure(|s| integration(s, "p", &provider.url(), more)).await;
    let pair = |n: u32| [format!("/p/p/price?symbol=A{n}"), format!("/p/p/price?symbol=B{n}")];
    let mut n = 0;
    let pair = loop {
        n += 1;
        let paths = pair(n);
        let got = together(&house, &[&paths[0], &paths[1]]).await;
        if got[0].header("x-signalbox-merged") == "2" {
            break paths;
        }
        assert!(n < 100, "never together");
    };
    let before = provider.count();
    for (path, symbol) in pair.iter().zip([format!("A{n}"), format!("B{n}")]) {
        let got = house.get(path).await;
        assert_eq!((got.header("x-signalbox-cache"), got.header("x-signalbox-merged")), ("hit", ""));
        assert_eq!(got.text(), one(&symbol));
    }
    assert_eq!(provider.count(), before);
    house.stop().await;
}

#[tokio::test]
async fn a_provider_that_hangs_is_waited_for_no_longer_than_alone() {
    let (house, provider) = (House::start().await, Provider::start("p").await);
    let backup = Provider::start("backup").await;
    provider.hang();
    let mut more = merge();
    more["timeout_ms"] = json!(400);
    house
        .configure(|s| {
            integration(s, "p", &provider.url(), more);
            integration(s, "backup", &backup.url(), json!({}));
            route(s, "both", &["p", "backup"], json!({}));
        })
        .await;
    let started = std::time::Instant::now();
    let got = together(&house, &["/r/both/price?symbol=A", "/r/both/price?symbol=B"]).await;
    assert!(got.iter().all(|got| got.text() == "backup"), "{got:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    house.stop().await;
}
