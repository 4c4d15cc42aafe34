//! Forwards a call: tries its members in order until one has an answer for the caller, and repeats where that is safe.
//!
//! Nothing goes to the caller before an answer is judged. Going on to another member that is believed to answer is
//! bounded by the route's length, repeats at one integration by its settings and its budget, and both, like going on to
//! one that is known to fail, by the route's further attempts: a storm in which all fail is not made larger. One
//! deadline bounds everything: the caller's own, if it is sooner. A request that may have been done is sent again only
//! if that is safe.
//!
//! A member that takes longer than usual is not given up: the next one is asked beside it, and the first answer wins.
//! Giving up would lose the answer of a provider that is only slow, and waiting would cost callers the whole time-out
//! of one that hangs. At most two are waited for at a time, and nobody is asked so of whose limits little is left, unless
//! the first one answers nobody.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use egress::backoff;
use egress::lane;
use model::Timestamp;
use model::health::Reason;
use serde_json::Value;
use tokio::time::Instant;

use super::admit::Call;
use super::attempt::{Answer, Begun, Failure, Left, Sent, Tried, begin};
use super::choose::{Chosen, is_repeatable, skipped};
use crate::Inner as Gateway;
use crate::body::Inbound;
use crate::breaker::Permit;
use crate::problem::Problem;
use crate::quota::told::Limited;
use crate::snapshot::{Integration, Route};

/// The longest pause before a repeat, in milliseconds. A provider that asks for a longer one is not asked again.
const PAUSE_MS_MAX: u64 = 5_000;
/// An attempt is not worth it with less time left, in milliseconds.
const WORTH_MS: u64 = 50;
/// How soon it is looked again whether another member may be asked beside, in milliseconds.
const LOOK_AGAIN_MS: u64 = 100;

/// Why a call ends although somebody could have been asked.
const NO_FURTHER: &str = "the route's further attempts are used up, and what is left is known to fail";
const NO_REPEAT: &str = "the budget of repeats is used up";

/// What came of a call.
pub(crate) enum Forwarded {
    /// An answer for the caller, after so many attempts.
    Answered(Box<Answer>, usize),
    /// Nobody had one.
    Exhausted(Box<Exhausted>),
    /// No integration could have.
    Refused(Problem),
}

/// Why nobody had an answer.
#[derive(Default)]
pub(crate) struct Exhausted {
    /// Every attempt, in order.
    pub(crate) attempts: Vec<Value>,
    /// Those that were not asked, and why.
    pub(crate) skipped: Vec<Value>,
    /// What was wrong at the last one.
    pub(crate) reason: Option<Reason>,
    /// Whether all of them were time-outs.
    pub(crate) timed_out: bool,
    /// The provider's answer to the last attempt, if it gave one.
    pub(crate) last: Option<Box<Answer>>,
    /// The shortest wait that a provider asked for.
    pub(crate) retry_after: Option<Duration>,
    /// Why no further attempt was made, when one could have been.
    pub(crate) note: Option<&'static str>,
    /// Whose limit did not let it go, and which, for the shortest time.
    pub(crate) limited: Option<(String, Limited)>,
}

/// A call on its way along the members.
struct Walk<'a> {
    gateway: &'a Arc<Gateway>,
    call: &'a Call,
    repeatable: bool,
    deadline: Instant,
    attempts: usize,
    exhausted: Exhausted,
    /// Whether one of its attempts failed.
    troubled: bool,
    /// An earlier member that may still answer, and its place among those that did not.
    beside: Option<(Sent, usize)>,
}

/// How a walk ends.
enum End {
    Answered(Box<Answer>),
    Refused(Problem),
    Exhausted,
}

/// What came of waiting for an attempt.
enum Waited {
    /// It ended.
    Ended(Tried),
    /// It takes longer than usual, and the next member is to be asked beside it.
    Beside(Sent),
}

