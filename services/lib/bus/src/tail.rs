//! Follows the streams as they grow, for people who look: no acknowledgement, no memory on the server.
//!
//! Each stream is followed by an ordered consumer of its own; one that ends is opened again behind the last
//! message, so nothing is skipped unless the stream itself dropped it. A reader that is slow slows only itself.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::{Stream, StreamExt};
use model::Timestamp;
use tokio::sync::mpsc;
use tracing::debug;

use crate::connect::Bus;
use crate::consume::chain;
use crate::error::{Error, Source};
use crate::message::{Delivered, Message};
use crate::{backoff, table};

/// Messages that may wait for a slow reader.
const WAITING_MAX: usize = 256;

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    New,
    /// Behind these sequences, by stream; a stream that is not named begins with what is new.
    After(BTreeMap<String, u64>),
    /// With what the server took at or after this time.
    Since(Timestamp),
}

/// Messages as they come. Dropping it ends the consumers.
pub struct Tail {
    messages: mpsc::Receiver<Message>,
}

impl Stream for Tail {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.poll_recv(cx)
    }
}

impl Bus {
    /// Follows every message whose subject matches one of the filters (`*` and `>` allowed), over all streams
    /// but the dead letters. The order holds within a stream, not between streams. When this returns, every
    /// stream has its beginning: what is published afterwards is in.
    ///
    /// # Errors
    /// When a stream cannot be opened at first. Later troubles are waited out.
    pub async fn tail(&self, filters: Vec<String>, start: Start) -> Result<Tail, Error> {
        let (sender, messages) = mpsc::channel(WAITING_MAX);
        for stream in table::STREAMS.iter().filter(|stream| stream.name != table::DEAD_STREAM) {
            let wanted = |subject: &&&str| filters.iter().any(|filter| table::overlap(filter, subject));
            let subjects: Vec<String> =
                stream.subjects.iter().filter(wanted).map(|&s| s.to_owned()).collect();
            if subjects.is_empty() {
                continue;
            }
            let mut follower = Follower {
                bus: self.clone(),
                stream: stream.name,
                subjects,
                filters: filters.clone(),
                from: DeliverPolicy::New,
            };
            follower.begin(&start).await?;
            tokio::spawn(follower.run(sender.clone()));
        }
        Ok(Tail { messages })
    }
}

struct Follower {
    bus: Bus,
    stream: &'static str,
    subjects: Vec<String>,
    filters: Vec<String>,
    from: DeliverPolicy,
}

impl Follower {
    /// Turns the wish into a place in the stream, so that opening again later means the same.
    async fn begin(&mut self, start: &Start) -> Result<(), Error> {
        let failed = |source: Source| Error::Declare { what: format!("tail of {}", self.stream), source };
        let named = match start {
            Start::Since(time) => {
                let nanos = i128::from(time.as_millis()) * 1_000_000;
                let start_time = async_nats::datetime::from_nanos(nanos).map_err(failed)?;
                self.from = DeliverPolicy::ByStartTime { start_time };
                return Ok(());
            }
            Start::After(sequences) => sequences.get(self.stream).copied(),
            Start::New => None,
        };
        let stream = self.bus.js.get_stream(self.stream).await.map_err(|error| failed(Box::new(error)))?;
        let last = stream.cached_info().state.last_sequence;
        // A number from before the stream was made anew would wait for ever.
        self.follow_after(named.filter(|sequence| *sequence <= last).unwrap_or(last));
        Ok(())
    }

    fn follow_after(&mut self, sequence: u64) {
        self.from = DeliverPolicy::ByStartSequence { start_sequence: sequence.saturating_add(1) };
    }

    async fn run(mut self, sender: mpsc::Sender<Message>) {
        let mut failures = 0_u32;
        loop {
            let followed = tokio::select! {
                () = sender.closed() => return,
                followed = self.follow(&sender, &mut failures) => followed,
            };
            failures = failures.saturating_add(1);
            if let Err(error) = followed {
                debug!(stream = self.stream, error = %chain(&*error), "A tail broke; opening it again.");
            }
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(backoff::REOPEN.after(failures)) => {}
            }
        }
    }

    async fn follow(&mut self, sender: &mpsc::Sender<Message>, failures: &mut u32) -> Result<(), Source> {
        let config = OrderedConfig {
            filter_subjects: self.subjects.clone(),
            deliver_policy: self.from,
            ..OrderedConfig::default()
        };
        let generation = self.bus.link().borrow().generation;
        let consumer = self.bus.js.create_consumer_on_stream(config, self.stream).await?;
        let mut messages = consumer.messages().await?;
        let mut link = self.bus.link();
        loop {
            let message = tokio::select! {
                biased;
                message = messages.next() => message,
                _ = link.wait_for(|link| link.generation != generation) => return Ok(()),
            };
            let Some(message) = message else { return Ok(()) };
            let message = message?;
            *failures = 0;
            let Some(delivered) = Delivered::of(&message) else { continue };
            let shown = self.filters.iter().any(|filter| table::matches(filter, message.subject.as_str()));
            if shown
                && let Ok(event) = delivered.read(&message)
                && sender.send(event).await.is_err()
            {
                return Ok(());
            }
            self.follow_after(delivered.sequence);
        }
    }
}
