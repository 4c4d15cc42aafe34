//! Publishing: once, in batches, and too much.

use super::{Town, changed, event};
use crate::{EVENT_BYTES_MAX, Error};

#[tokio::test]
async fn the_same_event_is_stored_once() {
    let town = Town::start().await;
    let envelope = town.bus.envelope(changed());
    let first = town.bus.publish(&envelope).await.expect("published");
    let again = town.bus.publish(&envelope).await.expect("published");
    assert!(!first.duplicate && again.duplicate);
    assert_eq!(first.sequence, again.sequence);
}

#[tokio::test]
async fn a_batch_is_stored_over_all_its_streams() {
    let town = Town::start().await;
    let mut batch = Vec::new();
    for number in 0..1200 {
        batch.push(event("sb.v1.config.integration.a.changed", &format!("c{number}")));
        if number % 100 == 0 {
            batch.push(event("sb.v1.audit.admin.recorded", &format!("a{number}")));
        }
    }
    town.bus.publish_batch(&batch).await.expect("published");
    assert_eq!(town.count("CONFIG").await, 1200);
    assert_eq!(town.count("AUDIT").await, 12);
    town.bus.publish_batch(&[]).await.expect("nothing is fine");
}

#[tokio::test]
async fn a_batch_with_a_stored_id_adds_only_the_rest() {
    let town = Town::start().await;
    let subject = "sb.v1.audit.admin.recorded";
    town.bus.publish_bytes(&event(subject, "two")).await.expect("published");
    let batch = [event(subject, "one"), event(subject, "two"), event(subject, "three")];
    town.bus.publish_batch(&batch).await.expect("published");
    assert_eq!(town.count("AUDIT").await, 3);
    town.bus.publish_batch(&batch).await.expect("published again");
    assert_eq!(town.count("AUDIT").await, 3);
}

#[tokio::test]
async fn what_is_too_large_is_refused_at_once() {
    let town = Town::start().await;
    let mut large = event("sb.v1.audit.admin.recorded", "large");
    large.data = vec![b' '; EVENT_BYTES_MAX + 1];
    let error = town.bus.publish_bytes(&large).await.expect_err("too large");
    assert!(matches!(error, Error::TooLarge { .. }) && !error.is_transient());
    large.data.pop();
    town.bus.publish_bytes(&large).await.expect("the largest fits");
}

#[tokio::test]
async fn a_full_stream_refuses_and_says_so() {
    let town = Town::start().await;
    let mut config = town.bus.js.get_stream("ROUTES").await.expect("there").cached_info().config.clone();
    config.max_bytes = 2_000;
    town.bus.js.update_stream(config).await.expect("smaller");
    let mut full = event("sb.v1.route.quotes.switched", "full");
    full.data = vec![b' '; 4_000];
    let message = crate::publish::message(&full).expect("a message");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(1);
    let error = town.bus.send(full.subject.as_str(), message, deadline).await.expect_err("full");
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert!(error.is_transient());
}

impl Town {
    /// Messages in a stream.
    pub(super) async fn count(&self, stream: &str) -> u64 {
        self.bus.js.get_stream(stream).await.expect("the stream is there").cached_info().state.messages
    }
}
