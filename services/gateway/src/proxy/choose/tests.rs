//! Orders, as tables.

use std::time::Duration;

use super::*;

/// Members `a b c` and what is known of them (`x` shut, `d` drained, `n` near, a digit: cost or place in the draw, or
/// for how many seconds it has not failed); prints the order.
#[track_caller]
fn check_by(by: Order, members: &str, active: &str, pinned: &str, failover: bool, wanted: &str) {
    let now = Instant::now() + Duration::from_secs(1_000);
    let read = |word: &str| {
        let has = |letter: char| word[1..].contains(letter);
        let number = word.chars().find_map(|c| c.to_digit(10));
        Fact {
            shut: has('x').then_some("breaker_open"),
            failed: number.filter(|_| has('x')).map(|secs| now - Duration::from_secs(secs.into())),
            drained: has('d'),
            near: has('n'),
            cost: (0, number.unwrap_or_default().into()),
            drawn: number.unwrap_or_default().into(),
            ..Fact::default()
        }
    };
    let of = |id: &str| IntegrationId::new(id).ok();
    let words: Vec<&str> = members.split_whitespace().collect();
    let ids: Vec<IntegrationId> = words.iter().filter_map(|word| of(&word[..1])).collect();
    let facts: Vec<Fact> = words.iter().map(|word| read(word)).collect();
    let ids: Vec<&IntegrationId> = ids.iter().collect();
    let order = order(&ids, &facts, of(active).as_ref(), of(pinned).as_ref(), failover, by);
    let names: Vec<&str> = order.into_iter().map(|place| ids[place].as_str()).collect();
    assert_eq!(names.join(" "), wanted, "{by:?} {members}, active {active}, pinned {pinned}");
}

#[track_caller]
fn check(members: &str, active: &str, pinned: &str, failover: bool, wanted: &str) {
    check_by(Order::Priority, members, active, pinned, failover, wanted);
}

#[test]
fn the_active_member_is_first_and_the_rest_keeps_its_order() {
    check("a b c", "", "", true, "a b c");
    check("a b c", "a", "", true, "a b c");
    check("a b c", "c", "", true, "c a b");
    check("a b c", "gone", "", true, "a b c");
}

#[test]
fn members_that_are_down_come_last() {
    check("ax b c", "a", "", true, "b c a");
    check("ax b c", "b", "", true, "b c a");
    check("ax bx cx", "a", "", true, "a b c");
}

#[test]
fn where_all_are_down_the_one_that_failed_longest_ago_is_first() {
    check("ax1 bx5 cx3", "a", "", true, "b c a");
    check("ax1 bx5 cx", "a", "", true, "c b a");
    check("ax1 b cx3", "a", "", true, "b c a");
}

#[test]
fn a_drained_member_is_asked_when_nobody_else_can_answer() {
    check("ad b c", "a", "", true, "b c a");
    check("ad b cx", "", "", true, "b a c");
    check("ad bx c", "", "a", true, "a c b");
    check("ad b c", "", "", false, "b");
    check("ad", "", "", false, "a");
}

#[test]
fn an_operators_word_stands_above_health() {
    check("a bx c", "c", "b", true, "b c a");
    check_by(Order::Weighted, "a1 bx9 c2", "", "b", true, "b a c");
    check_by(Order::QuotaAware, "a bn c", "", "b", true, "b a c");
}

#[test]
fn without_failover_there_is_one() {
    check("ax b c", "", "", false, "a");
    check("a b c", "b", "", false, "b");
    check("a b c", "b", "c", false, "c");
    check_by(Order::Weighted, "a3 b1 c2", "a", "", false, "b");
    check_by(Order::CheapestFirst, "a3 b2 c1", "a", "", false, "c");
}

#[test]
fn weights_and_costs_order_those_that_can_answer() {
    check_by(Order::Weighted, "a3 b1 c2", "a", "", true, "b c a");
    check_by(Order::Weighted, "a3 bx1 c2", "b", "", true, "c a b");
    check_by(Order::CheapestFirst, "a3 b1 c1", "a", "", true, "b c a");
    check_by(Order::CheapestFirst, "a3 b1d c2", "", "", true, "c a b");
}

#[test]
fn a_quota_that_is_nearly_used_up_is_left_before_it_is() {
    check_by(Order::QuotaAware, "a b c", "", "", true, "a b c");
    check_by(Order::QuotaAware, "an b c", "a", "", true, "b c a");
    check_by(Order::QuotaAware, "an bx c", "", "", true, "c a b");
    check_by(Order::QuotaAware, "an bn cn", "b", "", true, "b a c");
    check_by(Order::QuotaAware, "a b cn", "b", "", true, "b a c");
    // Other orders do not care.
    check("an b c", "", "", true, "a b c");
}

#[test]
fn only_what_is_safe_is_repeated() {
    let (none, mut key) = (HeaderMap::new(), HeaderMap::new());
    key.insert("idempotency-key", http::HeaderValue::from_static("k"));
    for (method, headers, wanted) in [
        (Method::GET, &none, true),
        (Method::HEAD, &none, true),
        (Method::OPTIONS, &none, true),
        (Method::POST, &none, false),
        (Method::PUT, &none, false),
        (Method::DELETE, &none, false),
        (Method::POST, &key, true),
    ] {
        assert_eq!(is_repeatable(&method, headers, None), wanted, "{method}");
    }
}
