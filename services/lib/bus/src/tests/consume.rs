//! Consumers: outcomes, redelivery, dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use model::event::CATALOGUE;
use model::health::HealthChanged;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Town, changed, event, eventually, soon};
use crate::table::{self, Durable};
use crate::{Message, Outcome, cloudevents, dead, headers};

/// Messages that a test may leave unread.
const WAITING_MAX: usize = 1024;
const AUDITS: &str = "sb.v1.audit.admin.recorded";

/// A consumer that gives up soon and whose server is impatient.
const IMPATIENT: Durable = Durable {
    name: "impatient",
    stream: "AUDIT",
    subjects: &[AUDITS],
    ack_wait: Duration::from_secs(1),
    max_ack_pending: 64,
    attempts_max: 3,
};

/// A consumer of a real event.
const HEARD: Durable = Durable {
    name: "heard",
    stream: "HEALTH",
    subjects: &["sb.v1.health.*.observed", "sb.v1.health.*.changed"],
    ack_wait: Duration::from_secs(10),
    max_ack_pending: 64,
    attempts_max: 3,
};

/// Runs a handler until the token is cancelled, and tells of every message.
fn run(
    town: &Town,
    durable: &'static Durable,
    workers: usize,
    handler: impl Fn(&Message) -> Outcome + Send + Sync + 'static,
) -> (mpsc::Receiver<Message>, CancellationToken, tokio::task::JoinHandle<()>) {
    let (sender, seen) = mpsc::channel(WAITING_MAX);
    let stopping = CancellationToken::new();
    let consumer = town.bus.consume(durable, move |message: Message| {
        let sender = sender.clone();
        let outcome = handler(&message);
        async move {
            // The test may be over.
            let _ = sender.try_send(message);
            outcome
        }
    });
    let until = consumer.concurrency(workers).until(stopping.clone());
    let task = tokio::spawn(async move { until.await.expect("ends in order") });
    (seen, stopping, task)
}

async fn next(seen: &mut mpsc::Receiver<Message>) -> Message {
    soon("message", seen.recv()).await.expect("the consumer runs")
}

#[tokio::test]
async fn an_event_arrives_as_it_was_sent() {
    let town = Town::start().await;
    let (mut seen, stopping, task) = run(&town, &HEARD, 1, |_| Outcome::Done);
    let sent = town.bus.envelope(changed()).because_of("request 1 ä");
    let receipt = town.bus.publish(&sent).await.expect("published");
    let message = next(&mut seen).await;
    assert_eq!(message.decode::<HealthChanged>().expect("decodes"), sent);
    assert_eq!((message.sequence, message.attempt, message.stream.as_str()), (receipt.sequence, 1, "HEALTH"));
    assert!(message.decode::<model::health::Observed>().is_err());
    assert!(CATALOGUE.iter().any(|event| message.kind().ends_with(event.kind)));
    stopping.cancel();
    soon("end", task).await.expect("no panic");
    eventually("acknowledgement", || town.pending(&HEARD)).await;
}

#[tokio::test]
async fn what_is_retried_comes_again() {
    let town = Town::start().await;
    let (mut seen, _stopping, _task) = run(&town, &table::AUDIT, 1, |message| match message.attempt {
        1 => Outcome::Retry,
        2 => Outcome::RetryAfter(Duration::from_millis(50)),
        _ => Outcome::Done,
    });
    town.bus.publish_bytes(&event(AUDITS, "one")).await.expect("published");
    for attempt in 1..=3 {
        let message = next(&mut seen).await;
        assert_eq!((message.attempt, message.envelope.id.as_str()), (attempt, "one"));
    }
    eventually("acknowledgement", || town.pending(&table::AUDIT)).await;
    assert_eq!(town.count(table::DEAD_STREAM).await, 0);
}

#[tokio::test]
async fn what_is_rejected_becomes_a_dead_letter_with_its_reason() {
    let town = Town::start().await;
    let (mut seen, _stopping, _task) =
        run(&town, &table::AUDIT, 1, |message| match message.envelope.id.as_str() {
            "bad" => Outcome::Reject("it makes no sense: ä\n".to_owned()),
            _ => Outcome::Done,
        });
    town.bus.publish_bytes(&event(AUDITS, "bad")).await.expect("published");
    town.bus.publish_bytes(&event(AUDITS, "good")).await.expect("published");
    assert_eq!(next(&mut seen).await.envelope.id.as_str(), "bad");
    assert_eq!(next(&mut seen).await.envelope.id.as_str(), "good");
    let letter = town.dead_letter().await;
    assert_eq!(letter.subject.as_str(), "sb.dead.AUDIT.audit");
    let map = Some(&letter.headers);
    let reason = headers::find(map, dead::REASON).expect("a reason");
    assert_eq!(cloudevents::decode_value("reason", reason).expect("text"), "it makes no sense: ä\n");
    assert_eq!(headers::find(map, dead::SUBJECT), Some(AUDITS));
    assert_eq!(headers::find(map, "ce-id"), Some("bad"));
    eventually("acknowledgement", || town.pending(&table::AUDIT)).await;
}

