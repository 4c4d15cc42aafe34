//! Dead letters: puts a message aside with the reason, so that the ones behind it go on.
//!
//! The copy is confirmed before the original is ended, so a crash between the two leaves both, and the second
//! copy has the same id. Nothing is lost here: the body and the headers are kept as they were.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;

use crate::connect::Bus;
use crate::error::Error;
use crate::message::Delivered;
use crate::table::{DEAD_PREFIX, Durable};
use crate::{cloudevents, headers};

/// Why it was put aside, percent-encoded as the attributes are.
pub const REASON: &str = "signalbox-dead-reason";
/// The subject it had.
pub const SUBJECT: &str = "signalbox-dead-subject";
/// The stream it came from.
pub const STREAM: &str = "signalbox-dead-stream";
/// Its number there.
pub const SEQUENCE: &str = "signalbox-dead-sequence";
/// How often it was tried.
pub const ATTEMPTS: &str = "signalbox-dead-attempts";

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;
/// How long one try to put a message aside may take; after that the original is tried again.
const DEADLINE: Duration = Duration::from_secs(10);

/// Publishes the copy and waits for the confirmation.
pub(crate) async fn put_aside(
    bus: &Bus,
    durable: &Durable,
    message: &jetstream::Message,
    delivered: &Delivered,
    reason: &str,
) -> Result<(), Error> {
    let subject = format!("{DEAD_PREFIX}.{}.{}", delivered.stream, durable.name);
    let map = describe(durable, message, delivered, reason)?;
    let copy = PublishMessage::build().headers(map).payload(message.payload.clone());
    bus.send(&subject, copy, Instant::now() + DEADLINE).await.map(|_| ())
}

fn describe(
    durable: &Durable,
    message: &jetstream::Message,
    delivered: &Delivered,
    reason: &str,
) -> Result<HeaderMap, Error> {
    // The server's own headers (ids, expectations, batches) belonged to the original's publish.
    let kept = headers::fields(message.headers.as_ref())
        .filter(|(name, _)| !name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut map = headers::build(kept)?;
    let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
    headers::set(&mut map, REASON, &cloudevents::encode_value(&reason))?;
    headers::set(&mut map, SUBJECT, &cloudevents::encode_value(message.subject.as_str()))?;
    headers::set(&mut map, STREAM, &delivered.stream)?;
    headers::set(&mut map, SEQUENCE, &delivered.sequence.to_string())?;
    headers::set(&mut map, ATTEMPTS, &delivered.attempt.to_string())?;
    let id = format!("dead/{}/{}-{}", durable.name, delivered.stream, delivered.sequence);
    headers::set(&mut map, cloudevents::MESSAGE_ID, &id)?;
    Ok(map)
}
