//! Keeps all purses filled: one task that looks at the keepers, asks the ledgers in the bucket, and carries out what the
//! keepers plan.
//!
//! No call waits for it while things go well: purses are filled before they are empty. While the bus is away it goes on
//! trying, and what is held is all that is spent. At the end what is left is given back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bucket, Bus, Error, Kv};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use metrics::{counter, gauge};
use model::quota::clock::Now;
use model::quota::ledger::Ledger;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::book::{Book, Kept, lock};
use super::keeper::{Said, TICK_MS};
use super::steady;
use crate::snapshot::{Current, open};
use crate::telemetry;

/// When a message that has no answer is given up, in milliseconds.
const ANSWER_MS: u64 = 2_000;
/// How often one ask reads again because somebody else wrote first.
const TRIES: u32 = 8;
/// The longest pause after that, in milliseconds.
const JITTER_MS: u64 = 20;
/// Asks at a time. What is more waits for the next look.
const ASKS_MAX: usize = 64;
/// Between two looks that calls ask for, in milliseconds.
const LOOK_MS: u64 = 5;
/// How often the bus's clock is read, in milliseconds.
const CLOCK_MS: u64 = 15_000;
/// The same while it is not known or the bus does not answer, in milliseconds.
const CLOCK_AGAIN_MS: u64 = 500;
/// The bucket's key by which its clock is read. No limit's key is one word.
const CLOCK_KEY: &str = "clock";
/// How long what is left may take to be given back at the end, in milliseconds.
const LEAVE_MS: u64 = 5_000;
/// How often limits are shown as metrics, in milliseconds.
const SHOW_MS: u64 = 1_000;

/// Keeps purses filled until the last call is `served`, and gives back what is left.
pub(crate) async fn keep(
    bus: Bus,
    config: Current,
    book: Arc<Book>,
    served: CancellationToken,
) -> anyhow::Result<()> {
    let Some(kv) = open(&bus, Bucket::Quota, &served).await else { return Ok(()) };
    let hearing = clock(&kv, &book);
    let showing = show(&config, &book);
    tokio::select! {
        never = hearing => match never {},
        never = showing => match never {},
        () = fill(&kv, &book, &served) => {}
    }
    let all: Vec<_> = book.all().into_iter().chain(book.take_leaving()).collect();
    let leaving = stream::iter(all).for_each_concurrent(ASKS_MAX, |kept| leave(&kv, &book, kept));
    if timeout(Duration::from_millis(LEAVE_MS), leaving).await.is_err() {
        tracing::warn!("What was left of limits could not be given back in time; it counts as spent.");
    }
    Ok(())
}

/// Looks at the keepers, and asks for those that are due.
async fn fill(kv: &Kv, book: &Arc<Book>, served: &CancellationToken) {
    let mut tick = interval(Duration::from_millis(TICK_MS));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut asks, mut asking) = (FuturesUnordered::new(), HashSet::new());
    loop {
        tokio::select! {
            Some(key) = asks.next() => {
                asking.remove(&key);
                continue;
            }
            _ = tick.tick() => {}
            () = book.bell.notified() => sleep(Duration::from_millis(LOOK_MS)).await,
            () = served.cancelled() => return,
        }
        for kept in book.take_leaving() {
            asks.push(futures_util::future::Either::Left(left(kv, book, kept)));
        }
        let (now_ms, now) = (steady::now_ms(), book.now());
        for kept in book.all() {
            let is_due = {
                let mut keeper = lock(&kept.keeper);
                if keeper.is_idle() {
                    continue;
                }
                keeper.tick(now_ms, now.as_ref());
                let free = now.is_some() && asking.len() < ASKS_MAX && !asking.contains(&kept.key);
                free && keeper.is_due(now_ms, kept.is_told())
            };
            if is_due {
                asking.insert(kept.key.clone());
                asks.push(futures_util::future::Either::Right(asked(kv, book, kept)));
            }
        }
    }
}

async fn asked(kv: &Kv, book: &Book, kept: Arc<Kept>) -> String {
    ask(kv, book, &kept).await;
    kept.asked.notify_waiters();
    kept.key.clone()
}

async fn left(kv: &Kv, book: &Book, kept: Arc<Kept>) -> String {
    let key = kept.key.clone();
    leave(kv, book, kept).await;
    key
}

