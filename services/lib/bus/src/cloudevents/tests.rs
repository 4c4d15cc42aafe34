//! Tests of the headers.

use super::*;
use proptest::prelude::*;

const ORIGIN: Origin<'static> = Origin {
    subject: "sb.v1.alert.critical.screener.raised",
    stream: "ALERTS",
    sequence: 7,
    stored_at: Timestamp::from_millis(1_000),
};

fn read(fields: &[(&str, &str)], body: &str) -> Result<Envelope<Vec<u8>>, Malformed> {
    decode(&fields.iter().copied(), body.as_bytes(), ORIGIN)
}

fn envelope(source: &str, correlation: Option<String>) -> Envelope<Vec<u8>> {
    Envelope {
        id: EventId::parse("01K6Q3YB0ZK5V0E9T2J5T7WQ4N").expect("an id"),
        source: source.to_owned(),
        kind: "dev.signalbox.alert.raised.v1".to_owned(),
        time: Timestamp::from_millis(1_800_000_000_123),
        subject: Subject::stored(ORIGIN.subject.to_owned()).expect("a subject"),
        correlation,
        data: b"{}".to_vec(),
    }
}

#[test]
fn names_are_lower_case_and_values_printable() {
    let fields = encode(&envelope("/signalbox/prober/eu 1 \"ä\" 100%\r\n", None));
    for (name, value) in &fields {
        assert!(value.bytes().all(|c| (0x21..=0x7e).contains(&c)), "{name}: {value}");
        assert!(*name == MESSAGE_ID || !name.bytes().any(|c| c.is_ascii_uppercase()), "{name}");
    }
    let source = &fields.iter().find(|(name, _)| *name == "ce-source").expect("a source").1;
    assert_eq!(source, "/signalbox/prober/eu%201%20%22%C3%A4%22%20100%25%0D%0A");
    let schema = &fields.iter().find(|(name, _)| *name == "ce-dataschema").expect("a schema").1;
    assert_eq!(schema, "https://signalbox.invalid/schemas/events/alert-raised.v1.json");
}

#[test]
fn an_application_that_says_nothing_is_understood() {
    let event = read(&[], "{}").expect("an event");
    assert_eq!(event.id.as_str(), "ALERTS-7");
    assert_eq!(event.kind, "dev.signalbox.alert.raised.v1");
    assert_eq!(event.source, APPLICATION);
    assert_eq!(event.time, ORIGIN.stored_at);
    let event = read(&[("nats-msg-id", "order-17")], "{}").expect("an event");
    assert_eq!(event.id.as_str(), "order-17");
    let event = read(&[("Nats-Msg-Id", "not an id/at all")], "{}").expect("an event");
    assert_eq!(event.id.as_str(), "ALERTS-7");
}

#[test]
fn names_are_read_in_any_case_and_values_may_be_quoted() {
    let event = read(&[("CE-Id", "a1"), ("Ce-SOURCE", "\"/my \\\"app\\\"\"")], "{}").expect("an event");
    assert_eq!((event.id.as_str(), event.source.as_str()), ("a1", "/my \"app\""));
}

#[test]
fn a_long_attribute_is_cut_after_its_first_characters() {
    for (letter, length) in [("a", 600), ("ä", 600), ("ä", 400), ("ä", 512), ("a", 512)] {
        let long = letter.repeat(length);
        let event = read(&[("ce-correlationid", &encode_value(&long))], "{}").expect("an event");
        assert_eq!(event.correlation, Some(letter.repeat(length.min(512))), "{length} of {letter}");
    }
}

#[test]
fn structured_mode_is_read() {
    let body = r#"{"specversion":"1.0","id":"s1","source":"/x","type":"dev.signalbox.alert.raised.v1","data":{"a": 1}}"#;
    let event =
        read(&[("Content-Type", "Application/CloudEvents+json; charset=utf-8")], body).expect("an event");
    assert_eq!((event.id.as_str(), event.data.as_slice()), ("s1", br#"{"a": 1}"#.as_slice()));
}

#[test]
fn what_is_no_event_is_refused_with_its_reason() {
    let structured = [("content-type", "application/cloudevents+json")];
    assert!(matches!(read(&structured, "[]"), Err(Malformed::Structured(_))));
    assert_eq!(read(&[("content-type", "application/cloudevents-batch+json")], "[]"), Err(Malformed::Batch));
    assert_eq!(read(&[("ce-specversion", "0.3")], "{}"), Err(Malformed::Version("0.3".to_owned())));
    assert_eq!(read(&[("ce-source", "%ff")], "{}"), Err(Malformed::Encoding("ce-source".to_owned())));
    let odd = Origin { subject: "sb.v1.alert.x.ä.raised", ..ORIGIN };
    assert_eq!(decode(&std::iter::empty(), b"{}", odd), Err(Malformed::Subject));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(source in "[^\u{0}]{0,80}", correlation in proptest::option::of("\\PC{1,80}")) {
        // Values are trimmed only outside of the encoding, so the text comes back as it was.
        let sent = envelope(&source, correlation);
        let fields = encode(&sent);
        let back = decode(&fields.iter().map(|(n, v)| (*n, v.as_str())), &sent.data, ORIGIN).expect("reads");
        prop_assert_eq!(back, sent);
    }

    #[test]
    fn nothing_that_comes_in_panics(
        fields in proptest::collection::vec(("(ce-id|CE-type|ce-time|content-type|ce-source|nats-msg-id|x)", "\\PC{0,40}"), 0..6),
        body in proptest::collection::vec(any::<u8>(), 0..80),
        subject in "\\PC{0,40}",
    ) {
        let origin = Origin { subject: &subject, ..ORIGIN };
        let _ = decode(&fields.iter().map(|(n, v)| (n.as_str(), v.as_str())), &body, origin);
        let _ = decode(&fields.iter().map(|(n, v)| (n.as_str(), v.as_str())), &body, ORIGIN);
    }
}
