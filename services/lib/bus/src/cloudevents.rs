//! CloudEvents 1.0 on NATS: an envelope as header fields, and header fields as an envelope.
//!
//! Pure: names and values in, names and values out; nothing here knows the client. Our own events are always in
//! binary mode. Read are also structured mode, quoted values, names in any case, and messages of applications
//! that carry no attributes at all; nothing that comes in can make this panic.

use std::borrow::Cow;

use model::event::TYPE_PREFIX;
use model::subject::Subject;
use model::{Envelope, EventId, Timestamp};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a message without `ce-source` is said to come from.
pub const APPLICATION: &str = "/application";
/// The header that JetStream deduplicates by.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
const CONTENT_TYPE: &str = "content-type";
const STRUCTURED: &str = "application/cloudevents";
const BATCH: &str = "application/cloudevents-batch";
/// Longest text attribute that is read, in characters; longer ones are cut.
const ATTRIBUTE_CHARS_MAX: usize = 512;

/// Space, `"`, `%`; everything outside of U+0021 to U+007E is encoded anyway.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Why a message is no event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The subject holds characters or empty tokens that no event has.
    #[error("the subject is not an event's")]
    Subject,
    /// A header is not UTF-8 once decoded.
    #[error("the header `{0}` is not UTF-8")]
    Encoding(String),
    /// Another version of CloudEvents.
    #[error("CloudEvents version `{0}` is not 1.x")]
    Version(String),
    /// The body says that it is a whole event and is not one.
    #[error("the body is not a structured CloudEvent: {0}")]
    Structured(String),
    /// A batch; the NATS binding has none.
    #[error("a batch of CloudEvents cannot be sent over NATS")]
    Batch,
}

/// What JetStream knows of a message besides its headers and body.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Where it was published.
    pub subject: &'a str,
    /// Which stream keeps it.
    pub stream: &'a str,
    /// Its number there.
    pub sequence: u64,
    /// When the server took it.
    pub stored_at: Timestamp,
}

/// The header fields of an event, the id for deduplication included. Every value is printable ASCII.
pub fn encode<T>(envelope: &Envelope<T>) -> Vec<(&'static str, String)> {
    let text = |value: &str| utf8_percent_encode(value, ENCODED).to_string();
    let mut fields = vec![
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", text(envelope.id.as_str())),
        ("ce-source", text(&envelope.source)),
        ("ce-type", text(&envelope.kind)),
        ("ce-time", envelope.time.to_string()),
        ("ce-datacontenttype", "application/json".to_owned()),
        ("ce-dataschema", text(&envelope.dataschema())),
        (MESSAGE_ID, text(&message_id(envelope))),
    ];
    if let Some(correlation) = &envelope.correlation {
        fields.push(("ce-correlationid", text(correlation)));
    }
    fields
}

/// `<source>/<id>`: unique over all sources.
pub fn message_id<T>(envelope: &Envelope<T>) -> String {
    format!("{}/{}", envelope.source, envelope.id)
}

