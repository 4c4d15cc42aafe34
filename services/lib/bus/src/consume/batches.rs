//! Consumers whose messages are handled many at once: where a transaction costs more than what it writes.
//!
//! As many as have come are one batch, up to a bound in number and bytes; the first waits for others only for a moment. Four
//! batches are in work at most, so that some are read while another is written or acknowledged. Each message has its own outcome. A handler
//! may see an event twice. A handler that panics makes a retry of the whole batch.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{Ended, Line, Outcome, PANICS_MAX, acknowledge, chain, drive};
use crate::connect::Bus;
use crate::error::Error;
use crate::message::{Delivered, Message};
use crate::pull::{Pull, Pulled};
use crate::table::Durable;
use crate::telemetry;

/// Batches that are in work at the same time.
const AT_ONCE: usize = 4;
/// Bytes of messages after which a batch is full: what is made of them takes some times as much memory.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long the first message of a batch waits for more, in milliseconds.
const GATHER_MS: u64 = 20;

/// A consumer of batches that is about to run.
#[must_use = "a consumer does nothing until `until` is awaited"]
pub struct Batches<H> {
    line: Line,
    handler: H,
    max: usize,
}

/// Messages that are handled together.
type Batch = Vec<jetstream::Message>;

impl Bus {
    /// Handles the messages of a durable consumer of the table together, at most `max` (1 to a quarter of what may be
    /// unanswered) at once. The handler answers with an outcome for each message, in their order; one without an outcome
    /// is tried again.
    pub fn consume_batches<H, F>(&self, durable: &'static Durable, max: usize, handler: H) -> Batches<H>
    where
        H: Fn(Vec<Message>) -> F + Send + Sync,
        F: Future<Output = Vec<Outcome>> + Send,
    {
        let most = (usize::try_from(durable.max_ack_pending).unwrap_or(1) / AT_ONCE).max(1);
        Batches { line: Line { bus: self.clone(), durable }, handler, max: max.clamp(1, most) }
    }
}

impl<H, F> Batches<H>
where
    H: Fn(Vec<Message>) -> F + Send + Sync,
    F: Future<Output = Vec<Outcome>> + Send,
{
    /// Runs until the token is cancelled, then lets running handlers finish for fifteen seconds and hands the
    /// rest back. Disconnects and a missing stream are waited out.
    ///
    /// # Errors
    /// None today: whatever goes wrong is logged and tried again.
    pub async fn until(self, stopping: CancellationToken) -> Result<(), Error> {
        let give_up = CancellationToken::new();
        let mut work = FuturesUnordered::new();
        let mut failures = 0_u32;
        while !stopping.is_cancelled() {
            let why = match drive(&mut work, stopping.run_until_cancelled(Box::pin(self.line.open()))).await {
                None => break,
                Some(Ok(mut pull)) => {
                    let begin = |batch| self.process(batch, &give_up);
                    self.pump(&mut pull, &mut work, &mut failures, &stopping, begin).await
                }
                Some(Err(error)) => Ended::Broken(chain(&*error)),
            };
            if let Ended::Broken(why) = why {
                failures = failures.saturating_add(1);
                self.line.pause(&why, failures, &mut work, &stopping).await;
            }
        }
        self.line.finish(&mut work, &give_up).await;
        Ok(())
    }

    /// Pulls, gathers and handles until the process stops or the pull breaks.
    async fn pump<W: Future<Output = ()>>(
        &self,
        pull: &mut Pull,
        work: &mut FuturesUnordered<W>,
        failures: &mut u32,
        stopping: &CancellationToken,
        begin: impl Fn(Batch) -> W,
    ) -> Ended {
        let generation = self.line.bus.link().borrow().generation;
        loop {
            while work.len() >= AT_ONCE {
                work.next().await;
            }
            if pull.is_spent()
                && let Err(error) = pull.ask(self.max).await
            {
                return Ended::Broken(chain(&*error));
            }
            let mut batch = Batch::new();
            let ended = self.gather(&mut batch, pull, work, generation, stopping).await;
            if stopping.is_cancelled() {
                while let Some(message) = pull.unseen() {
                    acknowledge(&message, AckKind::Nak(None)).await;
                }
            }
            if !batch.is_empty() {
                *failures = 0;
                work.push(begin(batch));
            }
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    /// Gathers what comes, until there are enough or the first one has waited; why pulling ended, if it did.
    async fn gather<W: Future<Output = ()>>(
        &self,
        batch: &mut Batch,
        pull: &mut Pull,
        work: &mut FuturesUnordered<W>,
        generation: u64,
        stopping: &CancellationToken,
    ) -> Option<Ended> {
        let mut until = None;
        let mut bytes = 0;
        while batch.len() < self.max && bytes < BYTES_MAX {
            // What is here already costs no timer.
            if let Some(message) = pull.unseen() {
                until.get_or_insert_with(|| Instant::now() + Duration::from_millis(GATHER_MS));
                bytes += message.payload.len();
                batch.push(message);
                continue;
            }
            let next = self.line.next(pull, generation, stopping);
            let pulled = match until {
                None => drive(work, next).await,
                Some(until) => match drive(work, timeout_at(until, next)).await {
                    Ok(pulled) => pulled,
                    Err(_) => return None,
                },
            };
            match pulled {
                None => return Some(Ended::Stopping),
                Some(Pulled::Message(message)) => {
                    until.get_or_insert_with(|| Instant::now() + Duration::from_millis(GATHER_MS));
                    bytes += message.payload.len();
                    batch.push(*message);
                }
                Some(Pulled::Spent) => return None,
                Some(Pulled::Broken(why)) => return Some(Ended::Broken(why)),
            }
        }
        None
    }

    /// Handles a batch and settles each of its messages.
    async fn process(&self, batch: Batch, give_up: &CancellationToken) {
        let (mut events, mut good) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let mut attempt = 1;
        for message in &batch {
            let Some(delivered) = Delivered::of(message) else {
                let consumer = self.line.durable.name;
                error!(consumer, "A message without a JetStream reply subject was ignored.");
                continue;
            };
            if delivered.attempt > 1 {
                telemetry::redelivered(self.line.durable.name);
            }
            match delivered.read(message) {
                Ok(event) => {
                    attempt = attempt.max(delivered.attempt);
                    events.push(event);
                    good.push((message, delivered));
                }
                Err(malformed) => {
                    self.line.settle(message, &delivered, Some(Outcome::Reject(malformed.to_string()))).await;
                }
            }
        }
        let outcomes = self.handle(events, &good, attempt, give_up).await;
        let mut outcomes = outcomes.map(Vec::into_iter);
        for (message, delivered) in good {
            let outcome = outcomes.as_mut().map(|outcomes| outcomes.next().unwrap_or(Outcome::Retry));
            self.line.settle(message, &delivered, outcome).await;
        }
    }

    /// Runs the handler, and says meanwhile that the work goes on. `None` when it was given up.
    async fn handle(
        &self,
        events: Vec<Message>,
        messages: &[(&jetstream::Message, Delivered)],
        attempt: u32,
        give_up: &CancellationToken,
    ) -> Option<Vec<Outcome>> {
        let count = events.len();
        if count == 0 {
            return Some(Vec::new());
        }
        let mut running = pin!(AssertUnwindSafe(async { (self.handler)(events).await }).catch_unwind());
        let third = self.line.durable.ack_wait / 3;
        loop {
            tokio::select! {
                biased;
                ended = &mut running => return Some(ended.unwrap_or_else(|_| {
                    error!(consumer = self.line.durable.name, attempt, count, "A handler panicked.");
                    let outcome = match attempt >= PANICS_MAX {
                        true => Outcome::Reject("its handler panicked".to_owned()),
                        false => Outcome::Retry,
                    };
                    vec![outcome; count]
                })),
                () = give_up.cancelled() => return None,
                () = tokio::time::sleep(third) => {
                    for (message, _) in messages {
                        acknowledge(message, AckKind::Progress).await;
                    }
                }
            }
        }
    }
}
