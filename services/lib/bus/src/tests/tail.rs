//! Following the streams.

use std::collections::BTreeMap;

use futures_util::StreamExt;

use super::{Town, event, eventually, soon};
use crate::{Start, Tail};

const CHANGED: &str = "sb.v1.config.integration.a.changed";
const SWITCHED: &str = "sb.v1.route.quotes.switched";
const AUDITED: &str = "sb.v1.audit.admin.recorded";

async fn ids(tail: &mut Tail, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(soon("message", tail.next()).await.expect("goes on").envelope.id.to_string());
    }
    ids.sort();
    ids
}

#[tokio::test]
async fn what_is_new_comes_from_all_streams_that_match() {
    let town = Town::start().await;
    town.bus.publish_bytes(&event(CHANGED, "old")).await.expect("published");
    let filters = vec!["sb.v1.config.>".to_owned(), "sb.v1.*.quotes.switched".to_owned()];
    let mut tail = town.bus.tail(filters, Start::New).await.expect("opens");
    for (subject, id) in [(CHANGED, "a"), (SWITCHED, "b"), (AUDITED, "not"), (CHANGED, "c")] {
        town.bus.publish_bytes(&event(subject, id)).await.expect("published");
    }
    assert_eq!(ids(&mut tail, 3).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn it_can_begin_behind_a_message_or_at_a_time() {
    let town = Town::start().await;
    let first = town.bus.publish_bytes(&event(CHANGED, "a")).await.expect("published");
    town.bus.publish_bytes(&event(CHANGED, "b")).await.expect("published");
    town.bus.publish_bytes(&event(SWITCHED, "s")).await.expect("published");
    let after = Start::After(BTreeMap::from([("CONFIG".to_owned(), first.sequence)]));
    let mut tail = town.bus.tail(vec!["sb.v1.>".to_owned()], after).await.expect("opens");
    assert_eq!(ids(&mut tail, 1).await, ["b"]);
    let since = Start::Since(model::Timestamp::from_millis(0));
    let mut tail = town.bus.tail(vec!["sb.v1.>".to_owned()], since).await.expect("opens");
    assert_eq!(ids(&mut tail, 3).await, ["a", "b", "s"]);
    // A number from before the stream was made anew begins with what is new.
    let beyond = Start::After(BTreeMap::from([("CONFIG".to_owned(), 1_000)]));
    let mut tail = town.bus.tail(vec!["sb.v1.>".to_owned()], beyond).await.expect("opens");
    town.bus.publish_bytes(&event(CHANGED, "c")).await.expect("published");
    assert_eq!(ids(&mut tail, 1).await, ["c"]);
}

#[tokio::test]
async fn it_goes_on_after_the_server_was_killed() {
    let town = Town::start().await;
    let mut tail = town.bus.tail(vec!["sb.v1.>".to_owned()], Start::New).await.expect("opens");
    town.bus.publish_bytes(&event(CHANGED, "a")).await.expect("published");
    assert_eq!(ids(&mut tail, 1).await, ["a"]);
    town.kill_server().await;
    town.bus.publish_bytes(&event(CHANGED, "b")).await.expect("published");
    assert_eq!(ids(&mut tail, 1).await, ["b"]);
    drop(tail);
    // Nobody follows any more: the server forgets the followers by itself.
    eventually("connection", || async { town.bus.check().await.ok() }).await;
}
