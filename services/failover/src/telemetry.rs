//! The names of failover's metrics, each described once.
//!
//! States are sets of 0/1 series, all of them always present. Only the leader shows ones: when its term ends its
//! series go to zero, so that a sum over all replicas is right.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use model::health::{Health, Reason};
use model::route::Route;
use model::{IntegrationId, RouteId};

/// What integrations are: 1 for what it is, 0 for all else. Labels: integration, state.
pub const STATE: &str = "signalbox_provider_state";
/// Changes of health. Label: integration.
pub const STATE_CHANGES: &str = "signalbox_provider_state_changes_total";
/// Routes that went elsewhere. Labels: route, from, to, reason.
pub const SWITCHES: &str = "signalbox_failover_switches_total";
/// Who answers for a route: 1 for the active one. Labels: route, integration.
pub const ROUTE_ACTIVE: &str = "signalbox_route_active";
/// Whether this process leads.
pub const LEADER: &str = "signalbox_failover_leader";

/// Describes them.
pub fn describe() {
    describe_gauge!(STATE, "What an integration is: 1 for its state, 0 for all others.");
    describe_counter!(STATE_CHANGES, "Changes of an integration's health.");
    describe_counter!(SWITCHES, "Times that a route's traffic went to another integration.");
    describe_gauge!(ROUTE_ACTIVE, "Who answers for a route: 1 for the active integration, 0 for the others.");
    describe_gauge!(LEADER, "Whether this process leads failover.");
    leads(false);
}

/// Says whether this process leads.
pub fn leads(yes: bool) {
    gauge!(LEADER).set(if yes { 1.0 } else { 0.0 });
}

/// Shows what an integration is; nothing: this process does not know, or it is gone.
pub fn health(id: &IntegrationId, is: Option<Health>) {
    for state in Health::ALL {
        let value = if is == Some(state) { 1.0 } else { 0.0 };
        gauge!(STATE, "integration" => id.to_string(), "state" => state.as_str()).set(value);
    }
    counter!(STATE_CHANGES, "integration" => id.to_string()).increment(0);
}

/// Counts a change of health.
pub fn changed(id: &IntegrationId) {
    counter!(STATE_CHANGES, "integration" => id.to_string()).increment(1);
}

/// Counts a switch.
pub fn switched(route: &RouteId, from: Option<&IntegrationId>, to: &IntegrationId, reason: Option<Reason>) {
    let labels = [
        ("route", route.to_string()),
        ("from", from.map_or_else(|| "none".to_owned(), ToString::to_string)),
        ("to", to.to_string()),
        ("reason", reason.map_or("none", Reason::as_str).to_owned()),
    ];
    counter!(SWITCHES, &labels).increment(1);
}

/// Shows who answers for a route.
pub fn active(route: &Route, active: Option<&IntegrationId>) {
    for member in &route.integrations {
        let value = if active == Some(member) { 1.0 } else { 0.0 };
        gauge!(ROUTE_ACTIVE, "route" => route.id.to_string(), "integration" => member.to_string()).set(value);
    }
}

#[cfg(test)]
mod tests {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;

    #[test]
    fn all_states_are_there_and_one_is_one() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let id = IntegrationId::new("a").expect("a slug");
        metrics::with_local_recorder(&recorder, || health(&id, Some(Health::Degraded)));
        let mut states = Vec::new();
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            if let (STATE, DebugValue::Gauge(value)) = (key.key().name(), value) {
                let state = key.key().labels().find(|label| label.key() == "state").expect("labelled");
                states.push((state.value().to_owned(), value.into_inner() > 0.5));
            }
        }
        assert_eq!(states.len(), Health::ALL.len());
        let on: Vec<_> = states.iter().filter(|(_, on)| *on).map(|(state, _)| state.as_str()).collect();
        assert_eq!(on, ["degraded"]);
    }
}
