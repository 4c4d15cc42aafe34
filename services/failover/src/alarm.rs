//! Decides which alert an integration deserves, and what to say so that exactly that one is open.
//!
//! Pure. An integration has one alert at most, with one id and one fingerprint from raised to resolved; getting
//! worse raises it again, getting half better leaves it open. While nothing is known, or work is announced, it
//! stays as it is. While the integration flaps, one alert says so and the others are held; yet one that stays down is
//! told as down, and that stands until it is calm.

use std::time::Duration;

use model::alert::{AlertRaised, AlertResolved, Severity};
use model::health::{Health, Reason};
use model::id::Slug;
use model::{AlertId, RouteId, Timestamp};
use serde_json::{Map, Value, json};

use crate::decide::Action;
use crate::flap;
use crate::identity;
use crate::state::{HISTORY_VOTES, State, WINDOW_VOTES};

/// The type of alerts about health.
pub const HEALTH: &str = "health";
/// The type of the alert that health changes too often.
pub const FLAPPING: &str = "flapping";
/// The type of alerts about routes.
pub const ROUTE: &str = "route";
/// Who resolves.
pub const RESOLVED_BY: &str = "failover";

/// How long one that flaps may be down before people hear that it is: at least this, and [`WINDOW_VOTES`] intervals,
/// so that probes which are rare do not page for one bad answer.
pub const HELD_DOWN_MAX: Duration = Duration::from_secs(60);

/// What an integration deserves.
enum Deserved {
    AsItIs,
    None,
    One(Severity, &'static str),
}

/// Makes the state's alert the one it deserves, and says what to publish. `before` is the state that decided.
pub fn settle(before: &State, next: &mut State, at: Timestamp) -> Option<Action> {
    let (severity, kind) = match deserved(next, at) {
        Deserved::AsItIs => return None,
        Deserved::None => return resolve(next, at),
        Deserved::One(severity, kind) => (severity, kind),
    };
    let raised = match &next.alert {
        None => {
            let id = identity::alert(&scope(next), before.version, next.since);
            raise(before, next, id, severity, kind, at)
        }
        Some(open) if is_news(open, next, severity, kind) => {
            raise(before, next, open.alert.clone(), severity.max(open.severity), kind, at)
        }
        Some(_) => return None,
    };
    next.alert = Some(raised.clone());
    Some(Action::Raise(raised))
}

/// Resolves the open alert, if there is one.
pub fn resolve(next: &mut State, at: Timestamp) -> Option<Action> {
    next.alert.take().map(|raised| Action::Resolve(resolved(raised, at)))
}

/// The end of an alert.
pub fn resolved(raised: AlertRaised, at: Timestamp) -> AlertResolved {
    AlertResolved { raised, resolved_at: at, resolved_by: RESOLVED_BY.to_owned() }
}

/// What ids and fingerprints of an integration's health are made of.
pub fn scope(state: &State) -> String {
    format!("health/{}", state.integration)
}

/// A sentence on where a route goes because of an alert: in its title and its data.
pub fn add_route(alert: &mut AlertRaised, route: &RouteId, to: Option<&str>) {
    alert.title.push_str(&match to {
        Some(to) => format!(" Route {route} goes to {to}."),
        None => format!(" Route {route} has nobody left."),
    });
    let routes = alert.data.entry("routes").or_insert_with(|| json!([]));
    if let Some(routes) = routes.as_array_mut() {
        routes.push(json!({ "route": route, "to": to }));
    }
}

/// `bad_credentials` as people write it.
pub fn in_words(reason: Reason) -> String {
    reason.as_str().replace('_', " ")
}

fn deserved(state: &State, at: Timestamp) -> Deserved {
    match state.health {
        Health::Maintenance | Health::Unknown => Deserved::AsItIs,
        Health::Up | Health::Degraded | Health::Down if state.flapping && !stays_down(state, at) => {
            Deserved::One(Severity::Warning, FLAPPING)
        }
        Health::Up => Deserved::None,
        Health::Degraded => Deserved::One(Severity::Warning, HEALTH),
        Health::Down => Deserved::One(Severity::Critical, HEALTH),
    }
}

/// Whether it is down for longer than flapping explains.
fn stays_down(state: &State, at: Timestamp) -> bool {
    let window = Duration::from_secs(u64::from(state.every_secs)) * WINDOW_VOTES as u32;
    state.health == Health::Down && at.since(state.entered_at) >= HELD_DOWN_MAX.max(window)
}

/// Whether people should hear of an open alert again: it became worse, useless for calls, or another kind.
fn is_news(open: &AlertRaised, next: &State, severity: Severity, kind: &str) -> bool {
    if open.alert_type != kind {
        // Told as down while it flapped: going up for a moment is no news, being calm ends it.
        return kind != FLAPPING || open.data.get("flapping") != Some(&json!(true));
    }
    let told = open.data.get("usable").and_then(Value::as_bool).unwrap_or(true);
    kind == HEALTH && (severity > open.severity || (told && !is_usable(next)))
}

fn is_usable(state: &State) -> bool {
    state.health != Health::Down && state.reason.is_none_or(Reason::leaves_it_usable)
}

fn raise(
    before: &State,
    next: &State,
    id: AlertId,
    severity: Severity,
    kind: &str,
    at: Timestamp,
) -> AlertRaised {
    let name = &next.integration;
    let title = if kind == FLAPPING {
        let share = flap::percent(&next.history);
        format!(
            "{name} changes too often ({share} % of its last {HISTORY_VOTES} observations). Its alerts are held."
        )
    } else {
        match next.reason {
            Some(reason) => format!("{name} is {} ({}).", next.health.as_str(), in_words(reason)),
            None => format!("{name} is {}.", next.health.as_str()),
        }
    };
    let mut data = Map::new();
    data.insert("integration".into(), json!(name));
    data.insert("provider".into(), json!(next.provider));
    data.insert("health".into(), json!(next.health));
    data.insert("previous".into(), json!(before.health));
    data.insert("reason".into(), json!(next.reason));
    data.insert("usable".into(), json!(is_usable(next)));
    if next.flapping {
        data.insert("flapping".into(), json!(true));
    }
    let figures = next.figures();
    if let Some(latency_ms) = figures.latency_ms {
        data.insert("latency_ms".into(), json!(latency_ms));
    }
    if let Some(status_code) = figures.status_code {
        data.insert("status_code".into(), json!(status_code));
    }
    if let Some(told) = next.evidence() {
        data.insert("compared".into(), json!(told));
        data.insert("detail".into(), json!(told.detail));
    }
    data.insert("since".into(), json!(next.since));
    data.insert("routes".into(), json!([]));
    AlertRaised {
        alert: id,
        severity,
        alert_type: kind.to_owned(),
        title,
        persona: None,
        source: Slug::of(name.as_str()),
        fingerprint: scope(next),
        at,
        labels: [("provider".to_owned(), next.provider.to_string())].into(),
        data,
    }
}
