//! Rules on a real nats-server and a real database: each alert told once, whoever looks and however often it starts again.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bucket, Supervised};
use model::config::Kind;
use model::health::{Health, HealthChanged};
use model::integration::Window;
use model::quota::ledger::{Holder, Lease, Ledger};
use model::quota::{Quota, keep, key};
use model::rule::{Rule, TestRule, built_in};
use model::usage::{Count, UsageCounted};
use model::{EventId, IntegrationId, ProviderId, Timestamp};
use serde_json::{Value, json};
use store::{Change, HealthEvent, HealthFact, Plans, Write};
use tokio_util::sync::CancellationToken;

use super::watch::Term;
use crate::tests::Town;
use crate::{Meter, forecasts};

const HOUR: Duration = Duration::from_secs(3600);

/// A meter's surroundings, with one integration and one budget.
pub(crate) struct House {
    pub(crate) meter: Meter,
    _server: Supervised,
    _folder: tempfile::TempDir,
}

impl House {
    pub(crate) async fn start(documents: &[(Kind, Value)]) -> Self {
        let Town { server, bus, store, folder } = Town::start("meter/test").await;
        drop(bus.bucket(Bucket::Config).await.expect("declared"));
        let writes = documents.iter().map(|(kind, body)| Write::Create {
            kind: *kind,
            id: body["id"].as_str().expect("an id").to_owned(),
            body: body.clone(),
        });
        let change = Change { writes: writes.collect(), ..Change::default() };
        store.commit(change, Timestamp::now()).await.expect("a configuration");
        let snapshot = bus.snapshots(CancellationToken::new()).await.expect("a bucket");
        let forecasts = forecasts::Forecasts::default();
        let meter = Meter {
            bus,
            store,
            snapshot,
            forecasts,
            ledgers: super::Ledgers::default(),
            tallied: Arc::default(),
            behind: Arc::default(),
            fresh: Arc::default(),
        };
        meter.ledgers.begin(std::iter::empty());
        Self { meter, _server: server, _folder: folder }
    }

    /// Counts calls of an hour or a minute that ended then.
    pub(crate) async fn count(&self, to: Timestamp, count: Count) {
        self.count_of(integration(), to, count).await;
    }

    async fn count_of(&self, integration: IntegrationId, to: Timestamp, count: Count) {
        let id = EventId::parse(format!("use-{integration}-{}", to.as_millis())).expect("an id");
        let counted = UsageCounted {
            integration,
            provider: ProviderId::new("polygon").expect("an id"),
            counter: "gateway/test".to_owned(),
            from: to.minus(Duration::from_secs(1)),
            to,
            counts: vec![Count { actor: "user:ada".to_owned(), endpoint: "/v1".to_owned(), ..count }],
        };
        self.meter.store.count(&[(id, counted)], &Plans::new()).await.expect("counted");
    }

    /// What waits to be told: kind of event, kind of alert and what it is about.
    pub(crate) async fn told(&self) -> Vec<(String, Value)> {
        let pending = self.meter.store.outbox_pending(100).await.expect("the database answers");
        let read = |(_, event): (i64, model::Envelope<Vec<u8>>)| {
            let data: Value = serde_json::from_slice(&event.data).expect("events are JSON");
            let verb = event.subject.as_str().rsplit('.').next().unwrap_or_default().to_owned();
            (format!("{verb} {}", data["fingerprint"].as_str().unwrap_or_default()), data)
        };
        pending.into_iter().map(read).collect()
    }

    async fn fingerprints(&self) -> Vec<String> {
        self.told().await.into_iter().map(|(told, _)| told).collect()
    }
}

pub(crate) fn integration() -> IntegrationId {
    IntegrationId::new("poly").expect("an id")
}

pub(crate) fn configured(quotas: &Value) -> (Kind, Value) {
    let body = json!({"id": "poly", "provider": "polygon", "name": "Polygon", "quotas": quotas});
    (Kind::Integration, body)
}

fn noon() -> Timestamp {
    let day = 86_400_000;
    let now = Timestamp::now().as_millis();
    Timestamp::from_millis(now - now.rem_euclid(day) - day / 2)
}

