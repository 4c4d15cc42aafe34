//! Failover on a real nats-server: from observed to changed, alerted and switched; two instances, one frozen.

use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bus::{Bucket, Bus, Message, ServerSettings, Start, Supervised, Tail};
use futures_util::StreamExt;
use model::alert::{AlertRaised, AlertResolved, Severity};
use model::audit::{AuditRecorded, Verb};
use model::health::{Health, HealthChanged, HealthCompared, HealthNow, Observed, Reason};
use model::route::{RouteCause, RouteNow, RouteSwitched};
use model::{Timestamp, snapshot};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{AT_ONCE, compared, id, probe_of, route_id, snapshot};
use crate::apply::{Error, Hands, apply};
use crate::board::Board;
use crate::plan::{observe, review_route};
use crate::{Doors, Settings, run};

/// How long a fact may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// No patience, and a short lease.
const SETTINGS: Settings = Settings { dwell_secs: 0, return_after_secs: 0, lease_secs: 2, tick_ms: 50 };

/// A server with a configuration in it, and one who listens to everything.
struct House {
    server: Supervised,
    bus: Bus,
    facts: Tail,
    /// A minute before the house was started: observations lie between.
    begin: Timestamp,
    _folder: tempfile::TempDir,
}

impl House {
    async fn start() -> Self {
        let binary = std::env::var_os("SIGNALBOX_TEST_NATS_SERVER")
            .expect("SIGNALBOX_TEST_NATS_SERVER must name a nats-server of 2.12 or later; tests/run sets it");
        let folder = tempfile::tempdir().expect("a folder for the server");
        let settings = ServerSettings {
            binary: Some(PathBuf::from(binary)),
            data_dir: folder.path().to_path_buf(),
            port: 0,
            guests: true,
            version_min: ServerSettings::VERSION_MIN,
        };
        let server = Supervised::start(settings).await.expect("a server");
        let bus = Bus::connect(&server.settings("tests/observer")).await.expect("a connection");
        bus.declare().await.expect("streams and buckets");
        let config = bus.bucket(Bucket::Config).await.expect("declared");
        config.put(snapshot::KEY, &snapshot()).await.expect("a configuration");
        let facts = ["sb.v1.health.*.changed", "sb.v1.alert.>", "sb.v1.route.>"];
        let facts = bus.tail(facts.map(str::to_owned).to_vec(), Start::New).await.expect("a listener");
        let begin = Timestamp::now().minus(Duration::from_secs(60));
        Self { server, bus, facts, begin, _folder: folder }
    }

    async fn bus(&self, name: &str) -> Bus {
        Bus::connect(&self.server.settings(name)).await.expect("a connection")
    }

    /// An instance of failover, and how to stop it.
    async fn failover(&self, name: &str) -> (CancellationToken, JoinHandle<anyhow::Result<()>>) {
        let stopping = CancellationToken::new();
        let doors = Doors { bus: self.bus(name).await };
        (stopping.clone(), tokio::spawn(run(SETTINGS, doors, stopping)))
    }

    /// Says that probes met this, at these seconds from a minute before the house was started.
    async fn observe(&self, name: &str, at: std::ops::Range<u32>, reason: Option<Reason>) {
        let begin = self.begin;
        for second in at {
            let seen = Observed {
                at: begin.plus(Duration::from_secs(u64::from(second))),
                every_secs: Some(600),
                ..probe_of(name, 0, reason)
            };
            self.bus.publish(&self.bus.envelope(seen)).await.expect("stored");
        }
    }