/// Tries the members in order.
pub(crate) async fn forward(
    gateway: &Arc<Gateway>,
    call: &Call,
    chosen: &Chosen,
    body: Inbound,
) -> Forwarded {
    let route = call.route().map(|route| &**route);
    let longest_ms = chosen.members.iter().map(|member| member.timeout_ms).max().unwrap_or_default();
    let longest_ms = gateway.settings.deadline_ms.max(longest_ms);
    let deadline_ms = call.timeout_ms.map_or(longest_ms, |timeout_ms| timeout_ms.min(longest_ms));
    let skipped = chosen.skipped.clone();
    let until = chosen.until.map(|until| until.saturating_duration_since(lane::now().into_std()));
    let mut walk = Walk {
        gateway,
        call,
        repeatable: is_repeatable(&call.method, &call.headers, route),
        deadline: lane::now() + Duration::from_millis(deadline_ms),
        attempts: 0,
        troubled: false,
        exhausted: Exhausted { timed_out: true, skipped, retry_after: until, ..Exhausted::default() },
        beside: None,
    };
    let end = match walk.along(chosen, body).await {
        // Nobody else had an answer; the one that is still waited for may.
        End::Exhausted => walk.last().await.map_or(End::Exhausted, End::Answered),
        end => end,
    };
    if let Some((sent, _)) = walk.beside.take() {
        gateway.lingering.keep(sent);
    }
    match end {
        End::Answered(answer) => Forwarded::Answered(answer, walk.attempts),
        End::Refused(problem) => Forwarded::Refused(problem),
        End::Exhausted => {
            walk.exhausted.timed_out &= !walk.exhausted.attempts.is_empty();
            Forwarded::Exhausted(Box::new(walk.exhausted))
        }
    }
}

// === impl Walk ===