#[tokio::test]
async fn what_is_retried_too_often_becomes_a_dead_letter() {
    let town = Town::start().await;
    let (mut seen, _stopping, _task) = run(&town, &IMPATIENT, 1, |_| Outcome::Retry);
    town.bus.publish_bytes(&event(AUDITS, "never")).await.expect("published");
    for _ in 0..3 {
        next(&mut seen).await;
    }
    let letter = town.dead_letter().await;
    assert_eq!(headers::find(Some(&letter.headers), dead::ATTEMPTS), Some("3"));
    eventually("acknowledgement", || town.pending(&IMPATIENT)).await;
}

#[tokio::test]
async fn a_handler_that_panics_gets_the_message_again() {
    let town = Town::start().await;
    let (mut seen, _stopping, _task) = run(&town, &table::AUDIT, 1, |message| {
        assert!(message.attempt > 1 || message.envelope.id.as_str() != "poison", "a panic of the test");
        Outcome::Done
    });
    town.bus.publish_bytes(&event(AUDITS, "poison")).await.expect("published");
    town.bus.publish_bytes(&event(AUDITS, "good")).await.expect("published");
    let ids = [next(&mut seen).await, next(&mut seen).await].map(|message| message.envelope.id.to_string());
    assert_eq!(ids, ["good", "poison"]);
}

#[tokio::test]
async fn a_handler_that_always_panics_makes_a_dead_letter() {
    let town = Town::start().await;
    let (_seen, _stopping, _task) = run(&town, &table::AUDIT, 1, |_| panic!("a panic of the test"));
    town.bus.publish_bytes(&event(AUDITS, "poison")).await.expect("published");
    let letter = town.dead_letter().await;
    assert_eq!(headers::find(Some(&letter.headers), dead::ATTEMPTS), Some("5"));
}

#[tokio::test]
async fn a_slow_handler_keeps_its_message() {
    let town = Town::start().await;
    let calls = Arc::new(AtomicU32::new(0));
    let (sender, mut done) = mpsc::channel(WAITING_MAX);
    let counted = Arc::clone(&calls);
    let stopping = CancellationToken::new();
    let consumer = town.bus.consume(&IMPATIENT, move |_: Message| {
        let (sender, counted) = (sender.clone(), Arc::clone(&counted));
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            // Real time on purpose: three times the server's patience, and it is the server's clock that counts.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let _ = sender.try_send(());
            Outcome::Done
        }
    });
    let task = tokio::spawn(consumer.concurrency(2).until(stopping.clone()));
    town.bus.publish_bytes(&event(AUDITS, "slow")).await.expect("published");
    soon("end of the work", done.recv()).await.expect("the consumer runs");
    eventually("acknowledgement", || town.pending(&IMPATIENT)).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    stopping.cancel();
    soon("end", task).await.expect("no panic").expect("in order");
}

#[tokio::test]
async fn a_stopped_consumer_finishes_what_it_began_and_leaves_the_rest() {
    let town = Town::start().await;
    let (began, mut beginning) = mpsc::channel(WAITING_MAX);
    let gate = Arc::new(tokio::sync::Notify::new());
    let waiting = Arc::clone(&gate);
    let stopping = CancellationToken::new();
    let consumer = town.bus.consume(&table::AUDIT, move |message: Message| {
        let (began, waiting) = (began.clone(), Arc::clone(&waiting));
        async move {
            let _ = began.try_send(message.envelope.id.to_string());
            waiting.notified().await;
            Outcome::Done
        }
    });
    let task = tokio::spawn(consumer.until(stopping.clone()));
    town.bus.publish_bytes(&event(AUDITS, "one")).await.expect("published");
    town.bus.publish_bytes(&event(AUDITS, "two")).await.expect("published");
    assert_eq!(soon("beginning", beginning.recv()).await.as_deref(), Some("one"));
    stopping.cancel();
    gate.notify_one();
    soon("end", task).await.expect("no panic").expect("in order");
    let (mut seen, _stopping, _task) = run(&town, &table::AUDIT, 1, |_| Outcome::Done);
    assert_eq!(next(&mut seen).await.envelope.id.as_str(), "two");
}