/// Asks a ledger: reads, plans, writes what is planned.
async fn ask(kv: &Kv, book: &Book, kept: &Kept) {
    counter!(telemetry::QUOTA_ASKS).increment(1);
    for _ in 0..TRIES {
        let Some((read, revision)) = look(kv, book, kept).await else { return };
        let Some(now) = book.now() else { return };
        let said = *lock(&kept.said);
        let Some(next) = plan(kept, read.as_ref(), said, &now) else { return kept.wrote(said) };
        match write(kv, book, kept, &next, revision).await {
            Some(true) => {
                kept.wrote(said);
                let now = book.now().unwrap_or(now);
                lock(&kept.keeper).landed(&next, &now);
                return;
            }
            Some(false) => sleep(Duration::from_millis(rand::random_range(0..=JITTER_MS))).await,
            // Whether it was written the next look will show.
            None => return,
        }
    }
}

/// What to write, with what the provider said of its own count.
fn plan(kept: &Kept, read: Option<&Ledger>, said: Option<Said>, now: &Now) -> Option<Ledger> {
    let mut keeper = lock(&kept.keeper);
    // First what is used, then what can be had of the rest.
    let observed = read.zip(said).and_then(|(ledger, said)| keeper.observe(ledger, said, now));
    let planned = keeper.plan(observed.as_ref().or(read), now).ok()?;
    planned.or(observed).filter(|next| read != Some(next))
}

/// Gives back what is left.
async fn leave(kv: &Kv, book: &Book, kept: Arc<Kept>) {
    for _ in 0..TRIES {
        if lock(&kept.keeper).is_idle() {
            return;
        }
        let Some((read, revision)) = look(kv, book, &kept).await else { return };
        let Some(now) = book.now() else { return };
        let Some(next) = lock(&kept.keeper).leave(read.as_ref(), &now) else { return };
        match write(kv, book, &kept, &next, revision).await {
            Some(false) => sleep(Duration::from_millis(rand::random_range(0..=JITTER_MS))).await,
            Some(true) | None => return,
        }
    }
}

async fn look(kv: &Kv, book: &Book, kept: &Kept) -> Option<(Option<Ledger>, u64)> {
    let read = timeout(Duration::from_millis(ANSWER_MS), kv.look::<Ledger>(&kept.key)).await;
    book.answers(matches!(read, Ok(Ok(_))));
    match read {
        Ok(Ok(read)) => Some(read),
        Ok(Err(error)) => {
            tracing::debug!(key = kept.key, %error, "A ledger cannot be read: {error}.");
            None
        }
        Err(_) => None,
    }
}

/// Whether it was written, or somebody else was first; nothing when that is not known.
async fn write(kv: &Kv, book: &Book, kept: &Kept, next: &Ledger, revision: u64) -> Option<bool> {
    let written = timeout(Duration::from_millis(ANSWER_MS), kv.update(&kept.key, next, revision)).await;
    let outcome = match written {
        Ok(Ok(_)) => Some(true),
        Ok(Err(Error::Conflict { .. })) => Some(false),
        Ok(Err(error)) => {
            tracing::debug!(key = kept.key, %error, "A ledger cannot be written: {error}.");
            None
        }
        Err(_) => None,
    };
    book.answers(outcome.is_some());
    outcome
}

/// Reads the bus's clock now and then.
async fn clock(kv: &Kv, book: &Book) -> std::convert::Infallible {
    loop {
        let asked_ms = steady::now_ms();
        let read = timeout(Duration::from_millis(ANSWER_MS), kv.clock(CLOCK_KEY)).await;
        let pause_ms = match read {
            Ok(Ok(at)) => {
                book.hear(asked_ms, steady::now_ms(), at);
                book.answers(true);
                book.ring();
                CLOCK_MS
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "The bus's clock cannot be read: {error}.");
                book.answers(false);
                CLOCK_AGAIN_MS
            }
            Err(_) => {
                book.answers(false);
                CLOCK_AGAIN_MS
            }
        };
        sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Shows what is left of limits, and lets go of those that no configuration has any more.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^53")]
async fn show(config: &Current, book: &Book) -> std::convert::Infallible {
    loop {
        tokio::time::sleep_until(Instant::now() + Duration::from_millis(SHOW_MS)).await;
        book.tidy();
        let Some(config) = config.get() else { continue };
        for integration in config.integrations.values() {
            let Some(limits) = &integration.limits else { continue };
            for (quota, kept) in limits.shared() {
                let labels = [("integration", integration.id.to_string()), ("quota", quota.name.clone())];
                gauge!(telemetry::QUOTA_LEFT, &labels).set(kept.purse.remaining().0 as f64);
                gauge!(telemetry::QUOTA_WAITING, &labels).set(kept.queue.len() as f64);
            }
        }
    }
}
