//! Reads a message of the `ALERTS` stream: our own events, and what applications write by hand. Pure.
//!
//! Applications may leave out nearly everything: severity, source and phase are in the subject, id and time in the
//! envelope, and without a fingerprint one is made of source, type and title, so that the same alert stays the same.
//! What they put beside the known fields becomes part of `data`.

use std::collections::BTreeMap;

use model::alert::{AlertRaised, Phase, Severity};
use model::id::Slug;
use model::{AlertId, Envelope, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::compose::text;
use crate::render::variables::FollowUp;

/// The longest title that is kept.
pub(crate) const TITLE_CHARS_MAX: usize = 1_000;
/// The longest type, persona, and fingerprint.
pub(crate) const WORD_CHARS_MAX: usize = 255;
/// The type of an alert that has none.
const TYPE_DEFAULT: &str = "alert";
/// Hex digits of a made fingerprint.
const FINGERPRINT_DIGITS: usize = 32;

/// Why a message is not an alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Its subject is none of an alert.
    #[error("the subject `{0}` is not `sb.v1.alert.<severity>.<source>.<raised|resolved|acknowledged>`")]
    Subject(String),
    /// Its body is not a JSON object.
    #[error("the body is not a JSON object: {0}")]
    Body(String),
    /// Neither body nor subject has a severity.
    #[error("`severity` is neither in the body nor in the subject one of info, warning, error, critical")]
    Severity,
}

/// What a message says of an alert.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// What happened.
    pub(crate) phase: Phase,
    /// The alert, complete.
    pub(crate) alert: AlertRaised,
    /// Whether the message named the alert's id; without, it is found by its fingerprint.
    pub(crate) is_named: bool,
    /// Who acknowledged or resolved it, and when.
    pub(crate) follow_up: FollowUp,
}

/// Reads a message.
pub(crate) fn read(message: &Envelope<Vec<u8>>) -> Result<Told, Unreadable> {
    let (in_subject, source, phase) = subject(message.subject.as_str())?;
    let body = serde_json::from_slice(&message.data).map_err(|error| Unreadable::Body(error.to_string()))?;
    let Value::Object(mut body) = body else {
        return Err(Unreadable::Body("it is another JSON value".to_owned()));
    };
    let severity =
        body.remove("severity").as_ref().and_then(severity).or(in_subject).ok_or(Unreadable::Severity)?;
    let source = word(&mut body, "source").map_or(source, |source| Slug::of(&source));
    let alert_type = word(&mut body, "alert_type").unwrap_or_else(|| TYPE_DEFAULT.to_owned());
    let title = match string(&mut body, "title") {
        Some(title) => text::cut(title.trim(), TITLE_CHARS_MAX),
        None => format!("{} {alert_type} from {source}", severity.as_str()),
    };
    let fingerprint = match string(&mut body, "fingerprint") {
        Some(given) if text::length(&given) <= WORD_CHARS_MAX => given,
        Some(long) => digest(&[&long]),
        None => digest(&[source.as_str(), &alert_type, &title]),
    };
    let id = string(&mut body, "alert").and_then(|id| AlertId::parse(id).ok());
    let is_named = id.is_some();
    let alert = AlertRaised {
        alert: id.or_else(|| AlertId::parse(message.id.as_str()).ok()).unwrap_or_else(|| made(message)),
        severity,
        persona: word(&mut body, "persona"),
        at: time(&mut body, "at").unwrap_or(message.time),
        labels: labels(body.remove("labels")),
        alert_type,
        title,
        source,
        fingerprint,
        data: Map::new(),
    };
    let follow_up = follow_up(&mut body, phase, message.time);
    let mut data = match body.remove("data") {
        Some(Value::Object(data)) => data,
        Some(Value::Null) | None => Map::new(),
        Some(other) => Map::from_iter([("data".to_owned(), other)]),
    };
    for (name, value) in body {
        data.entry(name).or_insert(value);
    }
    Ok(Told { phase, alert: AlertRaised { data, ..alert }, is_named, follow_up })
}

fn subject(subject: &str) -> Result<(Option<Severity>, Slug, Phase), Unreadable> {
    let wrong = || Unreadable::Subject(subject.chars().take(WORD_CHARS_MAX).collect());
    let tokens: Vec<&str> = subject.split('.').collect();
    let ["sb", "v1", "alert", severity, source, phase] = tokens.as_slice() else { return Err(wrong()) };
    let phases = [Phase::Raised, Phase::Acknowledged, Phase::Resolved];
    let phase = phases.into_iter().find(|known| known.as_str() == *phase).ok_or_else(wrong)?;
    let severity = Severity::ALL.into_iter().find(|known| known.as_str() == *severity);
    Ok((severity, Slug::of(source), phase))
}

fn severity(value: &Value) -> Option<Severity> {
    let word = value.as_str()?.trim().to_ascii_lowercase();
    Severity::ALL.into_iter().find(|known| known.as_str() == word)
}

