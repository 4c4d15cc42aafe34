//! States of rules: written with what tells of them, and only over what was read.

use serde_json::json;

use super::fresh::Fresh;
use super::on_both;
use super::words::{at, envelope, raised};
use crate::RuleWrite;

on_both! {
    a_state_is_written_with_its_event_by_one_of_two
    a_state_that_is_fine_is_gone
}

fn write(expected: Option<u64>, body: Option<serde_json::Value>) -> RuleWrite {
    RuleWrite { rule: "error-rate".to_owned(), target: "integration/polygon".to_owned(), expected, body }
}

async fn a_state_is_written_with_its_event_by_one_of_two(Fresh { store, .. }: Fresh) {
    let firing = json!({"state": "firing", "since": "2026-11-21T10:00:00.000Z"});
    let first = [envelope("e1", raised("a1", "rule/x", at(1)))];
    let second = [envelope("e2", raised("a1", "rule/x", at(1)))];
    assert!(store.rule_state_write(&write(None, Some(firing.clone())), &first, at(1)).await.unwrap());
    assert!(!store.rule_state_write(&write(None, Some(firing.clone())), &second, at(1)).await.unwrap());
    let states = store.rule_states().await.unwrap();
    assert_eq!((states.len(), states[0].version, &states[0].body), (1, 1, &firing));
    assert_eq!(states[0].updated_at, at(1));
    assert!(store.rule_state_write(&write(Some(1), Some(json!({}))), &second, at(2)).await.unwrap());
    assert!(!store.rule_state_write(&write(Some(1), Some(firing)), &second, at(3)).await.unwrap());
    assert_eq!(store.rule_states().await.unwrap()[0].version, 2);
    let waiting = store.outbox_pending(10).await.unwrap();
    assert_eq!(waiting.len(), 2, "who lost wrote no event");
}

async fn a_state_that_is_fine_is_gone(Fresh { store, .. }: Fresh) {
    assert!(store.rule_state_write(&write(None, None), &[], at(1)).await.unwrap(), "it was never there");
    assert!(store.rule_state_write(&write(None, Some(json!({}))), &[], at(1)).await.unwrap());
    assert!(!store.rule_state_write(&write(Some(7), None), &[], at(1)).await.unwrap());
    assert!(store.rule_state_write(&write(Some(1), None), &[], at(1)).await.unwrap());
    assert_eq!(store.rule_states().await.unwrap(), []);
}
