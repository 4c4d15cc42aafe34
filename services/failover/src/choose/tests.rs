//! Tables of members and who of them answers. A member is a letter and what it is: `+` up, `-` down, `~` slow,
//! `k` bad key, `?` unknown, `x` disabled, `m` maintenance; digits after it: for how many seconds.

use super::*;
use crate::tests::{id, route, second};

const NOW: u32 = 1_000;

fn members(text: &str) -> Vec<(IntegrationId, Member)> {
    let read = |word: &str| {
        let (health, reason) = match &word[1..2] {
            "+" => (Health::Up, None),
            "-" => (Health::Down, Some(Reason::Timeout)),
            "~" => (Health::Degraded, Some(Reason::Slow)),
            "k" => (Health::Degraded, Some(Reason::BadCredentials)),
            "?" | "x" => (Health::Unknown, None),
            "m" => (Health::Maintenance, Some(Reason::Maintenance)),
            other => panic!("`{other}` is nothing"),
        };
        let secs: u32 = word[2..].parse().unwrap_or(NOW);
        let entered_at = second(NOW - secs);
        (id(&word[..1]), Member { enabled: &word[1..2] != "x", health, reason, entered_at })
    };
    text.split_whitespace().map(read).collect()
}

fn choice(text: &str, active: Option<&str>, edit: impl Fn(&mut PinnedRoute), was: RouteCause) -> Choice {
    let members = members(text);
    let names: Vec<_> = members.iter().map(|(id, _)| id.as_str()).collect();
    let mut route = route("quotes", &names);
    edit(&mut route);
    let now = active.map(|active| RouteNow {
        route: route.route.id.clone(),
        active: (active != "-").then(|| id(active)),
        cause: was,
        reason: None,
        since: second(1),
        epoch: 1,
        version: 1,
        pinned: None,
    });
    let member = |id: &IntegrationId| members.iter().find(|(name, _)| name == id).map(|(_, member)| *member);
    choose(&route, now.as_ref(), member, second(NOW), Duration::from_secs(5))
}

#[track_caller]
fn check(text: &str, active: Option<&str>, expected: Option<&str>) {
    let choice = choice(text, active, |_| {}, RouteCause::Failover);
    assert_eq!(choice.active.as_ref().map(IntegrationId::as_str), expected, "{text} at {active:?}");
}

#[test]
fn a_new_route_begins_at_its_first_usable_member() {
    check("a+ b+", None, Some("a"));
    check("a? b+", None, Some("a"));
    check("a~ b+", None, Some("a"));
    check("a- b+", None, Some("b"));
    check("ax b+", None, Some("b"));
}

#[test]
fn it_leaves_what_is_not_usable() {
    check("a- b+", Some("a"), Some("b"));
    check("ak b+", Some("a"), Some("b"));
    check("am b+", Some("a"), Some("b"));
    check("ax b+", Some("a"), Some("b"));
    check("a- b- c+", Some("b"), Some("c"));
}

#[test]
fn a_slow_member_keeps_its_traffic() {
    check("a~ b+", Some("a"), Some("a"));
    check("a- b~ c+", Some("b"), Some("b"));
}

#[test]
fn the_next_one_that_is_up_comes_before_a_slow_one() {
    check("a- b~ c+", Some("a"), Some("c"));
    check("a- b~ c?", Some("a"), Some("b"));
    check("a- b~ c-", Some("a"), Some("b"));
}

#[test]
fn it_returns_when_a_better_member_was_up_for_a_while() {
    check("a+4 b+", Some("b"), Some("b"));
    check("a+5 b+", Some("b"), Some("a"));
    check("a~ b+", Some("b"), Some("b"));
    check("a- b+9 c+", Some("c"), Some("b"));
    check("a+1 b-", Some("b"), Some("a"));
}

#[test]
fn nobody_is_usable() {
    let nobody = choice("a- bk", Some("a"), |_| {}, RouteCause::Preferred);
    assert_eq!(nobody, Choice { active: None, cause: RouteCause::Exhausted });
    check("a+1 b-", Some("-"), Some("a"));
}

#[test]
fn a_pin_wins_even_when_it_is_down() {
    let pinned = choice("a+ b-", Some("a"), |route| route.pinned = Some(id("b")), RouteCause::Preferred);
    assert_eq!(pinned, Choice { active: Some(id("b")), cause: RouteCause::Pinned });
    let disabled = choice("a+ bx", Some("a"), |route| route.pinned = Some(id("b")), RouteCause::Preferred);
    assert_eq!(disabled, Choice { active: Some(id("a")), cause: RouteCause::Preferred });
}

#[test]
fn after_a_pin_it_goes_where_it_belongs_at_once() {
    let free = choice("a+1 b+", Some("b"), |_| {}, RouteCause::Pinned);
    assert_eq!(free, Choice { active: Some(id("a")), cause: RouteCause::Preferred });
}

#[test]
fn a_route_without_failover_stays() {
    let stays = choice("a- b+", Some("a"), |route| route.route.failover = false, RouteCause::Preferred);
    assert_eq!(stays, Choice { active: Some(id("a")), cause: RouteCause::Preferred });
}

#[test]
fn a_drained_member_is_passed_over_while_another_one_can_answer() {
    let drained = |text: &str, active: Option<&str>, failover: bool| {
        let edit = |route: &mut PinnedRoute| {
            route.drained.insert(id("a"));
            route.route.failover = failover;
        };
        let choice = choice(text, active, edit, RouteCause::Preferred);
        (choice.active.map(|id| id.to_string()).unwrap_or_default(), choice.cause)
    };
    let b = |cause| ("b".to_owned(), cause);
    assert_eq!(drained("a+ b+ c+", None, true), b(RouteCause::Preferred));
    assert_eq!(drained("a+ b+ c+", Some("a"), true), b(RouteCause::Preferred));
    assert_eq!(drained("a+ b+", Some("b"), true), b(RouteCause::Preferred));
    assert_eq!(drained("a+ b-", Some("b"), true), ("a".to_owned(), RouteCause::Preferred));
    assert_eq!(drained("a+ b-", Some("b"), false), b(RouteCause::Preferred));
    assert_eq!(drained("a-", None, true).1, RouteCause::Exhausted);
}
