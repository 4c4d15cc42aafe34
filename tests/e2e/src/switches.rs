//! Every way in which a provider can be switched off: what it is then, where its calls go, and that nobody notices.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bus::Start;
use futures_util::StreamExt;
use harness::{Client, House, PATIENCE, key_of, outside, until};
use model::health::{Health, HealthChanged, Reason};
use model::route::RouteSwitched;
use reqwest::Method;
use serde_json::json;
use standins::{Mode, Standins};
use tokio::task::JoinHandle;

/// Between two probes.
const EVERY_SECS: u32 = 2;
/// From when on an answer is slow, and how long a slow one takes here.
const SLOW_MS: u64 = 500;
const SLOW_ANSWER_MS: u64 = 800;
/// What a call may take. Nobody shall wait for that long.
const TIMEOUT_MS: u64 = 10_000;

/// A switch of a stand-in, and what follows from it.
struct Case {
    name: &'static str,
    mode: Mode,
    health: Health,
    reason: Reason,
    /// Whether its route moves to the backup. Where calls can still succeed it does not.
    moves: bool,
}

fn cases() -> [Case; 6] {
    let case = |name, mode, health, reason, moves| Case { name, mode, health, reason, moves };
    let slow = Mode::Slow { ms: SLOW_ANSWER_MS };
    let throttle = Mode::Throttle { retry_after_secs: None };
    [
        case("refuse", Mode::Refuse, Health::Down, Reason::Unreachable, true),
        case("status", Mode::from(503), Health::Down, Reason::UpstreamError, true),
        case("hang", Mode::Hang, Health::Down, Reason::Timeout, true),
        case("bad-key", Mode::BadKey, Health::Degraded, Reason::BadCredentials, true),
        case("throttle", throttle, Health::Degraded, Reason::ThrottledBurst, false),
        case("slow", slow, Health::Degraded, Reason::Slow, false),
    ]
}

/// Somebody who calls a route without pause.
#[derive(Clone, Default)]
struct Caller {
    stop: Arc<AtomicBool>,
    met: Arc<Mutex<Met>>,
}

/// What callers met.
#[derive(Default)]
struct Met {
    wrong: Vec<String>,
    served_by: String,
    calls: usize,
    slowest: Duration,
}

impl Caller {
    fn start(client: Client, route: &str) -> (Self, JoinHandle<()>) {
        let caller = Self::default();
        let (it, path) = (caller.clone(), path(route));
        let task = tokio::spawn(async move {
            while !it.stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let answer = client.call(Method::GET, &path).send().await;
                it.note(answer, begun.elapsed());
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        });
        (caller, task)
    }

    fn note(&self, answer: reqwest::Result<reqwest::Response>, took: Duration) {
        let mut met = self.met.lock().expect("nobody panicked");
        met.calls += 1;
        met.slowest = met.slowest.max(took);
        match answer {
            Ok(answer) if answer.status() == 200 => {
                let by = answer.headers().get("x-signalbox-integration").and_then(|by| by.to_str().ok());
                met.served_by = by.unwrap_or_default().to_owned();
            }
            Ok(answer) => met.wrong.push(answer.status().to_string()),
            Err(error) => met.wrong.push(error.to_string()),
        }
    }

    async fn is_served_by(&self, name: &str) {
        until(&format!("{name} answers"), || async {
            (self.met.lock().expect("nobody panicked").served_by == name).then_some(())
        })
        .await;
    }
}

fn path(route: &str) -> String {
    format!("/r/{route}/v2/aggs/ticker/IBM/prev")
}

/// What was told since somebody began to listen, and when.
#[derive(Clone, Default)]
struct Told {
    health: Arc<Mutex<Vec<(Instant, HealthChanged)>>>,
    routes: Arc<Mutex<Vec<(Instant, RouteSwitched)>>>,
}

impl Told {
    async fn listen(house: &House) -> Self {
        let subjects = vec!["sb.v1.health.*.changed".to_owned(), "sb.v1.route.*.switched".to_owned()];
        let mut tail = house.bus().tail(subjects, Start::New).await.expect("the bus can be listened to");
        let told = Self::default();
        let it = told.clone();
        tokio::spawn(async move {
            while let Some(message) = tail.next().await {
                let now = Instant::now();
                if let Ok(changed) = message.decode::<HealthChanged>() {
                    it.health.lock().expect("nobody panicked").push((now, changed.data));
                } else if let Ok(switched) = message.decode::<RouteSwitched>() {
                    it.routes.lock().expect("nobody panicked").push((now, switched.data));
                }
            }
        });
        told
    }

    /// When it was told, after `since`, that an integration is this.
    async fn health(&self, name: &str, wanted: (Health, Option<Reason>), since: Instant) -> Duration {
        let found = || {
            let told = self.health.lock().expect("nobody panicked");
            let fits = |(at, it): &&(Instant, HealthChanged)| {
                *at >= since && it.integration.as_str() == name && (it.to, it.reason) == wanted
            };
            told.iter().find(fits).map(|(at, _)| at.duration_since(since))
        };
        until(&format!("{name} is {wanted:?}"), || async { found() }).await
    }

