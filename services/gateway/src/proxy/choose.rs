//! Chooses in which order the members of a route are tried.
//!
//! Failover's word first, then the configured order; members whose calls are known to fail, or hang just now, come last,
//! so that a dead provider costs nobody a time-out while another one works.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method};
use model::IntegrationId;

use crate::board::Board;
use crate::snapshot::{Integration, Route};

/// The members to try, in this order; without failover only one.
pub(crate) fn choose(route: &Route, members: &[Arc<Integration>], board: &Board) -> Vec<Arc<Integration>> {
    let callable: Vec<_> = members.iter().filter(|member| member.fault.is_none()).cloned().collect();
    let said = board.active(&route.id);
    let pinned = said.as_ref().filter(|(_, pinned)| *pinned).map(|(id, _)| id);
    let ids: Vec<&IntegrationId> = callable.iter().map(|member| &member.id).collect();
    let order = order(
        &ids,
        said.as_ref().map(|(id, _)| id),
        route.pinned.as_ref().or(pinned),
        route.failover,
        |place| !can_answer(&callable[place], board),
    );
    order.into_iter().map(|place| callable[place].clone()).collect()
}

/// Whether nothing is known that makes a call there fail.
pub(crate) fn can_answer(member: &Integration, board: &Board) -> bool {
    !board.is_unusable(&member.id) && !member.live.is_silent(Instant::now())
}

/// The places of members in the order in which they are tried.
fn order(
    members: &[&IntegrationId],
    active: Option<&IntegrationId>,
    pinned: Option<&IntegrationId>,
    failover: bool,
    is_unusable: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let rank = |place: &usize| {
        let id = members[*place];
        // An operator's word stands above what is known of its health; failover's does not: health is fresher.
        match () {
            () if pinned == Some(id) => 0,
            () if is_unusable(*place) => 3,
            () if active == Some(id) => 1,
            () => 2,
        }
    };
    let mut places: Vec<usize> = (0..members.len()).collect();
    if failover {
        // Each is ranked once: what hangs can change meanwhile.
        places.sort_by_cached_key(rank);
        return places;
    }
    let one =
        |wanted: Option<&IntegrationId>| places.iter().copied().find(|place| wanted == Some(members[*place]));
    one(pinned).or_else(|| one(active)).or_else(|| places.first().copied()).into_iter().collect()
}

/// Whether a request can be sent again without doing something twice.
pub(crate) fn is_repeatable(method: &Method, headers: &HeaderMap, route: Option<&Route>) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || headers.get("idempotency-key").is_some_and(|key| !key.is_empty())
        || route.is_some_and(|route| route.repeatable.contains(method))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members `a b c`; prints the order.
    #[track_caller]
    fn check(active: &str, pinned: &str, failover: bool, unusable: &str, wanted: &str) {
        let members: Vec<IntegrationId> =
            ["a", "b", "c"].map(|id| IntegrationId::new(id).expect("a slug")).into();
        let of = |id: &str| IntegrationId::new(id).ok();
        let order = order(
            &members.iter().collect::<Vec<_>>(),
            of(active).as_ref(),
            of(pinned).as_ref(),
            failover,
            |place| unusable.contains(members[place].as_str()),
        );
        let names: Vec<&str> = order.into_iter().map(|place| members[place].as_str()).collect();
        assert_eq!(names.join(" "), wanted);
    }

    #[test]
    fn the_active_member_is_first_and_the_rest_keeps_its_order() {
        check("", "", true, "", "a b c");
        check("a", "", true, "", "a b c");
        check("c", "", true, "", "c a b");
        check("gone", "", true, "", "a b c");
    }

    #[test]
    fn members_that_are_down_come_last() {
        check("a", "", true, "a", "b c a");
        check("b", "", true, "a", "b c a");
        check("a", "", true, "abc", "a b c");
    }

    #[test]
    fn an_operators_word_stands_above_health() {
        check("c", "b", true, "b", "b c a");
    }

    #[test]
    fn without_failover_there_is_one() {
        check("", "", false, "a", "a");
        check("b", "", false, "", "b");
        check("b", "c", false, "c", "c");
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
}