fn rule(body: Value) -> Rule {
    serde_json::from_value(body).expect("a rule")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_budgets_and_what_will_not_last_are_told_once_over_restarts() {
    let budget = json!({"id": "llm", "scope": {"caller": "user:ada"}, "amount_micros": 3_000_000, "per": "day",
        "timezone": "UTC"});
    let quotas = json!([{"name": "day", "requests": 2_000, "per": "day", "timezone": "UTC"}]);
    let house = House::start(&[configured(&quotas), (Kind::Budget, budget)]).await;
    let at = noon();
    // A hundred calls and 15 cents an hour: 1,200 calls by noon, 2,400 at midnight.
    for hour in 0..36_u32 {
        let cost = Count { requests: 100, cost_micros: 150_000, ..Count::default() };
        house.count(at.minus(HOUR * hour).minus(Duration::from_secs(61)), cost).await;
    }
    let mut term = Term::begin(&house.meter, at).await.expect("begins");
    term.round(&house.meter, at).await.expect("looks");
    assert_eq!(house.fingerprints().await, ["raised rule/budget/budget/llm"], "60 % is spent");
    // It must stand for a quarter of an hour; another process takes over meanwhile, twice.
    for minutes in [16, 17, 18] {
        let at = at.plus(Duration::from_secs(minutes * 60));
        let mut term = Term::begin(&house.meter, at).await.expect("begins");
        term.round(&house.meter, at).await.expect("looks");
        term.round(&house.meter, at).await.expect("looks again");
    }
    let breaches = [
        "raised rule/budget/budget/llm",
        "raised rule/forecast-breach/integration/poly/quota/day",
        "raised rule/forecast-breach/budget/llm",
    ];
    assert_eq!(house.fingerprints().await, breaches);
    // The next threshold is told once more, and so is what is nearly used up.
    let later = at.plus(Duration::from_secs(1_200));
    house.count(later, Count { requests: 450, cost_micros: 900_000, ..Count::default() }).await;
    for _ in 0..2 {
        let mut term = Term::begin(&house.meter, later.plus(HOUR)).await.expect("begins");
        term.round(&house.meter, later.plus(HOUR)).await.expect("looks");
    }
    let told = house.told().await;
    let more: Vec<&str> = told[breaches.len()..].iter().map(|(told, _)| told.as_str()).collect();
    assert_eq!(more, ["raised rule/budget/budget/llm", "raised rule/near-limit/integration/poly/quota/day"]);
    assert_eq!((&told[0].1["severity"], &told[0].1["data"]["threshold"]), (&json!("warning"), &json!(0.5)));
    assert_eq!(told[3].1["data"]["threshold"], json!(0.8), "{}", told[3].1);
    assert_eq!(told[0].1["alert"], told[3].1["alert"], "the same alert, worse");

    let asked = TestRule {
        rule: built_in("forecast-breach").expect("it is there"),
        window: model::period::Period::days(1),
        at: later.plus(HOUR),
    };
    let tested = super::trial::test(&house.meter, asked).await.expect("a dry run");
    assert_eq!((tested.targets, tested.targets_without_figures), (2, 0), "{tested:?}");
    assert!(tested.fired >= 2, "{tested:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_integrations_share_by_their_key_is_told_once_for_the_calls_of_all() {
    let shared = |id: &str, requests: u64| {
        let quota = json!({"name": "shared", "requests": requests, "per": "day", "timezone": "UTC",
            "scope": "credential"});
        let body = json!({"id": id, "provider": "polygon", "name": id, "key": "one", "quotas": [quota]});
        (Kind::Integration, body)
    };
    let house = House::start(&[shared("a", 10), shared("b", 12)]).await;
    let at = noon();
    let count = async |id: &str, requests: u64, minutes: u64| {
        let at = at.minus(Duration::from_secs(60 * minutes));
        let count = Count { requests, ..Count::default() };
        house.count_of(id.parse().expect("an id"), at, count).await;
    };
    let look = async || {
        let mut term = Term::begin(&house.meter, at).await.expect("begins");
        term.round(&house.meter, at).await.expect("looks");
        house.fingerprints().await
    };
    count("a", 4, 3).await;
    assert!(look().await.is_empty());
    count("b", 4, 2).await;
    let near = "raised rule/near-limit/integration/a/quota/shared";
    assert_eq!(look().await, [near]);
    count("b", 2, 1).await;
    assert_eq!(look().await, [near, "raised rule/exhausted/integration/a/quota/shared"]);
    let told = house.told().await;
    assert_eq!(told[1].1["data"]["limit"], json!(10), "{}", told[1].1);

    // A rule about one of them says the same of it, and so does what was recorded.
    let only_b = json!({"id": "only-b", "kind": "exhausted", "select": {"integrations": ["b"]}});
    let asked = TestRule { rule: rule(only_b), window: model::period::Period::hours(2), at };
    let tested = super::trial::test(&house.meter, asked).await.expect("a dry run");
    assert_eq!((tested.targets, tested.fired), (1, 1), "{tested:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_holds_and_has_not_spent_is_not_used() {
    let day = json!({"name": "day", "requests": 20, "per": "day", "timezone": "UTC"});
    let house = House::start(&[configured(&json!([day]))]).await;
    let at = Timestamp::now();
    let quota: Quota = serde_json::from_value(day).expect("a quota");
    let limit = keep(&quota, 4).expect("can be kept");
    let key = key::of("poly", &key::limit(&limit, false), None).expect("short");
    let from = crate::window::at(at, Window::Day, "UTC").from;
    let write = |spent: u64| {
        // All of it is leased, and its holder would like to have more.
        let mut ledger = Ledger::new(&limit, from.as_millis());
        let lease = Lease { granted: 20, spent, until: at.as_millis(), wants: 60, ..Lease::default() };
        ledger.holders.insert(Holder::new("g0", 1), lease);
        let value = serde_json::to_value(ledger).expect("JSON");
        house.meter.ledgers.begin([(key.clone(), value)].into_iter());
    };
    let look = async || {
        let mut term = Term::begin(&house.meter, at).await.expect("begins");
        term.round(&house.meter, at).await.expect("looks");
        house.fingerprints().await
    };
    write(13);
    assert!(look().await.is_empty(), "seven are left");
    let stands = crate::limits::stands(&house.meter, (&integration(), None), &quota, true, at).await;
    let told = stands.expect("the database answers").expect("is known").told;
    assert_eq!((told.used, told.left), (13, 7));
    write(20);
    let told = look().await;
    assert_eq!(told.len(), 2, "near and used up: {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_down_is_told_and_maintenance_silences_what_calls_say() {
    let house = House::start(&[configured(&json!([]))]).await;
    let at = noon();
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let change = |sequence: u64, before: u64, from: Health, to: Health| HealthEvent {
        sequence,
        stored_at: at,
        event: EventId::parse(format!("h-{sequence}")).expect("an id"),
        fact: HealthFact::Changed(HealthChanged {
            integration: integration(),
            provider: ProviderId::new("polygon").expect("an id"),
            from,
            to,
            reason: None,
            since: at.minus(minutes(before)),
            at: at.minus(minutes(before)),
            latency_ms: None,
            evidence: Vec::new(),
        }),
    };
    let changes = [
        change(1, 600, Health::Unknown, Health::Up),
        change(2, 60, Health::Up, Health::Down),
        change(3, 30, Health::Down, Health::Maintenance),
    ];
    house.meter.store.health_take(at, &changes).await.expect("taken");
    for minute in 0..20 {
        house.count(at.minus(minutes(minute)), Count { requests: 50, errors: 50, ..Count::default() }).await;
    }
    let mut term = Term::begin(&house.meter, at).await.expect("begins");
    for minute in 0..4 {
        term.round(&house.meter, at.plus(minutes(minute))).await.expect("looks");
    }
    assert_eq!(house.fingerprints().await, ["raised rule/uptime/integration/poly"]);

    let test = |body: Value, back: u32| {
        let asked = TestRule { rule: rule(body), window: model::period::Period::hours(back), at };
        super::trial::test(&house.meter, asked)
    };
    let uptime = test(json!({"id": "a", "kind": "uptime", "threshold": 0.99, "window": "2h"}), 3);
    let uptime = uptime.await.expect("a dry run");
    assert_eq!((uptime.fired, uptime.firings[0].to), (1, None), "{uptime:?}");
    assert_eq!(uptime.summary, "would have fired once in the last 3h");
    let errors =
        test(json!({"id": "a", "kind": "error_rate", "threshold": 0.5}), 3).await.expect("a dry run");
    assert_eq!((errors.fired, errors.targets_without_figures), (0, 1), "{errors:?}");
    assert!(errors.without_figures[0].why.contains("or it was in maintenance"), "{errors:?}");
    // Ten hours are known of ten days.
    let uptime = test(json!({"id": "a", "kind": "uptime", "threshold": 0.99, "window": "30d"}), 24);
    let uptime = uptime.await.expect("a dry run");
    let why = uptime.without_figures.first().map(|without| without.why.as_str());
    assert_eq!(why, Some("whether it was up is known of 570m of the last 30d: 30h are needed"), "{uptime:?}");
}