/// Encodes any text as a header value.
pub fn encode_value(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Makes an envelope of a message. What an application left out is filled in: the id from `Nats-Msg-Id` or the
/// place in the stream, the type from the subject, the source as [`APPLICATION`], the time from the server.
///
/// # Errors
/// When the subject is not an event's, a header is not UTF-8, or the body is not the event that it says it is.
pub fn decode<'a>(
    fields: &(impl Iterator<Item = (&'a str, &'a str)> + Clone),
    body: &[u8],
    origin: Origin<'_>,
) -> Result<Envelope<Vec<u8>>, Malformed> {
    let subject = Subject::stored(origin.subject.to_owned()).ok_or(Malformed::Subject)?;
    let find = |name: &str| {
        fields.clone().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let content_type = find(CONTENT_TYPE).unwrap_or("").trim().to_ascii_lowercase();
    if content_type.starts_with(BATCH) {
        return Err(Malformed::Batch);
    }
    let structured = content_type.starts_with(STRUCTURED);
    let (said, data) = if structured { from_body(body)? } else { (from_headers(find)?, body.to_vec()) };
    if let Some(version) = said.specversion.filter(|version| !version.starts_with("1.") && version != "1") {
        return Err(Malformed::Version(version));
    }
    // The id for deduplication stands for a missing one only when it is one by our rule; else the place does.
    let sent_id = find(MESSAGE_ID).and_then(|id| EventId::parse(id).ok());
    let id = said.id.and_then(|id| EventId::parse(id).ok()).or(sent_id);
    let kind = said.kind.unwrap_or_else(|| kind_of(origin.subject));
    Ok(Envelope {
        id: id.unwrap_or_else(|| place(origin)),
        source: said.source.unwrap_or_else(|| APPLICATION.to_owned()),
        kind,
        time: said.time.and_then(|time| Timestamp::parse(&time).ok()).unwrap_or(origin.stored_at),
        subject,
        correlation: said.correlation,
        data,
    })
}

/// `<stream>-<sequence>`: the same for every delivery of the message.
fn place(origin: Origin<'_>) -> EventId {
    let stream: String = origin.stream.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    EventId::parse(format!("{stream}-{}", origin.sequence))
        .expect("at most 32 letters and digits, a hyphen and 20 digits are an id")
}

/// The type that a subject implies: `sb.v1.alert.error.x.raised` is `dev.signalbox.alert.raised.v1`.
fn kind_of(subject: &str) -> String {
    let mut tokens = subject.split('.').skip(1);
    let version = tokens.next().unwrap_or("v1");
    let domain = tokens.next().unwrap_or("unknown");
    let event = tokens.last().unwrap_or("unknown");
    format!("{TYPE_PREFIX}{domain}.{event}.{version}")
}

#[derive(Default)]
struct Said {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    time: Option<String>,
    correlation: Option<String>,
}

fn from_headers<'a>(find: impl Fn(&str) -> Option<&'a str>) -> Result<Said, Malformed> {
    let read = |name: &str| find(name).map(|value| decode_value(name, value)).transpose();
    Ok(Said {
        specversion: read("ce-specversion")?,
        id: read("ce-id")?,
        source: read("ce-source")?,
        kind: read("ce-type")?,
        time: read("ce-time")?,
        correlation: read("ce-correlationid")?,
    })
}

/// A header value as it was meant: quotes taken off, percent-decoded once.
pub fn decode_value(name: &str, value: &str) -> Result<String, Malformed> {
    let value = value.trim();
    let bare = match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => Cow::Owned(unquote(quoted)),
        None => Cow::Borrowed(value),
    };
    let text = percent_decode_str(&bare).decode_utf8().map_err(|_| Malformed::Encoding(name.to_owned()))?;
    Ok(cut(text.into_owned()))
}

/// The first characters of a text.
fn cut(mut text: String) -> String {
    // As many bytes are no more characters.
    if text.len() > ATTRIBUTE_CHARS_MAX
        && let Some((end, _)) = text.char_indices().nth(ATTRIBUTE_CHARS_MAX)
    {
        text.truncate(end);
    }
    text
}

fn unquote(quoted: &str) -> String {
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    plain
}

#[derive(Deserialize)]
struct Structured<'a> {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    time: Option<String>,
    correlationid: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<serde::de::IgnoredAny>,
}

fn from_body(body: &[u8]) -> Result<(Said, Vec<u8>), Malformed> {
    let event: Structured<'_> =
        serde_json::from_slice(body).map_err(|error| Malformed::Structured(error.to_string()))?;
    if event.data_base64.is_some() {
        return Err(Malformed::Structured("data_base64 is not JSON".to_owned()));
    }
    let data = event.data.map_or_else(|| b"null".to_vec(), |data| data.get().as_bytes().to_vec());
    let said = Said {
        specversion: event.specversion.map(cut),
        id: event.id,
        source: event.source.map(cut),
        kind: event.kind.map(cut),
        time: event.time,
        correlation: event.correlationid.map(cut),
    };
    Ok((said, data))
}

#[cfg(test)]
mod tests;
