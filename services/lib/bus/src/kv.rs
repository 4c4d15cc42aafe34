//! Key-value buckets: JSON values with a revision, changed only by whoever knows the last one.
//!
//! A write whose confirmation is lost may have happened; after [`Error::Conflict`] read again before deciding.

use std::time::Duration;

use async_nats::jetstream::kv::{Operation, Store};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::TryStreamExt;
use model::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connect::Bus;
use crate::error::{Error, Source, Verdict, verdict};
use crate::table::Bucket;

/// A bucket of the table.
#[derive(Clone)]
pub struct Kv {
    pub(crate) bus: Bus,
    pub(crate) bucket: Bucket,
    pub(crate) store: Store,
}

/// A value and its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// Grows with every change in the bucket.
    pub revision: u64,
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// It has this value now.
    Put {
        /// Which key.
        key: String,
        /// Its value.
        value: T,
        /// Its revision.
        revision: u64,
    },
    /// It was deleted or expired.
    Deleted {
        /// Which key.
        key: String,
    },
}

impl Bus {
    /// Opens a bucket that [`Bus::declare`] made.
    ///
    /// # Errors
    /// [`Error::Missing`] when it is not there or not reachable.
    pub async fn bucket(&self, bucket: Bucket) -> Result<Kv, Error> {
        let store = self.js.get_key_value(bucket.name()).await.map_err(|error| Error::Client {
            what: format!("open bucket {}", bucket.name()),
            source: Box::new(error),
        })?;
        Ok(Kv { bus: self.clone(), bucket, store })
    }
}

