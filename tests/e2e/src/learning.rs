//! What providers say of their own count is believed in their own words, each in another dialect: somebody else with the same
//! key used most of it, and the gateway stops before the provider must say no.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{House, key_of, until};
use model::Timestamp;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use standins::{Config, InstanceConfig, Standins};

/// Units of a provider's minute, and those that somebody else uses.
const ALL: u64 = 40;
const ELSEWHERE: u64 = 30;

/// A provider, what its key has, its limit as it is configured, and a path that takes so many units.
struct Dialect {
    provider: &'static str,
    fields: &'static [&'static str],
    quota: Value,
    path: &'static str,
    units: u64,
    headers: &'static [(&'static str, &'static str)],
}

fn dialects() -> [Dialect; 3] {
    [
        // `x-mbx-used-weight-1m`
        Dialect {
            provider: "binance",
            fields: &[],
            quota: json!({"name": "weight_minute", "requests": ALL, "per": "minute", "kind": "calendar"}),
            path: "/api/v3/time",
            units: 1,
            headers: &[],
        },
        // `anthropic-ratelimit-requests-remaining`
        Dialect {
            provider: "anthropic",
            fields: &["api_key"],
            quota: json!({"name": "requests", "requests": ALL, "per": "minute", "kind": "calendar"}),
            path: "/v1/models",
            units: 1,
            headers: &[("anthropic-version", "2023-06-01")],
        },
        // `gw-ratelimit-remaining`
        Dialect {
            provider: "kucoin",
            fields: &[],
            quota: json!({"name": "pool", "requests": ALL, "per": "minute", "kind": "calendar",
                "weights": [{"path": "/api/v1/timestamp", "units": 3}]}),
            path: "/api/v1/timestamp",
            units: 3,
            headers: &[],
        },
    ]
}

async fn integrate(house: &House, outside: &Standins, dialect: &Dialect) {
    let id = dialect.provider;
    let mut integration = json!({"id": id, "provider": id, "base_url": outside.instance(id).base_url(),
        "probe": {"every_secs": 3_600}, "retry": {"attempts": 1}, "quotas": [dialect.quota]});
    if !dialect.fields.is_empty() {
        let fields: serde_json::Map<String, Value> =
            dialect.fields.iter().map(|name| ((*name).to_owned(), json!(key_of(id)))).collect();
        house.admin.make("/keys", json!({"id": id, "provider": id, "fields": fields})).await;
        integration["key"] = json!(id);
    }
    house.admin.make("/integrations", integration).await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "somebody else calls the same provider")]
async fn what_others_used_is_learned_from_each_providers_own_headers() {
    let config = dialects().iter().fold(Config::default(), |config, dialect| {
        let instance = InstanceConfig::new(dialect.provider, dialect.provider).limit(ALL, 60);
        let fields = dialect.fields.iter();
        config.with(fields.fold(instance, |one, field| one.key(*field, key_of(dialect.provider))))
    });
    let outside = Standins::start(config).await.expect("the stand-ins start");
    let house = House::start().await;
    for dialect in dialects() {
        let id = dialect.provider;
        // All of it happens in one minute.
        until("a minute that is not nearly over", async || {
            let second = Timestamp::now().as_millis().rem_euclid(60_000) / 1_000;
            (2..35).contains(&second).then_some(())
        })
        .await;
        integrate(&house, &outside, &dialect).await;
        let path = format!("/p/{id}{}", dialect.path);
        let call = async || {
            let mut call = house.admin.call(Method::GET, &path);
            for (name, value) in dialect.headers {
                call = call.header(*name, *value);
            }
            call.send().await.expect("the gateway answers").status().as_u16()
        };
        until("the gateway serves it", async || (call().await == 200).then_some(())).await;
        for _ in 0..ELSEWHERE / dialect.units {
            let mut other = Client::new().get(format!("{}{}", outside.instance(id).base_url(), dialect.path));
            for (name, value) in dialect.headers {
                other = other.header(*name, *value);
            }
            if !dialect.fields.is_empty() {
                other = other.header("x-api-key", key_of(id));
            }
            assert_eq!(other.send().await.expect("the stand-in answers").status(), 200, "{id}");
        }
        let mut good = 0;
        for _ in 0..ALL / dialect.units {
            good += u64::from(call().await == 200);
        }
        let counts = outside.instance(id).counts();
        assert_eq!(counts.by_status.get(&429), None, "{id} said no: {:?}", counts.by_status);
        assert!(good > 0 && good <= (ALL - ELSEWHERE) / dialect.units, "{id}: {good} of what was left");
        let told = until("all of it to be told as used", async || {
            let usage = house.admin.get(&format!("/integrations/{id}/usage")).await.1;
            (usage["quotas"][0]["left"].as_u64()? < dialect.units).then(|| usage["quotas"][0].clone())
        })
        .await;
        let elsewhere = told["leased"]["elsewhere"].as_u64().unwrap_or(0);
        assert!((ELSEWHERE - 4..=ELSEWHERE + 4).contains(&elsewhere), "{id}: {told}");
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_a_good_answer_is_heeded_too() {
    // Alpha Vantage answers 200, with a note that says no.
    let alpha = InstanceConfig::new("alpha", "alpha_vantage").key("api_key", key_of("alpha")).limit(5, 60);
    let outside = Standins::start(Config::default().with(alpha)).await.expect("the stand-ins start");
    let house = House::start().await;
    house
        .admin
        .make(
            "/keys",
            json!({"id": "alpha", "provider": "alpha_vantage", "fields": {"api_key": key_of("alpha")}}),
        )
        .await;
    let integration = json!({"id": "alpha", "provider": "alpha_vantage", "key": "alpha",
        "base_url": outside.instance("alpha").base_url(), "probe": {"every_secs": 3_600}, "retry": {"attempts": 1},
        "quotas": [{"name": "minute", "requests": 100, "per": "minute"}]});
    house.admin.make("/integrations", integration).await;
    let path = "/p/alpha/query?function=GLOBAL_QUOTE&symbol=IBM";
    let call = async || {
        let answer = house.admin.call(Method::GET, path).send().await.expect("the gateway answers");
        harness::client::body(answer).await
    };
    until("the gateway serves it", async || call().await.1.get("Global Quote").map(drop)).await;
    // Each time that it is refused nothing is sent for the second that its catalogue names.
    let heeded = AtomicU64::new(0);
    until("a refusal that was heeded", async || {
        call().await.1.get("Information")?;
        let (begun, before) = (Instant::now(), outside.instance("alpha").counts().total);
        let answers = join_all((0..10).map(|_| call())).await;
        let sent = outside.instance("alpha").counts().total - before;
        if begun.elapsed() < Duration::from_millis(800) {
            assert_eq!(sent, 0, "{answers:?}");
            assert!(answers.iter().all(|(status, _)| *status == 429), "{answers:?}");
            heeded.fetch_add(1, Relaxed);
        }
        (heeded.load(Relaxed) > 1).then_some(())
    })
    .await;
    house.stop().await;
}
