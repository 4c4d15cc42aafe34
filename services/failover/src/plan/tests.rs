//! What one input means for the whole board.

use std::sync::Arc;

use model::health::Reason;

use super::*;
use crate::board::Kept;
use crate::tests::{board, id, probe_of, route_id, second};

/// Takes a plan as carried out.
fn carry_out(board: &mut Board, plan: Plan) -> Vec<(EventId, Action)> {
    if let Some((id, state)) = plan.health {
        match state {
            Some(value) => drop(board.health.insert(id, Kept { value, revision: 1 })),
            None => drop(board.health.remove(&id)),
        }
    }
    for (id, entry) in plan.routes {
        match entry {
            Some(value) => drop(board.routes.insert(id, Kept { value, revision: 1 })),
            None => drop(board.routes.remove(&id)),
        }
    }
    plan.facts
}

/// Observes each `name reason` at the next second, and says the facts in short.
fn story(board: &mut Board, from: u32, steps: &str) -> Vec<String> {
    let mut facts = Vec::new();
    for (at, step) in (from..).zip(steps.split(',')) {
        let (name, what) = step.trim().split_once(' ').expect("a name and a word");
        let reason = match what {
            "ok" => None,
            "fail" => Some(Reason::Unreachable),
            "key" => Some(Reason::BadCredentials),
            other => panic!("`{other}` is nothing"),
        };
        let plan = observe(board, &probe_of(name, at, reason));
        facts.extend(carry_out(board, plan));
    }
    facts.iter().map(|(_, action)| in_short(action)).collect()
}

fn in_short(action: &Action) -> String {
    match action {
        Action::Announce(changed) => format!("{} {}", changed.integration, changed.to.as_str()),
        Action::Switch(switched) => format!("{} to {}", switched.route, switched.to),
        Action::Exhaust(exhausted) => format!("{} exhausted", exhausted.route),
        Action::Raise(raised) => format!("raise: {}", raised.title),
        Action::Resolve(ended) => format!("resolve: {}", ended.raised.fingerprint),
    }
}

fn started() -> Board {
    let mut board = board();
    let plan = review_route(&board, &route_id("quotes"), second(0));
    assert_eq!(plan.facts, [], "a new route is no news");
    carry_out(&mut board, plan);
    story(&mut board, 1, "a ok, b ok, c ok");
    board
}

fn active(board: &Board) -> Option<&str> {
    board.routes[&route_id("quotes")].value.now.active.as_ref().map(IntegrationId::as_str)
}

#[test]
fn a_failing_member_moves_its_route_and_people_hear_of_both() {
    let mut board = started();
    let facts = story(&mut board, 10, "a fail, a fail, a fail");
    assert_eq!(facts, ["a down", "raise: a is down (unreachable). Route quotes goes to b.", "quotes to b"]);
    let now = &board.routes[&route_id("quotes")].value.now;
    assert_eq!((now.cause, now.reason), (RouteCause::Failover, Some(Reason::Unreachable)));
    assert_eq!((now.epoch, now.version), (7, 2));

    assert_eq!(story(&mut board, 20, "a ok, a ok, a ok"), ["a up", "resolve: health/a", "quotes to a"]);
    assert_eq!(board.routes[&route_id("quotes")].value.now.cause, RouteCause::Preferred);
}

#[test]
fn a_preferred_member_waits_and_time_brings_the_route_back() {
    let mut board = started();
    board.rules.return_after = std::time::Duration::from_secs(5);
    story(&mut board, 10, "a fail, a fail, a fail, a ok, a ok, a ok");
    assert_eq!(active(&board), Some("b"));
    assert!(review_route(&board, &route_id("quotes"), second(19)).is_empty());
    let plan = review_route(&board, &route_id("quotes"), second(20));
    carry_out(&mut board, plan);
    assert_eq!(active(&board), Some("a"));
}

#[test]
fn when_nobody_is_left_that_is_an_alert_of_its_own() {
    let mut board = started();
    story(&mut board, 10, "b key, b key, c fail, c fail, c fail");
    let facts = story(&mut board, 20, "a fail, a fail, a fail");
    assert_eq!(facts[1], "raise: a is down (unreachable). Route quotes has nobody left.");
    assert_eq!(facts[2], "quotes exhausted");
    assert_eq!(
        facts[3],
        "raise: Route quotes has no usable integration (a: down (unreachable); b: degraded (bad credentials); c: down (unreachable))."
    );
    assert_eq!(active(&board), None);
    assert!(story(&mut board, 30, "b key, c fail").is_empty());

    let facts = story(&mut board, 40, "b ok, b ok, b ok");
    assert_eq!(facts, ["b up", "resolve: health/b", "quotes to b", "resolve: route/quotes"]);
}

