//! Leaves an integration alone that fails, and asks it again with care. Pure: time and chance are arguments.
//!
//! Opens after [`ROW`] failures in a row, or where half of at least [`SAMPLES`] calls failed within [`WINDOW_SECS`]
//! seconds; counting begins with a failure, so that a working integration costs nothing. Open lasts 30 s, twice as long
//! the second time, up to five minutes. Then one call goes there and, if it is answered, a tenth, a quarter and half of
//! the calls for a second each. An integration whose answer named the time of the next call is blocked until then.
//!
//! It says how an integration stands and forbids nothing: `choose` asks one that is open when nobody else is left, and
//! a call to the integration itself (`/p/…`) goes there whatever this says. What forbids is a pause (`quota::pause`).

mod gate;

use std::time::{Duration, Instant};

use model::health::Reason;

pub(crate) use gate::{Gate, Permit};

/// Failures in a row that open it.
const ROW: u32 = 5;
/// The same while it is given its calls back.
const ROW_WARMING: u32 = 2;
/// Calls of which half must have failed, and the seconds that count.
const SAMPLES: u32 = 20;
const WINDOW_SECS: usize = 10;
/// How long it is open the first time, and the longest, in seconds.
const OPEN_SECS: u32 = 30;
const OPEN_SECS_MAX: u32 = 300;
/// The part of a time that chance adds or takes off, in percent.
const JITTER_PERCENT: u32 = 10;
/// The parts of the calls that it gets one after the other, in percent, and for how long each, in milliseconds.
const SHARES: [u32; 3] = [10, 25, 50];
const SHARE_MS: u64 = 1_000;
/// A probe that nobody waits for any more was a failure after this time, in milliseconds.
const PROBE_MS: u64 = 2_000;
/// How long nothing is sent where the provider names no time, in seconds: the first time, and the longest.
const THROTTLED_SECS: (u64, u64) = (1, 60);
const USED_UP_SECS: (u64, u64) = (60, 3_600);
/// The longest that a provider is believed, in seconds. It is asked again then.
const BLOCK_SECS_MAX: u64 = 3_600;

/// What a call says of an integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It answered; perhaps that the caller is wrong.
    Good,
    /// It failed.
    Bad,
    /// It wants no calls, for so long if it said so.
    Wait(Reason, Option<Duration>),
    /// Nothing: it saw no call.
    Nothing,
}

/// How an integration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Calls may go there.
    Sure,
    /// One call may go there, to try it.
    Due,
    /// It gets no calls now.
    Shut(Shut),
}

/// Why an integration gets no calls, and until when at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shut {
    /// It is being tried, or given its calls back.
    pub(crate) recovers: bool,
    /// What the provider refuses calls for, and whether it named the end.
    pub(crate) refused: Option<(Reason, bool)>,
    pub(crate) until: Instant,
}

/// The machine.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    state: State,
    /// How often it opened without having been well in between.
    times: u32,
    closed_at: Option<Instant>,
    failed_at: Option<Instant>,
    block: Option<Block>,
    /// Refusals in a row without a time.
    unnamed: u32,
}

#[derive(Clone, Debug)]
enum State {
    Closed(Count),
    Open { since: Instant, until: Instant },
    Probing { since: Instant },
    Warming { since: Instant, count: Count },
}

#[derive(Clone, Copy, Debug)]
struct Block {
    reason: Reason,
    named: bool,
    since: Instant,
    until: Instant,
}

/// What is counted to decide. Empty while nothing failed.
#[derive(Clone, Debug, Default)]
struct Count {
    row: u32,
    /// The second, since the first failure, that the last cell belongs to.
    start: Option<Instant>,
    second: u64,
    cells: [(u32, u32); WINDOW_SECS],
}

impl Outcome {
    /// What an attempt says that ended so.
    pub(crate) const fn of(reason: Option<Reason>, retry_after: Option<Duration>) -> Self {
        let Some(reason) = reason else { return Self::Good };
        match reason {
            Reason::Unreachable
            | Reason::Timeout
            | Reason::UpstreamError
            | Reason::BadCredentials
            | Reason::Maintenance => Self::Bad,
            Reason::ThrottledBurst | Reason::QuotaExhausted | Reason::Banned => {
                Self::Wait(reason, retry_after)
            }
            Reason::TargetRefused | Reason::KeyExpired | Reason::KeyRevoked | Reason::KeyUnavailable => {
                Self::Nothing
            }
            Reason::Slow
            | Reason::MoreErrors
            | Reason::Forbidden
            | Reason::ClockSkew
            | Reason::BadRequest
            | Reason::Restricted
            | Reason::Stale => Self::Good,
        }
    }
}

