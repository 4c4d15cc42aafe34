//! A provider fails, traffic moves, people hear; it comes back, and everything is told again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bus::{Message, Start};
use futures_util::StreamExt;
use harness::{Client, House, PATIENCE, key_of, outside, until};
use model::event::{TYPE_PREFIX, schema_file};
use reqwest::Method;
use serde_json::{Value, json};
use standins::{Kind, Mode, Standins};

const HOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
const PATH: &str = "/r/quotes/v2/aggs/ticker/IBM/prev";

/// Webhooks of every kind at the stand-in targets.
async fn people(admin: &Client, outside: &Standins) {
    outside.set_hook_secret("ops", HOOK_SECRET);
    let at = |kind: Kind, path: &str| format!("{}{path}", outside.target(kind).base_url());
    let hooks = [
        json!({"id": "slack", "kind": "slack", "url": at(Kind::Slack, "/services/T0/B0/abc")}),
        json!({"id": "discord", "kind": "discord", "url": at(Kind::Discord, "/api/webhooks/1/token")}),
        json!({"id": "pagerduty", "kind": "pagerduty", "url": at(Kind::Pagerduty, "/v2/enqueue"),
               "routing_key": "0123456789abcdef0123456789abcdef"}),
        json!({"id": "ops", "kind": "http", "url": at(Kind::Http, "/hooks/ops"), "secret": HOOK_SECRET}),
    ];
    for mut hook in hooks {
        hook["filter"] = json!({"severities": ["critical"]});
        admin.make("/webhooks", hook).await;
    }
}

/// Somebody who calls the route without pause and counts what goes wrong.
struct Caller {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Vec<String>>,
}

fn caller(admin: &Client) -> Caller {
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (client, ended, count) = (admin.clone(), stop.clone(), calls.clone());
    let task = tokio::spawn(async move {
        let mut wrong = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            let answer = client.call(Method::GET, PATH).send().await;
            match answer {
                Ok(answer) if answer.status() == 200 => {}
                Ok(answer) => {
                    wrong.push(format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()));
                }
                Err(error) => wrong.push(error.to_string()),
            }
            count.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        wrong
    });
    Caller { stop, calls, task }
}

async fn health(admin: &Client, id: &str) -> String {
    admin.get(&format!("/integrations/{id}")).await.1["health"].as_str().unwrap_or_default().to_owned()
}

async fn becomes(admin: &Client, id: &str, wanted: &str) {
    until(&format!("{id} is {wanted}"), || async { (health(admin, id).await == wanted).then_some(()) }).await;
}

async fn served_by(admin: &Client) -> String {
    let answer = admin.call(Method::GET, PATH).send().await.expect("the gateway answers");
    let header = answer.headers().get("x-signalbox-integration").and_then(|value| value.to_str().ok());
    header.unwrap_or_default().to_owned()
}

