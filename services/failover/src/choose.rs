//! Chooses who answers for a route.
//!
//! Pure. Stays where it is while that works: a slow primary keeps its traffic, and a working backup keeps it
//! until a member before it has been up for a while. Never moves a route that an operator pinned or that does
//! not fail over. Members that an operator drains are passed over as if they were not listed, unless nobody else can
//! answer. A route's order does not matter here: gateways share its calls out, and follow this word where it says
//! `priority` or `quota_aware`.

use std::time::Duration;

use model::health::{Health, Reason};
use model::route::{RouteCause, RouteNow};
use model::snapshot::PinnedRoute;
use model::{IntegrationId, Timestamp};

use crate::alarm::in_words;

/// A member of a route, as a choice needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whether an operator lets it be called.
    pub enabled: bool,
    /// What it is.
    pub health: Health,
    /// Why; absent when it is up.
    pub reason: Option<Reason>,
    /// Since when it is that, as it was decided.
    pub entered_at: Timestamp,
}

impl Member {
    /// Whether calls can succeed there.
    pub fn is_usable(&self) -> bool {
        self.enabled
            && match self.health {
                Health::Up | Health::Unknown => true,
                Health::Degraded => self.reason.is_none_or(Reason::leaves_it_usable),
                Health::Down | Health::Maintenance => false,
            }
    }

    /// What is wrong with it: `down (unreachable)`.
    pub fn in_words(&self) -> String {
        match (self.enabled, self.reason) {
            (false, _) => "disabled".to_owned(),
            (true, Some(reason)) => format!("{} ({})", self.health.as_str(), in_words(reason)),
            (true, None) => self.health.as_str().to_owned(),
        }
    }
}

/// Who answers, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Nobody when no member is usable.
    pub active: Option<IntegrationId>,
    /// Why it is this one.
    pub cause: RouteCause,
}

/// Chooses among the members of a route. `member` knows the configured integrations only; `now` is where the
/// traffic goes, absent for a new route.
pub fn choose(
    route: &PinnedRoute,
    now: Option<&RouteNow>,
    member: impl Fn(&IntegrationId) -> Option<Member>,
    at: Timestamp,
    return_after: Duration,
) -> Choice {
    let enabled = |id: &IntegrationId| member(id).is_some_and(|member| member.enabled);
    if let Some(pinned) = route.pinned.as_ref().filter(|id| enabled(id)) {
        return Choice { active: Some(pinned.clone()), cause: RouteCause::Pinned };
    }
    let usable = |id: &&IntegrationId| member(id).is_some_and(|member| member.is_usable());
    let all = &route.route.integrations;
    let listed: Vec<IntegrationId> = all.iter().filter(|id| !route.drained.contains(*id)).cloned().collect();
    let takes_calls =
        if route.route.failover { listed.iter().any(|id| usable(&id)) } else { !listed.is_empty() };
    let members = if takes_calls { &listed } else { all };
    if !route.route.failover {
        return found(members, members.first().filter(|id| enabled(id)));
    }
    let up_for = |id: &&IntegrationId, time: Duration| {
        member(id).is_some_and(|m| m.enabled && m.health == Health::Up && at.since(m.entered_at) >= time)
    };
    let active = now
        .filter(|now| now.cause != RouteCause::Pinned)
        .and_then(|now| now.active.as_ref())
        .and_then(|active| members.iter().position(|id| id == active))
        .filter(|place| usable(&&members[*place]));
    if let Some(place) = active {
        let better = members[..place].iter().find(|id| up_for(id, return_after));
        return found(members, better.or(members.get(place)));
    }
    let preferred = members.first().filter(usable);
    let up = || members.iter().find(|id| up_for(id, Duration::ZERO));
    found(members, preferred.or_else(up).or_else(|| members.iter().find(usable)))
}

fn found(members: &[IntegrationId], active: Option<&IntegrationId>) -> Choice {
    let cause = match active {
        None => RouteCause::Exhausted,
        active if active == members.first() => RouteCause::Preferred,
        Some(_) => RouteCause::Failover,
    };
    Choice { active: active.cloned(), cause }
}

#[cfg(test)]
mod tests;
