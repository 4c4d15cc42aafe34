//! Decides what an observation means: the integration's health, and what people should hear of it.
//!
//! Pure: state and observation in; next state and actions out. No I/O, no clock: an observation carries its
//! time. `apply` carries the actions out, in order. Never leaves `up` for one bad answer, never returns for one
//! good one: 3 of the last 5 votes to get worse, 3 good ones in a row and a minimum stay to get better. One that is worse than it
//! usually is at this hour, as the meter finds, is degraded at best.
//! Deciding twice is harmless: what is not newer than what is known changes nothing.

use std::collections::VecDeque;
use std::time::Duration;

use model::Timestamp;
use model::alert::{AlertRaised, AlertResolved};
use model::health::{Check, Health, HealthChanged, HealthCompared, Observed, Reason};
use model::route::{RouteExhausted, RouteSwitched};

use crate::alarm;
use crate::flap;
use crate::state::{HISTORY_VOTES, State, WINDOW_VOTES};
use crate::vote::{Figures, Vote, vote};

/// Bad votes among the last [`WINDOW_VOTES`] that make it worse.
pub const WORSE_VOTES: usize = 3;
/// The same for trouble with the key or the quota, which does not come and go.
pub const CONFIRMED_VOTES: usize = 2;
/// Good votes in a row that make it better.
pub const BETTER_VOTES: usize = 3;
/// Intervals without an observation after which nothing is known.
pub const STALE_INTERVALS: u32 = 3;
/// How long word of a comparison counts at most.
pub const COMPARED_MAX: Duration = Duration::from_secs(4 * 3600);
/// Sentences of evidence in an event.
pub const EVIDENCE_MAX: usize = 10;

/// How patient decisions are. From the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Least time in a health before a better one.
    pub dwell: Duration,
    /// How long a preferred member must be up before a route returns to it.
    pub return_after: Duration,
}

/// What follows from a decision. Carried out by `apply`, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Tell everyone that the health changed.
    Announce(HealthChanged),
    /// Tell everyone that a route's traffic goes to another integration.
    Switch(RouteSwitched),
    /// Tell everyone that a route's traffic goes nowhere.
    Exhaust(RouteExhausted),
    /// Raise an alert, or raise it again.
    Raise(AlertRaised),
    /// End an alert.
    Resolve(AlertResolved),
}

/// Folds one observation into the state and says what follows.
///
/// The state is returned, not changed: it becomes the state only once its actions are done, so an observation
/// that is delivered again decides the same again. One that is not newer than the last of its kind changes nothing.
pub fn decide(state: &State, seen: &Observed, rules: &Rules) -> (State, Vec<Action>) {
    let known = match seen.check {
        Check::Probe => state.probe_at,
        Check::Traffic => state.traffic_at,
    };
    let Some(vote) = vote(seen).filter(|_| known.is_none_or(|known| seen.at > known)) else {
        return (state.clone(), Vec::new());
    };
    let mut next = state.clone();
    remember(&mut next, seen);
    if !is_beside_the_point(state, seen, &vote) {
        keep(&mut next.history, vote.health, HISTORY_VOTES);
        keep(&mut next.votes, vote, WINDOW_VOTES);
        next.flapping = flap::flaps(state.flapping, &next.history);
    }
    settle(state, next, seen.at, rules)
}

/// Takes word of how an integration compares with its usual self.
///
/// While it is worse, what would be `up` is `degraded`; nothing else changes: it is never `down` by that, and nobody hears of
/// it while it is down, unknown or being worked on. The word counts until its time is over, whoever told it may be gone.
pub fn compare(state: &State, told: &HealthCompared, at: Timestamp, rules: &Rules) -> (State, Vec<Action>) {
    let known = state.compared.iter().find(|known| known.check == told.check);
    if known.is_some_and(|known| told.at <= known.at) {
        return (state.clone(), Vec::new());
    }
    let mut next = state.clone();
    next.compared.retain(|known| known.check != told.check);
    next.compared.push(HealthCompared { until: told.until.min(at.plus(COMPARED_MAX)), ..told.clone() });
    settle(state, next, at, rules)
}

/// Calls that went well say nothing against a probe that was slow: they have no limit for what is slow. Without
/// this, a slow provider with callers would seem to change all the time.
fn is_beside_the_point(state: &State, seen: &Observed, vote: &Vote) -> bool {
    let slow = state.votes.back().is_some_and(|last| last.reason == Some(Reason::Slow));
    slow && seen.check == Check::Traffic && vote.reason.is_none()
}