impl Walk<'_> {
    async fn along(&mut self, chosen: &Chosen, mut body: Inbound) -> End {
        let (gateway, call) = (self.gateway, self.call);
        let Chosen { members, doubts, is_sure, .. } = chosen;
        let mut free = chosen.free.min(members.len());
        for (place, member) in members.iter().enumerate() {
            if place >= free && !self.may_go_further() {
                let rest = members.iter().zip(doubts).skip(place);
                self.exhausted.skipped.extend(rest.map(|(member, doubt)| skipped(member, doubt)));
                self.exhausted.note.get_or_insert(NO_FURTHER);
                break;
            }
            let Ok(mut permit) = self.enter(member, place + 1 < members.len()) else {
                // Whoever tries it will know. The next one is asked instead.
                self.exhausted.skipped.push(skipped(member, "breaker_half_open"));
                free = (free + 1).min(members.len());
                continue;
            };
            if let Some(route) = call.route().filter(|_| self.attempts > 0) {
                route.failovers.increment(1);
            }
            let next = members.get(place + 1);
            let is_last = place + 1 == free && *is_sure;
            let mut tries = if is_last { u32::from(member.retry.attempts.max(1)) } else { 1 };
            let mut corrected = false;
            member.live.first(lane::now().into_std());
            let mut n = 0;
            while n < tries {
                self.attempts += 1;
                let offset_ms = member.live.skew.offset_ms();
                let may_leave = self.repeatable && self.beside.is_none() && place + 1 < free;
                let other = next.filter(|_| may_leave);
                let wait_ms = if place + 1 < free { 0 } else { self.wait_ms() };
                let left = Left { left_ms: self.left_ms(), wait_ms };
                let waited = {
                    let attempt = pin!(attempt(gateway, call, member, &mut body, left, other));
                    self.or_beside(attempt).await
                };
                let tried = match waited {
                    Err(answer) => return End::Answered(answer),
                    Ok(Waited::Ended(tried)) => tried,
                    Ok(Waited::Beside(sent)) => {
                        self.beside = Some((sent.trying(permit.take()), self.exhausted.attempts.len()));
                        break;
                    }
                };
                let failure = match tried {
                    Tried::Answered(answer) => return End::Answered(answer),
                    Tried::Refused(problem) => return End::Refused(problem),
                    Tried::Unable(problem) if next.is_none() && self.attempts == 1 => {
                        return End::Refused(problem);
                    }
                    Tried::Unable(_) => {
                        self.attempts -= 1;
                        break;
                    }
                    Tried::Limited(limited) => {
                        // Nobody was asked: the next one is asked instead.
                        self.attempts -= 1;
                        self.exhausted.limit(member, limited);
                        free = (free + 1).min(members.len());
                        break;
                    }
                    Tried::Failed(failure) => failure,
                };
                let mut pause = pause(member, n, &failure);
                // The answer told us the time, and the provider did nothing: no trouble, and nothing that goes on.
                let is_told =
                    failure.reason == Reason::ClockSkew && member.live.skew.offset_ms() != offset_ms;
                let at_once = is_told && !std::mem::replace(&mut corrected, is_told);
                if at_once {
                    (tries, pause) = (tries.max(n + 2), Some(Duration::ZERO));
                }
                n += 1;
                let worth = n < tries && (at_once || is_worth_repeating(member, &failure));
                let stop = self.stop(&failure, &body);
                self.exhausted.add(self.exhausted.attempts.len(), member, failure);
                if !at_once {
                    self.in_trouble();
                }
                if let Some(note) = stop {
                    self.exhausted.note = Some(note);
                    return End::Exhausted;
                }
                let left = u128::from(self.left_ms());
                let Some(pause) = pause.filter(|pause| worth && pause.as_millis() < left) else { break };
                let now = std::time::Instant::now();
                let may_go = at_once || (member.live.may_repeat(now) && self.may_go_further());
                if !may_go {
                    self.exhausted.note = Some(NO_REPEAT);
                    break;
                }
                if let Err(answer) = self.or_beside(tokio::time::sleep(pause)).await {
                    return End::Answered(answer);
                }
            }
        }
        End::Exhausted
    }

    /// Begins with a member: the permit, if this is the call that tries it again. An error where another call does, and
    /// `others` can be asked.
    fn enter(&self, member: &Integration, others: bool) -> Result<Option<Permit>, ()> {
        if member.gate.is_clear() || self.call.route().is_none() {
            return Ok(None);
        }
        let well = self.gateway.board.well_since(&member.id);
        match member.gate.enter(std::time::Instant::now(), well) {
            Err(()) if !others => Ok(None),
            entered => entered,
        }
    }

    /// Notes, once, that this call is one of those that are in trouble.
    fn in_trouble(&mut self) {
        if let Some(route) = self.call.route().filter(|_| !self.troubled) {
            self.troubled = true;
            let mut extra = route.extra.lock().unwrap_or_else(PoisonError::into_inner);
            extra.first(std::time::Instant::now());
        }
    }

    /// Whether its route has an attempt left for a call in trouble; takes it.
    fn may_go_further(&self) -> bool {
        let now = std::time::Instant::now();
        let take = |route: &Route| route.extra.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        self.call.route().is_none_or(|route| take(route))
    }

    /// For how long the last member's limits are waited for: who names a deadline waits until then.
    fn wait_ms(&self) -> u64 {
        let usual = self.gateway.settings.quota_wait_ms;
        let named = self.call.timeout_ms.filter(|_| usual > 0);
        named.map_or(usual, |_| usual.max(self.left_ms()))
    }

    /// Why nobody may be asked after this failure.
    fn stop(&self, failure: &Failure, body: &Inbound) -> Option<&'static str> {
        if failure.may_have_acted && !self.repeatable {
            return Some("the request may have been done, and is not safe to repeat");
        }
        if !body.is_here() {
            return Some("the body is too large to be held, so that it was sent once");
        }
        (self.left_ms() < WORTH_MS).then_some("no time was left")
    }

    fn left_ms(&self) -> u64 {
        let left = self.deadline.saturating_duration_since(lane::now());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for something, unless the member that is waited for beside has an answer before.
    async fn or_beside<T>(&mut self, something: impl Future<Output = T>) -> Result<T, Box<Answer>> {
        let Some((mut sent, place)) = self.beside.take() else { return Ok(something.await) };
        let mut something = pin!(something);
        let tried = tokio::select! {
            done = &mut something => {
                self.beside = Some((sent, place));
                return Ok(done);
            }
            tried = sent.answer() => tried,
        };
        match tried {
            Tried::Answered(answer) => return Err(answer),
            Tried::Failed(failure) => self.exhausted.add(place, sent.integration(), failure),
            Tried::Unable(_) | Tried::Limited(_) | Tried::Refused(_) => {}
        }
        Ok(something.await)
    }

    /// Waits for the member that is still waited for.
    async fn last(&mut self) -> Option<Box<Answer>> {
        let (mut sent, place) = self.beside.take()?;
        match sent.answer().await {
            Tried::Answered(answer) => return Some(answer),
            Tried::Failed(failure) => self.exhausted.add(place, sent.integration(), failure),
            Tried::Unable(_) | Tried::Limited(_) | Tried::Refused(_) => {}
        }
        None
    }
}