/// A text that is not blank.
fn string(body: &mut Map<String, Value>, field: &str) -> Option<String> {
    match body.remove(field)? {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn word(body: &mut Map<String, Value>, field: &str) -> Option<String> {
    string(body, field).map(|word| text::cut(word.trim(), WORD_CHARS_MAX))
}

fn time(body: &mut Map<String, Value>, field: &str) -> Option<Timestamp> {
    string(body, field).and_then(|text| Timestamp::parse(&text).ok())
}

fn labels(value: Option<Value>) -> BTreeMap<String, String> {
    let Some(Value::Object(labels)) = value else { return BTreeMap::new() };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    labels.into_iter().map(|(name, value)| (name, text(value))).collect()
}

fn follow_up(body: &mut Map<String, Value>, phase: Phase, told_at: Timestamp) -> FollowUp {
    let (by, at) = match phase {
        Phase::Raised => return FollowUp::default(),
        Phase::Acknowledged => ("acknowledged_by", "acknowledged_at"),
        Phase::Resolved => ("resolved_by", "resolved_at"),
    };
    FollowUp { by: word(body, by), at: Some(time(body, at).unwrap_or(told_at)), note: string(body, "note") }
}

/// An id for a message whose own is none: the same every time it comes.
fn made(message: &Envelope<Vec<u8>>) -> AlertId {
    let digest = Sha256::digest(message.id.as_str().as_bytes());
    let random = digest.iter().take(16).fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
    AlertId::make(message.time, random)
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // A length before each part keeps `ab`+`c` and `a`+`bc` apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(FINGERPRINT_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use model::alert::AlertResolved;
    use model::subject::Subject;
    use model::{Event as _, EventId};
    use proptest::prelude::*;
    use serde_json::json;

    fn message(subject: &str, body: &[u8]) -> Envelope<Vec<u8>> {
        Envelope {
            id: EventId::parse("ALERTS-7").expect("an id"),
            source: "/application".to_owned(),
            kind: "dev.signalbox.alert.raised.v1".to_owned(),
            time: Timestamp::from_millis(1_000),
            subject: Subject::stored(subject.to_owned()).expect("a subject"),
            correlation: None,
            data: body.to_vec(),
        }
    }

    fn told(subject: &str, body: &Value) -> Told {
        read(&message(subject, body.to_string().as_bytes())).expect("readable")
    }

    #[test]
    fn our_own_events_are_read_whole() {
        let raised = examples::price();
        let told_raised = told(raised.subject().as_str(), &json!(raised));
        assert_eq!(
            (told_raised.alert, told_raised.phase, told_raised.is_named),
            (raised.clone(), Phase::Raised, true)
        );
        let at = Timestamp::from_millis(5_000);
        let resolved =
            AlertResolved { raised: raised.clone(), resolved_at: at, resolved_by: "failover".to_owned() };
        let told_resolved = told(resolved.subject().as_str(), &json!(resolved));
        assert_eq!((told_resolved.alert, told_resolved.phase), (raised, Phase::Resolved));
        assert_eq!(
            told_resolved.follow_up,
            FollowUp { by: Some("failover".to_owned()), at: Some(at), note: None }
        );
    }

    #[test]
    fn an_application_may_leave_out_nearly_everything() {
        let told = told(
            "sb.v1.alert.critical.screener.raised",
            &json!({"title": " IBM ", "ticker": "IBM", "price": 190.2}),
        );
        let alert = told.alert;
        assert_eq!(
            (alert.severity, alert.source.as_str(), alert.title.as_str()),
            (Severity::Critical, "screener", "IBM")
        );
        assert_eq!((alert.alert.as_str(), alert.at), ("ALERTS-7", Timestamp::from_millis(1_000)));
        assert_eq!(Value::Object(alert.data), json!({"ticker": "IBM", "price": 190.2}));
        assert!(!told.is_named);
    }

    #[test]
    fn the_same_alert_has_the_same_made_fingerprint() {
        let subject = "sb.v1.alert.error.a.raised";
        let print = |body: Value| told(subject, &body).alert.fingerprint;
        let one = print(json!({"title": "x", "data": {"n": 1}}));
        assert_eq!(one, print(json!({"title": "x", "data": {"n": 2}, "fingerprint": null})));
        assert_ne!(one, print(json!({"title": "y"})));
        assert_ne!(one, print(json!({"title": "x", "alert_type": "price"})));
        assert_eq!(print(json!({"title": "x", "fingerprint": "mine"})), "mine");
        assert!(print(json!({"fingerprint": "f".repeat(300)})).len() <= WORD_CHARS_MAX);
    }

    #[test]
    fn what_is_no_alert_is_refused_with_its_reason() {
        let read = |subject: &str, body: &str| read(&message(subject, body.as_bytes())).map(|_| ());
        assert!(matches!(read("sb.v1.alert.error.a.raised", "hello"), Err(Unreadable::Body(_))));
        assert!(matches!(read("sb.v1.alert.error.a.raised", "[]"), Err(Unreadable::Body(_))));
        assert!(matches!(read("sb.v1.alert.error.raised", "{}"), Err(Unreadable::Subject(_))));
        assert_eq!(read("sb.v1.alert.high.a.raised", "{}"), Err(Unreadable::Severity));
        assert_eq!(read("sb.v1.alert.high.a.raised", r#"{"severity":"Error"}"#), Ok(()));
    }

    proptest! {
        #[test]
        fn any_json_object_becomes_an_alert_within_its_bounds(title in ".*", source in ".*", kind in ".*", print in ".*") {
            let body = json!({"title": title, "source": source, "alert_type": kind, "fingerprint": print});
            let alert = told("sb.v1.alert.info.a.raised", &body).alert;
            prop_assert!(!alert.title.is_empty() && text::length(&alert.title) <= TITLE_CHARS_MAX);
            prop_assert!(!alert.fingerprint.is_empty() && text::length(&alert.fingerprint) <= WORD_CHARS_MAX);
        }
    }
}
