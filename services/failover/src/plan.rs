//! Plans what follows from one input for the whole board: the integration, its alert, and the routes it is in.
//!
//! Pure: the board is not changed. A plan is carried out by `apply`: facts are published first, under ids that
//! are the same whenever this is planned again from the same board; then the entries are written. Never plans
//! against a route's entry of a later term.

use model::alert::{AlertRaised, Phase, Severity};
use model::health::{Health, HealthCompared, Observed};
use model::id::Slug;
use model::route::{RouteCause, RouteExhausted, RouteNow, RouteSwitched};
use model::snapshot::PinnedRoute;
use model::{EventId, IntegrationId, RouteId, Timestamp};
use serde_json::{Map, json};

use crate::alarm;
use crate::board::Board;
use crate::choose::{Choice, Member, choose};
use crate::decide::{Action, compare, decide, switch_off, tick};
use crate::identity;
use crate::state::{RouteEntry, State};

/// What is to be done, in this order: publish the facts, write or delete the entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is published, each under its id.
    pub facts: Vec<(EventId, Action)>,
    /// The integration's new state; nothing within: its entry goes.
    pub health: Option<(IntegrationId, Option<State>)>,
    /// The routes' new entries; nothing within: the entry goes.
    pub routes: Vec<(RouteId, Option<RouteEntry>)>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.health.is_none() && self.routes.is_empty()
    }
}

/// What follows from an observation. Nothing for an integration that is not configured or is switched off.
pub fn observe(board: &Board, seen: &Observed) -> Plan {
    let enabled = board.integration(&seen.integration).is_some_and(|configured| configured.enabled);
    match board.state(&seen.integration, seen.at).filter(|_| enabled) {
        None => Plan::default(),
        Some(state) => change(board, &state, decide(&state, seen, &board.rules), seen.at),
    }
}

/// What follows from a comparison with what is usual. Nothing for an integration that is not configured, is switched off, or
/// was never observed.
pub fn compared(board: &Board, told: &HealthCompared, at: Timestamp) -> Plan {
    let enabled = board.integration(&told.integration).is_some_and(|configured| configured.enabled);
    let known = board.health.contains_key(&told.integration);
    match board.state(&told.integration, at).filter(|_| enabled && known) {
        None => Plan::default(),
        Some(state) => change(board, &state, compare(&state, told, at, &board.rules), at),
    }
}

/// What follows from time, or from a new configuration, for one integration.
pub fn review(board: &Board, id: &IntegrationId, now: Timestamp) -> Plan {
    let Some(configured) = board.integration(id) else {
        return remove_integration(board, id, now);
    };
    let Some(state) = board.state(id, now) else { return Plan::default() };
    let decided = if configured.enabled { tick(&state, now, &board.rules) } else { switch_off(&state, now) };
    change(board, &state, decided, now)
}

/// What follows from time, or from a new configuration, for one route.
pub fn review_route(board: &Board, id: &RouteId, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(route) = board.snapshot.as_ref().and_then(|snapshot| snapshot.routes.get(id)) else {
        if let Some(kept) = board.routes.get(id) {
            plan.routes.push((id.clone(), None));
            let alert = kept.value.alert.clone();
            plan.facts.extend(alert.map(|raised| ended(&kept.value.now, raised, now)));
        }
        return plan;
    };
    let member = |id: &IntegrationId| board.member(id, now);
    if let Some(change) = move_route(board, route, member, now, now) {
        plan.facts = change.facts;
        plan.routes.push((id.clone(), Some(change.entry)));
    }
    plan
}

fn change(board: &Board, before: &State, decided: (State, Vec<Action>), at: Timestamp) -> Plan {
    let (mut next, mut actions) = decided;
    let id = next.integration.clone();
    let new = !board.health.contains_key(&id);
    if next == *before && actions.is_empty() && !new {
        return Plan::default();
    }
    let mut plan = Plan::default();
    let mut moves = Vec::new();
    let usable = |state: &State| (state.health, state.reason);
    if usable(before) != usable(&next) {
        for route in routes_of(board, &id) {
            let member = |other: &IntegrationId| {
                let known = board.member(other, at)?;
                let changed =
                    Member { health: next.health, reason: next.reason, entered_at: next.entered_at, ..known };
                Some(if *other == id { changed } else { known })
            };
            moves.extend(move_route(board, route, member, at, next.since));
        }
    }
    for action in &mut actions {
        if let Action::Raise(raised) = action {
            complete(board, raised, &moves);
            next.alert = Some(raised.clone());
        }
    }
    let scope = alarm::scope(before);
    let named =
        |action: Action| (identity::event(&scope, before.version, &what(&action), next.since), action);
    plan.facts.extend(actions.into_iter().map(named));
    for moved in moves {
        plan.facts.extend(moved.facts);
        plan.routes.push((moved.entry.now.route.clone(), Some(moved.entry)));
    }
    plan.health = Some((id, Some(next)));
    plan
}

fn remove_integration(board: &Board, id: &IntegrationId, now: Timestamp) -> Plan {
    let Some(kept) = board.health.get(id).filter(|_| board.snapshot.is_some()) else {
        return Plan::default();
    };
    let mut gone = kept.value.clone();
    let ended = alarm::resolve(&mut gone, now);
    let scope = alarm::scope(&gone);
    let facts =
        ended.map(|action| (identity::event(&scope, gone.version, &what(&action), gone.since), action));
    Plan { facts: facts.into_iter().collect(), health: Some((id.clone(), None)), routes: Vec::new() }
}

struct Moved {
    entry: RouteEntry,
    from: Option<IntegrationId>,
    facts: Vec<(EventId, Action)>,
}

