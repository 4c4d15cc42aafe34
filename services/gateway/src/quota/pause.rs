//! Pauses: a provider that names when it wants calls again gets none until then, of no gateway.
//!
//! Whoever is refused tells the others in the `quota` bucket, where those find it too that start later. It belongs to the
//! credential where one of the integration's limits does, else to the integration, and to this version of its key: a new key
//! is tried at once, and so is an integration that was disabled. A call reads one atomic number. Nothing waits for the bus: without
//! it the pause holds here, and is told when the bus is back. What no time is named for is no pause, but for a ban and for
//! what is under a limit: that waits a little, by a guess, and nobody is told.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{Bucket, Bus, Change, Error, Kv};
use futures_util::StreamExt;
use model::health::Reason;
use model::quota::clock::Now;
use model::quota::pause::{self, PAUSE_MS_MAX, Paused};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::book::{Book, lock};
use super::steady;
use crate::snapshot::open;

/// How long a ban lasts whose end nobody names, in milliseconds: whoever asks meanwhile may make it longer.
const BAN_MS: u64 = 60_000;
/// How long nothing under a limit is sent after a refusal that does not say how long, in milliseconds.
const GUESS_MS: u64 = 1_000;
/// What is shorter is over before it is told, in milliseconds. By so much may others be off.
const TOLD_MS_MIN: u64 = 1_000;
/// Pauses that are kept of others for which there is no integration here, or none yet.
const PAUSES_MAX: usize = 4_096;
/// When a message that has no answer is given up, in milliseconds.
const ANSWER_MS: u64 = 2_000;
/// How soon a pause is told again that was not confirmed, and how soon the bus's clock is looked at again, in milliseconds.
const AGAIN_MS: u64 = 500;
/// How often one write is tried because somebody else wrote first.
const TRIES: u32 = 4;

/// All pauses that this gateway knows of.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// By their keys in the bucket.
    all: Mutex<BTreeMap<String, Arc<Pause>>>,
    /// Rung when there is one to be told.
    bell: Arc<Notify>,
}

/// Whether a provider wants calls, for those who share a limit there.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// Until when it wants none, on the steady clock; 0: it wants them.
    until_ms: AtomicU64,
    /// The same, where it is a ban.
    banned_ms: AtomicU64,
    /// Until when what is under a limit waits, after a refusal that named no time. Known here alone: it is a guess.
    guessed_ms: AtomicU64,
    /// Until when all gateways know of it.
    told_ms: AtomicU64,
    bell: Arc<Notify>,
}

// === impl Pauses ===

impl Pauses {
    /// The pause of this key; one of nobody else's where there is none.
    pub(crate) fn of(&self, key: Option<String>) -> Arc<Pause> {
        let new = || Arc::new(Pause { bell: self.bell.clone(), ..Pause::default() });
        match key {
            Some(key) => lock(&self.all).entry(key).or_insert_with(new).clone(),
            None => new(),
        }
    }

    /// Takes what another gateway was told.
    fn hear(&self, key: String, paused: &Paused, now: &Now) {
        let left_ms = paused.left_ms(now.earliest);
        let mut all = lock(&self.all);
        if left_ms == 0 || (all.len() >= PAUSES_MAX && !all.contains_key(&key)) {
            return;
        }
        let new = || Arc::new(Pause { bell: self.bell.clone(), ..Pause::default() });
        let pause = all.entry(key).or_insert_with(new);
        let until_ms = now.steady_ms.saturating_add(left_ms);
        pause.told_ms.fetch_max(until_ms, Relaxed);
        pause.set(paused.reason, until_ms);
    }

    /// What is to be told now: the key, why, and for how long.
    fn untold(&self, now_ms: u64) -> Vec<(String, Arc<Pause>)> {
        let mut all = lock(&self.all);
        // Whoever is configured holds his.
        all.retain(|_, pause| Arc::strong_count(pause) > 1 || pause.left_ms(now_ms) > 0);
        let untold = all.iter().filter(|(_, pause)| pause.is_untold(now_ms));
        untold.map(|(key, pause)| (key.clone(), pause.clone())).collect()
    }
}

// === impl Pause ===

impl Pause {
    /// Takes what an answer says. Whether the provider named a time until which it wants no calls.
    pub(crate) fn saw(&self, reason: Option<Reason>, wait: Option<Duration>) -> bool {
        let Some((reason, wait_ms)) = reason.and_then(|reason| Some((reason, wanted_ms(reason, wait)?)))
        else {
            return false;
        };
        let now_ms = steady::now_ms();
        self.set(reason, now_ms.saturating_add(wait_ms));
        if self.is_untold(now_ms) {
            self.bell.notify_one();
        }
        true
    }

