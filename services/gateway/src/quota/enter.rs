//! Lets a call go when its limits do: at once, or when its turn has come.
//!
//! Who waits, waits in the queue of the limit that refused, by priority and callers in turn, not longer than worth it: a call of which it is
//! known that nothing comes in time is refused at once. Nobody waits for what only the end of a window brings.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::book::Kept;
use super::held::Held;
use super::hold::{Hold, Refusal};
use super::keeper::HOPE_MS;
use super::limits::{Asked, Limits, Under};
use super::purse::Take;
use super::steady;
use super::told::Limited;

/// How often units that a call waits for count as missed, in milliseconds: as often as they are asked for.
const MISSED_MS: u64 = 1_000;
/// How long a grant that is on its way is waited for, in milliseconds: one that was asked for a moment ago can be asked
/// for again after a second.
const GRANT_MS: u64 = 1_500;
/// What is left of a call's time for the call itself, in milliseconds; of little time this part.
const KEEP_MS: u64 = 50;
const KEEP_PART: u64 = 4;

/// How long a call may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For units that come again, in milliseconds.
    pub(crate) wait_ms: u64,
    /// What the call has left of its time, in milliseconds.
    pub(crate) left_ms: u64,
}

/// Takes what a call needs of all its limits.
///
/// # Errors
/// Which limit refused it, and for how long.
pub(crate) async fn enter(
    limits: &Arc<Limits>,
    asked: &Asked<'_>,
    patience: Patience,
) -> Result<Held, Limited> {
    let (under, now_ms) = (limits.under(asked), steady::now_ms());
    let held = |hold| Held::new(hold, limits.clone(), asked);
    let waited = under.iter().find(|(place, kept, _)| limits.is_waited(*place, kept));
    let refusal = match waited {
        None => match limits.take(&under, now_ms) {
            Ok(hold) => return Ok(held(hold)),
            Err(refusal) => refusal,
        },
        Some((place, ..)) => Refusal { place: *place, take: Take::Soon { again_ms: now_ms } },
    };
    Box::pin(wait(limits, asked, &under, refusal, patience)).await.map(held)
}

