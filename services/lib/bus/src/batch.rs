//! Publishes what an outbox holds: whole batches where the server takes them, else one by one.
//!
//! A batch is stored as a whole or not at all, with one fsync instead of one a message. The server refuses a
//! batch that holds an id it knows already, and after a lost answer nobody knows; both times the same ids are
//! sent singly, in order, where the server recognises those it has. So the second time is harmless.

use std::time::{Duration, Instant};

use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use bytes::Bytes;
use model::Envelope;

use crate::connect::Bus;
use crate::error::Error;
use crate::publish::PUBLISH_DEADLINE;
use crate::{cloudevents, headers, table, telemetry};

/// The most messages in one batch; the server's own limit.
pub const BATCH_MAX: usize = 1000;
/// The most bytes of facts in one batch.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events of one stream, in their order.
type Group<'a> = Vec<&'a Envelope<Vec<u8>>>;

/// How long a batch waits for its confirmation before its messages are sent singly.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

impl Bus {
    /// Publishes events, in their order within each stream. All are confirmed when this is `Ok`; after an error
    /// some may be, and the same events may be given again.
    ///
    /// # Errors
    /// As [`Bus::publish`], for the first event that could not be confirmed.
    pub async fn publish_batch(&self, envelopes: &[Envelope<Vec<u8>>]) -> Result<(), Error> {
        for group in by_stream(envelopes) {
            for chunk in chunks(&group) {
                if chunk.len() > 1 && self.commit(chunk).await? {
                    continue;
                }
                for envelope in chunk {
                    self.publish_bytes(envelope).await?;
                }
            }
        }
        Ok(())
    }

    /// Tries one atomic batch. `false` means: not stored as far as we know, send them singly.
    async fn commit(&self, batch: &[&Envelope<Vec<u8>>]) -> Result<bool, Error> {
        let deadline = Instant::now() + PUBLISH_DEADLINE;
        if !self.connected(deadline).await {
            return Ok(false);
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let count = batch.len();
        for (number, envelope) in (1..).zip(batch) {
            // Also refuses what is too large.
            crate::publish::message(envelope)?;
            let mut map = headers::build(cloudevents::encode(envelope))?;
            headers::set(&mut map, "Nats-Batch-Id", &id)?;
            headers::set(&mut map, "Nats-Batch-Sequence", &number.to_string())?;
            let subject = envelope.subject.to_string();
            let body = Bytes::from(envelope.data.clone());
            if number < count {
                let sent = self.client.publish_with_headers(subject, map, body).await;
                sent.map_err(|error| Error::Client {
                    what: "send a batch".to_owned(),
                    source: Box::new(error),
                })?;
                continue;
            }
            headers::set(&mut map, "Nats-Batch-Commit", "1")?;
            let request = async_nats::Request::new().headers(map).payload(body).timeout(Some(COMMIT_TIMEOUT));
            let answer = match self.client.send_request(subject, request).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::debug!(%error, count, "A batch was not confirmed; sending its events singly.");
                    return Ok(false);
                }
            };
            return Ok(stored(&answer.payload, batch));
        }
        Ok(true)
    }
}

/// Reads the answer to a commit.
fn stored(answer: &[u8], batch: &[&Envelope<Vec<u8>>]) -> bool {
    match serde_json::from_slice::<Response<PublishAck>>(answer) {
        Ok(Response::Ok(_)) => {
            for envelope in batch {
                telemetry::published(&envelope.kind);
            }
            true
        }
        Ok(Response::Err { error }) => {
            tracing::debug!(%error, count = batch.len(), "A batch was refused; sending its events singly.");
            false
        }
        Err(error) => {
            tracing::debug!(%error, "The answer to a batch was not understood; sending its events singly.");
            false
        }
    }
}

/// The events of each stream, in their order.
fn by_stream(envelopes: &[Envelope<Vec<u8>>]) -> Vec<Group<'_>> {
    let mut groups: Vec<(Option<&str>, Group<'_>)> = Vec::new();
    for envelope in envelopes {
        let stream = table::stream_of(envelope.subject.as_str()).map(|stream| stream.name);
        match groups.iter_mut().find(|(name, _)| *name == stream) {
            Some((_, group)) => group.push(envelope),
            None => groups.push((stream, vec![envelope])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Parts of a group that may be one batch each.
fn chunks<'a, 'b>(group: &'a [&'b Envelope<Vec<u8>>]) -> Vec<&'a [&'b Envelope<Vec<u8>>]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, envelope) in group.iter().enumerate() {
        let size = envelope.data.len();
        if at > start && (at - start == BATCH_MAX || bytes + size > BATCH_BYTES_MAX) {
            parts.push(&group[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    parts.push(&group[start..]);
    parts
}
