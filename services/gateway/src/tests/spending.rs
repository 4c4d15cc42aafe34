//! What calls are charged of limits: tokens by what was used and not by what was thought, slower when little is left, by
//! caller and endpoint apart, and told in the ledger to those who warn.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bus::Bucket;
use http::StatusCode;
use model::Timestamp;
use model::quota::key;
use model::quota::ledger::Ledger;
use serde_json::{Value, json};

use super::house::{Got, House, TOKEN, eventually, integration, route, token};
use super::provider::{Provider, answer};
use super::quotas::Other;

const OTHER: &str = "sbt_0123456789abcdef0123456789abcdef0123456789b";
const THIRD: &str = "sbt_0123456789abcdef0123456789abcdef0123456789c";
/// An answer that used 1,500 tokens.
const ANSWER: &str =
    r#"{"model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500}}"#;

fn quotas(more: Value) -> Value {
    let mut quota = json!({ "name": "l", "requests": 10, "per": "month", "timezone": "UTC" });
    if let (Value::Object(quota), Value::Object(more)) = (&mut quota, more) {
        quota.extend(more);
    }
    json!({ "quotas": [quota] })
}

async fn get_as(house: &House, bearer: &str, path: &str) -> Got {
    let uri = format!("http://{}{path}", house.address);
    house
        .call(http::Request::builder().uri(uri).header("authorization", format!("Bearer {bearer}")), "")
        .await
}

/// How many of so many calls of one caller go, one after the other.
async fn good(house: &House, bearer: &str, path: &str, calls: usize) -> usize {
    let mut good = 0;
    for _ in 0..calls {
        good += usize::from(get_as(house, bearer, path).await.status == StatusCode::OK);
    }
    good
}

/// A language model under a limit.
async fn model(limit: Value) -> (House, Provider) {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let mut body = quotas(limit);
    body["provider"] = json!("openai");
    house.configure(|s| integration(s, "a", &provider.url(), body)).await;
    (house, provider)
}

/// Asks a language model with a call that is thought to take so many tokens.
async fn ask(house: &House, tokens: u64) -> StatusCode {
    let body = |answer: u64| format!("{{\"max_tokens\":{answer:>6}}}");
    let question = u64::try_from(body(0).len().div_ceil(3)).expect("small");
    let request = house.request("POST", "/p/a/v1/chat/completions");
    house.call(request, body(tokens - question)).await.status
}

/// The ledgers of integration `a`, by the part that they are of.
async fn ledgers(house: &House) -> Vec<(Option<String>, Ledger)> {
    let bucket = house.bus.bucket(Bucket::Quota).await.expect("declared");
    let all = bucket.all::<Value>().await.expect("they can be read");
    let read = |(key, entry): (String, bus::Entry<Value>)| {
        let named = key::parse(&key).filter(|named| named.owner == "a" && named.limit == "l")?;
        Some((named.part, serde_json::from_value(entry.value).expect("a ledger")))
    };
    all.into_iter().filter_map(read).collect()
}