async fn wait<'u>(
    limits: &Limits,
    asked: &Asked<'_>,
    under: &'u Under<'_>,
    refusal: Refusal,
    patience: Patience,
) -> Result<Hold, Limited> {
    let began_ms = steady::now_ms();
    let most_ms = patience.left_ms - KEEP_MS.min(patience.left_ms / KEEP_PART);
    let Some((kept, units)) = of(under, refusal) else {
        return Err(limits.limited(refusal, (0, 0), None));
    };
    let is_granted_soon = !limits.book.is_away(began_ms)
        && (kept.purse.is_over(began_ms)
            || kept.purse.can_be_granted(units)
            || (limits.rules[refusal.place].is_calendar && kept.purse.dry_until_ms() <= began_ms));
    let wait_ms = if is_granted_soon { patience.wait_ms.max(GRANT_MS) } else { patience.wait_ms };
    let deadline_ms = began_ms + wait_ms.min(most_ms);
    let is_worth_it = |refusal: Refusal| match refusal.take {
        Take::Wait { until_ms } => until_ms < deadline_ms,
        // When it comes nobody knows: not only after the pause.
        Take::Soon { .. } => steady::now_ms() < deadline_ms,
        Take::Taken(_) | Take::Empty { .. } | Take::Never => false,
    };
    let refused = |refusal: Refusal| Err(limits.refused(refusal, under));
    if !is_worth_it(refusal) {
        return refused(refusal);
    }
    let Some(place) = kept.queue.join(asked.actor, asked.priority, units) else { return refused(refusal) };
    if place.ahead > 0 {
        // Only the first asks; the others are missing units as well.
        kept.purse.miss(units);
    }
    // Those before take first: what comes home for them is not ours.
    let before = (place.ahead as u64).saturating_mul(units).saturating_add(units);
    let comes_home = || kept.purse.home_at(before, began_ms).filter(|until| *until > deadline_ms);
    if !kept.purse.can_be_granted(before)
        && !kept.purse.may_come(units)
        && let Some(until_ms) = comes_home()
    {
        return refused(Refusal { take: Take::Wait { until_ms }, ..refusal });
    }
    let deadline = Instant::now() + Duration::from_millis(deadline_ms - began_ms);
    // Too late, or a higher priority has its place.
    if timeout_at(deadline, place.turn()).await != Ok(true) {
        let until_ms = steady::now_ms() + 1;
        return refused(Refusal { take: Take::Wait { until_ms }, ..refusal });
    }
    let listen = |kept: &'u Kept| {
        let mut told = Box::pin(kept.asked.notified());
        told.as_mut().enable();
        told
    };
    // Of which limit, and when.
    let mut missed: Option<(usize, u64)> = None;
    loop {
        // Listening before it asks: an answer of a ledger that comes meanwhile is heard.
        let told: Vec<_> = under.iter().map(|(place, kept, _)| (*place, listen(kept))).collect();
        let now_ms = steady::now_ms();
        let refusal = match limits.take(under, now_ms) {
            Ok(hold) => return Ok(hold),
            Err(refusal) => refusal,
        };
        if let Some((kept, units)) = of(under, refusal) {
            match missed {
                Some((place, at_ms)) if place == refusal.place && at_ms + MISSED_MS > now_ms => {
                    kept.purse.missed_before(units);
                }
                _ => missed = Some((refusal.place, now_ms)),
            }
        }
        let again_ms = match refusal.take {
            Take::Wait { until_ms } if is_worth_it(refusal) => until_ms,
            Take::Soon { again_ms } if is_worth_it(refusal) => again_ms.min(deadline_ms),
            _ => return refused(refusal),
        };
        let Some((_, told)) = told.into_iter().find(|(place, _)| *place == refusal.place) else {
            return refused(refusal);
        };
        let again = Duration::from_millis(again_ms.saturating_sub(now_ms).max(1));
        let _either = timeout(again, told).await;
    }
}

/// What is kept of the limit that refused, and what the call weighs there.
fn of<'u>(under: &'u Under<'_>, refusal: Refusal) -> Option<(&'u Kept, u64)> {
    let found = under.iter().find(|(place, ..)| *place == refusal.place);
    found.map(|(_, kept, units)| (&**kept, *units))
}

impl Limits {
    fn refused(&self, refusal: Refusal, under: &Under<'_>) -> Limited {
        let left = of(under, refusal).map_or((0, 0), |(kept, needs)| (kept.purse.remaining().0, needs));
        let now_ms = steady::now_ms();
        let comes =
            |(kept, needs): (&Kept, u64)| kept.purse.can_be_granted(needs) || kept.purse.may_come(needs);
        let wait_ms = match refusal.take {
            Take::Wait { until_ms } => Some(until_ms.saturating_sub(now_ms)),
            // Others have it, and nobody here knows until when: so often the ledger is asked.
            Take::Soon { .. } if !of(under, refusal).is_some_and(comes) => Some(HOPE_MS),
            Take::Soon { again_ms } => Some(again_ms.saturating_sub(now_ms)),
            Take::Empty { resets_ms } => Some(resets_ms.saturating_sub(now_ms)),
            Take::Never | Take::Taken(_) => None,
        };
        self.limited(refusal, left, wait_ms)
    }

    fn limited(&self, refusal: Refusal, (left, needs): (u64, u64), wait_ms: Option<u64>) -> Limited {
        let rule = &self.rules[refusal.place];
        Limited {
            quota: Some(rule.quota.name.clone()),
            amount: rule.amount,
            says: rule.says().map(Into::into),
            left,
            needs,
            wait: wait_ms.map(Duration::from_millis),
            policy: self.policy.clone(),
        }
    }
}