/// The next message of each of these subjects, in their order: they may come in any, because streams are followed apart.
/// Everything that came meanwhile is kept, for the schemas.
async fn heard<const N: usize>(
    tail: &mut bus::Tail,
    seen: &mut Vec<Message>,
    subjects: [&str; N],
) -> [Value; N] {
    let mut found = [const { None }; N];
    let wait = async {
        while found.contains(&None) {
            let message = tail.next().await.expect("the bus stays open");
            let subject = message.envelope.subject.as_str();
            if let Some(place) = subjects.iter().position(|wanted| *wanted == subject) {
                let data: Value = serde_json::from_slice(&message.envelope.data).expect("events are JSON");
                found[place].get_or_insert(data);
            }
            seen.push(message);
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("nobody published all of {subjects:?}"));
    found.map(|data| data.expect("each was found"))
}

fn valid(seen: &[Message]) {
    let schemas = signalbox::schemas::files().expect("schemas can be made");
    for message in seen {
        let kind = message.envelope.kind.strip_prefix(TYPE_PREFIX).expect("our types have our prefix");
        let schema = &schemas[&format!("events/{}", schema_file(kind))];
        let schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
        let data: Value = serde_json::from_slice(&message.envelope.data).expect("events are JSON");
        let validator = jsonschema::validator_for(&schema).expect("the schema is one");
        if let Err(error) = validator.validate(&data) {
            panic!("{} does not fit its schema: {error}: {data}", message.envelope.subject);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_fails_traffic_moves_and_people_hear() {
    let outside = outside(&[("poly-main", "polygon"), ("poly-backup", "polygon")]).await;
    let house = House::start().await;
    let admin = house.admin.clone();
    for name in ["poly-main", "poly-backup"] {
        admin.integrate(&outside, name, "polygon").await;
    }
    admin
        .make(
            "/routes",
            json!({"id": "quotes", "failover": true, "integrations": ["poly-main", "poly-backup"]}),
        )
        .await;
    people(&admin, &outside).await;
    for name in ["poly-main", "poly-backup"] {
        becomes(&admin, name, "up").await;
    }
    until("the first member answers", || async { (served_by(&admin).await == "poly-main").then_some(()) })
        .await;
    let shown = outside.instance("poly-main").requests();
    assert!(
        shown.iter().any(|request| format!("{request:?}").contains(&key_of("poly-main"))),
        "the provider got its key"
    );

    let mut tail =
        house.bus().tail(vec!["sb.v1.>".to_owned()], Start::New).await.expect("the bus can be listened to");
    let mut seen = Vec::new();
    let caller = caller(&admin);
    until("the caller calls", || async { (caller.calls.load(Ordering::Relaxed) > 10).then_some(()) }).await;

    outside.instance("poly-main").switch(Mode::Refuse).await;
    let changed = "sb.v1.health.poly-main.changed";
    let told = ["sb.v1.alert.critical.poly-main.raised", "sb.v1.route.quotes.switched", changed];
    let [raised, _, _] = heard(&mut tail, &mut seen, told).await;
    assert_eq!(raised["data"]["integration"], "poly-main");
    let changes = seen.iter().filter(|message| message.envelope.subject.as_str() == changed).count();
    assert_eq!(changes, 1, "the health changed once");
    becomes(&admin, "poly-main", "down").await;
    until("the backup answers", || async { (served_by(&admin).await == "poly-backup").then_some(()) }).await;

    let slack = outside.target(Kind::Slack).next_message(PATIENCE).await.expect("Slack hears");
    assert!(slack.body.contains("poly-main"), "{:?}", slack.body);
    let discord = outside.target(Kind::Discord).next_message(PATIENCE).await.expect("Discord hears");
    assert!(discord.body.contains("poly-main"), "{:?}", discord.body);
    let page = outside.target(Kind::Pagerduty).next_message(PATIENCE).await.expect("PagerDuty hears");
    assert_eq!(page.json["event_action"], "trigger");
    let hook = outside.target(Kind::Http).next_message(PATIENCE).await.expect("the endpoint hears");
    assert_eq!(hook.verified, Some(true), "it is signed");

    outside.instance("poly-main").switch(Mode::Ok).await;
    heard(&mut tail, &mut seen, ["sb.v1.alert.critical.poly-main.resolved"]).await;
    let resolved =
        outside.target(Kind::Pagerduty).next_message(PATIENCE).await.expect("PagerDuty hears again");
    assert_eq!(resolved.json["event_action"], "resolve");
    assert_eq!(resolved.json["dedup_key"], page.json["dedup_key"]);
    until("traffic returns", || async { (served_by(&admin).await == "poly-main").then_some(()) }).await;

    caller.stop.store(true, Ordering::Relaxed);
    let wrong = caller.task.await.expect("the caller ends");
    assert_eq!(wrong, Vec::<String>::new(), "no caller saw an error");
    valid(&seen);

    let metrics = admin.metrics().await;
    for series in [
        "signalbox_provider_state{integration=\"poly-main\",state=\"up\"} 1",
        "signalbox_failover_switches_total{",
        "signalbox_gateway_requests_total{",
        "signalbox_webhook_deliveries_total{",
        "signalbox_probes_total{",
    ] {
        assert!(metrics.contains(series), "{series} is missing");
    }
    assert!(!metrics.contains("quantile="), "histograms have buckets");
    for target in ["key/poly-main", "integration/poly-main", "route/quotes", "webhook/slack"] {
        let (_, log) = admin.get(&format!("/audit?target={target}")).await;
        assert!(!log["items"].as_array().expect("a list").is_empty(), "{target} is in the audit log");
    }
    assert_eq!(admin.get("/audit/verify").await.1["intact"], true);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_without_a_login_raises_alerts_and_changes_nothing_else() {
    let house = House::start().await;
    let guest = house.guest().await.expect("guests may connect");
    let raised: model::alert::AlertRaised = serde_json::from_value(json!({
        "alert": "mine", "severity": "error", "alert_type": "price", "title": "IBM crossed 190", "source": "screener",
        "fingerprint": "ibm-190", "at": "2026-11-21T00:00:00Z",
    }))
    .expect("an alert");
    guest.publish(&guest.envelope(raised)).await.expect("guests may raise alerts");
    until("the alert is known", || async {
        let (_, alerts) = house.admin.get("/alerts?source=screener").await;
        (alerts["items"][0]["title"] == "IBM crossed 190").then_some(())
    })
    .await;
    let kv = guest.bucket(bus::Bucket::Config).await;
    let written = match kv {
        Ok(kv) => kv.put("snapshot", &json!({})).await.is_ok(),
        Err(_) => false,
    };
    assert!(!written, "a guest changes no configuration");
    house.stop().await;
}
