//! Every signed exchange of the catalogue, called through the house, against stand-ins that check signatures by the exchanges'
//! own documents: what is right is taken, a wrong secret is refused in the exchange's words, a clock that is off is learned.

mod exchanges;

use exchanges::{Call, Exchange};
use harness::{ADMIN_TOKEN, Client, House, until};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use standins::{Config, InstanceConfig, Mode, Standins};

/// How far a clock is off, in milliseconds. No exchange takes that.
const SKEW_MS: i64 = 40_000;
/// Calls until a clock is known: one that is refused, and is repeated where that is safe and the budget has it.
const LEARNING_CALLS_MAX: usize = 2;

async fn outside(exchanges: &[Exchange]) -> Standins {
    let config = exchanges.iter().fold(Config::default(), |config, exchange| {
        let mut one = InstanceConfig::new(exchange.name, exchange.provider).unlimited();
        for (field, value) in exchange.known.as_object().expect("fields") {
            one = one.key(field, value.as_str().expect("a text"));
        }
        config.with(one)
    });
    Standins::start(config).await.expect("the stand-ins start")
}

/// A key and an integration at the exchange's stand-in, both of this name.
async fn integrate(admin: &Client, outside: &Standins, exchange: &Exchange, name: &str, fields: &Value) {
    admin.make("/keys", json!({"id": name, "provider": exchange.provider, "fields": fields})).await;
    let base_url = outside.instance(exchange.name).base_url();
    let integration = json!({"id": name, "provider": exchange.provider, "key": name, "base_url": base_url,
        "retry": {"attempts": 2, "backoff_ms": 1}, "probe": {"every_secs": 3600}});
    admin.make("/integrations", integration).await;
}

/// Status, attempts and body of a call.
async fn called(admin: &Client, name: &str, call: &Call) -> (u16, u32, Value) {
    let method = Method::from_bytes(call.method.as_bytes()).expect("a method");
    let mut request = admin.call(method, &format!("/p/{name}{}", call.path));
    if let Some((media, text)) = call.body {
        request = request.header(CONTENT_TYPE, media).body(text);
    }
    let answer = request.send().await.expect("the gateway answers");
    let attempts = answer.headers().get("x-signalbox-attempts");
    let attempts = attempts.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or_default();
    let (status, body) = harness::client::body(answer).await;
    (status, attempts, body)
}

/// Whether an answer is the one that is wanted.
fn is_right(call: &Call, status: u16, body: &Value) -> bool {
    status == 200 && body.pointer(call.pointer) == Some(&call.wanted)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signed_exchange_takes_what_we_sign_and_tells_a_wrong_secret_itself() {
    let exchanges = exchanges::all();
    let outside = outside(&exchanges).await;
    let house = House::start().await;
    let admin = &house.admin;
    let mut wrong_name = String::new();
    for exchange in &exchanges {
        integrate(admin, &outside, exchange, exchange.name, &exchange.key).await;
        let mut fields = exchange.key.clone();
        fields[exchange.wrong.0] = json!(exchange.wrong.1);
        wrong_name = format!("{}-wrong", exchange.name);
        integrate(admin, &outside, exchange, &wrong_name, &fields).await;
    }
    until("the last integration is served", || async {
        let path = format!("/p/{wrong_name}/v5/market/time");
        let answer = admin.call(Method::GET, &path).send().await.expect("the gateway answers");
        (answer.status() == 200).then_some(())
    })
    .await;

    let mut faults = Vec::new();
    for exchange in &exchanges {
        for call in &exchange.calls {
            let (status, _, body) = called(admin, exchange.name, call).await;
            if !is_right(call, status, &body) {
                faults.push(format!("{} {} {}: {status} {body}", exchange.name, call.method, call.path));
            }
        }
        let (wanted, pointer, told) = &exchange.refusal;
        let wrong = format!("{}-wrong", exchange.name);
        for call in &exchange.calls[..2] {
            let (status, _, body) = called(admin, &wrong, call).await;
            if status != *wanted || body.pointer(pointer) != Some(told) {
                faults.push(format!("{wrong} {} {}: {status} {body}", call.method, call.path));
            }
        }
        let secret = exchange.key[exchange.wrong.0].as_str().expect("a text");
        for request in outside.instance(exchange.name).requests() {
            let sent = format!("{}{}{:?}{}", request.path, request.query, request.headers, request.body);
            if sent.contains(secret) || sent.contains(ADMIN_TOKEN) || sent.contains("x-signalbox") {
                faults.push(format!("{} {}: told what is ours", exchange.name, request.path));
            }
        }
    }
    for (name, version) in [("kucoin-2", "2"), ("kucoin-3", "3")] {
        let versions: Vec<_> = outside.instance(name).requests();
        let versions = versions.iter().filter_map(|request| request.headers.get("kc-api-key-version"));
        assert!(versions.clone().count() > 0 && versions.clone().all(|told| told == version), "{name}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_learned_and_corrected() {
    let mut exchanges = exchanges::all();
    // Kraken looks at no clock.
    exchanges.retain(|exchange| exchange.provider != "kraken");
    let outside = outside(&exchanges).await;
    let house = House::start().await;
    let admin = &house.admin;
    for exchange in &exchanges {
        integrate(admin, &outside, exchange, exchange.name, &exchange.key).await;
    }
    let last = exchanges.last().expect("some");
    until("the last integration is served", || async {
        (called(admin, last.name, &last.calls[0]).await.0 == 200).then_some(())
    })
    .await;
    for exchange in &exchanges {
        let [reads, writes, ..] = exchange.calls.as_slice() else { panic!("{} does both", exchange.name) };
        let (status, _, body) = called(admin, exchange.name, reads).await;
        assert!(is_right(reads, status, &body), "{}: {status} {body}", exchange.name);
        for skew_ms in [SKEW_MS, -SKEW_MS] {
            outside.instance(exchange.name).switch(Mode::Skew { ms: skew_ms }).await;
            // What its clock refused was not done, so that an order is repeated too.
            let mut told = Vec::new();
            for _ in 0..LEARNING_CALLS_MAX {
                let (status, attempts, body) = called(admin, exchange.name, writes).await;
                told.push(format!("{status} after {attempts}: {body}"));
                if is_right(writes, status, &body) {
                    break;
                }
            }
            // Coinbase's tokens are good for longer than its clock is ahead.
            let is_lenient = exchange.provider == "coinbase_advanced" && skew_ms > 0;
            let is_taken = told[0].starts_with("200 after 1: ") && told.len() == 1;
            assert_eq!(is_taken, is_lenient, "{} {skew_ms} ms: {told:?}", exchange.name);
            for call in [reads, writes] {
                let (status, attempts, body) = called(admin, exchange.name, call).await;
                let told = format!("{} {skew_ms} ms: {status} {body}, before: {told:?}", exchange.name);
                assert!(is_right(call, status, &body) && attempts == 1, "{told}");
            }
        }
    }
    house.stop().await;
}
