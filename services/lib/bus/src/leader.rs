//! Leadership: one holder at a time, by an entry that expires unless it is renewed.
//!
//! The entry is written with an expiry and the expected revision in one publish; the client's own
//! `create_with_ttl` and `update` forget the expiry. What a leader does must be guarded by its epoch where it
//! acts: this only says, by the monotonic clock, when to stop believing in oneself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::kv::Operation;
use async_nats::jetstream::message::PublishMessage;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::backoff;
use crate::connect::Bus;
use crate::consume::chain;
use crate::error::Error;
use crate::kv::Kv;
use crate::table::Bucket;

/// Part of the time to live in which a holder acts, in percent of it since the last confirmed renewal was *sent*.
const BELIEF_PERCENT: u32 = 70;
/// How often one who waits looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The shortest time to live: expiry is in whole seconds.
const TTL_MIN: Duration = Duration::from_secs(1);

/// A candidate for one name.
#[derive(Clone, Debug)]
pub struct Leadership {
    bus: Bus,
    name: String,
    ttl: Duration,
}

/// A time of leadership. It renews itself until it is dropped or resigned, or loses.
#[derive(Debug)]
pub struct Term {
    /// Grows with every new term, and never comes twice: the revision of the entry that began it.
    pub epoch: u64,
    belief: Arc<Belief>,
    ending: CancellationToken,
    renewing: Option<JoinHandle<()>>,
}

/// Until when a holder may act.
#[derive(Debug)]
struct Belief {
    until: Mutex<Instant>,
    lost: CancellationToken,
}

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    holder: String,
    /// Unique for each candidate's term, to recognise an entry whose confirmation was lost.
    term: String,
}

impl Bus {
    /// A candidate for leadership under this name (a key: letters, digits, `-`). `ttl` is rounded up to
    /// whole seconds; on clusters use 15 s or more, because an election there may take 10 s.
    pub fn lead(&self, name: &str, ttl: Duration) -> Leadership {
        let whole = if ttl.subsec_nanos() > 0 { ttl.as_secs() + 1 } else { ttl.as_secs() };
        Leadership { bus: self.clone(), name: name.to_owned(), ttl: Duration::from_secs(whole).max(TTL_MIN) }
    }
}

impl Leadership {
    /// Waits until this candidate leads. `None` when stopping came first.
    pub async fn acquire(&self, stopping: &CancellationToken) -> Option<Term> {
        let mut failures = 0_u32;
        loop {
            let pause = match stopping.run_until_cancelled(Box::pin(self.try_once())).await? {
                Ok(Some(term)) => return Some(term),
                Ok(None) => {
                    failures = 0;
                    LOOK_EVERY.mul_f64(0.75 + 0.5 * rand::random::<f64>())
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    debug!(name = self.name, error = %chain(&error), "Cannot look who leads; trying again.");
                    backoff::REOPEN.after(failures)
                }
            };
            stopping.run_until_cancelled(tokio::time::sleep(pause)).await?;
        }
    }

    /// Takes the lead when nobody has it now.
    ///
    /// # Errors
    /// When the bucket cannot be read or written.
    pub async fn try_once(&self) -> Result<Option<Term>, Error> {
        let kv = self.bus.bucket(Bucket::Leader).await?;
        let last = match kv.raw(&self.name).await? {
            Some(entry) if entry.operation == Operation::Put => return Ok(None),
            Some(entry) => entry.revision,
            None => 0,
        };
        let holder =
            Holder { holder: self.bus.source().to_owned(), term: format!("{:032x}", rand::random::<u128>()) };
        let lease = Lease { kv, name: self.name.clone(), ttl: self.ttl, holder };
        let sent = Instant::now();
        let epoch = match lease.write(last).await {
            Ok(revision) => revision,
            Err(Error::Conflict { .. }) => return Ok(None),
            Err(error) => {
                // It may have been written: then it is ours, and this term may begin from when it was sent.
                match lease.ours().await? {
                    Some(revision) => revision,
                    None => return Err(error),
                }
            }
        };
        let belief =
            Arc::new(Belief { until: Mutex::new(sent + lease.trust()), lost: CancellationToken::new() });
        let ending = CancellationToken::new();
        info!(name = self.name, epoch, "This process leads {} in epoch {epoch}.", self.name);
        let renewing = tokio::spawn(renew(lease, epoch, Arc::clone(&belief), ending.clone()));
        Ok(Some(Term { epoch, belief, ending, renewing: Some(renewing) }))
    }
}