/// Where a route goes now, if that is elsewhere, or for another cause. Ids are made of `begun`: when what
/// caused it began.
fn move_route(
    board: &Board,
    route: &PinnedRoute,
    member: impl Fn(&IntegrationId) -> Option<Member>,
    at: Timestamp,
    begun: Timestamp,
) -> Option<Moved> {
    let id = &route.route.id;
    let kept = board.routes.get(id).map(|kept| &kept.value);
    let now = kept.map(|kept| &kept.now);
    let Choice { active, cause } = choose(route, now, &member, at, board.rules.return_after);
    let pinned = route.pinned.clone();
    if now.is_some_and(|now| (&now.active, now.cause, &now.pinned) == (&active, cause, &pinned)) {
        return None;
    }
    let from = now.and_then(|now| now.active.clone());
    let moved = from != active;
    let version = now.map_or(0, |now| now.version);
    let reason = from.as_ref().filter(|_| moved).and_then(&member).and_then(|member| member.reason);
    let scope = format!("route/{id}");
    let mut facts = Vec::new();
    let mut say =
        |action: Action| facts.push((identity::event(&scope, version, &what(&action), begun), action));
    let mut alert = kept.and_then(|kept| kept.alert.clone());
    match &active {
        // A new route that begins where it should is no news.
        Some(_) if now.is_none() && cause != RouteCause::Failover => {}
        Some(to) if moved => say(Action::Switch(RouteSwitched {
            route: id.clone(),
            from: from.clone(),
            to: to.clone(),
            cause,
            reason,
            at,
            epoch: board.epoch,
        })),
        None if moved || now.is_none() => {
            let why = |id: &IntegrationId| {
                let what = member(id).map_or_else(|| "deleted".to_owned(), |member| member.in_words());
                format!("{id}: {what}")
            };
            let why: Vec<_> = route.route.integrations.iter().map(why).collect();
            alert.get_or_insert_with(|| exhausted_alert(id, version, &why, begun, at));
            say(Action::Exhaust(RouteExhausted {
                route: id.clone(),
                from: from.clone(),
                why,
                at,
                epoch: board.epoch,
            }));
            say(Action::Raise(alert.clone().expect("it was put there three lines above")));
        }
        _ => {}
    }
    if active.is_some()
        && let Some(raised) = alert.take()
    {
        say(Action::Resolve(alarm::resolved(raised, at)));
    }
    let since = now.filter(|_| !moved).map_or(at, |now| now.since);
    let epoch = board.epoch.max(now.map_or(0, |now| now.epoch));
    let now =
        RouteNow { route: id.clone(), active, cause, reason, since, epoch, version: version + 1, pinned };
    Some(Moved { entry: RouteEntry { now, alert }, from, facts })
}

fn ended(now: &RouteNow, raised: AlertRaised, at: Timestamp) -> (EventId, Action) {
    let action = Action::Resolve(alarm::resolved(raised, at));
    (identity::event(&format!("route/{}", now.route), now.version, &what(&action), now.since), action)
}

/// Puts into an alert what the integration's own state does not know: labels, and where its routes go.
fn complete(board: &Board, raised: &mut AlertRaised, moves: &[Moved]) {
    let id = IntegrationId::new(raised.source.as_str()).ok();
    if let Some(configured) = id.as_ref().and_then(|id| board.integration(id)) {
        for (name, value) in &configured.labels {
            raised.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    let bad = raised.data.get("health") != Some(&json!(Health::Up));
    for moved in moves.iter().filter(|moved| bad && moved.from == id) {
        alarm::add_route(
            raised,
            &moved.entry.now.route,
            moved.entry.now.active.as_ref().map(IntegrationId::as_str),
        );
    }
}

fn exhausted_alert(
    id: &RouteId,
    version: u64,
    why: &[String],
    begun: Timestamp,
    at: Timestamp,
) -> AlertRaised {
    let scope = format!("route/{id}");
    let mut data = Map::new();
    data.insert("route".into(), json!(id));
    data.insert("why".into(), json!(why));
    AlertRaised {
        alert: identity::alert(&scope, version, begun),
        severity: Severity::Critical,
        alert_type: alarm::ROUTE.to_owned(),
        title: format!("Route {id} has no usable integration ({}).", why.join("; ")),
        persona: None,
        source: Slug::of(id.as_str()),
        fingerprint: scope,
        at,
        labels: [("route".to_owned(), id.to_string())].into(),
        data,
    }
}

fn routes_of<'a>(board: &'a Board, id: &'a IntegrationId) -> impl Iterator<Item = &'a PinnedRoute> {
    let routes = board.snapshot.iter().flat_map(|snapshot| snapshot.routes.values());
    routes.filter(move |route| route.route.integrations.contains(id) || route.pinned.as_ref() == Some(id))
}

/// What an action says, as a part of its id.
fn what(action: &Action) -> String {
    match action {
        Action::Announce(changed) => format!("changed {}", changed.to.as_str()),
        Action::Switch(switched) => format!("switched {}", switched.to),
        Action::Exhaust(_) => "exhausted".to_owned(),
        Action::Raise(raised) => alert_words(raised, Phase::Raised),
        Action::Resolve(resolved) => alert_words(&resolved.raised, Phase::Resolved),
    }
}

fn alert_words(raised: &AlertRaised, phase: Phase) -> String {
    let health = raised.data.get("reason").map(ToString::to_string).unwrap_or_default();
    format!("{} {} {} {health}", phase.as_str(), raised.severity.as_str(), raised.alert_type)
}

#[cfg(test)]
mod tests;
