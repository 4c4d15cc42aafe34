//! Chooses in which order the members of a route are tried, and which of them not at all.
//!
//! What is known comes first: members whose calls are known to fail (failover says so, they hang just now, their breaker
//! is open, their provider refuses calls) come last, the one that failed longest ago first, and cost one of the route's
//! further attempts; where all are such, one is asked all the same. A member that is not called before a time that its
//! provider named is left out. Drained ones come after all that can answer.
//!
//! Then the route's order, among those that can answer:
//! * `priority`: failover's word first (the `routes` bucket), then as they are listed;
//! * `quota_aware`: the same, but those whose quota is nearly used up come after the others;
//! * `weighted`: drawn for each call by weights; failover's word says who cannot answer, not who is first;
//! * `cheapest_first`: by cost; failover's word as with `weighted`.
//!
//! A pin stands above all of that but a refusal whose end the provider named. Without failover there is one: the pinned
//! one, else the first by the order, whatever is known of it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use egress::lane;
use http::{HeaderMap, Method};
use model::IntegrationId;
use model::route::Order;
use serde_json::{Value, json};

use crate::board::Board;
use crate::breaker::{Shut, Standing};
use crate::map::Few;
use crate::quota::limits::Limits;
use crate::snapshot::{Integration, Route};

/// The members to try.
#[derive(Default)]
pub(crate) struct Chosen {
    /// In this order.
    pub(crate) members: Few<Arc<Integration>>,
    /// What is known against each of them; empty where there is nothing.
    pub(crate) doubts: Few<&'static str>,
    /// The first so many are believed to answer; those behind them are asked when there are further attempts left.
    pub(crate) free: usize,
    /// Whether the first ones are believed to answer at all.
    pub(crate) is_sure: bool,
    /// Those that are left out, as a problem tells it.
    pub(crate) skipped: Vec<Value>,
    /// The soonest end of a refusal.
    pub(crate) until: Option<Instant>,
}

impl Chosen {
    /// The one that was asked for.
    pub(crate) fn one(member: &Arc<Integration>) -> Self {
        let (members, doubts) = (Few::from_iter([member.clone()]), Few::from_iter([""]));
        Self { members, doubts, free: 1, is_sure: true, ..Self::default() }
    }
}

/// What is known of a member when a call comes.
#[derive(Clone, Debug, Default)]
struct Fact {
    /// Why it does not get calls; nothing where they can be answered.
    shut: Option<&'static str>,
    /// Until when its provider refuses calls, by its own word.
    refuses: Option<Instant>,
    /// When it failed last.
    failed: Option<Instant>,
    drained: bool,
    near: bool,
    /// What a call costs, and what tokens cost.
    cost: (u64, u64),
    /// Its place in the draw: smaller is earlier.
    drawn: f64,
}

/// The members to try. `repeatable`: whether the call can go on to the next one when it fails.
pub(crate) fn choose(route: &Route, members: &[Arc<Integration>], board: &Board, repeatable: bool) -> Chosen {
    let callable: Few<_> = members.iter().filter(|member| member.fault.is_none()).cloned().collect();
    let said = board.active(&route.id);
    let active = said.as_ref().map(|(id, _)| id);
    let pinned = route.pinned.as_ref().or(said.as_ref().filter(|(_, pinned)| *pinned).map(|(id, _)| id));
    let now = lane::now().into_std();
    let facts: Few<Fact> =
        callable.iter().map(|member| fact(route, member, board, repeatable, now)).collect();
    let ids: Few<&IntegrationId> = callable.iter().map(|member| &member.id).collect();
    let order = order(&ids, &facts, active, pinned, route.failover, route.order);
    let (left_out, tried): (Few<usize>, Few<usize>) =
        order.into_iter().partition(|place| facts[*place].refuses.is_some());
    let believed = |place: &&usize| facts[**place].shut.is_none() || pinned == Some(ids[**place]);
    let free = tried.iter().take_while(believed).count();
    Chosen {
        members: tried.iter().map(|place| callable[*place].clone()).collect(),
        doubts: tried.iter().map(|place| facts[*place].shut.unwrap_or_default()).collect(),
        free: free.max(1),
        is_sure: free > 0,
        skipped: left_out.iter().map(|place| skipped(&callable[*place], "blocked")).collect(),
        until: left_out.iter().filter_map(|place| facts[*place].refuses).min(),
    }
}

/// A member that was not asked, as a problem tells it.
pub(crate) fn skipped(member: &Integration, why: &'static str) -> Value {
    json!({ "integration": member.id.as_str(), "skipped": why })
}

