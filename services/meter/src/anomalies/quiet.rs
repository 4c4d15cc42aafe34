//! Which spans prove nothing: maintenance, the minutes after a route's switch, and traffic that is not where it usually
//! goes.
//!
//! Pure: told what the buckets `health` and `routes` say, as they say it. Knows of the past only what it was told, and
//! keeps a few spans each.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::health::{Health, HealthNow};
use model::route::{RouteCause, RouteNow};
use model::{IntegrationId, RouteId, Timestamp};
use store::Aside;

/// How long after a switch, and after maintenance, figures prove nothing.
const SETTLE: Duration = Duration::from_secs(600);
/// Spans that are remembered of each integration and route.
const SPANS_MAX: usize = 32;

/// From when, and until when if it is over.
type Spans = VecDeque<(Timestamp, Option<Timestamp>)>;

/// What is known of the last hours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quiet {
    /// Maintenance.
    worked_on: BTreeMap<IntegrationId, Spans>,
    /// Routes whose traffic is not at the first of their list.
    moved: BTreeMap<RouteId, Spans>,
    /// When the traffic of routes was moved.
    switched: BTreeMap<RouteId, Spans>,
}

impl Quiet {
    /// Takes what an integration is now.
    pub(crate) fn health(&mut self, now: &HealthNow) {
        let spans = self.worked_on.entry(now.integration.clone()).or_default();
        set(spans, now.health == Health::Maintenance, now.since);
    }

    /// Takes where a route's traffic goes now.
    pub(crate) fn route(&mut self, now: &RouteNow) {
        let usual = now.cause == RouteCause::Preferred;
        let switched = self.switched.entry(now.route.clone()).or_default();
        // The first place of a route is no switch.
        let first = switched.is_empty() && usual;
        if !first && switched.back().is_none_or(|(at, _)| *at < now.since) {
            push(switched, (now.since, Some(now.since)));
        }
        set(self.moved.entry(now.route.clone()).or_default(), !usual, now.since);
    }

    /// Forgets a route.
    pub(crate) fn route_gone(&mut self, route: &str) {
        self.moved.retain(|known, _| known.as_str() != route);
        self.switched.retain(|known, _| known.as_str() != route);
    }

    /// Forgets an integration.
    pub(crate) fn health_gone(&mut self, integration: &str) {
        self.worked_on.retain(|known, _| known.as_str() != integration);
    }

    /// What a span says of an integration that is a member of these routes.
    pub(crate) fn aside<'r>(
        &self,
        id: &IntegrationId,
        routes: impl Iterator<Item = &'r RouteId> + Clone,
        from: Timestamp,
        to: Timestamp,
    ) -> Aside {
        let touches = |spans: Option<&Spans>, settle: Duration| {
            spans.is_some_and(|spans| {
                spans
                    .iter()
                    .any(|(begun, over)| *begun < to && over.is_none_or(|over| from < over.plus(settle)))
            })
        };
        if touches(self.worked_on.get(id), SETTLE)
            || routes.clone().any(|route| touches(self.switched.get(route), SETTLE))
        {
            return Aside::All;
        }
        let mut routes = routes;
        if routes.any(|route| touches(self.moved.get(route), SETTLE)) { Aside::Volume } else { Aside::No }
    }
}

/// Opens a span, or ends the open one.
fn set(spans: &mut Spans, on: bool, at: Timestamp) {
    let open = spans.back().is_some_and(|(_, over)| over.is_none());
    match (open, on) {
        (false, true) => push(spans, (at, None)),
        (true, false) => {
            if let Some((_, over)) = spans.back_mut() {
                *over = Some(at);
            }
        }
        (true, true) | (false, false) => {}
    }
}

fn push(spans: &mut Spans, span: (Timestamp, Option<Timestamp>)) {
    if spans.len() == SPANS_MAX {
        spans.pop_front();
    }
    spans.push_back(span);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_millis(minute * 60_000)
    }

    fn id(text: &str) -> IntegrationId {
        IntegrationId::new(text).expect("a valid id")
    }

    fn health(health: Health, since: i64) -> HealthNow {
        HealthNow {
            integration: id("a"),
            health,
            reason: None,
            since: at(since),
            checked_at: None,
            latency_ms: None,
            status_code: None,
            detail: None,
            flapping: false,
        }
    }

    fn route(cause: RouteCause, since: i64) -> RouteNow {
        RouteNow {
            route: RouteId::new("quotes").expect("a valid id"),
            active: Some(id("a")),
            cause,
            reason: None,
            since: at(since),
            epoch: 1,
            version: 1,
            pinned: None,
        }
    }

    /// What spans of 5 minutes say of a member of the route, a letter each: `.` all, `x` nothing, `v` not volume.
    fn check(quiet: &Quiet, expected: &str) {
        let routes = [RouteId::new("quotes").expect("a valid id")];
        let said: String = (0..expected.len() as i64)
            .map(|bucket| match quiet.aside(&id("a"), routes.iter(), at(bucket * 5), at(bucket * 5 + 5)) {
                Aside::No => '.',
                Aside::All => 'x',
                Aside::Volume => 'v',
            })
            .collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn maintenance_proves_nothing_and_neither_do_the_minutes_after() {
        let mut quiet = Quiet::default();
        quiet.health(&health(Health::Up, 0));
        quiet.health(&health(Health::Maintenance, 12));
        check(&quiet, "..xxxx");
        quiet.health(&health(Health::Up, 20));
        check(&quiet, "..xxxx..");
    }

    #[test]
    fn after_a_switch_nothing_is_judged_and_while_traffic_is_elsewhere_its_volume_is_not() {
        let mut quiet = Quiet::default();
        quiet.route(&route(RouteCause::Preferred, 0));
        check(&quiet, "....");
        quiet.route(&route(RouteCause::Failover, 7));
        check(&quiet, ".xxxvvvv");
        quiet.route(&route(RouteCause::Preferred, 30));
        check(&quiet, ".xxxvvxx..");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut quiet = Quiet::default();
        for minute in 0..200 {
            let cause = if minute % 2 == 0 { RouteCause::Failover } else { RouteCause::Preferred };
            quiet.route(&route(cause, minute));
        }
        assert!(quiet.switched.values().chain(quiet.moved.values()).all(|spans| spans.len() <= SPANS_MAX));
    }
}
