//! Forwards a call: tries its members in order until one has an answer for the caller, and repeats where that is safe.
//!
//! Nothing goes to the caller before an answer is judged. Going on to another member is bounded by the route's length,
//! repeats at one integration by its settings and its budget, everything by one deadline. A request that may have been
//! done is sent again only if that is safe.

use std::sync::Arc;
use std::time::Duration;

use egress::backoff;
use model::health::Reason;
use serde_json::Value;
use tokio::time::Instant;

use super::admit::Call;
use super::attempt::{Answer, Failure, Tried, attempt};
use super::choose::is_repeatable;
use crate::Inner as Gateway;
use crate::body::Inbound;
use crate::problem::Problem;
use crate::snapshot::Integration;

/// The longest pause before a repeat, in milliseconds. A provider that asks for a longer one is not asked again.
const PAUSE_MS_MAX: u64 = 5_000;
/// An attempt is not worth it with less time left, in milliseconds.
const WORTH_MS: u64 = 50;

/// What came of a call.
pub(crate) enum Forwarded {
    /// An answer for the caller, after so many attempts.
    Answered(Answer, usize),
    /// Nobody had one.
    Exhausted(Exhausted),
    /// No integration could have.
    Refused(Problem),
}

/// Why nobody had an answer.
#[derive(Default)]
pub(crate) struct Exhausted {
    /// Every attempt, in order.
    pub(crate) attempts: Vec<Value>,
    /// What was wrong at the last one.
    pub(crate) reason: Option<Reason>,
    /// Whether all of them were time-outs.
    pub(crate) timed_out: bool,
    /// The provider's answer to the last attempt, if it gave one.
    pub(crate) last: Option<Answer>,
    /// The shortest wait that a provider asked for.
    pub(crate) retry_after: Option<Duration>,
    /// Why no further attempt was made, when one could have been.
    pub(crate) note: Option<&'static str>,
}

/// Tries the members in order.
pub(crate) async fn forward(
    gateway: &Gateway,
    call: &Call,
    members: &[Arc<Integration>],
    mut body: Inbound,
) -> Forwarded {
    let route = call.route().map(|route| &**route);
    let repeatable = is_repeatable(&call.method, &call.headers, route);
    let longest_ms = members.iter().map(|member| member.timeout_ms).max().unwrap_or_default();
    let deadline = Instant::now() + Duration::from_millis(gateway.settings.deadline_ms.max(longest_ms));
    let left_ms = || {
        let left = deadline.saturating_duration_since(Instant::now());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    };
    let mut exhausted = Exhausted { timed_out: true, ..Exhausted::default() };
    for (place, member) in members.iter().enumerate() {
        let is_last = place + 1 == members.len();
        let tries = if is_last { u32::from(member.retry.attempts.max(1)) } else { 1 };
        member.live.first(std::time::Instant::now());
        for n in 0..tries {
            let tried = Box::pin(attempt(gateway, call, member, &mut body, left_ms())).await;
            let failure = match tried {
                Tried::Answered(answer) => {
                    return Forwarded::Answered(answer, exhausted.attempts.len() + 1);
                }
                Tried::Refused(problem) => return Forwarded::Refused(problem),
                Tried::Unable(problem) if is_last && exhausted.attempts.is_empty() => {
                    return Forwarded::Refused(problem);
                }
                Tried::Unable(_) => break,
                Tried::Failed(failure) => failure,
            };
            let pause = pause(member, n, &failure);
            let may_go_on = repeatable || !failure.may_have_acted;
            let reason = failure.reason;
            exhausted.add(member, failure);
            if !may_go_on {
                exhausted.note = Some("the request may have been done, and is not safe to repeat");
                return Forwarded::Exhausted(exhausted);
            }
            if !body.is_here() {
                exhausted.note = Some("the body is too large to be held, so that it was sent once");
                return Forwarded::Exhausted(exhausted);
            }
            if left_ms() < WORTH_MS {
                exhausted.note = Some("no time was left");
                return Forwarded::Exhausted(exhausted);
            }
            let worth = n + 1 < tries && is_worth_repeating(reason);
            let Some(pause) = pause.filter(|pause| worth && pause.as_millis() < u128::from(left_ms())) else {
                break;
            };
            if !member.live.may_repeat(std::time::Instant::now()) {
                exhausted.note = Some("the integration's budget of repeats is used up");
                break;
            }
            tokio::time::sleep(pause).await;
        }
        if let Some(route) = route.filter(|_| !is_last) {
            route.failovers.increment(1);
        }
    }
    Forwarded::Exhausted(exhausted)
}

/// How long to wait before the next try at the same integration; nothing when that is too long.
fn pause(member: &Integration, n: u32, failure: &Failure) -> Option<Duration> {
    let own = backoff(n, u64::from(member.retry.backoff_ms), PAUSE_MS_MAX, rand::random());
    let asked = failure.retry_after.unwrap_or_default();
    (asked.as_millis() <= u128::from(PAUSE_MS_MAX)).then(|| own.max(asked))
}

/// Whether the same integration may do better a moment later.
const fn is_worth_repeating(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Unreachable | Reason::Timeout | Reason::UpstreamError | Reason::ThrottledBurst | Reason::Slow
    )
}

impl Exhausted {
    fn add(&mut self, member: &Integration, failure: Failure) {
        self.attempts.push(failure.to_json(member));
        self.reason = Some(failure.reason);
        self.timed_out &= failure.reason == Reason::Timeout;
        self.retry_after = match (self.retry_after, failure.retry_after) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.last = failure.answer;
    }
}