/// Whether nothing is known that makes a call there fail.
pub(crate) fn can_answer(member: &Integration, board: &Board) -> bool {
    !board.is_unusable(&member.id) && !member.live.is_silent(lane::now().into_std())
}

fn fact(route: &Route, member: &Integration, board: &Board, repeatable: bool, now: Instant) -> Fact {
    let mut fact = Fact { drained: route.drained.contains(&member.id), ..Fact::default() };
    match route.order {
        Order::Priority => {}
        Order::Weighted => {
            let weight = route.weights.get(&member.id).copied().unwrap_or(1).max(1);
            fact.drawn = -(1.0 - rand::random::<f64>()).ln() / f64::from(weight);
        }
        Order::CheapestFirst => fact.cost = (member.cost_micros, tokens_cost(member)),
        Order::QuotaAware => {
            let heard = member.near.as_ref().is_some_and(|near| near.is_near(lane::timestamp()));
            let leased = |limits: &Arc<Limits>| {
                member.pause.left_of_limits().is_some() || limits.is_near(crate::quota::turn_ms())
            };
            fact.near = heard || member.limits.as_ref().is_some_and(leased);
        }
    }
    if !member.gate.is_clear() {
        let (standing, failed) = member.gate.standing(now, board.well_since(&member.id));
        fact.failed = failed;
        match standing {
            Standing::Sure => {}
            // Its answer is not known: only a call that can go on may find out.
            Standing::Due if repeatable => return fact,
            Standing::Due => fact.shut = Some("breaker_open"),
            Standing::Shut(Shut { refused: Some((_, named)), until, .. }) => {
                (fact.shut, fact.refuses) = (Some("blocked"), named.then_some(until));
            }
            Standing::Shut(Shut { recovers: true, .. }) => fact.shut = Some("breaker_half_open"),
            Standing::Shut(_) => fact.shut = Some("breaker_open"),
        }
    }
    if let Some(left) = member.pause.left() {
        (fact.shut, fact.refuses) = (Some("blocked"), fact.refuses.or(Some(now + left)));
    }
    if fact.shut.is_none() && !can_answer(member, board) {
        fact.shut = Some("known_to_fail");
    }
    fact
}

/// What tokens cost at least: which model a call names is not known before its body is read.
fn tokens_cost(member: &Integration) -> u64 {
    member.tokens.as_ref().map_or(0, |rules| rules.cheapest())
}

/// The places of members in the order in which they are tried.
fn order(
    members: &[&IntegrationId],
    facts: &[Fact],
    active: Option<&IntegrationId>,
    pinned: Option<&IntegrationId>,
    failover: bool,
    by: Order,
) -> Few<usize> {
    let mut places: Few<usize> = (0..members.len()).collect();
    let is_active = |place: usize| active == Some(members[place]);
    let by_order = |a: &usize, b: &usize| {
        let (x, y) = (&facts[*a], &facts[*b]);
        match by {
            Order::Priority => Reverse(is_active(*a)).cmp(&Reverse(is_active(*b))),
            Order::Weighted => x.drawn.total_cmp(&y.drawn),
            Order::CheapestFirst => x.cost.cmp(&y.cost),
            Order::QuotaAware => (x.near, !is_active(*a)).cmp(&(y.near, !is_active(*b))),
        }
        .then(a.cmp(b))
    };
    let is_pinned = |place: usize| pinned == Some(members[place]);
    if !failover {
        let key = |place: usize| (!is_pinned(place), facts[place].drained);
        places.sort_by(|a, b| key(*a).cmp(&key(*b)).then_with(|| by_order(a, b)));
        places.truncate(1);
        return places;
    }
    let rank = |place: usize| match &facts[place] {
        // An operator's word stands above what is known of its health; failover's does not: health is fresher.
        _ if is_pinned(place) => 0,
        Fact { shut: Some(_), .. } => 3,
        Fact { drained: true, .. } => 2,
        _ => 1,
    };
    places.sort_by(|a, b| {
        let oldest = facts[*a].failed.cmp(&facts[*b].failed);
        let among = || if rank(*a) == 3 { oldest.then_with(|| by_order(a, b)) } else { by_order(a, b) };
        rank(*a).cmp(&rank(*b)).then_with(among)
    });
    places
}

/// Whether a request can be sent again without doing something twice.
pub(crate) fn is_repeatable(method: &Method, headers: &HeaderMap, route: Option<&Route>) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || headers.get("idempotency-key").is_some_and(|key| !key.is_empty())
        || route.is_some_and(|route| route.repeatable.contains(method))
}

#[cfg(test)]
mod tests;
