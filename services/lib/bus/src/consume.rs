//! The one loop of every consumer: pull, handle, settle.
//!
//! It pulls exactly as many messages as there are free workers, so that none waits in memory while its time
//! runs. A pull that misses heartbeats, ends oddly, or is older than the connection is opened again. A handler
//! may see an event twice. A handler that panics makes a retry, and a dead letter when it does so again and again.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::{self, AckKind};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::connect::Bus;
use crate::declare::consumer_config;
use crate::error::Error;
use crate::message::{Delivered, Message};
use crate::table::Durable;
use crate::{backoff, dead, telemetry};

/// How long one pull waits for messages before it is asked again.
const PULL_EXPIRES: Duration = Duration::from_secs(5);
/// How often the server proves that a pull is alive. Two missing proofs end it.
const PULL_HEARTBEAT: Duration = Duration::from_secs(1);
/// Workers of one consumer in one process unless said otherwise.
const CONCURRENCY: usize = 1;
/// The most workers of one consumer in one process.
const CONCURRENCY_MAX: usize = 256;
/// How long running handlers may go on after the stop; then their messages are handed back.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// Deliveries after which a handler that panics again makes a dead letter.
const PANICS_MAX: u32 = 5;
/// The longest pause that a handler may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a handler made of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and what it changed is stored.
    Done,
    /// It could not be done now; the pause grows with every delivery.
    Retry,
    /// It should come again after this time, at most a day.
    RetryAfter(Duration),
    /// It can never be done, and why. It becomes a dead letter.
    Reject(String),
}

/// A consumer that is about to run.
#[must_use = "a consumer does nothing until `until` is awaited"]
pub struct Consumer<H> {
    bus: Bus,
    durable: &'static Durable,
    handler: H,
    concurrency: usize,
}

impl Bus {
    /// Handles the messages of a durable consumer of the table, one at a time unless
    /// [`Consumer::concurrency`] says otherwise.
    pub fn consume<H, F>(&self, durable: &'static Durable, handler: H) -> Consumer<H>
    where
        H: Fn(Message) -> F + Send + Sync,
        F: Future<Output = Outcome> + Send,
    {
        Consumer { bus: self.clone(), durable, handler, concurrency: CONCURRENCY }
    }
}

/// Why the loop asks for a new pull.
enum Ended {
    /// It got what it asked for, or its time was over.
    InOrder,
    /// It is no longer to be trusted.
    Broken,
    /// The process stops.
    Stopping,
}

impl<H, F> Consumer<H>
where
    H: Fn(Message) -> F + Send + Sync,
    F: Future<Output = Outcome> + Send,
{
    /// How many messages are handled at the same time in this process: 1 to 256.
    pub fn concurrency(mut self, workers: usize) -> Self {
        self.concurrency = workers.clamp(1, CONCURRENCY_MAX);
        self
    }

    /// Runs until the token is cancelled, then lets running handlers finish for fifteen seconds and hands the
    /// rest back. Disconnects and a missing stream are waited out.
    ///
    /// # Errors
    /// None today: whatever goes wrong is logged and tried again.
    pub async fn until(self, stopping: CancellationToken) -> Result<(), Error> {
        let give_up = CancellationToken::new();
        let mut work = FuturesUnordered::new();
        let mut failures = 0_u32;
        'open: while !stopping.is_cancelled() {
            let opened = drive(&mut work, stopping.run_until_cancelled(self.open())).await;
            let consumer = match opened {
                None => break,
                Some(Ok(consumer)) => consumer,
                Some(Err(error)) => {
                    failures = failures.saturating_add(1);
                    warn!(consumer = self.durable.name, failures, error = %chain(&error), "A consumer cannot be opened; trying again.");
                    let pause = tokio::time::sleep(backoff::REOPEN.after(failures));
                    drive(&mut work, stopping.run_until_cancelled(pause)).await;
                    continue;
                }
            };
            loop {
                // Every round begins with at least one free worker.
                while work.len() >= self.concurrency {
                    work.next().await;
                }
                if stopping.is_cancelled() {
                    break 'open;
                }
                let free = self.concurrency - work.len();
                let generation = self.bus.link().borrow().generation;
                let pull = pull(&consumer, free);
                let Some(pulled) = drive(&mut work, stopping.run_until_cancelled(pull)).await else {
                    break 'open;
                };
                let ended = match pulled {
                    Ok(mut batch) => {
                        let mut ended = Ended::InOrder;
                        while let Some(message) = {
                            let next = self.next(&mut batch, generation, &stopping);
                            match drive(&mut work, next).await {
                                Ok(message) => Some(message),
                                Err(why) => {
                                    ended = why;
                                    None
                                }
                            }
                        } {
                            failures = 0;
                            work.push(self.process(message, &give_up));
                        }
                        if matches!(ended, Ended::Stopping) {
                            hand_back(&mut batch).await;
                        }
                        ended
                    }
                    Err(error) => {
                        debug!(consumer = self.durable.name, %error, "A pull could not be sent.");
                        Ended::Broken
                    }
                };
                match ended {
                    Ended::InOrder => {}
                    Ended::Stopping => break 'open,
                    Ended::Broken => {
                        failures = failures.saturating_add(1);
                        let pause = tokio::time::sleep(backoff::REOPEN.after(failures));
                        drive(&mut work, stopping.run_until_cancelled(pause)).await;
                        continue 'open;
                    }
                }
            }
        }
        self.finish(&mut work, &give_up).await;
        Ok(())
    }

