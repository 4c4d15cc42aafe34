//! Roles as processes of their own, on a NATS with TLS and nkeys, PostgreSQL and OpenBao: the main job, and what is
//! lost when some of them are killed, which is nothing.

use std::collections::{BTreeMap, BTreeSet};

use bus::{Bucket, Bus};
use futures_util::future::join_all;
use harness::servers::{Bao, Database, Gate, Nats};
use harness::{ADMIN_TOKEN, Client, Launch, Program, outside, until};
use reqwest::Method;
use serde_json::{Value, json};
use standins::{Kind, Mode, Standins};
use tempfile::TempDir;
use tokio::sync::watch;

const PATH: &str = "/r/quotes/v2/aggs/ticker/IBM/prev";
/// Alerts that must be accepted between two kills.
const BETWEEN_KILLS: usize = 8;
/// Settings that make the test short: a dead leader is replaced, and a dead worker's lane is taken over, within seconds.
const IMPATIENT: [(&str, &str); 5] = [
    ("SIGNALBOX_FAILOVER_DWELL_SECS", "0"),
    ("SIGNALBOX_FAILOVER_RETURN_AFTER_SECS", "1"),
    ("SIGNALBOX_FAILOVER_LEASE_SECS", "3"),
    ("SIGNALBOX_WEBHOOKS_DEADLINE_MS", "1000"),
    ("SIGNALBOX_WEBHOOKS_POLL_MS", "500"),
];