    /// Takes a refusal of a call under a limit for which no time was named: what is under limits waits for as long as the
    /// provider usually means, or a moment.
    pub(crate) fn guess(&self, reason: Reason, wait: Option<Duration>) {
        if !matches!(reason, Reason::ThrottledBurst | Reason::QuotaExhausted | Reason::Banned) {
            return;
        }
        let wait_ms = wait.map_or(GUESS_MS, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let until_ms = steady::now_ms().saturating_add(wait_ms.clamp(1, PAUSE_MS_MAX));
        self.guessed_ms.fetch_max(until_ms, Relaxed);
    }

    /// For how long the provider wants no calls; nothing when it wants them.
    pub(crate) fn left(&self) -> Option<Duration> {
        left(&self.until_ms)
    }

    /// The same, for what is under a limit: a guess counts as well.
    pub(crate) fn left_of_limits(&self) -> Option<Duration> {
        self.left().max(left(&self.guessed_ms))
    }

    /// For how long it bans us.
    pub(crate) fn banned(&self) -> Option<Duration> {
        left(&self.banned_ms)
    }

    /// It is tried again all the same.
    pub(crate) fn lift(&self) {
        self.until_ms.store(0, Relaxed);
        self.banned_ms.store(0, Relaxed);
        self.guessed_ms.store(0, Relaxed);
    }

    fn set(&self, reason: Reason, until_ms: u64) {
        self.until_ms.fetch_max(until_ms, Relaxed);
        if reason == Reason::Banned {
            self.banned_ms.fetch_max(until_ms, Relaxed);
        }
    }

    fn left_ms(&self, now_ms: u64) -> u64 {
        self.until_ms.load(Relaxed).saturating_sub(now_ms)
    }

    /// Whether others would call for long.
    fn is_untold(&self, now_ms: u64) -> bool {
        let until_ms = self.until_ms.load(Relaxed);
        let known_ms = self.told_ms.load(Relaxed).max(now_ms);
        until_ms >= known_ms.saturating_add(TOLD_MS_MIN)
    }

    fn reason(&self, now_ms: u64) -> Reason {
        let is_ban = self.banned_ms.load(Relaxed) > now_ms;
        if is_ban { Reason::Banned } else { Reason::ThrottledBurst }
    }
}

fn left(until_ms: &AtomicU64) -> Option<Duration> {
    let until = until_ms.load(Relaxed);
    if until == 0 {
        return None;
    }
    let left_ms = until.saturating_sub(steady::now_ms());
    if left_ms == 0 {
        // From now on nobody looks at the clock. Whoever was refused meanwhile is not forgotten.
        until_ms.compare_exchange(until, 0, Relaxed, Relaxed).ok();
        return None;
    }
    Some(Duration::from_millis(left_ms))
}

/// For how long a refusal wants no calls, in milliseconds.
fn wanted_ms(reason: Reason, wait: Option<Duration>) -> Option<u64> {
    let named = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)).filter(|ms| *ms > 0);
    let wait_ms = match reason {
        Reason::ThrottledBurst | Reason::QuotaExhausted => named?,
        Reason::Banned => named.unwrap_or(BAN_MS),
        _ => return None,
    };
    Some(wait_ms.min(PAUSE_MS_MAX))
}

/// Tells the others and hears them, until `stopping`. `name` is this gateway's.
pub(crate) async fn share(
    bus: Bus,
    name: String,
    book: Arc<Book>,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let Some(kv) = open(&bus, Bucket::Quota, &stopping).await else { return Ok(()) };
    let mut changes = kv.watch_below::<Paused>(pause::BELOW);
    let pauses = &book.pauses;
    loop {
        let change = tokio::select! {
            change = changes.next() => change,
            () = told(&kv, &name, &book) => continue,
            () = stopping.cancelled() => return Ok(()),
        };
        match change {
            // What was told here lasts as long as the provider said, and not by the bus's clock.
            Some(Change::Put { value, .. }) if value.by == name => {}
            Some(Change::Put { key, value, .. }) => {
                let Some(now) = stopping.run_until_cancelled(time(&book)).await else { return Ok(()) };
                pauses.hear(key, &value, &now);
            }
            // It ends by itself.
            Some(Change::Deleted { .. }) => {}
            None => anyhow::bail!("the watch of pauses ended"),
        }
    }
}

/// The time, as soon as it is known.
async fn time(book: &Book) -> Now {
    loop {
        if let Some(now) = book.now() {
            return now;
        }
        sleep(Duration::from_millis(AGAIN_MS / 10)).await;
    }
}

/// Waits until there is a pause to be told, and tells all of them. Given up half-way it begins again.
async fn told(kv: &Kv, name: &str, book: &Book) {
    let pauses = &book.pauses;
    let mut untold = pauses.untold(steady::now_ms());
    if untold.is_empty() {
        pauses.bell.notified().await;
        untold = pauses.untold(steady::now_ms());
    }
    for (key, pause) in untold {
        if !tell(kv, name, book, &key, &pause).await {
            sleep(Duration::from_millis(AGAIN_MS)).await;
        }
    }
}