    /// When it was told, after `since`, that a route goes to an integration.
    async fn route(&self, route: &str, to: &str, since: Instant) -> Duration {
        let found = || {
            let told = self.routes.lock().expect("nobody panicked");
            let fits = |(at, it): &&(Instant, RouteSwitched)| {
                *at >= since && it.route.as_str() == route && it.to.as_str() == to
            };
            told.iter().find(fits).map(|(at, _)| at.duration_since(since))
        };
        until(&format!("{route} goes to {to}"), || async { found() }).await
    }
}

/// An integration for each switch, one that backs all of them, and a route over each of them and the backup.
async fn configure(admin: &Client, outside: &Standins) {
    for name in cases().iter().map(|case| case.name).chain(["backup"]) {
        let key = json!({"id": name, "provider": "polygon", "fields": {"api_key": key_of(name)}});
        admin.make("/keys", key).await;
        let base_url = outside.instance(name).base_url();
        let probe = json!({"every_secs": EVERY_SECS, "timeout_ms": 5_000, "slow_ms": SLOW_MS});
        let integration = json!({"id": name, "provider": "polygon", "key": name, "base_url": base_url,
            "timeout_ms": TIMEOUT_MS, "probe": probe});
        admin.make("/integrations", integration).await;
    }
    for Case { name, .. } in cases() {
        admin.make("/routes", json!({"id": name, "integrations": [name, "backup"]})).await;
        until("the gateway knows the route", || async {
            let answer = admin.call(Method::GET, &path(name)).send().await.expect("the gateway answers");
            (answer.status() == 200).then_some(())
        })
        .await;
    }
}

/// Switches one off and on again, and follows what becomes of it. Says how long things took.
async fn through(case: Case, outside: &Standins, told: &Told, caller: &Caller) -> String {
    let Case { name, mode, health, reason, moves } = case;
    caller.is_served_by(name).await;
    let off = Instant::now();
    outside.instance(name).switch(mode).await;
    let mut report = format!("{name}: {} ", health.as_str());
    let mut note = |what: &str, took: Duration| report.push_str(&format!("{what} {} ms ", took.as_millis()));
    note("after", told.health(name, (health, Some(reason)), off).await);
    if moves {
        note("switched", told.route(name, "backup", off).await);
    }
    // One that is throttled keeps its route; the gateway goes past it call by call.
    caller.is_served_by(if reason == Reason::Slow { name } else { "backup" }).await;

    let slowest = std::mem::take(&mut caller.met.lock().expect("nobody panicked").slowest);
    note("slowest call", slowest);
    let on = Instant::now();
    outside.instance(name).switch(Mode::Ok).await;
    note("up", told.health(name, (Health::Up, None), on).await);
    if moves {
        note("back", told.route(name, name, on).await);
    }
    caller.is_served_by(name).await;
    assert!(slowest < Duration::from_millis(TIMEOUT_MS), "nobody waits for a time-out: {report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_switches_a_provider_off_no_caller_notices() {
    let names: Vec<(&str, &str)> =
        cases().iter().map(|case| case.name).chain(["backup"]).map(|name| (name, "polygon")).collect();
    let outside = outside(&names).await;
    let house = House::start().await;
    let admin = house.admin.clone();
    configure(&admin, &outside).await;
    let told = Told::listen(&house).await;
    let callers: HashMap<&str, (Caller, JoinHandle<()>)> =
        cases().iter().map(|case| (case.name, Caller::start(admin.clone(), case.name))).collect();
    for name in names.iter().map(|(name, _)| *name) {
        until(&format!("{name} is up"), || async {
            (admin.get(&format!("/integrations/{name}")).await.1["health"] == "up").then_some(())
        })
        .await;
    }

    let all = cases().map(|case| {
        let caller = &callers[case.name].0;
        through(case, &outside, &told, caller)
    });
    let reports = tokio::time::timeout(2 * PATIENCE, futures_util::future::join_all(all)).await;
    for report in reports.expect("all of it in time") {
        println!("{report}");
    }

    for (name, (caller, task)) in callers {
        caller.stop.store(true, Ordering::Relaxed);
        task.await.expect("the caller ends");
        let met = caller.met.lock().expect("nobody panicked");
        assert_eq!(met.wrong, Vec::<String>::new(), "a caller of {name} saw an error in {} calls", met.calls);
    }
    let moved: Vec<String> =
        told.routes.lock().expect("nobody panicked").iter().map(|(_, it)| it.route.to_string()).collect();
    for case in cases().iter().filter(|case| !case.moves) {
        assert!(!moved.contains(&case.name.to_owned()), "{} can still answer", case.name);
    }
    house.stop().await;
}
