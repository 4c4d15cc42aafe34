//! What is bound to a statement: the few types that both databases have. A null carries its type, because
//! PostgreSQL wants to know it.

use std::borrow::Cow;

use model::Timestamp;
use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;

use crate::{Error, Result};

/// A value of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number, a flag (0 or 1) or a time (ms since 1970).
    Int(Option<i64>),
    /// A text, an id or JSON.
    Text(Option<String>),
    /// Bytes that are kept as they are.
    Bytes(Vec<u8>),
}

/// The values of a statement, each converted by `From`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::db::Value::from($value)),*] };
}
pub(crate) use values;

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<u64> for Value {
    /// The databases have no unsigned numbers: beyond 2^63-1 it is that.
    fn from(number: u64) -> Self {
        Self::Int(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(Some(i64::from(number)))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Int(Some(i64::from(flag)))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Int(Some(at.as_millis()))
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(at: Option<Timestamp>) -> Self {
        Self::Int(at.map(Timestamp::as_millis))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

macro_rules! from_ids {
    ($($id:ty),*) => {
        $(impl From<&$id> for Value {
            fn from(id: &$id) -> Self {
                Self::from(id.as_str())
            }
        })*
    };
}
from_ids!(model::EventId, model::AlertId, model::DeliveryId, model::WebhookId, model::IntegrationId);

/// A text as both databases can hold it: PostgreSQL has no NUL in texts, so it becomes U+FFFD in both. JSON has
/// it escaped and keeps it.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

/// Both argument lists are filled alike; only their types differ.
macro_rules! arguments {
    ($name:ident, $arguments:ty) => {
        pub(super) fn $name(values: &[Value]) -> Result<$arguments> {
            let mut arguments = <$arguments>::default();
            for value in values {
                match value {
                    Value::Int(number) => arguments.add(*number),
                    Value::Text(text) => arguments.add(text.as_deref().map(storable)),
                    Value::Bytes(bytes) => arguments.add(bytes.as_slice()),
                }
                .map_err(|source| Error::Refused { source })?;
            }
            Ok(arguments)
        }
    };
}
arguments!(sqlite_arguments, SqliteArguments);
arguments!(postgres_arguments, PgArguments);
