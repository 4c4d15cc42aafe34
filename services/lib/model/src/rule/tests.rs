//! What rules are taken, and why the others are not.

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::*;

fn check(body: &Value, pointer: Option<&str>) {
    let rule = Rule::deserialize(body).expect("a rule");
    let fault = rule.check().err();
    assert_eq!(fault.as_ref().map(|fault| fault.pointer), pointer, "{body} {fault:?}");
}

#[test]
fn rules_that_are_there_from_the_start_are_whole_and_can_be_written_again() {
    let mut ids = BTreeSet::new();
    for rule in built_ins() {
        assert_eq!(rule.check(), Ok(()), "{}", rule.id);
        assert_eq!(rule.clone().filled(), rule);
        let body = serde_json::to_value(&rule).expect("serialises");
        assert_eq!(serde_json::from_value::<Rule>(body).expect("reads"), rule);
        assert!(ids.insert(rule.id.clone()));
    }
    assert_eq!(built_in("error-rate").and_then(|rule| rule.resolve_at), Some(0.1));
}

#[test]
fn a_rule_that_says_nothing_is_as_bad_as_the_built_in_one_of_its_values() {
    for kind in RuleKind::ALL {
        let rule = Rule::deserialize(json!({"id": "mine", "kind": kind.as_str()})).expect("a rule").filled();
        let theirs = built_ins().find(|built_in| built_in.kind == kind).expect("each kind has one");
        assert_eq!(rule.severity, theirs.severity, "{kind:?}");
        assert_eq!((rule.burn, rule.window), (theirs.burn, theirs.window), "{kind:?}");
    }
    let own = Rule::deserialize(json!({"id": "a", "kind": "exhausted", "severity": "info"})).expect("a rule");
    assert_eq!(own.filled().severity(), Severity::Info);
}

#[test]
fn what_can_never_be_reached_is_refused() {
    check(&json!({"id": "a", "kind": "error_rate", "threshold": 1.5}), Some("/threshold"));
    check(&json!({"id": "a", "kind": "error_rate", "threshold": 0}), Some("/threshold"));
    check(&json!({"id": "a", "kind": "near_limit", "threshold": 1.01}), Some("/threshold"));
    check(&json!({"id": "a", "kind": "near_limit", "threshold": 1.0}), None);
    check(&json!({"id": "a", "kind": "response_time", "threshold": 600_001}), Some("/threshold"));
    check(&json!({"id": "a", "kind": "availability", "threshold": 0.9}), Some("/burn"));
    check(&json!({"id": "a", "kind": "availability", "threshold": 0.9, "burn": 9.5}), None);
    check(&json!({"id": "a", "kind": "availability", "threshold": 1}), Some("/threshold"));
    check(&json!({"id": "a", "kind": "anomaly", "threshold": 30.5}), Some("/threshold"));
    check(&json!({"id": "a", "kind": "anomaly", "for": "2h"}), Some("/for"));
    check(&json!({"id": "a", "kind": "anomaly", "resolve_after": "5m"}), Some("/resolve_after"));
    check(&json!({"id": "a", "kind": "anomaly", "threshold": 1.5, "for": "15m"}), None);
    check(&json!({"id": "a", "kind": "uptime", "threshold": 0.995, "window": "7d"}), None);
    check(&json!({"id": "a", "kind": "uptime", "threshold": 1.1}), Some("/threshold"));
    check(&json!({"id": "a", "kind": "forecast_breach", "threshold": 1.2}), None);
}

#[test]
fn times_for_which_nothing_is_kept_are_refused() {
    check(&json!({"id": "a", "kind": "error_rate", "for": "3d"}), Some("/for"));
    check(&json!({"id": "a", "kind": "error_rate", "resolve_after": "49h"}), Some("/resolve_after"));
    check(&json!({"id": "a", "kind": "error_rate", "window": "91d"}), Some("/window"));
    check(&json!({"id": "a", "kind": "error_rate", "window": "30s"}), Some("/window"));
    check(&json!({"id": "a", "kind": "error_rate", "window": "90s"}), Some("/window"));
    check(&json!({"id": "a", "kind": "availability", "window": "5m"}), Some("/window"));
    check(&json!({"id": "a", "kind": "error_rate", "for": "2d", "window": "90d"}), None);
}

#[test]
fn words_of_other_kinds_are_refused() {
    check(&json!({"id": "a", "kind": "exhausted", "threshold": 0.9}), Some("/threshold"));
    check(&json!({"id": "a", "kind": "near_limit", "window": "5m"}), Some("/window"));
    check(&json!({"id": "a", "kind": "error_rate", "burn": 2}), Some("/burn"));
    check(&json!({"id": "a", "kind": "budget", "select": {"integrations": ["x"]}}), Some("/select"));
    check(&json!({"id": "a", "kind": "error_rate", "select": {"budgets": ["x"]}}), Some("/select/budgets"));
    check(&json!({"id": "a", "kind": "error_rate", "min_requests": 0}), Some("/min_requests"));
}

#[test]
fn it_ends_where_it_is_better() {
    check(
        &json!({"id": "a", "kind": "error_rate", "threshold": 0.2, "resolve_at": 0.3}),
        Some("/resolve_at"),
    );
    check(&json!({"id": "a", "kind": "error_rate", "threshold": 0.2, "resolve_at": 0.2}), None);
    check(&json!({"id": "a", "kind": "error_rate", "threshold": 0.2, "resolve_at": 0}), Some("/resolve_at"));
}

#[test]
fn what_is_selected_is_named_or_a_member_and_has_the_labels() {
    let select = |body: Value| serde_json::from_value::<Select>(body).expect("a selector");
    let id = IntegrationId::new("polygon").expect("a slug");
    let labels = BTreeMap::from([("team".to_owned(), "quant".to_owned())]);
    let takes = |body: Value| select(body).takes(&id, &labels, |route| route.as_str() == "quotes");
    assert!(takes(json!({})));
    assert!(takes(json!({"integrations": ["polygon"]})));
    assert!(takes(json!({"routes": ["quotes"]})));
    assert!(takes(json!({"integrations": ["other"], "routes": ["quotes"], "labels": {"team": "quant"}})));
    assert!(!takes(json!({"integrations": ["other"]})));
    assert!(!takes(json!({"routes": ["chat"]})));
    assert!(!takes(json!({"labels": {"team": "risk"}})));
}