impl Kv {
    /// The value of a key now, or `None`.
    ///
    /// # Errors
    /// [`Error::Bucket`] when the server does not answer, [`Error::Json`] when the value is of another shape.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Entry<T>>, Error> {
        let Some(entry) = self.raw(key).await? else { return Ok(None) };
        if entry.operation != Operation::Put {
            return Ok(None);
        }
        let value = self.parse(key, &entry.value)?;
        Ok(Some(Entry { value, revision: entry.revision }))
    }

    /// The value of a key now, and the revision against which it can be changed: also where it was deleted. 0: it was
    /// never there.
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub async fn look<T: DeserializeOwned>(&self, key: &str) -> Result<(Option<T>, u64), Error> {
        let Some(entry) = self.raw(key).await? else { return Ok((None, 0)) };
        let value = (entry.operation == Operation::Put).then(|| self.parse(key, &entry.value)).transpose()?;
        Ok((value, entry.revision))
    }

    /// What the bus's clock shows: at some moment between the question and the answer. Writes a key and reads when it
    /// was written; whoever writes it between does no harm.
    ///
    /// # Errors
    /// [`Error::Bucket`] when the server does not answer.
    pub async fn clock(&self, key: &str) -> Result<Timestamp, Error> {
        let revision = self.put(key, &()).await?;
        let entry = self.raw(key).await?.filter(|entry| entry.revision >= revision);
        let created = entry.map(|entry| entry.created.unix_timestamp_nanos() / 1_000_000);
        let created = created.and_then(|millis| i64::try_from(millis).ok());
        created.map(Timestamp::from_millis).ok_or_else(|| self.failed("read", key, "it is not there".into()))
    }

    /// Writes a key whatever it is now, and returns its revision.
    ///
    /// # Errors
    /// [`Error::Bucket`] when it was not confirmed; it may be written.
    pub async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<u64, Error> {
        let body = self.body(key, value)?;
        self.write(key, PublishMessage::build().payload(body)).await
    }

    /// Writes a key that has no value now: never had one, was deleted, or expired.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it has one.
    pub async fn create<T: Serialize>(&self, key: &str, value: &T) -> Result<u64, Error> {
        match self.update(key, value, 0).await {
            Err(Error::Conflict { .. }) => {}
            other => return other,
        }
        match self.raw(key).await? {
            Some(entry) if entry.operation != Operation::Put => self.update(key, value, entry.revision).await,
            _ => Err(self.conflict(key)),
        }
    }

    /// Writes a key whose last revision is known. 0 means that it was never there.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it changed since.
    pub async fn update<T: Serialize>(&self, key: &str, value: &T, expected: u64) -> Result<u64, Error> {
        let body = self.body(key, value)?;
        let message = PublishMessage::build().payload(body).expected_last_subject_sequence(expected);
        self.write(key, message).await
    }

    /// The same, of a value that is there for so long: whole seconds, at least one.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it changed since.
    pub async fn update_for<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        expected: u64,
        lasts: Duration,
    ) -> Result<u64, Error> {
        let secs = lasts.as_secs().saturating_add(u64::from(lasts.subsec_nanos() > 0)).max(1);
        let message = PublishMessage::build()
            .payload(self.body(key, value)?)
            .ttl(Duration::from_secs(secs))
            .expected_last_subject_sequence(expected);
        self.write(key, message).await
    }

    /// Deletes a key. One that is not there is deleted as well.
    ///
    /// # Errors
    /// [`Error::Bucket`] when it was not confirmed.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.store.delete(valid(key)?).await.map_err(|error| self.failed("delete", key, Box::new(error)))
    }

    /// Every key that has a value.
    ///
    /// # Errors
    /// [`Error::Bucket`] when the server does not answer.
    pub async fn keys(&self) -> Result<Vec<String>, Error> {
        let keys = self.store.keys().await.map_err(|error| self.failed("list", "*", Box::new(error)))?;
        keys.try_collect().await.map_err(|error| self.failed("list", "*", Box::new(error)))
    }

    /// Every key with its value. A value of another shape is an error, so that nothing is missed in silence.
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub async fn all<T: DeserializeOwned>(&self) -> Result<Vec<(String, Entry<T>)>, Error> {
        let mut entries = Vec::new();
        for key in self.keys().await? {
            if let Some(entry) = self.get(&key).await? {
                entries.push((key, entry));
            }
        }
        Ok(entries)
    }

    /// The last entry of a key, markers included.
    pub(crate) async fn raw(&self, key: &str) -> Result<Option<async_nats::jetstream::kv::Entry>, Error> {
        self.store.entry(valid(key)?).await.map_err(|error| self.failed("read", key, Box::new(error)))
    }

    /// Publishes to the key's subject and returns the revision. The client's own `update` forgets expiry and
    /// knows only one of the two codes for a conflict.
    pub(crate) async fn write(&self, key: &str, message: PublishMessage) -> Result<u64, Error> {
        let subject = format!("$KV.{}.{}", self.bucket.name(), valid(key)?);
        let sent = async { self.bus.publisher.send_publish(subject, message).await?.await };
        sent.await.map(|ack| ack.sequence).map_err(|error| match verdict(&error) {
            Verdict::Conflict => self.conflict(key),
            Verdict::Again | Verdict::Full | Verdict::Refused => self.failed("write", key, Box::new(error)),
        })
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, key: &str, value: &[u8]) -> Result<T, Error> {
        let what = || format!("the value at `{}/{key}`", self.bucket.name());
        serde_json::from_slice(value).map_err(|source| Error::Json { what: what(), source })
    }

    fn body<T: Serialize>(&self, key: &str, value: &T) -> Result<Bytes, Error> {
        let what = || format!("the value for `{}/{key}`", self.bucket.name());
        serde_json::to_vec(value).map(Bytes::from).map_err(|source| Error::Json { what: what(), source })
    }

    fn conflict(&self, key: &str) -> Error {
        Error::Conflict { bucket: self.bucket.name(), key: key.to_owned() }
    }

    fn failed(&self, action: &'static str, key: &str, source: Source) -> Error {
        Error::Bucket { action, bucket: self.bucket.name(), key: key.to_owned(), source }
    }
}

/// Keys become subjects: no wildcard and no empty token may get in.
fn valid(key: &str) -> Result<&str, Error> {
    let letter = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'/' | b'_' | b'=');
    if key.split('.').all(|token| !token.is_empty() && token.bytes().all(letter)) {
        return Ok(key);
    }
    Err(Error::InvalidKey { key: key.chars().take(80).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_no_wildcard_and_no_empty_token() {
        for bad in ["", "*", ">", "a..b", ".a", "a.", "a b", "ä"] {
            assert!(valid(bad).is_err(), "{bad}");
        }
        assert!(valid("polygon-main.minute/2026_1=").is_ok());
    }
}
