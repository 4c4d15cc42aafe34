//! Publishes events: at least once, with an id that makes the second time harmless.
//!
//! The same id is sent again until the server confirms or the deadline passes. A publish that was not
//! confirmed may still have been stored; the server recognises the id within its duplicate window.

use std::time::{Duration, Instant};

use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use model::{Envelope, Event};

use crate::connect::Bus;
use crate::error::{Error, Source, Verdict, verdict};
use crate::{backoff, cloudevents, headers, telemetry};

/// How long one event is tried. Far below the window in which the server remembers ids.
pub const PUBLISH_DEADLINE: Duration = Duration::from_secs(30);
/// The largest fact that is published, in bytes. Events should stay below 64 KiB; this is where it stops.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The server's confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its number in its stream.
    pub sequence: u64,
    /// Whether the server had it already.
    pub duplicate: bool,
}

impl Bus {
    /// Publishes a fact and waits until the server has it on disk.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] after [`PUBLISH_DEADLINE`] (it may be stored; the same envelope may be sent again),
    /// [`Error::Full`], [`Error::TooLarge`], [`Error::Refused`].
    pub async fn publish<T: Event>(&self, envelope: &Envelope<T>) -> Result<Receipt, Error> {
        let what = || format!("the data of `{}`", envelope.kind);
        let bytes = envelope.to_bytes().map_err(|source| Error::Json { what: what(), source })?;
        self.publish_bytes(&bytes).await
    }

    /// Publishes a fact that is JSON already, as an outbox keeps it.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub async fn publish_bytes(&self, envelope: &Envelope<Vec<u8>>) -> Result<Receipt, Error> {
        let subject = envelope.subject.as_str();
        let message = message(envelope)?;
        let receipt = self.send(subject, message, Instant::now() + PUBLISH_DEADLINE).await?;
        telemetry::published(&envelope.kind);
        Ok(receipt)
    }

    /// Sends the same message until it is confirmed or the deadline passes.
    pub(crate) async fn send(
        &self,
        subject: &str,
        message: PublishMessage,
        deadline: Instant,
    ) -> Result<Receipt, Error> {
        let mut last: Option<(Verdict, Source)> = None;
        let mut failures = 0;
        // What is sent while disconnected would only wait in the client and be forgotten there.
        while self.connected(deadline).await {
            let sent =
                async { self.publisher.send_publish(subject.to_owned(), message.clone()).await?.await };
            let error = match sent.await {
                Ok(ack) => return Ok(Receipt { sequence: ack.sequence, duplicate: ack.duplicate }),
                Err(error) => error,
            };
            let verdict = verdict(&error);
            if matches!(verdict, Verdict::Refused | Verdict::Conflict) {
                return Err(Error::Refused { subject: subject.to_owned(), source: Box::new(error) });
            }
            last = Some((verdict, Box::new(error)));
            failures += 1;
            let pause = backoff::PUBLISH.after(failures);
            if Instant::now() + pause >= deadline {
                break;
            }
            tracing::debug!(subject, failures, "A publish was not confirmed; sending the same id again.");
            tokio::time::sleep(pause).await;
        }
        let subject = subject.to_owned();
        Err(match last {
            Some((Verdict::Full, source)) => Error::Full { subject, source },
            Some((_, source)) => Error::Unconfirmed { subject, source },
            None => Error::Unconfirmed { subject, source: Box::new(Error::Disconnected) },
        })
    }
}

/// The message of an event: headers, id, body.
pub(crate) fn message(envelope: &Envelope<Vec<u8>>) -> Result<PublishMessage, Error> {
    let bytes = envelope.data.len();
    if bytes > EVENT_BYTES_MAX {
        let subject = envelope.subject.to_string();
        return Err(Error::TooLarge { subject, bytes, max: EVENT_BYTES_MAX });
    }
    let map = headers::build(cloudevents::encode(envelope))?;
    Ok(PublishMessage::build().headers(map).payload(Bytes::from(envelope.data.clone())))
}