/// Waits until the ledger of a part says that so much is in use, and more than that at no time.
async fn told(house: &House, part: Option<&str>, units: u64) {
    eventually("that the ledger says what is used", || async {
        let all = ledgers(house).await;
        let used = all.iter().find(|(of, _)| of.as_deref() == part)?.1.in_use(Timestamp::now());
        assert!(used <= units, "{used} of {units}");
        (used == units).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_charged_as_they_were_used_whatever_was_thought() {
    let (house, provider) = model(json!({ "requests": 6_000, "unit": "tokens" })).await;
    provider.always(200, &[("content-type", "application/json")], ANSWER);
    assert_eq!(ask(&house, 6_001).await, 429, "it may take more than there is");
    // More was thought than was used: 4,500 are left.
    assert_eq!(ask(&house, 4_000).await, 200);
    assert_eq!(ask(&house, 4_501).await, 429);
    assert_eq!(ask(&house, 4_500).await, 200);
    // Less was thought than was used: 1,500 are left.
    assert_eq!(ask(&house, 100).await, 200);
    assert_eq!(ask(&house, 1_501).await, 429);
    // A call that fails used none.
    provider.always(500, &[], "no");
    assert_eq!(ask(&house, 1_400).await, 500);
    provider.always(200, &[("content-type", "application/json")], ANSWER);
    assert_eq!(ask(&house, 1_500).await, 200);
    assert_eq!(ask(&house, 10).await, 429);
    assert_eq!(provider.count(), 5);
    told(&house, None, 6_000).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_beyond_all_that_was_there_is_not_spent_again() {
    let (house, provider) = model(json!({ "requests": 2_000, "unit": "tokens" })).await;
    provider.always(200, &[("content-type", "application/json")], ANSWER);
    assert_eq!(ask(&house, 20).await, 200);
    assert_eq!(ask(&house, 20).await, 200);
    assert_eq!(ask(&house, 20).await, 429, "3,000 of 2,000 are used");
    assert_eq!(provider.count(), 2);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_whose_length_nobody_says_take_what_they_usually_have() {
    let (house, provider) = model(json!({ "requests": 1_000, "unit": "tokens" })).await;
    let short = r#"{"model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":10}}"#;
    provider.always(200, &[("content-type", "application/json")], short);
    let ask = || async {
        let body = r#"{"model":"gpt-4o-mini","messages":[]}"#;
        house.call(house.request("POST", "/p/a/v1/chat/completions"), body).await
    };
    // By what an answer may have at most a thirtieth call would not go.
    for call in 1..=48 {
        let got = ask().await;
        assert_eq!(got.status, 200, "{call}: {}", got.text());
    }
    let last =
        eventually("that it is used up", || async { Some(ask().await).filter(|got| got.status == 429) });
    let detail = last.await.json()["detail"].to_string();
    assert!(detail.contains("this call needs 2"), "{detail}");
    assert!(provider.count() <= 50, "{}", provider.count());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_what_those_under_way_will_not_have_used() {
    let (house, provider) =
        model(json!({ "requests": 1_000, "per": "minute", "unit": "tokens", "timezone": null })).await;
    let short = r#"{"model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":10}}"#;
    provider.will(move |_| async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        answer(200, &[("content-type", "application/json")], short)
    });
    // Each is thought to take more than half, and takes a fiftieth.
    let ask = || async {
        let body = r#"{"model":"gpt-4o-mini","messages":[]}"#;
        house.call(house.request("POST", "/p/a/v1/chat/completions"), body).await.status
    };
    let (first, second, third) = tokio::join!(ask(), ask(), ask());
    assert_eq!([first, second, third].map(|status| status.as_u16()), [200; 3]);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_picture_is_no_large_question() {
    let (house, provider) = model(json!({ "requests": 30_000, "unit": "tokens" })).await;
    provider.always(200, &[("content-type", "application/json")], ANSWER);
    let picture = "iVBORw0K".repeat(400_000);
    let body = format!(
        r#"{{"max_tokens":300,"messages":[{{"content":[{{"image_url":{{"url":"data:image/png;base64,{picture}"}}}}]}}]}}"#
    );
    let got = house.call(house.request("POST", "/p/a/v1/chat/completions"), body.clone()).await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(provider.last().body.len(), body.len());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_tell_what_they_used_are_counted_as_thought() {
    let (house, provider) = model(json!({ "requests": 80_000, "unit": "output_tokens" })).await;
    let ask = || async {
        let body = r#"{"model":"gpt-4o-mini","stream":true,"messages":[]}"#;
        house.call(house.request("POST", "/p/a/v1/chat/completions"), body).await.status
    };
    let events: &[_] = &[("content-type", "text/event-stream")];
    provider.always(200, events, "data: {\"choices\":[]}\n\ndata: [DONE]\n\n");
    // Nothing is learned of them: each counts as much as it can have by its length.
    for call in 1..=5 {
        assert_eq!(ask().await, 200, "{call}");
    }
    // Short ones that tell it take little, and those that do not are no shorter for that.
    let short = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":10}}\n\n";
    provider.always(200, events, short);
    for call in 1..=10 {
        assert_eq!(ask().await, 200, "{call}");
    }
    provider.always(200, events, "data: {\"choices\":[]}\n\ndata: [DONE]\n\n");
    for call in 1..=2 {
        assert_eq!(ask().await, 200, "{call}");
    }
    // 36 bytes of events each, those that told, and as much as those had and a quarter more.
    told(&house, None, 5 * 5 + 10 * 10 + 2 * 13).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_its_share_what_is_left_is_spread_over_the_rest_of_the_window() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &provider.url(), quotas(json!({ "throttle": 0.5 })))).await;
    // Five go at once, and one of those that go one by one.
    assert_eq!(good(&house, TOKEN, "/p/a/x", 9).await, 6);
    assert_eq!(provider.count(), 6);
    let got = house.get("/p/a/x").await;
    let told: u64 = got.header("retry-after").parse().expect("seconds");
    let now = Timestamp::now();
    let month = 32 * 86_400;
    assert!(got.status == 429 && told > 1 && told <= month / 5, "{told} at {now}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_tokens_count_together_and_callers_apart() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "a", &provider.url(), quotas(json!({ "requests": 4, "scope": "caller" })));
            s.tokens.push(token("other", OTHER, &json!({})));
            let actor = s.tokens[0].actor.clone();
            s.tokens.push(model::token::Token { actor, ..token("third", THIRD, &json!({})) });
        })
        .await;
    assert_eq!(good(&house, TOKEN, "/p/a/x", 3).await, 3);
    assert_eq!(good(&house, OTHER, "/p/a/x", 5).await, 4);
    assert_eq!(good(&house, THIRD, "/p/a/x", 5).await, 1, "the same caller as the first");
    assert_eq!(provider.count(), 8);
    told(&house, Some("user:admin"), 4).await;
    told(&house, Some("user:other"), 4).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_count_apart() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "a", &provider.url(), quotas(json!({ "requests": 3, "scope": "endpoint" })));
        })
        .await;
    assert_eq!(good(&house, TOKEN, "/p/a/quotes/100200300", 2).await, 2);
    assert_eq!(good(&house, TOKEN, "/p/a/quotes/400500600", 4).await, 1, "it is the same one");
    assert_eq!(good(&house, TOKEN, "/p/a/news", 5).await, 3);
    assert_eq!(provider.count(), 6);
    told(&house, Some("/quotes/{}"), 3).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_aware_route_leaves_a_member_of_weighed_calls_before_it_is_empty() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    let weights = json!([{ "path": "/heavy", "units": 20 }]);
    house
        .configure(|s| {
            let limit = quotas(json!({ "requests": 100, "near": 0.5, "weights": weights }));
            integration(s, "a", &a.url(), limit);
            integration(s, "b", &b.url(), json!({}));
            route(s, "both", &["a", "b"], json!({ "order": "quota_aware" }));
        })
        .await;
    assert_eq!(good(&house, TOKEN, "/r/both/heavy", 8).await, 8);
    assert_eq!((a.count(), b.count()), (3, 5), "60 of 100");
    // It is asked again when the other one fails.
    b.always(500, &[], "down");
    assert_eq!(good(&house, TOKEN, "/r/both/heavy", 1).await, 1);
    assert_eq!(a.count(), 4);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_limit_tells_in_its_ledger_how_far_it_is_used() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let limit = json!({ "quotas": [{ "name": "l", "requests": 20, "window_secs": 60 }] });
    house.configure(|s| integration(s, "a", &provider.url(), limit)).await;
    for units in [16, 20] {
        eventually("that so many went", || async {
            house.get("/p/a/x").await;
            (provider.count() == units).then_some(())
        })
        .await;
        told(&house, None, u64::try_from(units).expect("small")).await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_use_of_a_rolling_limit_no_gateway_spends() {
    let (house, provider) = (House::start().await, Provider::start("a").await);
    let limit = json!({ "quotas": [{ "name": "l", "requests": 100, "window_secs": 60 }] });
    house.configure(|s| integration(s, "a", &provider.url(), limit)).await;
    let other = Other::start(&house).await;
    // Somebody else with the same key has used seventy of a hundred. The provider counts, and refuses the hundred and first.
    let used = Arc::new(AtomicU64::new(70));
    let counted = used.clone();
    provider.will(move |_| {
        let used = counted.fetch_add(1, Relaxed) + 1;
        let left = 100_u64.saturating_sub(used).to_string();
        let status = if used > 100 { 429 } else { 200 };
        let headers = [("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", left.as_str())];
        std::future::ready(answer(status, &headers, "{}"))
    });
    eventually("a first answer", || async { (house.get("/p/a/x").await.status == 200).then_some(()) }).await;
    let in_use = || async { ledgers(&house).await.first().map_or(0, |(_, ledger)| ledger.taken()) };
    eventually("that the ledger knows of the others", || async { (in_use().await >= 70).then_some(()) })
        .await;
    eventually("that all that is left was spent", || async {
        other.get(&house, "/p/a/x").await;
        house.get("/p/a/x").await;
        (used.load(Relaxed) == 100).then_some(())
    })
    .await;
    for _ in 0..20 {
        let (mine, theirs) = tokio::join!(house.get("/p/a/x"), other.get(&house, "/p/a/x"));
        assert_eq!((mine.status.as_u16(), theirs.status.as_u16()), (429, 429));
    }
    assert_eq!(used.load(Relaxed), 100, "nothing was sent in vain");
    other.stop().await;
    house.stop().await;
}