/// What follows from time alone: nothing is known any more, or a minimum stay is over.
pub fn tick(state: &State, now: Timestamp, rules: &Rules) -> (State, Vec<Action>) {
    let every = Duration::from_secs(u64::from(state.every_secs.max(1)));
    let stale = state.checked_at().is_some_and(|at| now > at.plus(every * STALE_INTERVALS));
    if !stale {
        return settle(state, state.clone(), now, rules);
    }
    if state.health == Health::Unknown {
        return (state.clone(), Vec::new());
    }
    let since = state.checked_at().unwrap_or(now);
    finish(state, forgotten(state, Some(Reason::Stale), since, now), now)
}

/// What follows when an operator switches an integration off: nothing is known of it, and no alert is open.
pub fn switch_off(state: &State, now: Timestamp) -> (State, Vec<Action>) {
    if state.health == Health::Unknown && state.votes.is_empty() && state.alert.is_none() {
        return (state.clone(), Vec::new());
    }
    let mut next = forgotten(state, None, now, now);
    let ended = alarm::resolve(&mut next, now);
    let (mut next, mut actions) = finish(state, next, now);
    actions.extend(ended);
    next.version = state.version + u64::from(!actions.is_empty());
    (next, actions)
}

fn remember(next: &mut State, seen: &Observed) {
    next.provider = seen.provider.clone();
    next.detail = seen.detail.clone();
    match seen.check {
        Check::Probe => {
            next.probe_at = Some(seen.at);
            next.every_secs = seen.every_secs.unwrap_or(next.every_secs);
            next.latency_ms = seen.latency_ms;
            next.status_code = seen.status_code;
        }
        Check::Traffic => next.traffic_at = Some(seen.at),
    }
}

fn keep<T>(list: &mut VecDeque<T>, item: T, max: usize) {
    list.push_back(item);
    while list.len() > max {
        list.pop_front();
    }
}

fn forgotten(state: &State, reason: Option<Reason>, since: Timestamp, now: Timestamp) -> State {
    State {
        health: Health::Unknown,
        reason,
        since,
        entered_at: now,
        votes: VecDeque::new(),
        history: VecDeque::new(),
        flapping: false,
        shown: Figures::default(),
        compared: Vec::new(),
        ..state.clone()
    }
}

fn settle(before: &State, mut next: State, at: Timestamp, rules: &Rules) -> (State, Vec<Action>) {
    // What nobody told again is over.
    next.compared.retain(|told| !told.worse || told.until > at);
    let worse = next.worse_than_usual().cloned();
    let judged = match (verdict(&next, at, rules), &worse) {
        (Some((Health::Up, _)), Some(told)) => Some((Health::Degraded, Some(told.reason))),
        (None, Some(told)) if next.health == Health::Up => Some((Health::Degraded, Some(told.reason))),
        (judged, _) => judged,
    };
    if let Some((health, reason)) = judged {
        if health != next.health {
            let compared = worse.as_ref().filter(|told| Some(told.reason) == reason);
            let began = compared.map_or_else(|| began(&next.votes, health, at), |told| told.since);
            next.since = if before.health == Health::Unknown { began } else { began.max(before.since) };
            next.entered_at = at;
            next.health = health;
        }
        next.reason = reason;
    }
    show(before, &mut next);
    finish(before, next, at)
}

/// Keeps the figures of the newest vote that has the state's own reason; those of another trouble go.
fn show(before: &State, next: &mut State) {
    let own = next.votes.iter().rev().find(|vote| vote.reason == next.reason);
    match own {
        _ if next.evidence().is_some() => {
            let latency_ms = next.evidence().and_then(|told| told.p95_ms);
            next.shown = Figures { latency_ms, status_code: None };
        }
        Some(vote) => next.shown = vote.figures,
        None if before.reason != next.reason => next.shown = Figures::default(),
        None => {}
    }
}

/// Says what changed between two states.
fn finish(before: &State, mut next: State, at: Timestamp) -> (State, Vec<Action>) {
    let mut actions = Vec::new();
    if before.health != next.health {
        actions.push(Action::Announce(HealthChanged {
            integration: next.integration.clone(),
            provider: next.provider.clone(),
            from: before.health,
            to: next.health,
            reason: next.reason,
            since: next.since,
            at,
            latency_ms: next.figures().latency_ms,
            evidence: evidence(&next),
        }));
    }
    actions.extend(alarm::settle(before, &mut next, at));
    next.version = before.version + u64::from(!actions.is_empty());
    (next, actions)
}