    /// The next message of a kind; others are passed over.
    async fn next(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        let found = async {
            loop {
                let message = self.facts.next().await.expect("the listener lives");
                if wanted(&message) {
                    return message;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it is published in time")
    }

    async fn next_fact<T: model::Event>(&mut self) -> T {
        self.next(Message::is::<T>).await.decode::<T>().expect("its own type").data
    }

    /// Waits until an entry is as wanted.
    async fn until<T>(&self, bucket: Bucket, key: &str, wanted: impl Fn(&T) -> bool) -> T
    where
        T: DeserializeOwned + Send + 'static,
    {
        let mut changes = self.bus.bucket(bucket).await.expect("declared").watch_key::<T>(key);
        let found = async {
            loop {
                if let Some(bus::Change::Put { value, .. }) = changes.next().await
                    && wanted(&value)
                {
                    return value;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the entry becomes so in time")
    }

    async fn route_at(&self, integration: &str) -> RouteNow {
        let active = id(integration);
        self.until::<RouteNow>(Bucket::Routes, "quotes", move |now| now.active.as_ref() == Some(&active))
            .await
    }

    /// Waits until an observation was taken.
    async fn taken(&self, name: &str, at: u32) -> HealthNow {
        let at = self.begin.plus(Duration::from_secs(u64::from(at)));
        self.until::<HealthNow>(Bucket::Health, name, move |now| now.checked_at == Some(at)).await
    }

    async fn health(&self, name: &str, health: Health) -> HealthNow {
        self.until::<HealthNow>(Bucket::Health, name, move |now| now.health == health).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_announced_told_and_routed_around_until_it_is_over() {
    let mut house = House::start().await;
    let (stopping, running) = house.failover("failover/1").await;
    house.route_at("a").await;
    house.observe("a", 0..1, None).await;
    house.observe("b", 0..1, None).await;
    house.health("b", Health::Up).await;

    house.observe("a", 1..4, Some(Reason::Unreachable)).await;
    let changed = house.next(|message| {
        message.decode::<HealthChanged>().is_ok_and(|changed| changed.data.to == Health::Down)
    });
    let changed = changed.await.decode::<HealthChanged>().expect("its own type");
    assert_eq!((changed.data.from, changed.data.reason), (Health::Up, Some(Reason::Unreachable)));
    let now = house.route_at("b").await;
    assert_eq!((now.cause, now.reason), (RouteCause::Failover, Some(Reason::Unreachable)));
    assert_eq!(house.health("a", Health::Down).await.reason, Some(Reason::Unreachable));

    house.observe("a", 4..7, None).await;
    let now = house.route_at("a").await;
    assert_eq!(now.cause, RouteCause::Preferred);
    house.health("a", Health::Up).await;

    // Streams are told side by side: their own order holds.
    let mut facts =
        house.bus.tail(vec!["sb.v1.>".to_owned()], Start::Since(Timestamp::default())).await.expect("all");
    let (mut alerts, mut switches, mut audited) = (Vec::new(), Vec::new(), Vec::new());
    let all = async {
        while alerts.len() + switches.len() + audited.len() < 6 {
            let message = facts.next().await.expect("the listener lives");
            if message.kind().starts_with("dev.signalbox.alert.") {
                alerts.push(message);
            } else if message.is::<RouteSwitched>() {
                switches.push(message.decode::<RouteSwitched>().expect("its own type").data);
            } else if message.is::<AuditRecorded>() {
                audited.push(message.decode::<AuditRecorded>().expect("its own type").data);
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("two alerts, two switches and two entries");
    let raised = alerts[0].decode::<AlertRaised>().expect("raised first");
    assert_eq!(raised.subject.as_str(), "sb.v1.alert.critical.a.raised");
    assert_eq!(raised.data.title, "a is down (unreachable). Route quotes goes to b.");
    assert_eq!(raised.source, crate::apply::SOURCE);
    let resolved = alerts[1].decode::<AlertResolved>().expect("then resolved");
    assert_eq!(resolved.subject.as_str(), "sb.v1.alert.critical.a.resolved");
    assert_eq!(resolved.data.raised, raised.data);
    let to: Vec<_> = switches.iter().map(|switch| switch.to.as_str()).collect();
    assert_eq!(to, ["b", "a"]);
    let entry = &audited[0];
    assert_eq!((entry.actor.as_str(), entry.action.as_str()), ("system:failover", "route.switch"));
    assert_eq!(
        (entry.verb, entry.target.as_str(), entry.outcome.as_str()),
        (Verb::Update, "route/quotes", "ok")
    );
    let reasons: Vec<_> = audited.iter().filter_map(|entry| entry.reason.as_deref()).collect();
    assert_eq!(reasons, ["from a to b (failover, unreachable)", "from b to a (preferred)"]);

    stopping.cancel();
    running.await.expect("no panic").expect("no error");
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worse_than_usual_is_told_with_its_evidence_until_it_is_over() {
    let mut house = House::start().await;
    let (stopping, running) = house.failover("failover/1").await;
    house.route_at("a").await;
    house.observe("a", 0..4, None).await;
    house.taken("a", 3).await;
    house.health("a", Health::Up).await;
    let at = Timestamp::now();
    let word = |worse, at: Timestamp| HealthCompared {
        integration: id("a"),
        at,
        since: at.minus(Duration::from_secs(900)),
        until: at.plus(Duration::from_secs(1200)),
        ..compared(0, worse, Reason::Slow)
    };
    house.bus.publish(&house.bus.envelope(word(true, at))).await.expect("stored");
    let now = house.health("a", Health::Degraded).await;
    assert_eq!((now.reason, now.latency_ms), (Some(Reason::Slow), Some(950)));
    assert!(now.detail.is_some_and(|detail| detail.contains("usually 205 ms")));
    assert_eq!(house.route_at("a").await.cause, RouteCause::Preferred, "it still answers");
    let raised: AlertRaised = house.next_fact().await;
    assert_eq!(raised.data["compared"]["usual_p95_ms"], 205, "{:?}", raised.data);

    house
        .bus
        .publish(&house.bus.envelope(word(false, at.plus(Duration::from_millis(1)))))
        .await
        .expect("stored");
    assert_eq!(house.health("a", Health::Up).await.detail, None);
    let resolved: AlertResolved = house.next_fact().await;
    assert_eq!(resolved.raised.alert, raised.alert);
    stopping.cancel();
    running.await.expect("no panic").expect("no error");
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_continues_where_the_last_one_stopped() {
    let mut house = House::start().await;
    let (stopping, running) = house.failover("failover/1").await;
    let first = house.route_at("a").await;
    house.observe("b", 0..1, None).await;
    house.observe("a", 0..1, None).await;
    house.observe("a", 1..4, Some(Reason::Timeout)).await;
    let raised: AlertRaised = house.next_fact().await;
    house.observe("a", 4..6, None).await;
    assert_eq!(house.taken("a", 5).await.health, Health::Down);
    stopping.cancel();
    running.await.expect("no panic").expect("no error");

    let (stopping, running) = house.failover("failover/2").await;
    house.observe("a", 6..7, None).await;
    let resolved: AlertResolved = house.next_fact().await;
    assert_eq!(resolved.raised.alert, raised.alert);
    let last = house.route_at("a").await;
    assert!(last.epoch > first.epoch && last.version > first.version, "{first:?} {last:?}");
    stopping.cancel();
    running.await.expect("no panic").expect("no error");
    house.server.stop().await;
}

/// An instance on a thread of its own, which can be frozen in the middle of whatever it does.
struct Freezable {
    freeze: Option<oneshot::Sender<()>>,
    thaw: Arc<Barrier>,
    stopping: CancellationToken,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Freezable {
    fn start(settings: bus::Settings) -> Self {
        let (freeze, frozen) = oneshot::channel();
        let thaw = Arc::new(Barrier::new(2));
        let thawed = Arc::clone(&thaw);
        let stopping = CancellationToken::new();
        let stop = stopping.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                tokio::spawn(async move {
                    if frozen.await.is_ok() {
                        // Blocks the only thread: timers, renewals and everything else stand still.
                        thawed.wait();
                    }
                });
                let bus = Bus::connect(&settings).await?;
                run(SETTINGS, Doors { bus }, stop).await
            })
        });
        Self { freeze: Some(freeze), thaw, stopping, thread }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_changes_nothing_when_it_wakes() {
    let mut house = House::start().await;
    let mut old = Freezable::start(house.server.settings("failover/old"));
    let before = house.route_at("a").await;
    house.observe("b", 0..1, None).await;
    house.observe("a", 0..1, None).await;
    house.observe("a", 1..3, Some(Reason::Timeout)).await;
    assert_eq!(house.taken("a", 2).await.health, Health::Up);
    old.freeze.take().expect("once").send(()).expect("it runs");

    let (stopping, running) = house.failover("failover/new").await;
    house.observe("a", 3..4, Some(Reason::Timeout)).await;
    let after = house.route_at("b").await;
    assert!(after.epoch > before.epoch, "{before:?} {after:?}");

    old.thaw.wait();
    house.observe("a", 4..5, Some(Reason::Timeout)).await;
    old.stopping.cancel();
    old.thread.join().expect("no panic").expect("no error");
    house.observe("a", 5..8, None).await;
    let back = house.route_at("a").await;
    assert_eq!(back.epoch, after.epoch, "the new leader still leads");
    assert_eq!(back.version, after.version + 1, "nobody else wrote");

    // One fact of each: nobody said anything twice.
    let first: RouteSwitched = house.next_fact().await;
    let second: RouteSwitched = house.next_fact().await;
    assert_eq!((first.to, second.to), (id("b"), id("a")));
    stopping.cancel();
    running.await.expect("no panic").expect("no error");
    house.server.stop().await;
}

/// What a leader acts with, in a term under a name of its own.
async fn hands(house: &House, name: &str) -> Hands {
    let term = house.bus.lead(name, Duration::from_secs(60)).acquire(&CancellationToken::new()).await;
    Hands {
        bus: house.bus.clone(),
        health: house.bus.bucket(Bucket::Health).await.expect("declared"),
        routes: house.bus.bucket(Bucket::Routes).await.expect("declared"),
        term: term.expect("nobody else stands"),
    }
}

fn board_of(hands: &Hands) -> Board {
    let mut board = Board::new(AT_ONCE, hands.term.epoch);
    board.snapshot = Some(Arc::new(snapshot()));
    board
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_an_earlier_term_are_refused_by_the_entries() {
    let house = House::start().await;
    let old = hands(&house, "old").await;
    let new = hands(&house, "new").await;
    assert!(old.term.valid() && new.term.epoch > old.term.epoch);
    let (mut old_board, mut new_board) = (board_of(&old), board_of(&new));

    // The old leader knows the entry's revision; the new one claims it; then the old one's write arrives.
    let plan = review_route(&old_board, &route_id("quotes"), Timestamp::now());
    apply(&old, &mut old_board, &plan).await.expect("nobody else yet");
    let claimed = new
        .claim(&new.routes, "quotes", new.term.epoch, |mut found: crate::state::RouteEntry| {
            found.now.epoch = new.term.epoch;
            found
        })
        .await
        .expect("a later term may");
    let (value, revision) = claimed.expect("it is there");
    new_board.routes.insert(route_id("quotes"), crate::board::Kept { value: value.clone(), revision });

    let storm = super::traffic(1, 9, 9, Some(Reason::Timeout));
    let plan = observe(&old_board, &Observed { integration: id("a"), ..storm });
    assert_eq!(plan.routes.len(), 1);
    let refused = apply(&old, &mut old_board, &plan).await.expect_err("its term is over");
    assert!(matches!(refused, Error::Superseded { .. }), "{refused}");
    let stands = new.routes.get::<crate::state::RouteEntry>("quotes").await.expect("read").expect("there");
    assert_eq!((stands.value, stands.revision), (value, revision));
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_its_term_a_leader_says_and_writes_nothing() {
    let mut house = House::start().await;
    let hands = hands(&house, "lost").await;
    let mut board = board_of(&hands);
    let short = house.bus.lead("short", Duration::from_secs(1)).acquire(&CancellationToken::new()).await;
    let hands = Hands { term: short.expect("nobody else stands"), ..hands };
    let leader = house.bus.bucket(Bucket::Leader).await.expect("declared");
    leader.put("short", &"somebody else").await.expect("taken away");
    tokio::time::timeout(PATIENCE, hands.term.lost()).await.expect("it notices");

    let storm = super::traffic(1, 9, 9, Some(Reason::Timeout));
    let plan = observe(&board, &Observed { integration: id("a"), ..storm });
    assert!(matches!(apply(&hands, &mut board, &plan).await, Err(Error::Over)));
    assert_eq!(hands.health.keys().await.expect("read"), Vec::<String>::new());
    assert!(board.health.is_empty());

    // The next who may says the same facts; the listener hears each once.
    let now = self::hands(&house, "next").await;
    let mut again = board.clone();
    apply(&now, &mut again, &plan).await.expect("its term");
    apply(&now, &mut board, &plan).await.expect("as after a crash between facts and entries");
    let raised: AlertRaised = house.next_fact().await;
    assert_eq!(raised.severity, Severity::Critical);
    let plan = observe(&board, &Observed { integration: id("a"), ..super::traffic(2, 9, 0, None) });
    apply(&now, &mut board, &plan).await.expect("its term");
    for at in 3..5 {
        let plan = observe(&board, &Observed { integration: id("a"), ..super::traffic(at, 9, 0, None) });
        apply(&now, &mut board, &plan).await.expect("its term");
    }
    let next = house.next(|message| message.kind().starts_with("dev.signalbox.alert.")).await;
    assert!(next.is::<AlertResolved>(), "{}", next.kind());
    house.server.stop().await;
}
