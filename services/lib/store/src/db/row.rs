//! A row as both databases give it, read by column name into the few types that we store.

use model::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::value::storable;
use crate::{Error, Result};

/// A row of an answer.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Reads a column from whichever row it is.
macro_rules! column {
    ($row:expr, $name:expr, $type:ty) => {
        match $row {
            Row::Sqlite(row) => row.try_get::<$type, _>($name),
            Row::Postgres(row) => row.try_get::<$type, _>($name),
        }
        .map_err(|error| Error::corrupt(format!("column `{}`", $name), error))
    };
}

impl Row {
    pub(crate) fn int(&self, name: &str) -> Result<i64> {
        column!(self, name, i64)
    }

    /// A number that was never negative.
    pub(crate) fn count(&self, name: &str) -> Result<u64> {
        let number = self.int(name)?;
        u64::try_from(number)
            .map_err(|_| Error::corrupt(format!("column `{name}`"), format_args!("{number} is negative")))
    }

    /// A number that was never more than 32 bits.
    pub(crate) fn small(&self, name: &str) -> Result<u32> {
        let number = self.int(name)?;
        u32::try_from(number)
            .map_err(|_| Error::corrupt(format!("column `{name}`"), format_args!("{number} does not fit")))
    }

    pub(crate) fn opt_int(&self, name: &str) -> Result<Option<i64>> {
        column!(self, name, Option<i64>)
    }

    pub(crate) fn time(&self, name: &str) -> Result<Timestamp> {
        self.int(name).map(Timestamp::from_millis)
    }

    pub(crate) fn opt_time(&self, name: &str) -> Result<Option<Timestamp>> {
        Ok(self.opt_int(name)?.map(Timestamp::from_millis))
    }

    pub(crate) fn text(&self, name: &str) -> Result<String> {
        column!(self, name, String)
    }

    pub(crate) fn opt_text(&self, name: &str) -> Result<Option<String>> {
        column!(self, name, Option<String>)
    }

    /// Whether a text is this one, as it can be stored.
    pub(crate) fn is(&self, name: &str, text: &str) -> bool {
        self.text(name).is_ok_and(|found| found == storable(text))
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        column!(self, name, Vec<u8>)
    }

    /// A JSON text.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_str(&self.text(name)?)
            .map_err(|error| Error::corrupt(format!("column `{name}`"), error))
    }

    /// A word of one of the model's enumerations, or an id, stored as plain text.
    pub(crate) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_value(self.text(name)?.into())
            .map_err(|error| Error::corrupt(format!("column `{name}`"), error))
    }

    /// The same where the column may be null.
    pub(crate) fn opt_word<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.opt_text(name)?
            .map(|text| serde_json::from_value(text.into()))
            .transpose()
            .map_err(|error| Error::corrupt(format!("column `{name}`"), error))
    }
}