// === impl Block ===

impl Block {
    /// Whether somebody else saw it take calls again. Only of a burst that says it all: a quota or a ban may let a
    /// question pass and no call.
    fn is_over(&self, well: Option<Instant>) -> bool {
        self.reason == Reason::ThrottledBurst && well.is_some_and(|well| well > self.since)
    }
}

// === impl Breaker ===

impl Breaker {
    /// Closed.
    pub(crate) fn new() -> Self {
        let state = State::Closed(Count::default());
        Self { state, times: 0, closed_at: None, failed_at: None, block: None, unnamed: 0 }
    }

    /// How it stands. `dice` is below 1; `well` when somebody else last saw it recover.
    pub(crate) fn standing(&self, now: Instant, dice: f64, well: Option<Instant>) -> Standing {
        if let Some(block) = self.block.filter(|block| now < block.until && !block.is_over(well)) {
            let refused = Some((block.reason, block.named));
            return Standing::Shut(Shut { recovers: false, refused, until: block.until });
        }
        let shut = |recovers, until| Standing::Shut(Shut { recovers, refused: None, until });
        match &self.state {
            State::Closed(_) => Standing::Sure,
            State::Open { since, until } if now < *until && well.is_none_or(|well| well <= *since) => {
                shut(false, *until)
            }
            State::Open { .. } => Standing::Due,
            State::Probing { since } => shut(true, *since + Duration::from_millis(PROBE_MS)),
            State::Warming { since, .. } => match share(*since, now) {
                Some(percent) if dice * 100.0 >= f64::from(percent) => {
                    shut(true, now + Duration::from_millis(SHARE_MS))
                }
                _ => Standing::Sure,
            },
        }
    }

    /// A call that may be the probe begins. Whether it is; `Err` where another one is.
    pub(crate) fn enter(&mut self, now: Instant, well: Option<Instant>) -> Result<bool, ()> {
        match self.state {
            State::Open { .. } if self.standing(now, 0.0, well) == Standing::Due => {
                self.state = State::Probing { since: now };
                Ok(true)
            }
            State::Probing { .. } => Err(()),
            _ => Ok(false),
        }
    }

    /// The probe's caller went away.
    pub(crate) fn left(&mut self, began: Instant, now: Instant, dice: f64) {
        let State::Probing { since } = self.state else { return };
        if since != began {
            return;
        }
        if now >= since + Duration::from_millis(PROBE_MS) {
            self.open(now, dice);
        } else {
            self.state = State::Open { since: now, until: now };
        }
    }

    /// A call ended.
    pub(crate) fn saw(&mut self, outcome: Outcome, now: Instant, dice: f64) {
        match outcome {
            Outcome::Good => self.good(now),
            Outcome::Bad => self.bad(now, dice),
            Outcome::Wait(reason, asked) => {
                self.good(now);
                self.wait(reason, asked, now, dice);
            }
            Outcome::Nothing => {}
        }
    }

    /// When it failed last.
    pub(crate) const fn failed_at(&self) -> Option<Instant> {
        self.failed_at
    }

    /// Whether there is nothing to look at.
    pub(crate) fn is_clear(&self) -> bool {
        self.block.is_none() && matches!(&self.state, State::Closed(count) if count.is_empty())
    }

    /// For how long it gets no calls, and what its provider refuses them for, if that is why.
    pub(crate) fn wait_left(&self, now: Instant) -> Option<(Option<Reason>, Duration)> {
        if let Some(block) = self.block.filter(|block| now < block.until) {
            return Some((Some(block.reason), block.until - now));
        }
        match &self.state {
            State::Open { until, .. } => Some((None, until.saturating_duration_since(now))),
            _ => None,
        }
    }

    /// As a number: 0 closed, 1 recovers, 2 open, 3 blocked.
    pub(crate) fn level(&self, now: Instant) -> u8 {
        match &self.state {
            _ if self.block.is_some_and(|block| now < block.until) => 3,
            State::Closed(_) => 0,
            State::Probing { .. } | State::Warming { .. } => 1,
            State::Open { .. } => 2,
        }
    }

