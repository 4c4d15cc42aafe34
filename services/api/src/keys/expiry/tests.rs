//! When a notice is due, as a table; and what it says.

use std::collections::BTreeMap;

use model::key::{KeyState, KeyVersion};
use model::{KeyId, ProviderId};

use super::*;

const NOON: &str = "2027-01-31T12:00:00Z";

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn key(expires_at: Option<&str>, state: KeyState) -> Key {
    let version = KeyVersion {
        version: 3,
        state,
        created_at: time("2026-01-01T00:00:00Z"),
        revoked_at: None,
        fields: BTreeMap::new(),
        fingerprint: String::new(),
    };
    Key {
        id: KeyId::new("polygon-prod").unwrap(),
        provider: ProviderId::new("polygon").unwrap(),
        environment: "production".to_owned(),
        labels: BTreeMap::from([("owner".to_owned(), "quant".to_owned())]),
        expires_at: expires_at.map(time),
        versions: vec![version],
    }
}

/// The step and severity at a moment, for a key that expires at [`NOON`].
fn check(now: &str, expected: &str) {
    let found = Step::at(time(now), time(NOON));
    let text = found.map_or("-".to_owned(), |step| format!("{} {}", step.as_str(), step.severity().as_str()));
    assert_eq!(text, expected, "{now}");
}

#[test]
fn a_notice_is_due_30_14_7_and_1_days_before_and_at_the_end() {
    for (now, expected) in [
        ("2026-01-31T12:00:00Z", "-"),
        ("2027-01-01T11:59:59.999Z", "-"),
        ("2027-01-01T12:00:00Z", "30d warning"),
        ("2027-01-17T11:59:59.999Z", "30d warning"),
        ("2027-01-17T12:00:00Z", "14d warning"),
        ("2027-01-24T11:59:59.999Z", "14d warning"),
        ("2027-01-24T12:00:00Z", "7d warning"),
        ("2027-01-30T11:59:59.999Z", "7d warning"),
        ("2027-01-30T12:00:00Z", "1d error"),
        ("2027-01-31T11:59:59.999Z", "1d error"),
        ("2027-01-31T12:00:00Z", "expired critical"),
        ("2027-03-02T12:00:00Z", "expired critical"),
        ("2027-03-02T12:00:00.001Z", "-"),
        ("2040-01-01T00:00:00Z", "-"),
    ] {
        check(now, expected);
    }
}

#[test]
fn a_step_is_said_once_and_another_expiry_or_step_is_another_notice() {
    let at = |now, expires| notice(&key(Some(expires), KeyState::Active), time(now)).unwrap();
    let first = at("2027-01-24T12:00:00Z", NOON);
    assert_eq!(first.once, at("2027-01-26T00:00:00Z", NOON).once);
    let later = at("2027-01-30T12:00:00Z", NOON);
    assert_ne!(first.once, later.once);
    assert_ne!(first.once, at("2027-01-24T12:00:00Z", "2027-01-31T12:00:01Z").once);
    assert_eq!(first.alert.fingerprint, later.alert.fingerprint, "one alert that grows worse");
    assert_eq!(first.alert.alert, later.alert.alert);
}

#[test]
fn a_notice_says_which_key_and_how_long() {
    for (now, title, days) in [
        ("2027-01-24T12:00:00Z", "The key `polygon-prod` (polygon) expires in 7 days", 7),
        ("2027-01-27T00:00:00Z", "The key `polygon-prod` (polygon) expires in 5 days", 5),
        ("2027-01-31T11:59:59.999Z", "The key `polygon-prod` (polygon) expires within a day", 1),
        ("2027-01-31T12:00:00Z", "The key `polygon-prod` (polygon) has expired", 0),
    ] {
        let Notice { fact, alert, .. } = notice(&key(Some(NOON), KeyState::Active), time(now)).unwrap();
        assert_eq!((alert.title.as_str(), &alert.data["days_left"]), (title, &days.into()));
        assert_eq!((alert.source.as_str(), alert.labels["owner"].as_str()), ("polygon-prod", "quant"));
        assert_eq!((fact.version, fact.actor.as_str(), fact.at), (3, "vault-watch", time(now)));
    }
}

#[test]
fn a_key_without_an_end_or_an_active_version_has_none() {
    let now = time("2027-01-30T12:00:00Z");
    assert_eq!(notice(&key(None, KeyState::Active), now), None);
    for state in [KeyState::Revoked, KeyState::Retiring] {
        assert_eq!(notice(&key(Some(NOON), state), now), None);
    }
}

#[test]
fn an_alert_is_over_when_its_key_is_gone_revoked_or_renewed() {
    let over = |key: Option<&Key>| is_over(key, time("2027-01-30T12:00:00Z"));
    assert!(over(None));
    assert!(over(Some(&key(Some(NOON), KeyState::Revoked))));
    assert!(over(Some(&key(None, KeyState::Active))));
    assert!(over(Some(&key(Some("2028-01-31T12:00:00Z"), KeyState::Active))));
    assert!(!over(Some(&key(Some(NOON), KeyState::Active))));
    assert!(
        !over(Some(&key(Some("2027-02-01T12:00:00Z"), KeyState::Active))),
        "it goes on with the new date"
    );
    let years_later = time("2030-01-01T00:00:00Z");
    assert!(!is_over(Some(&key(Some(NOON), KeyState::Active)), years_later), "it is still expired");
}