/// What decided, in sentences.
fn evidence(state: &State) -> Vec<String> {
    let compared = state.evidence().map(|told| format!("{}: {}", told.at, told.detail));
    compared.into_iter().chain(state.votes.iter().map(|vote| vote.said.clone())).take(EVIDENCE_MAX).collect()
}

/// What the votes say it is. Nothing: what it was.
fn verdict(state: &State, at: Timestamp, rules: &Rules) -> Option<(Health, Option<Reason>)> {
    let newest = state.votes.back()?;
    if newest.health == Health::Maintenance {
        return Some((Health::Maintenance, newest.reason));
    }
    worse(state, newest).or_else(|| better(state, at, rules))
}

/// Whether it became worse, or is as bad for another reason.
fn worse(state: &State, newest: &Vote) -> Option<(Health, Option<Reason>)> {
    let count = |wanted: &dyn Fn(&Vote) -> bool| state.votes.iter().filter(|vote| wanted(vote)).count();
    match (newest.health, state.health) {
        (Health::Down, Health::Down) => Some((Health::Down, newest.reason)),
        (Health::Down, _) if newest.strong || count(&|vote| vote.health == Health::Down) >= WORSE_VOTES => {
            Some((Health::Down, newest.reason))
        }
        (Health::Down | Health::Degraded, Health::Up | Health::Unknown | Health::Maintenance) => {
            let same = count(&|vote| vote.reason == newest.reason);
            let bad = count(&|vote| matches!(vote.health, Health::Down | Health::Degraded));
            let enough =
                newest.health == Health::Degraded && (newest.strong || same >= confirmations(newest));
            (enough || bad >= WORSE_VOTES).then(|| (Health::Degraded, trouble(state, newest)))
        }
        (Health::Degraded, Health::Degraded) => {
            let same = count(&|vote| vote.reason == newest.reason);
            let enough = newest.strong || same >= confirmations(newest);
            enough.then_some((Health::Degraded, newest.reason))
        }
        _ => None,
    }
}

/// Whether it became better: enough good votes in a row, after the least stay.
fn better(state: &State, at: Timestamp, rules: &Rules) -> Option<(Health, Option<Reason>)> {
    let newest = state.votes.back()?;
    let first = state.health == Health::Unknown && state.alert.is_none();
    if first && newest.health == Health::Up {
        return Some((Health::Up, None));
    }
    let recent = || state.votes.iter().rev().take(BETTER_VOTES);
    let stayed = state.health == Health::Unknown || at.since(state.entered_at) >= rules.dwell;
    if state.health == Health::Up || recent().count() < BETTER_VOTES || !stayed {
        return None;
    }
    if recent().all(|vote| vote.health == Health::Up) {
        return Some((Health::Up, None));
    }
    let answers = recent().all(|vote| matches!(vote.health, Health::Up | Health::Degraded));
    (answers && state.health == Health::Down).then(|| (Health::Degraded, trouble(state, newest)))
}

/// The reason to name for `degraded`: of the newest vote that says so.
fn trouble(state: &State, newest: &Vote) -> Option<Reason> {
    let degraded = state.votes.iter().rev().find(|vote| vote.health == Health::Degraded);
    degraded.unwrap_or(newest).reason
}

fn confirmations(vote: &Vote) -> usize {
    match vote.reason {
        Some(
            Reason::BadCredentials
            | Reason::QuotaExhausted
            | Reason::KeyExpired
            | Reason::KeyRevoked
            | Reason::KeyUnavailable,
        ) => CONFIRMED_VOTES,
        _ => WORSE_VOTES,
    }
}

/// When the votes that say so began.
fn began(votes: &VecDeque<Vote>, health: Health, at: Timestamp) -> Timestamp {
    let supports = |vote: &&Vote| match health {
        Health::Down | Health::Maintenance => vote.health == health,
        Health::Degraded => matches!(vote.health, Health::Degraded | Health::Down),
        Health::Up | Health::Unknown => vote.health == Health::Up,
    };
    match health {
        // Good and announced runs are unbroken; bad ones may have holes.
        Health::Up | Health::Unknown | Health::Maintenance => votes.iter().rev().take_while(supports).last(),
        Health::Down | Health::Degraded => votes.iter().find(supports),
    }
    .map_or(at, |vote| vote.at)
}

#[cfg(test)]
mod compared;
#[cfg(test)]
mod tests;