struct Lease {
    kv: Kv,
    name: String,
    ttl: Duration,
    holder: Holder,
}

impl Lease {
    fn trust(&self) -> Duration {
        self.ttl * BELIEF_PERCENT / 100
    }

    async fn write(&self, last: u64) -> Result<u64, Error> {
        let what = || format!("the lease `{}`", self.name);
        let body = serde_json::to_vec(&self.holder).map_err(|source| Error::Json { what: what(), source })?;
        let message =
            PublishMessage::build().payload(body.into()).ttl(self.ttl).expected_last_subject_sequence(last);
        self.kv.write(&self.name, message).await
    }

    /// The revision of the entry when it is of this very term.
    async fn ours(&self) -> Result<Option<u64>, Error> {
        let entry = self.kv.get::<Holder>(&self.name).await?;
        Ok(entry.filter(|entry| entry.value.term == self.holder.term).map(|entry| entry.revision))
    }

    async fn give_up(&self, revision: u64) {
        if let Err(error) = self.kv.store.delete_expect_revision(&self.name, Some(revision)).await {
            debug!(name = self.name, %error, "A lease could not be given back; it expires by itself.");
        }
    }
}

/// Renews every third of the time to live, until told to end or the lease is someone else's.
async fn renew(lease: Lease, mut last: u64, belief: Arc<Belief>, ending: CancellationToken) {
    let third = lease.ttl / 3;
    let mut pause = third;
    loop {
        if ending.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            belief.lost.cancel();
            lease.give_up(last).await;
            return;
        }
        pause = third;
        let sent = Instant::now();
        match lease.write(last).await {
            Ok(revision) => {
                last = revision;
                belief.extend(sent + lease.trust());
            }
            Err(Error::Conflict { .. }) => match lease.ours().await {
                // An earlier renewal was stored and its confirmation lost.
                Ok(Some(revision)) => (last, pause) = (revision, Duration::ZERO),
                Ok(None) => {
                    warn!(name = lease.name, "The lead of {} is lost to another.", lease.name);
                    belief.lost.cancel();
                    return;
                }
                Err(error) => debug!(name = lease.name, error = %chain(&error), "A lease could not be read."),
            },
            Err(error) => {
                debug!(name = lease.name, error = %chain(&error), "A lease could not be renewed; trying again.");
            }
        }
        if !belief.holds() {
            warn!(name = lease.name, "The lead of {} ran out.", lease.name);
            belief.lost.cancel();
            lease.give_up(last).await;
            return;
        }
    }
}

impl Belief {
    fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extend(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn holds(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < self.until()
    }
}

impl Term {
    /// Whether this process may act as leader at this very moment. Ask right before each act.
    pub fn valid(&self) -> bool {
        self.belief.holds()
    }

    /// Waits until this term is over.
    pub async fn lost(&self) {
        while self.valid() {
            let until = self.belief.until();
            tokio::select! {
                () = self.belief.lost.cancelled() => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// Gives the lead back, so that the next one need not wait for the expiry.
    pub async fn resign(mut self) {
        self.ending.cancel();
        if let Some(renewing) = self.renewing.take() {
            // It ends by itself; a panic there has been reported already.
            let _ = renewing.await;
        }
    }
}

impl Drop for Term {
    /// Stops renewing and gives the lead back in the background.
    fn drop(&mut self) {
        self.ending.cancel();
    }
}