/// The servers, and what every role has in its environment.
pub(super) struct City {
    nats: Nats,
    _bao: Bao,
    database: Database,
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl City {
    pub(super) async fn start() -> Self {
        let (nats, bao, database) = tokio::join!(Nats::start(Gate::Nkey), Bao::start(), Database::make());
        let mut environment = [nats.environment(), bao.environment()].concat();
        environment.push(("DATABASE_URL", database.url.clone()));
        environment.extend(IMPATIENT.map(|(name, value)| (name, value.to_owned())));
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { nats, _bao: bao, database, directory, environment }
    }

    /// A connection of its own.
    pub(super) async fn bus(&self) -> Bus {
        Bus::connect(&self.nats.settings()).await.expect("a connection")
    }

    /// A process with one role, which calls itself `<role>/<instance>`.
    pub(super) async fn role(&self, role: &str, instance: &str) -> Program {
        let data = self.directory.path().join(format!("{role}-{instance}"));
        let launch =
            Launch::run(&[role], &data).with_all(&self.environment).with("SIGNALBOX_INSTANCE", instance);
        Program::launch(launch).await
    }
}

/// Who calls the api of this process, and the gateway of that one.
pub(super) fn caller(api: &Program, gateway: &Program) -> Client {
    Client::at(&api.url("api"), &gateway.url("gateway"), &gateway.url("admin"), ADMIN_TOKEN)
}

async fn served_by(client: &Client) -> String {
    let answer = client.call(Method::GET, PATH).send().await.expect("the gateway answers");
    assert_eq!(answer.status(), 200, "a call is served by one provider or the other");
    let header = answer.headers().get("x-signalbox-integration").and_then(|value| value.to_str().ok());
    header.unwrap_or_default().to_owned()
}

async fn both_served_by(clients: &[Client], wanted: &str) {
    for client in clients {
        until(&format!("every gateway calls {wanted}"), || async {
            (served_by(client).await == wanted).then_some(())
        })
        .await;
    }
}

/// Two members, a route, Slack for what is critical and a signed endpoint for errors.
async fn configure(admin: &Client, outside: &Standins) {
    for name in ["poly-main", "poly-backup"] {
        admin.integrate(outside, name, "polygon").await;
    }
    let route = json!({"id": "quotes", "failover": true, "integrations": ["poly-main", "poly-backup"]});
    admin.make("/routes", route).await;
    let slack = format!("{}/services/T0/B0/abc", outside.target(Kind::Slack).base_url());
    let critical = json!({"severities": ["critical"]});
    admin.make("/webhooks", json!({"id": "slack", "kind": "slack", "url": slack, "filter": critical})).await;
    let ops = format!("{}/hooks/ops", outside.target(Kind::Http).base_url());
    let errors = json!({"severities": ["error"]});
    let made =
        admin.make("/webhooks", json!({"id": "ops", "kind": "http", "url": ops, "filter": errors})).await;
    outside.set_hook_secret("ops", made["secret"].as_str().expect("the secret is shown once"));
}

/// Raises alerts until the api is gone; the numbers that were accepted. `count` follows how many.
async fn raise(admin: Client, count: watch::Sender<usize>) -> BTreeSet<usize> {
    let mut accepted = BTreeSet::new();
    for number in 0.. {
        let alert = json!({"severity": "error", "alert_type": "price", "title": format!("alert number {number}"),
                           "source": "screener", "data": {"number": number}});
        match admin.api(Method::POST, "/alerts").json(&alert).send().await {
            Ok(answer) => {
                assert!(answer.status().is_success(), "{}", answer.status());
                accepted.insert(number);
                count.send_replace(accepted.len());
            }
            Err(_) => break,
        }
    }
    accepted
}

/// The ids under which each alert arrived at the signed endpoint, by the alert's number.
fn arrived(outside: &Standins) -> BTreeMap<usize, BTreeSet<String>> {
    let mut ids: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for message in outside.target(Kind::Http).messages() {
        assert_eq!(message.verified, Some(true), "every message is signed");
        let number = message.json["data"]["data"]["number"].as_u64().expect("an alert of ours");
        let number = usize::try_from(number).expect("a small number");
        ids.entry(number).or_default().insert(message.headers["webhook-id"].clone());
    }
    ids
}

/// Messages that Slack took about the provider.
fn told(outside: &Standins) -> usize {
    let messages = outside.target(Kind::Slack).messages();
    messages.iter().filter(|message| message.accepted && message.body.contains("poly-main")).count()
}

/// Which instance leads failover.
async fn leader(bus: &Bus) -> String {
    let bucket = bus.bucket(Bucket::Leader).await.expect("the bucket is there");
    until("somebody leads failover", || async {
        let entry = bucket.get::<Value>("failover").await.ok()??;
        Some(entry.value["holder"].as_str()?.rsplit('/').next()?.to_owned())
    })
    .await
}

/// Every role; gateway, failover and webhooks twice.
const ROLES: [(&str, &str); 10] = [
    ("api", "one"),
    ("gateway", "one"),
    ("gateway", "two"),
    ("failover", "one"),
    ("failover", "two"),
    ("webhooks", "one"),
    ("webhooks", "two"),
    ("prober", "one"),
    ("meter", "one"),
    ("audit", "one"),
];

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_their_own_do_the_main_job_and_lose_nothing_when_some_are_killed() {
    let (outside, city) =
        tokio::join!(outside(&[("poly-main", "polygon"), ("poly-backup", "polygon")]), City::start());
    let started = ROLES.map(|(role, instance)| city.role(role, instance));
    let mut programs: BTreeMap<_, _> = ROLES.into_iter().zip(join_all(started).await).collect();
    let bus = Bus::connect(&city.nats.settings()).await.expect("the test may listen too");
    let callers = ["one", "two"].map(|n| caller(&programs[&("api", "one")], &programs[&("gateway", n)]));
    let admin = callers[0].clone();

    configure(&admin, &outside).await;
    both_served_by(&callers, "poly-main").await;
    until("the first member is up", || async {
        (admin.get("/integrations/poly-main").await.1["health"] == "up").then_some(())
    })
    .await;

    outside.instance("poly-main").switch(Mode::Refuse).await;
    both_served_by(&callers, "poly-backup").await;
    until("Slack's message is written down as delivered", || async {
        let (_, list) = admin.get("/webhooks/slack/deliveries?state=delivered").await;
        (list["items"].as_array()?.len() == 1).then_some(())
    })
    .await;
    assert_eq!(told(&outside), 1, "Slack hears once");

    let (count, mut accepted) = watch::channel(0);
    let raiser = tokio::spawn(raise(admin.clone(), count));
    let was_leader = leader(&bus).await;
    let victims = [("failover", was_leader.as_str()), ("webhooks", "one"), ("api", "one")];
    for (nth, victim) in (1..).zip(victims) {
        accepted.wait_for(|count| *count >= nth * BETWEEN_KILLS).await.expect("alerts are accepted");
        let name = ROLES.into_iter().find(|role| *role == victim).expect("one of ours");
        programs.remove(&name).expect("it runs").kill().await;
    }
    let raised = raiser.await.expect("it ends with the api");

    let api = city.role("api", "two").await;
    let callers = ["one", "two"].map(|n| caller(&api, &programs[&("gateway", n)]));
    until("every accepted alert arrives", || async {
        let got = arrived(&outside);
        raised.iter().all(|number| got.contains_key(number)).then_some(())
    })
    .await;
    for (number, ids) in arrived(&outside) {
        assert_eq!(ids.len(), 1, "alert {number} has one id, however often it is sent: {ids:?}");
    }

    outside.instance("poly-main").switch(Mode::Ok).await;
    both_served_by(&callers, "poly-main").await;
    assert_ne!(leader(&bus).await, was_leader, "the other one leads");
    until("Slack hears that it is over", || async { (told(&outside) == 2).then_some(()) }).await;
    assert_eq!(callers[0].get("/audit/verify").await.1["intact"], true);

    for program in programs.into_values().chain([api]) {
        assert_eq!(program.interrupt().await, Some(0), "it ends in order");
    }
    city.database.remove().await;
}