/// One attempt; where there is an `other` to be asked beside it, not longer than its patience and the budget allow.
async fn attempt(
    gateway: &Arc<Gateway>,
    call: &Call,
    member: &Arc<Integration>,
    body: &mut Inbound,
    left: Left,
    other: Option<&Arc<Integration>>,
) -> Waited {
    let mut sent = match begin(gateway, call, member, body, left).await {
        Begun::Sent(sent) => sent,
        Begun::Ended(tried) => return Waited::Ended(tried),
    };
    let Some(other) = other.filter(|_| body.is_here()) else {
        return Waited::Ended(sent.answer().await);
    };
    let mut look = sent.patient_until();
    loop {
        tokio::select! {
            tried = sent.answer() => return Waited::Ended(tried),
            () = tokio::time::sleep_until(look) => {
                let scarce = other.near.as_ref().is_some_and(|near| near.is_scarce(Timestamp::now()));
                if member.live.may_ask_beside(std::time::Instant::now(), scarce) {
                    return Waited::Beside(sent);
                }
                look += Duration::from_millis(LOOK_AGAIN_MS);
            }
        }
    }
}

/// How long to wait before the next try at the same integration; nothing when that is too long.
fn pause(member: &Integration, n: u32, failure: &Failure) -> Option<Duration> {
    let own = backoff(n, u64::from(member.retry.backoff_ms), PAUSE_MS_MAX, rand::random());
    let asked = failure.retry_after.unwrap_or_default();
    (asked.as_millis() <= u128::from(PAUSE_MS_MAX)).then(|| own.max(asked))
}

/// Whether the same integration may do better a moment later: it says so itself, or the reason does.
fn is_worth_repeating(member: &Integration, failure: &Failure) -> bool {
    let own = failure.status.filter(|_| !member.retry.statuses.is_empty());
    if let Some(status) = own {
        return member.retry.statuses.contains(&status);
    }
    matches!(
        failure.reason,
        Reason::Unreachable
            | Reason::Timeout
            | Reason::UpstreamError
            | Reason::ThrottledBurst
            | Reason::Slow
            | Reason::ClockSkew
    )
}

impl Exhausted {
    /// Notes a member whose limits did not let the call go.
    fn limit(&mut self, member: &Integration, limited: Limited) {
        let mut told = skipped(member, limited.word());
        if let Some(quota) = &limited.quota {
            told["quota"] = quota.as_str().into();
        }
        self.skipped.push(told);
        self.reason.get_or_insert(Reason::QuotaExhausted);
        self.retry_after = match (self.retry_after, limited.wait) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let is_sooner =
            |known: &Limited| limited.wait.is_some_and(|wait| known.wait.is_none_or(|known| wait < known));
        if self.limited.as_ref().is_none_or(|(_, known)| is_sooner(known)) {
            self.limited = Some((member.id.to_string(), limited));
        }
    }

    /// Notes a failure at its place among the attempts, which is where it began.
    fn add(&mut self, place: usize, member: &Integration, failure: Failure) {
        let is_latest = place >= self.attempts.len();
        self.attempts.insert(place.min(self.attempts.len()), failure.to_json(member));
        self.timed_out &= failure.reason == Reason::Timeout;
        self.retry_after = match (self.retry_after, failure.retry_after) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if is_latest {
            self.reason = Some(failure.reason);
            self.last = failure.answer;
        }
    }
}