    /// The consumer on the server; made again when it is gone.
    async fn open(&self) -> Result<PullConsumer, Error> {
        let Durable { name, stream, .. } = *self.durable;
        if let Ok(consumer) = self.bus.js.get_consumer_from_stream(name, stream).await {
            return Ok(consumer);
        }
        let made = self.bus.js.create_consumer_on_stream(consumer_config(self.durable), stream).await;
        made.map_err(|error| Error::Declare { what: format!("consumer {name}"), source: Box::new(error) })
    }

    /// The next message of a pull, or why there is none.
    async fn next(
        &self,
        batch: &mut Batch,
        generation: u64,
        stopping: &CancellationToken,
    ) -> Result<jetstream::Message, Ended> {
        let mut link = self.bus.link();
        let reconnected = link.wait_for(|link| link.generation != generation);
        tokio::select! {
            biased;
            () = stopping.cancelled() => Err(Ended::Stopping),
            next = batch.next() => match next {
                Some(Ok(message)) => Ok(message),
                Some(Err(error)) => {
                    debug!(consumer = self.durable.name, %error, "A pull broke; opening it again.");
                    Err(Ended::Broken)
                }
                None => Err(Ended::InOrder),
            },
            _ = reconnected => Err(Ended::Broken),
        }
    }

    async fn process(&self, message: jetstream::Message, give_up: &CancellationToken) {
        let Some(delivered) = Delivered::of(&message) else {
            error!(consumer = self.durable.name, "A message without a JetStream reply subject was ignored.");
            return;
        };
        if delivered.attempt > 1 {
            telemetry::redelivered(self.durable.name);
        }
        let outcome = match delivered.read(&message) {
            Ok(event) => self.handle(event, &message, delivered.attempt, give_up).await,
            Err(malformed) => Some(Outcome::Reject(malformed.to_string())),
        };
        self.settle(&message, &delivered, outcome).await;
    }

