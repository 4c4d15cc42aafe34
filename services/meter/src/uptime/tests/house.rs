//! The meter on a real nats-server and a real database: what happened is written down once, answered, and compared.

use std::time::Duration;

use bus::{Bucket, Bus, Message, Start, Supervised};
use futures_util::StreamExt;
use model::ask::Answer;
use model::health::{Check, Health, HealthCompared, HealthNow, Observed, Reason};
use model::snapshot::{self, Snapshot};
use model::uptime::{Uptime, UptimeOf, UptimeWindow};
use model::{Timestamp, subject};
use store::{Slot, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{changed, id, provider};
use crate::tests::Town;
use crate::{Doors, Settings, run};

/// How long a fact may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);
const FIVE_SECS: u64 = 300;

/// A server and a database, with one integration.
struct House {
    server: Supervised,
    bus: Bus,
    store: Store,
    _folder: tempfile::TempDir,
}

impl House {
    async fn start() -> Self {
        let Town { server, bus, store, folder } = Town::start("tests/observer").await;
        let integration = serde_json::json!({"id": id(), "provider": provider(), "name": "Polygon"});
        let integration = serde_json::from_value(integration).expect("a configuration");
        let snapshot =
            Snapshot { revision: 1, integrations: [(id(), integration)].into(), ..Snapshot::default() };
        let config = bus.bucket(Bucket::Config).await.expect("declared");
        config.put(snapshot::KEY, &snapshot).await.expect("a configuration");
        Self { server, bus, store, _folder: folder }
    }

    /// A meter, and how to stop it.
    async fn meter(&self) -> Running {
        let bus = Bus::connect(&self.server.settings("meter/test")).await.expect("a connection");
        let stopping = CancellationToken::new();
        let doors = Doors { bus, store: self.store.clone() };
        let settings = runtime::settings::flags::<Settings>(&[]).expect("defaults");
        Running { stopping: stopping.clone(), task: tokio::spawn(run(settings, doors, stopping)) }
    }

    async fn tell<T: model::Event>(&self, fact: T) {
        self.bus.publish(&self.bus.envelope(fact)).await.expect("stored");
    }

    /// Tells of 200 calls in each of so many spans of five minutes, the last of which ended before `to`.
    async fn calls(&self, spans: u64, to: Timestamp, latency_ms: u32) {
        for span in (1..=spans).rev() {
            self.tell(Observed {
                integration: id(),
                provider: provider(),
                check: Check::Traffic,
                at: to.minus(Duration::from_secs(span * FIVE_SECS)),
                reason: None,
                requests: 200,
                failures: 1,
                status_code: Some(200),
                latency_ms: Some(latency_ms + u32::try_from(span % 7).expect("few")),
                phases: None,
                every_secs: None,
                detail: None,
            })
            .await;
        }
    }

    /// What is answered, once it is as wanted.
    async fn until(&self, wanted: impl Fn(&Uptime) -> bool) -> Uptime {
        let subject = subject::ask("meter", "uptime");
        let begun = tokio::time::Instant::now();
        loop {
            let question = UptimeOf { integration: id(), window: UptimeWindow::Day, at: Timestamp::now() };
            let answer = self.bus.ask::<_, Answer<Uptime>>(&subject, &question, PATIENCE).await;
            if let Ok(Answer::Ok(uptime)) = &answer
                && wanted(uptime)
            {
                return uptime.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "it is never answered so: {answer:?}");
            tokio::task::yield_now().await;
        }
    }
}

struct Running {
    stopping: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn stop(self) {
        self.stopping.cancel();
        self.task.await.expect("no panic").expect("no error");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_counts_and_maintenance_does_not() {
    let house = House::start().await;
    let now = Timestamp::now();
    let ago = |secs| now.minus(Duration::from_secs(secs));
    let changes = [
        (540, Health::Unknown, Health::Up),
        (300, Health::Up, Health::Down),
        (240, Health::Down, Health::Up),
        (180, Health::Up, Health::Maintenance),
        (120, Health::Maintenance, Health::Up),
    ];
    for (secs, from, to) in changes {
        house.tell(changed(ago(secs), from, to)).await;
    }
    house.calls(2, now, 100).await;
    let running = house.meter().await;
    // Up for 240 s, 60 s and, once the last change was heard, 120 s.
    let uptime = house.until(|uptime| uptime.gateway.requests == 400 && uptime.time.up_secs > 360.0).await;
    assert_eq!(uptime.known_from, Some(ago(540)));
    assert_eq!((uptime.time.down_secs, uptime.time.maintenance_secs), (60.0, 60.0));
    assert_eq!((uptime.time.unknown_secs, uptime.time.degraded_secs), (0.0, 0.0));
    let known = uptime.time.up_secs + 60.0;
    assert!(
        uptime.ratio.is_some_and(|ratio| (ratio - uptime.time.up_secs / known).abs() < 1e-5),
        "{uptime:?}"
    );
    let [outage] = &uptime.incidents[..] else { panic!("{uptime:?}") };
    assert_eq!((outage.from, outage.to), (ago(300), Some(ago(240))));
    assert_eq!((outage.state, outage.reason), (Health::Down, Some(Reason::Timeout)));
    assert_eq!(uptime.gateway.failures, 2);
    assert!(uptime.gateway.p95_ms.is_some_and(|ms| (98..106).contains(&ms)), "{uptime:?}");
    running.stop().await;

    // Another that takes the same stream from its start counts nothing again.
    let running = house.meter().await;
    house.tell(changed(now, Health::Up, Health::Down)).await;
    let after = house.until(|uptime| uptime.incidents.len() == 2).await;
    assert_eq!((after.gateway.requests, after.incidents[0].to), (400, None), "{after:?}");
    running.stop().await;
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slower_than_usual_is_told_and_a_restart_forgets_nothing() {
    let house = House::start().await;
    let last = Slot::Five.floor(Timestamp::now().minus(Duration::from_secs(60)));
    house.calls(40, last.minus(Duration::from_secs(4 * FIVE_SECS)), 100).await;
    house.calls(4, last, 900).await;
    let running = house.meter().await;
    house.until(|uptime| uptime.gateway.requests == 44 * 200).await;
    running.stop().await;

    // The first one may have told some of it already, if it had taken that before it looked; the same again is one message.
    let told = vec!["sb.v1.health.*.compared".to_owned()];
    let mut facts = house.bus.tail(told, Start::Since(Timestamp::default())).await.expect("a listener");
    let running = house.meter().await;
    let told = async {
        loop {
            let message: Message = facts.next().await.expect("the listener lives");
            let told = message.decode::<HealthCompared>().expect("its own type").data;
            if told.at == last {
                return told;
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await.expect("it is told in time");
    assert_eq!((told.integration, told.worse, told.reason), (id(), true, Reason::Slow));
    assert_eq!(told.requests, 800);
    assert!(told.p95_ms.is_some_and(|ms| (880..930).contains(&ms)), "{}", told.detail);
    assert!(told.usual_p95_ms.is_some_and(|ms| (98..110).contains(&ms)), "{}", told.detail);
    running.stop().await;
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_the_stream_begins_with_what_it_is() {
    let house = House::start().await;
    let since = Timestamp::now().minus(Duration::from_secs(3 * 3600));
    let now = HealthNow {
        integration: id(),
        health: Health::Up,
        reason: None,
        since,
        checked_at: Some(Timestamp::now()),
        latency_ms: Some(40),
        status_code: Some(200),
        detail: None,
        flapping: false,
    };
    house.bus.bucket(Bucket::Health).await.expect("declared").put(id().as_str(), &now).await.expect("stored");
    let running = house.meter().await;
    let uptime = house.until(|uptime| uptime.known_from.is_some()).await;
    assert_eq!((uptime.known_from, uptime.ratio), (Some(since), Some(1.0)), "{uptime:?}");
    running.stop().await;
    house.server.stop().await;
}
