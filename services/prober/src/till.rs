//! Pays for questions out of the ledgers of their limits, in the `quota` bucket, by compare-and-set; and sees there whether
//! a provider wants calls at all.
//!
//! No lease is held: a question comes seldom, and what it does not take is the callers'. It is asked only after it was
//! paid; one that was paid and never sent is lost, as a call of a gateway that crashed is.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::{Bucket, Bus, Error, Kv};
use model::Timestamp;
use model::health::Reason;
use model::quota::clock::{Clock, Now};
use model::quota::ledger::Ledger;
use model::quota::pause::Paused;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::dues::Due;

/// How long one payment may take, in milliseconds.
const PAY_MS: u64 = 5_000;
/// How long it may take to see whether a provider wants calls, in milliseconds.
const LOOK_MS: u64 = 500;
/// How often one limit is read again because somebody else wrote first.
const TRIES: u32 = 12;
/// The longest pause after that, in milliseconds.
const JITTER_MS: u64 = 20;
/// For how long the bus's clock is carried on by our own before it is read again, in milliseconds.
const CLOCK_MS: u64 = 15_000;
/// The bucket's key by which its clock is read. No limit's key is one word.
const CLOCK_KEY: &str = "clock";
/// How far from the bounds of a calendar window a question stays, in milliseconds: the provider's clock and the way to it
/// may differ by so much.
const GUARD_MS: u64 = 250;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Paid {
    /// All is paid.
    Yes,
    /// Nothing is left of this limit.
    Nothing(String),
    /// The ledgers do not answer, or it is not certain which window it is.
    Unknown,
}

/// Where questions are paid.
pub(crate) struct Till {
    bus: Bus,
    kv: OnceCell<Kv>,
    began: Instant,
    clock: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    clock: Clock,
    /// When the bus was heard last, on our own clock.
    at_ms: Option<u64>,
}

/// What one step came to.
enum Step {
    Paid,
    Nothing,
    Again,
    Unknown,
}

impl Till {
    /// At a bus.
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus, kv: OnceCell::new(), began: Instant::now(), clock: Mutex::default() }
    }

    /// Pays, or takes nothing: all limits are looked at before the first is paid. Between the two another may have taken
    /// what was left; then what was paid already is lost.
    pub(crate) async fn pay(&self, dues: &[Due]) -> Paid {
        if dues.is_empty() {
            return Paid::Yes;
        }
        timeout(Duration::from_millis(PAY_MS), self.pay_all(dues)).await.unwrap_or(Paid::Unknown)
    }

    /// Why the provider wants no calls, and for how many milliseconds: as gateways wrote it down that were refused. Nothing
    /// when it wants them, or nobody knows.
    pub(crate) async fn paused(&self, key: &str) -> Option<(Reason, u64)> {
        let look = async {
            let kv = self.kv.get_or_try_init(|| self.bus.bucket(Bucket::Quota)).await.ok()?;
            let paused = kv.get::<Paused>(key).await.ok()??.value;
            let left_ms = paused.left_ms(self.now(kv).await?.earliest);
            (left_ms > 0).then_some((paused.reason, left_ms))
        };
        timeout(Duration::from_millis(LOOK_MS), look).await.ok()?
    }

    async fn pay_all(&self, dues: &[Due]) -> Paid {
        let opened = self.kv.get_or_try_init(|| self.bus.bucket(Bucket::Quota)).await;
        let Ok(kv) = opened else { return Paid::Unknown };
        for is_look in [true, false] {
            for due in dues {
                match self.settle(kv, due, is_look).await {
                    Step::Paid => {}
                    Step::Nothing => return Paid::Nothing(due.name.clone()),
                    Step::Again | Step::Unknown => return Paid::Unknown,
                }
            }
        }
        Paid::Yes
    }

    /// One limit: looked at, or paid.
    async fn settle(&self, kv: &Kv, due: &Due, is_look: bool) -> Step {
        for _ in 0..TRIES {
            match self.step(kv, due, is_look).await {
                Step::Again => sleep(Duration::from_millis(rand::random_range(0..=JITTER_MS))).await,
                step => return step,
            }
        }
        Step::Again
    }

    async fn step(&self, kv: &Kv, due: &Due, is_look: bool) -> Step {
        let Some(now) = self.now(kv).await else { return Step::Unknown };
        match Ledger::certain_at(&due.limit, &now, GUARD_MS) {
            Ok(None) => {}
            Ok(Some(at)) => {
                let wait = at.saturating_sub(now.earliest.as_millis());
                sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
                return Step::Again;
            }
            Err(_) => {
                sleep(Duration::from_millis(GUARD_MS)).await;
                return Step::Again;
            }
        }
        let Ok((read, revision)) = kv.look::<Ledger>(&due.key).await else { return Step::Unknown };
        let next = match Ledger::pay(read.as_ref(), &due.limit, due.units, &now) {
            Ok(Some(next)) => next,
            Ok(None) => return Step::Nothing,
            Err(_) => return Step::Unknown,
        };
        if is_look {
            return Step::Paid;
        }
        match kv.update(&due.key, &next, revision).await {
            Ok(_) => Step::Paid,
            Err(Error::Conflict { .. }) => Step::Again,
            // It may be written: then it is paid for nothing.
            Err(_) => Step::Unknown,
        }
    }

    /// The time by the bus's clock.
    async fn now(&self, kv: &Kv) -> Option<Now> {
        let asked_ms = self.steady_ms();
        let is_old = self.heard().at_ms.is_none_or(|at| asked_ms.saturating_sub(at) >= CLOCK_MS);
        if is_old && let Ok(bus) = kv.clock(CLOCK_KEY).await {
            let received_ms = self.steady_ms();
            let mut heard = self.heard();
            heard.clock.hear(asked_ms, received_ms, bus, Timestamp::now());
            heard.at_ms = Some(received_ms);
        }
        self.heard().clock.read(self.steady_ms(), Timestamp::now())
    }

    fn steady_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
