//! The one loop of every consumer: pull, handle, settle.
//!
//! It pulls exactly as many messages as there are free workers, so that none waits in memory while its time
//! runs. A pull that misses heartbeats, ends oddly, or is older than the connection is opened again. A handler
//! may see an event twice. A handler that panics makes a retry, and a dead letter when it does so again and again.

mod batches;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, AckKind};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::connect::Bus;
use crate::declare::consumer_config;
use crate::error::{Error, Source};
use crate::message::{Delivered, Message};
use crate::pull::{Pull, Pulled};
use crate::table::Durable;
use crate::{backoff, dead, telemetry};

pub use batches::Batches;

/// Workers of one consumer in one process unless said otherwise.
const CONCURRENCY: usize = 1;
/// The most workers of one consumer in one process.
const CONCURRENCY_MAX: usize = 256;
/// Failures in a row that are not worth a warning: a server that restarts causes some.
const QUIET_FAILURES: u32 = 3;
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
    line: Line,
    handler: H,
    concurrency: usize,
}

/// A durable consumer as one process sees it.
struct Line {
    bus: Bus,
    durable: &'static Durable,
}

impl Bus {
    /// Handles the messages of a durable consumer of the table, one at a time unless
    /// [`Consumer::concurrency`] says otherwise.
    pub fn consume<H, F>(&self, durable: &'static Durable, handler: H) -> Consumer<H>
    where
        H: Fn(Message) -> F + Send + Sync,
        F: Future<Output = Outcome> + Send,
    {
        Consumer { line: Line { bus: self.clone(), durable }, handler, concurrency: CONCURRENCY }
    }
}

/// Why pulling ended.
enum Ended {
    /// The pull is no longer to be trusted, and why.
    Broken(String),
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
        while !stopping.is_cancelled() {
            let why = match drive(&mut work, stopping.run_until_cancelled(Box::pin(self.line.open()))).await {
                None => break,
                Some(Ok(mut pull)) => {
                    self.pump(&mut pull, &mut work, &mut failures, &stopping, |message| {
                        self.process(message, &give_up)
                    })
                    .await
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

    /// Pulls and handles until the process stops or the pull breaks. Asks only for
    /// what free workers can begin at once.
    async fn pump<W: Future<Output = ()>>(
        &self,
        pull: &mut Pull,
        work: &mut FuturesUnordered<W>,
        failures: &mut u32,
        stopping: &CancellationToken,
        begin: impl Fn(jetstream::Message) -> W,
    ) -> Ended {
        let generation = self.line.bus.link().borrow().generation;
        loop {
            while work.len() >= self.concurrency {
                work.next().await;
            }
            if stopping.is_cancelled() {
                return Ended::Stopping;
            }
            if let Err(error) = pull.ask(self.concurrency - work.len()).await {
                return Ended::Broken(chain(&*error));
            }
            loop {
                let pulled = drive(work, self.line.next(pull, generation, stopping)).await;
                match pulled {
                    None => {
                        while let Some(message) = pull.unseen() {
                            acknowledge(&message, AckKind::Nak(None)).await;
                        }
                        return Ended::Stopping;
                    }
                    Some(Pulled::Message(message)) => {
                        *failures = 0;
                        work.push(begin(*message));
                    }
                    Some(Pulled::Spent) => break,
                    Some(Pulled::Broken(why)) => return Ended::Broken(why),
                }
            }
        }
    }

    async fn process(&self, message: jetstream::Message, give_up: &CancellationToken) {
        let Some(delivered) = Delivered::of(&message) else {
            error!(
                consumer = self.line.durable.name,
                "A message without a JetStream reply subject was ignored."
            );
            return;
        };
        if delivered.attempt > 1 {
            telemetry::redelivered(self.line.durable.name);
        }
        let outcome = match delivered.read(&message) {
            Ok(event) => self.handle(event, &message, delivered.attempt, give_up).await,
            Err(malformed) => Some(Outcome::Reject(malformed.to_string())),
        };
        self.line.settle(&message, &delivered, outcome).await;
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
        let third = self.line.durable.ack_wait / 3;
        loop {
            tokio::select! {
                biased;
                ended = &mut running => return Some(match ended {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        error!(consumer = self.line.durable.name, attempt, "A handler panicked.");
                        if attempt >= PANICS_MAX { Outcome::Reject("its handler panicked".to_owned()) } else { Outcome::Retry }
                    }
                }),
                () = give_up.cancelled() => return None,
                () = tokio::time::sleep(third) => acknowledge(message, AckKind::Progress).await,
            }
        }
    }
}

impl Line {
    /// An inbox for the consumer on the server, which is made again when it is gone.
    async fn open(&self) -> Result<Pull, Source> {
        let Durable { name, stream, .. } = *self.durable;
        let there: Result<PullConsumer, _> = self.bus.js.get_consumer_from_stream(name, stream).await;
        let consumer = match there {
            Ok(consumer) => consumer,
            Err(_) => self.bus.js.create_consumer_on_stream(consumer_config(self.durable), stream).await?,
        };
        Pull::open(&self.bus, consumer).await
    }

    /// What the pull says next. `None` when the process stops.
    async fn next(&self, pull: &mut Pull, generation: u64, stopping: &CancellationToken) -> Option<Pulled> {
        let mut link = self.bus.link();
        let reconnected = link.wait_for(|link| link.generation != generation);
        tokio::select! {
            biased;
            () = stopping.cancelled() => None,
            pulled = pull.next() => Some(pulled),
            _ = reconnected => Some(Pulled::Broken("the connection is another".to_owned())),
        }
    }

    /// Says that a pull broke, and waits a while before the next one.
    async fn pause<W: Future<Output = ()>>(
        &self,
        why: &str,
        failures: u32,
        work: &mut FuturesUnordered<W>,
        stopping: &CancellationToken,
    ) {
        let consumer = self.durable.name;
        if failures > QUIET_FAILURES {
            warn!(consumer, failures, why, "A consumer cannot pull; trying again.");
        } else {
            debug!(consumer, failures, why, "A pull broke; opening it again.");
        }
        let pause = tokio::time::sleep(backoff::REOPEN.after(failures));
        drive(work, stopping.run_until_cancelled(pause)).await;
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