    /// Runs the handler, and says meanwhile that the work goes on. `None` when it was given up.
    async fn handle(
        &self,
        event: Message,
        message: &jetstream::Message,
        attempt: u32,
        give_up: &CancellationToken,
    ) -> Option<Outcome> {
        let mut running = pin!(AssertUnwindSafe(async { (self.handler)(event).await }).catch_unwind());
        let third = self.durable.ack_wait / 3;
        loop {
            tokio::select! {
                biased;
                ended = &mut running => return Some(match ended {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        error!(consumer = self.durable.name, attempt, "A handler panicked.");
                        if attempt >= PANICS_MAX { Outcome::Reject("its handler panicked".to_owned()) } else { Outcome::Retry }
                    }
                }),
                () = give_up.cancelled() => return None,
                () = tokio::time::sleep(third) => acknowledge(message, AckKind::Progress).await,
            }
        }
    }

    async fn settle(&self, message: &jetstream::Message, delivered: &Delivered, outcome: Option<Outcome>) {
        let exhausted = delivered.attempt >= self.durable.attempts_max;
        let reason = match outcome {
            None => return acknowledge(message, AckKind::Nak(None)).await,
            Some(Outcome::Done) => return acknowledge(message, AckKind::Ack).await,
            Some(Outcome::Retry) if !exhausted => {
                let pause = backoff::RETRY.after(delivered.attempt);
                return acknowledge(message, AckKind::Nak(Some(pause))).await;
            }
            Some(Outcome::RetryAfter(pause)) if !exhausted => {
                return acknowledge(message, AckKind::Nak(Some(pause.min(RETRY_AFTER_MAX)))).await;
            }
            Some(Outcome::Retry | Outcome::RetryAfter(_)) => {
                format!("not done after {} deliveries", delivered.attempt)
            }
            Some(Outcome::Reject(reason)) => reason,
        };
        let (consumer, sequence) = (self.durable.name, delivered.sequence);
        match dead::put_aside(&self.bus, self.durable, message, delivered, &reason).await {
            Ok(()) => {
                telemetry::dead_letter(consumer);
                warn!(
                    consumer,
                    stream = delivered.stream,
                    sequence,
                    reason,
                    "A message became a dead letter."
                );
                acknowledge(message, AckKind::Term).await;
            }
            Err(error) => {
                warn!(consumer, sequence, error = %chain(&error), "A dead letter could not be written; its message stays.");
                acknowledge(message, AckKind::Nak(Some(backoff::RETRY.after(delivered.attempt)))).await;
            }
        }
    }

    /// Waits for running handlers; what does not end in time is handed back.
    async fn finish<W: Future<Output = ()>>(
        &self,
        work: &mut FuturesUnordered<W>,
        give_up: &CancellationToken,
    ) {
        let left = async { while work.next().await.is_some() {} };
        if tokio::time::timeout(STOP_GRACE, left).await.is_err() {
            warn!(
                consumer = self.durable.name,
                count = work.len(),
                "Handlers did not end in time; their messages are handed back."
            );
            give_up.cancel();
            while work.next().await.is_some() {}
        }
    }
}

/// Asks for so many messages.
async fn pull(
    consumer: &PullConsumer,
    count: usize,
) -> Result<Batch, async_nats::jetstream::consumer::pull::BatchError> {
    consumer.batch().max_messages(count).expires(PULL_EXPIRES).heartbeat(PULL_HEARTBEAT).messages().await
}

/// Gives back what a pull already holds.
async fn hand_back(batch: &mut Batch) {
    while let Some(Some(Ok(message))) = batch.next().now_or_never() {
        acknowledge(&message, AckKind::Nak(None)).await;
    }
}

/// Tells the server. When that fails the message comes again, which every handler bears.
async fn acknowledge(message: &jetstream::Message, kind: AckKind) {
    if let Err(error) = message.ack_with(kind).await {
        debug!(%error, "An acknowledgement could not be sent; the message will come again.");
    }
}

/// Awaits something while the running handlers go on.
async fn drive<W: Future<Output = ()>, T>(
    work: &mut FuturesUnordered<W>,
    other: impl Future<Output = T>,
) -> T {
    let mut other = pin!(other);
    loop {
        tokio::select! {
            biased;
            out = &mut other => return out,
            Some(()) = work.next(), if !work.is_empty() => {}
        }
    }
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