#[test]
fn planning_again_from_the_same_board_has_the_same_ids() {
    let mut board = started();
    story(&mut board, 10, "a fail, a fail");
    let ids = |plan: Plan| plan.facts.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let first = ids(observe(&board, &probe_of("a", 12, Some(Reason::Unreachable))));
    let later = ids(observe(&board, &probe_of("a", 13, Some(Reason::Unreachable))));
    assert_eq!(first.len(), 3);
    assert_eq!(first, later, "the next leader decides on a later observation: the same facts");
    let mut all = first.clone();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), first.len());
}

#[test]
fn every_fact_of_a_long_story_has_its_own_id() {
    let mut board = started();
    let mut ids = Vec::new();
    for at in (10..400).step_by(10) {
        for (step, reason) in [Some(Reason::Unreachable), None].iter().enumerate() {
            for n in 0..3 {
                let at = at + u32::try_from(step).expect("small") * 3 + n;
                let plan = observe(&board, &probe_of("a", at, *reason));
                ids.extend(carry_out(&mut board, plan).into_iter().map(|(id, _)| id));
            }
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn what_is_deleted_is_forgotten_and_its_alert_ends() {
    let mut board = started();
    story(&mut board, 10, "a fail, a fail, a fail");
    let mut snapshot = crate::tests::snapshot();
    snapshot.integrations.remove(&id("a"));
    snapshot.routes.clear();
    board.snapshot = Some(Arc::new(snapshot));

    let plan = review(&board, &id("a"), second(50));
    assert_eq!(
        plan.facts.iter().map(|(_, action)| in_short(action)).collect::<Vec<_>>(),
        ["resolve: health/a"]
    );
    assert_eq!(plan.health, Some((id("a"), None)));
    let plan = review_route(&board, &route_id("quotes"), second(50));
    assert_eq!(plan.routes, [(route_id("quotes"), None)]);
    assert!(observe(&board, &probe_of("a", 60, None)).is_empty());
}

#[test]
fn what_is_disabled_is_unknown_and_left_by_its_routes() {
    let mut board = started();
    story(&mut board, 10, "a fail, a fail, a fail");
    let mut snapshot = crate::tests::snapshot();
    snapshot.integrations.get_mut(&id("a")).expect("it is there").enabled = false;
    snapshot.integrations.get_mut(&id("b")).expect("it is there").enabled = false;
    board.snapshot = Some(Arc::new(snapshot));
    let plan = review(&board, &id("a"), second(50));
    let facts = carry_out(&mut board, plan);
    assert_eq!(
        facts.iter().map(|(_, action)| in_short(action)).collect::<Vec<_>>(),
        ["a unknown", "resolve: health/a", "quotes to c"]
    );
    assert!(review(&board, &id("a"), second(51)).is_empty());
    assert!(observe(&board, &probe_of("a", 60, None)).is_empty());
}

#[test]
fn without_configuration_nothing_is_decided() {
    let mut board = started();
    board.snapshot = None;
    assert!(observe(&board, &probe_of("a", 60, None)).is_empty());
    assert!(review(&board, &id("a"), second(60)).is_empty());
}

#[test]
fn an_entry_is_read_by_those_who_know_less() {
    let mut board = started();
    story(&mut board, 10, "a fail, a fail, a fail");
    let state = board.health[&id("a")].value.clone();
    let entry = crate::state::HealthEntry { now: state.now(), epoch: 7, state: Some(state) };
    let text = serde_json::to_string(&entry).expect("serialises");
    let now: model::health::HealthNow = serde_json::from_str(&text).expect("readers ignore the rest");
    assert_eq!(now, entry.now);
    assert_eq!(serde_json::from_str::<crate::state::HealthEntry>(&text).expect("its own reader"), entry);
    let route = board.routes[&route_id("quotes")].value.clone();
    let text = serde_json::to_string(&route).expect("serialises");
    let now: RouteNow = serde_json::from_str(&text).expect("readers ignore the rest");
    assert_eq!(now, route.now);
}