    fn good(&mut self, now: Instant) {
        if self.block.is_some_and(|block| block.until <= now) {
            self.block = None;
        }
        if self.block.is_none() {
            self.unnamed = 0;
        }
        match &mut self.state {
            State::Closed(count) => count.good(now),
            // Whoever was asked because nobody else was left has shown that it works.
            State::Open { .. } | State::Probing { .. } => {
                self.state = State::Warming { since: now, count: Count::default() };
            }
            State::Warming { since, count } => {
                count.good(now);
                if share(*since, now).is_none() {
                    (self.state, self.closed_at) = (State::Closed(Count::default()), Some(now));
                }
            }
        }
    }

    fn bad(&mut self, now: Instant, dice: f64) {
        self.failed_at = Some(now);
        let opens = match &mut self.state {
            State::Closed(count) => count.bad(now, ROW),
            State::Warming { count, .. } => count.bad(now, ROW_WARMING),
            State::Probing { .. } => true,
            State::Open { .. } => false,
        };
        if opens {
            self.open(now, dice);
        }
    }

    fn open(&mut self, now: Instant, dice: f64) {
        let well = Duration::from_secs(OPEN_SECS_MAX.into());
        let was_well = self.closed_at.take().is_some_and(|at| now.saturating_duration_since(at) >= well);
        self.times = if was_well { 1 } else { self.times.saturating_add(1) };
        let secs = OPEN_SECS.saturating_mul(self.times).min(OPEN_SECS_MAX);
        let jitter = f64::from(100 - JITTER_PERCENT) + f64::from(2 * JITTER_PERCENT) * dice;
        let until = now + Duration::from_secs(secs.into()).mul_f64(jitter / 100.0);
        self.state = State::Open { since: now, until };
    }

    fn wait(&mut self, reason: Reason, asked: Option<Duration>, now: Instant, dice: f64) {
        let (first, most) = if reason == Reason::ThrottledBurst { THROTTLED_SECS } else { USED_UP_SECS };
        let asked = asked.filter(|asked| !asked.is_zero());
        let wait = asked.unwrap_or_else(|| {
            let secs = first.saturating_mul(1 << self.unnamed.min(16)).min(most);
            self.unnamed = self.unnamed.saturating_add(1);
            Duration::from_secs(secs)
        });
        // Later, never sooner: all gateways that were refused would come back at the same moment.
        let later = 1.0 + f64::from(JITTER_PERCENT) / 100.0 * dice;
        let until = now + wait.min(Duration::from_secs(BLOCK_SECS_MAX)).mul_f64(later);
        let block = Block { reason, named: asked.is_some(), since: now, until };
        self.block = Some(match self.block.filter(|old| old.until > until) {
            None => block,
            Some(old) if reason == Reason::Banned => Block { until: old.until, ..block },
            Some(old) => old,
        });
    }
}

/// The part of the calls that one gets that was answered since, in percent; nothing when it has all.
fn share(since: Instant, now: Instant) -> Option<u32> {
    let step = now.saturating_duration_since(since).as_millis() / u128::from(SHARE_MS);
    SHARES.get(usize::try_from(step).unwrap_or(usize::MAX)).copied()
}

// === impl Count ===

impl Count {
    fn is_empty(&self) -> bool {
        self.start.is_none()
    }

    fn good(&mut self, now: Instant) {
        let Some(start) = self.start else { return };
        self.row = 0;
        self.at(start, now).0 += 1;
        if self.cells.iter().all(|(_, bad)| *bad == 0) {
            *self = Self::default();
        }
    }

    /// Whether that is enough.
    fn bad(&mut self, now: Instant, row: u32) -> bool {
        let start = *self.start.get_or_insert(now);
        self.row += 1;
        self.at(start, now).1 += 1;
        let (good, bad) = self.cells.iter().fold((0, 0), |(g, b), cell| (g + cell.0, b + cell.1));
        self.row >= row || (good + bad >= SAMPLES && bad >= good)
    }

    fn at(&mut self, start: Instant, now: Instant) -> &mut (u32, u32) {
        let second = now.saturating_duration_since(start).as_secs().max(self.second);
        let passed = (second - self.second).min(WINDOW_SECS as u64);
        for step in 0..passed {
            self.cells[place(second - step)] = (0, 0);
        }
        self.second = second;
        &mut self.cells[place(second)]
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % WINDOW_SECS as u64).expect("below ten")
}

#[cfg(test)]
mod tests;
