//! A message as a handler gets it.

use async_nats::jetstream;
use model::event::TYPE_PREFIX;
use model::{Envelope, Event, Timestamp};

use crate::cloudevents::{self, Malformed, Origin};
use crate::headers;

/// An event that came from a stream.
#[derive(Clone, Debug)]
pub struct Message {
    /// The event, its fact as JSON bytes.
    pub envelope: Envelope<Vec<u8>>,
    /// Its number in the stream.
    pub sequence: u64,
    /// Which delivery of it this is to this consumer, from 1. A server that was killed may begin again at 1.
    pub attempt: u32,
    /// Which stream.
    pub stream: String,
    /// When the server took it.
    pub stored_at: Timestamp,
}

/// Why the fact is not what a handler wants.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Another type of event.
    #[error("an event of type `{found}` where `{wanted}` was expected")]
    Kind {
        /// Its type.
        found: String,
        /// The type that was asked for, with its prefix.
        wanted: String,
    },
    /// The type is right, the body is not.
    #[error("the data of `{kind}` is not valid: {source}")]
    Data {
        /// Its type.
        kind: String,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl Message {
    /// Its type with the prefix: `dev.signalbox.health.observed.v1`.
    pub fn kind(&self) -> &str {
        &self.envelope.kind
    }

    /// Whether it is an event of this type.
    pub fn is<T: Event>(&self) -> bool {
        self.kind().strip_prefix(TYPE_PREFIX) == Some(T::TYPE)
    }

    /// Reads the fact.
    ///
    /// # Errors
    /// When it is of another type, or its body does not fit.
    pub fn decode<T: Event>(&self) -> Result<Envelope<T>, Unreadable> {
        Ok(self.envelope.with(self.fact()?))
    }

    /// Reads the fact alone, without what is said around it.
    ///
    /// # Errors
    /// When it is of another type, or its body does not fit.
    pub fn fact<T: Event>(&self) -> Result<T, Unreadable> {
        if !self.is::<T>() {
            let wanted = format!("{TYPE_PREFIX}{}", T::TYPE);
            return Err(Unreadable::Kind { found: self.kind().to_owned(), wanted });
        }
        serde_json::from_slice(&self.envelope.data)
            .map_err(|source| Unreadable::Data { kind: self.kind().to_owned(), source })
    }
}

/// What the server says around a delivered message.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub stream: String,
    pub sequence: u64,
    pub attempt: u32,
    pub stored_at: Timestamp,
}

impl Delivered {
    /// Reads the reply subject. `None` when the message did not come from JetStream.
    pub(crate) fn of(message: &jetstream::Message) -> Option<Self> {
        let info = message.info().ok()?;
        let millis = info.published.unix_timestamp_nanos() / 1_000_000;
        Some(Self {
            stream: info.stream.to_owned(),
            sequence: info.stream_sequence,
            attempt: u32::try_from(info.delivered.max(1)).unwrap_or(u32::MAX),
            stored_at: Timestamp::from_millis(i64::try_from(millis).unwrap_or(0)),
        })
    }

    /// Reads the event.
    pub(crate) fn read(&self, message: &jetstream::Message) -> Result<Message, Malformed> {
        let origin = Origin {
            subject: message.subject.as_str(),
            stream: &self.stream,
            sequence: self.sequence,
            stored_at: self.stored_at,
        };
        let envelope =
            cloudevents::decode(&headers::fields(message.headers.as_ref()), &message.payload, origin)?;
        Ok(Message {
            envelope,
            sequence: self.sequence,
            attempt: self.attempt,
            stream: self.stream.clone(),
            stored_at: self.stored_at,
        })
    }
}