/// Writes a pause. Whether it is there.
async fn tell(kv: &Kv, name: &str, book: &Book, key: &str, pause: &Pause) -> bool {
    for _ in 0..TRIES {
        let look = timeout(Duration::from_millis(ANSWER_MS), kv.look::<Paused>(key)).await;
        let (Ok(Ok((known, revision))), Some(now)) = (look, book.now()) else { return false };
        let (until_ms, wait_ms) = (pause.until_ms.load(Relaxed), pause.left_ms(now.steady_ms));
        let known_ms = known.map_or(0, |known| known.left_ms(now.latest));
        if wait_ms < known_ms.saturating_add(TOLD_MS_MIN) {
            // Somebody said so already, or it is over.
            pause.told_ms.fetch_max(until_ms, Relaxed);
            return true;
        }
        let lasts = Duration::from_millis(wait_ms);
        let until = now.latest.as_millis().saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX));
        let paused = Paused {
            reason: pause.reason(now.steady_ms),
            until: model::Timestamp::from_millis(until),
            wait_ms,
            by: name.to_owned(),
        };
        let write = kv.update_for(key, &paused, revision, lasts);
        match timeout(Duration::from_millis(ANSWER_MS), write).await {
            Ok(Ok(_)) => {
                pause.told_ms.fetch_max(until_ms, Relaxed);
                return true;
            }
            Ok(Err(Error::Conflict { .. })) => {}
            Ok(Err(error)) => {
                tracing::debug!(key, %error, "A pause cannot be told: {error}.");
                return false;
            }
            Err(_) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_must_be_named_and_is_not_believed_for_ever() {
        let secs = Duration::from_secs;
        for (reason, wait, wanted) in [
            (Reason::ThrottledBurst, Some(secs(30)), Some(30_000)),
            (Reason::ThrottledBurst, None, None),
            (Reason::ThrottledBurst, Some(secs(0)), None),
            (Reason::QuotaExhausted, Some(secs(31 * 86_400)), Some(PAUSE_MS_MAX)),
            (Reason::QuotaExhausted, None, None),
            (Reason::Banned, Some(Duration::MAX), Some(PAUSE_MS_MAX)),
            (Reason::Banned, None, Some(BAN_MS)),
            (Reason::UpstreamError, Some(secs(30)), None),
            (Reason::Maintenance, Some(secs(30)), None),
        ] {
            assert_eq!(wanted_ms(reason, wait), wanted, "{reason:?} {wait:?}");
        }
    }

    #[test]
    fn by_a_guess_only_what_is_under_a_limit_waits() {
        let secs = |pause: &Pause| pause.left_of_limits().map(|left| left.as_secs_f64().ceil());
        for (reason, wait, wanted) in [
            (Reason::ThrottledBurst, None, Some(1.0)),
            (Reason::QuotaExhausted, Some(Duration::from_secs(60)), Some(60.0)),
            (Reason::ThrottledBurst, Some(Duration::MAX), Some(3_600.0)),
            (Reason::UpstreamError, Some(Duration::from_secs(60)), None),
        ] {
            let pause = Pause::default();
            pause.guess(reason, wait);
            assert_eq!((pause.left(), secs(&pause)), (None, wanted), "{reason:?} {wait:?}");
            assert!(!pause.is_untold(steady::now_ms()));
            pause.lift();
            assert_eq!(secs(&pause), None);
        }
        let pause = Pause::default();
        pause.guess(Reason::ThrottledBurst, None);
        pause.saw(Some(Reason::ThrottledBurst), Some(Duration::from_secs(30)));
        assert_eq!(secs(&pause), Some(30.0), "the longer of both");
    }

    #[test]
    fn it_is_told_once_and_what_others_say_is_not_told_again() {
        let pauses = Pauses::default();
        let key = || Some("a".to_owned());
        let mine = pauses.of(key());
        assert!(mine.left().is_none());
        assert!(mine.saw(Some(Reason::ThrottledBurst), Some(Duration::from_secs(30))));
        let now_ms = steady::now_ms();
        assert_eq!(pauses.untold(now_ms).len(), 1);
        mine.told_ms.store(mine.until_ms.load(Relaxed), Relaxed);
        assert!(mine.saw(Some(Reason::ThrottledBurst), Some(Duration::from_secs(30))));
        assert!(pauses.untold(now_ms).is_empty(), "the others know that");
        assert!(!mine.saw(None, None) && mine.left().is_some(), "who is answered late says nothing of it");
        mine.lift();
        assert!(mine.left().is_none());

        let at = model::Timestamp::from_millis(1_000_000);
        let now = Now::exactly(at, now_ms);
        let until = model::Timestamp::from_millis(1_000_000 + 90_000);
        let paused = Paused { reason: Reason::Banned, until, wait_ms: 90_000, by: "other".to_owned() };
        pauses.hear("b".to_owned(), &paused, &now);
        assert!(pauses.untold(now_ms).is_empty());
        let theirs = pauses.of(Some("b".to_owned()));
        assert!(theirs.banned().is_some_and(|left| left > Duration::from_secs(80)));
        drop(theirs);
        pauses.untold(now_ms + 100_000);
        assert!(pauses.of(Some("b".to_owned())).left().is_none(), "what is over and nobody's is forgotten");
    }
}
