//! Counting on a real nats-server and a real database: each event once, however often it comes and whatever is killed.

use std::time::Duration;

use bus::{Bus, Supervised};
use model::usage::{Count, UsageCounted};
use model::{Envelope, EventId, IntegrationId, ProviderId, Timestamp};
use store::{Facet, Plans, Store, Totals};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::tests::Town;
use crate::{Doors, Settings, run};

/// How long a fact may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events that are told of between two kills.
const BETWEEN: u64 = 150;
/// Times that the meter is killed.
const KILLS: u64 = 3;

struct House {
    server: Supervised,
    bus: Bus,
    store: Store,
    /// Before which everything happens.
    now: Timestamp,
    _folder: tempfile::TempDir,
}

impl House {
    async fn start() -> Self {
        let Town { server, bus, store, folder } = Town::start("tests/observer").await;
        Self { server, bus, store, now: Timestamp::now(), _folder: folder }
    }

    /// A meter, and how to stop it.
    async fn meter(&self) -> (CancellationToken, JoinHandle<anyhow::Result<()>>) {
        let bus = Bus::connect(&self.server.settings("meter/test")).await.expect("a connection");
        let stopping = CancellationToken::new();
        let doors = Doors { bus, store: self.store.clone() };
        let settings = runtime::settings::flags::<Settings>(&[]).expect("defaults");
        (stopping.clone(), tokio::spawn(run(settings, doors, stopping)))
    }

    /// Tells of one call in the span of this number, by a counter. The bus knows a message by its source and id, so that the
    /// same event from another source is stored again.
    async fn tell(&self, number: u64, source: &str) {
        let id = EventId::parse(format!("use-{number}")).expect("an id");
        let usage = counted(self.now, number);
        let event = Envelope::new(id, source.to_owned(), usage.to, usage);
        self.bus.publish(&event).await.expect("stored");
    }

    async fn total(&self) -> Totals {
        let to = Timestamp::now().plus(Duration::from_secs(60));
        let from = to.minus(Duration::from_secs(4 * 24 * 3600));
        self.store.usage_total(&integration(), from, to).await.expect("the database answers")
    }

    async fn until_counted(&self, requests: u64) {
        let begun = tokio::time::Instant::now();
        loop {
            let total = self.total().await;
            if total.requests == requests {
                return;
            }
            assert!(total.requests < requests, "counted twice: {} of {requests}", total.requests);
            assert!(begun.elapsed() < PATIENCE, "only {} of {requests} were counted", total.requests);
            tokio::task::yield_now().await;
        }
    }
}

fn integration() -> IntegrationId {
    IntegrationId::new("poly").expect("an id")
}

/// One call, in a second of its own within the last hours.
fn counted(now: Timestamp, number: u64) -> UsageCounted {
    let now = now.as_millis();
    let from = Timestamp::from_millis(now - now.rem_euclid(60_000)).minus(Duration::from_secs(60 + number));
    let count = Count {
        endpoint: format!("/{}", number % 3),
        actor: "user:ada".to_owned(),
        requests: 1,
        cost_micros: 10,
        ..Count::default()
    };
    UsageCounted {
        integration: integration(),
        provider: ProviderId::new("polygon").expect("an id"),
        counter: "gateway/test".to_owned(),
        from,
        to: from.plus(Duration::from_millis(1)),
        counts: vec![count],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_counted_once_though_the_meter_is_killed_and_events_come_twice() {
    let house = House::start().await;
    let mut told = 0;
    for kill in 0..KILLS {
        let (_stopping, task) = house.meter().await;
        for number in told..told + BETWEEN {
            house.tell(number, "/one").await;
            if number % 2 == 0 {
                house.tell(number, "/again").await;
            }
        }
        told += BETWEEN;
        // Cut off wherever it is: before its transaction, between that and its acknowledgement, or idle.
        if kill % 2 == 1 {
            house.until_counted(told).await;
        }
        task.abort();
        let _ = task.await;
    }
    let (stopping, task) = house.meter().await;
    // All of them once more, from a third source.
    for number in 0..told {
        house.tell(number, "/third").await;
    }
    house.tell(told, "/one").await;
    house.until_counted(told + 1).await;
    stopping.cancel();
    task.await.expect("no panic").expect("no error");
    let total = house.total().await;
    assert_eq!((total.requests, total.cost_micros), (told + 1, (told + 1) * 10));
    let to = Timestamp::now().plus(Duration::from_secs(60));
    let from = to.minus(Duration::from_secs(4 * 24 * 3600));
    let by = house.store.usage_by(&integration(), Facet::Endpoint, from, to).await.expect("read");
    assert_eq!(by.iter().map(|(_, totals)| totals.requests).sum::<u64>(), told + 1);
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_event_lands_where_it_happened_and_a_model_without_a_price_is_told_once() {
    let house = House::start().await;
    let (stopping, task) = house.meter().await;
    let mut late = counted(house.now, 0);
    late.from = Timestamp::now().minus(Duration::from_secs(30 * 3600));
    late.to = late.from.plus(Duration::from_millis(1));
    late.counts[0].unpriced_models = vec!["someone-new".to_owned()];
    for (number, source) in [("a", "/one"), ("b", "/one"), ("a", "/two")] {
        let id = EventId::parse(format!("use-{number}")).expect("an id");
        let event = Envelope::new(id, source.to_owned(), late.to, late.clone());
        house.bus.publish(&event).await.expect("stored");
    }
    house.until_counted(2).await;
    let hour = store::Step::Hour.floor(late.from);
    let history = house
        .store
        .usage_history(&integration(), hour, Timestamp::now(), store::Step::Hour)
        .await
        .expect("read");
    assert_eq!(history.iter().map(|(at, sum)| (*at, sum.requests)).collect::<Vec<_>>(), [(hour, 2)]);
    let begun = tokio::time::Instant::now();
    let waiting = loop {
        let waiting = house.store.outbox_pending(100).await.expect("read");
        let of_model =
            |event: &Envelope<Vec<u8>>| String::from_utf8_lossy(&event.data).contains("someone-new");
        let waiting: Vec<_> = waiting.into_iter().filter(|(_, event)| of_model(event)).collect();
        if !waiting.is_empty() {
            break waiting;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody was warned");
        tokio::task::yield_now().await;
    };
    assert_eq!(waiting.len(), 1, "one warning for the model");
    stopping.cancel();
    task.await.expect("no panic").expect("no error");
    // What is counted again later tells nobody again.
    let fresh = house.store.count(&[(EventId::parse("use-a").expect("an id"), late)], &Plans::new()).await;
    assert_eq!(fresh.expect("read"), [false]);
    house.server.stop().await;
}