#[tokio::test]
async fn a_batch_is_what_came_and_each_of_its_messages_has_its_own_outcome() {
    let town = Town::start().await;
    for n in 0..300 {
        town.bus.publish_bytes(&event(AUDITS, &format!("good-{n}"))).await.expect("published");
        if n % 100 == 0 {
            town.bus.publish_bytes(&event(AUDITS, &format!("bad-{n}"))).await.expect("published");
            town.bus.publish_bytes(&event(AUDITS, &format!("again-{n}"))).await.expect("published");
        }
    }
    let (sender, mut batches) = mpsc::channel(WAITING_MAX);
    let stopping = CancellationToken::new();
    let consumer = town.bus.consume_batches(&table::AUDIT, 200, move |messages: Vec<Message>| {
        let outcome = |message: &Message| match message.envelope.id.as_str() {
            id if id.starts_with("bad") => Outcome::Reject("it makes no sense".to_owned()),
            id if id.starts_with("again") && message.attempt == 1 => Outcome::Retry,
            _ => Outcome::Done,
        };
        let outcomes = messages.iter().map(outcome).collect();
        let ids: Vec<(String, u32)> =
            messages.iter().map(|message| (message.envelope.id.to_string(), message.attempt)).collect();
        let _ = sender.try_send(ids);
        async move { outcomes }
    });
    let task = tokio::spawn(consumer.until(stopping.clone()));
    let (mut all, mut largest) = (Vec::new(), 0);
    while all.len() < 309 {
        let batch = soon("batch", batches.recv()).await.expect("the consumer runs");
        largest = largest.max(batch.len());
        all.extend(batch);
    }
    assert!(largest > 1 && largest <= 200, "{largest}");
    let again = all.iter().filter(|(id, attempt)| id.starts_with("again") && *attempt == 2).count();
    let first = all.iter().filter(|(_, attempt)| *attempt == 1).count();
    assert_eq!((again, first), (3, 306));
    eventually("acknowledgement", || town.pending(&table::AUDIT)).await;
    assert_eq!(town.count(table::DEAD_STREAM).await, 3);
    stopping.cancel();
    soon("end", task).await.expect("no panic").expect("in order");
}

#[tokio::test]
async fn a_batch_whose_handler_panics_comes_again() {
    let town = Town::start().await;
    for n in 0..10 {
        town.bus.publish_bytes(&event(AUDITS, &format!("e-{n}"))).await.expect("published");
    }
    let panics = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&panics);
    let stopping = CancellationToken::new();
    let consumer = town.bus.consume_batches(&table::AUDIT, 100, move |messages: Vec<Message>| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "a panic of the test");
        let outcomes = vec![Outcome::Done; messages.len()];
        async move { outcomes }
    });
    let task = tokio::spawn(consumer.until(stopping.clone()));
    eventually("acknowledgement", || town.pending(&table::AUDIT)).await;
    assert!(panics.load(Ordering::SeqCst) > 1);
    assert_eq!(town.count(table::DEAD_STREAM).await, 0);
    stopping.cancel();
    soon("end", task).await.expect("no panic").expect("in order");
}

#[tokio::test]
async fn an_application_needs_no_headers() {
    let town = Town::start().await;
    let (mut seen, _stopping, _task) = run(&town, &table::WEBHOOKS, 1, |_| Outcome::Done);
    let subject = "sb.v1.alert.critical.screener.raised";
    let body = br#"{"title":"x"}"#.as_slice();
    town.bus.client.publish(subject, body.into()).await.expect("sent");
    let message = next(&mut seen).await;
    assert_eq!(message.envelope.id.as_str(), "ALERTS-1");
    assert_eq!(message.kind(), "dev.signalbox.alert.raised.v1");
    assert_eq!(message.envelope.source, cloudevents::APPLICATION);
    assert_eq!(message.envelope.time, message.stored_at);
    assert_eq!(message.envelope.data, body);
}

#[tokio::test]
async fn what_is_no_event_becomes_a_dead_letter() {
    let town = Town::start().await;
    let (mut seen, _stopping, _task) = run(&town, &table::WEBHOOKS, 1, |_| Outcome::Done);
    let map = headers::build([("Content-Type", "application/cloudevents+json".to_owned())]).expect("headers");
    let subject = "sb.v1.alert.critical.screener.raised";
    town.bus.client.publish_with_headers(subject, map, "not json".into()).await.expect("sent");
    let letter = town.dead_letter().await;
    let reason = headers::find(Some(&letter.headers), dead::REASON).expect("a reason");
    assert!(reason.contains("structured"), "{reason}");
    assert_eq!(&letter.payload[..], b"not json");
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_consumer_that_was_deleted_is_made_again() {
    let town = Town::start().await;
    let (mut seen, _stopping, _task) = run(&town, &table::AUDIT, 4, |_| Outcome::Done);
    town.bus.publish_bytes(&event(AUDITS, "one")).await.expect("published");
    next(&mut seen).await;
    eventually("acknowledgement", || town.pending(&table::AUDIT)).await;
    let stream = town.bus.js.get_stream("AUDIT").await.expect("there");
    stream.delete_consumer("audit").await.expect("deleted");
    town.bus.publish_bytes(&event(AUDITS, "two")).await.expect("published");
    while next(&mut seen).await.envelope.id.as_str() != "two" {}
}

impl Town {
    /// `Some` when everything delivered to a consumer was acknowledged.
    async fn pending(&self, durable: &Durable) -> Option<()> {
        let stream = self.bus.js.get_stream(durable.stream).await.expect("the stream is there");
        let info = stream.consumer_info(durable.name).await.expect("the consumer is there");
        (info.num_ack_pending == 0 && info.num_pending == 0).then_some(())
    }

    /// The first dead letter.
    async fn dead_letter(&self) -> async_nats::jetstream::message::StreamMessage {
        eventually("dead letter", || async {
            let stream = self.bus.js.get_stream(table::DEAD_STREAM).await.expect("the stream is there");
            stream.get_raw_message(1).await.ok()
        })
        .await
    }
}
