//! Makes the server what the table says: streams, durable consumers, buckets.
//!
//! Safe to run by every process at every start, and at the same time. It adds and mends; it never deletes a
//! stream, and never makes one smaller than an operator made it.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use model::Timestamp;

use crate::connect::Bus;
use crate::error::Error;
use crate::publish::EVENT_BYTES_MAX;
use crate::table::{self, Bucket, DUPLICATE_WINDOW, Durable, Keep};

/// How long the server keeps the note that a key expired.
const MARKER_TTL: Duration = Duration::from_secs(3600);

impl Bus {
    /// Makes or mends the streams, consumers and buckets of [`crate::table`].
    ///
    /// # Errors
    /// [`Error::Incompatible`] names a stream whose storage or retention is another and cannot be changed, or whose subjects
    /// another stream has;
    /// [`Error::Declare`] what the server refused otherwise.
    pub async fn declare(&self) -> Result<(), Error> {
        for stream in table::STREAMS {
            self.declare_stream(stream_config(stream, self.replicas)).await?;
        }
        for bucket in Bucket::ALL {
            self.declare_stream(bucket_config(bucket, self.replicas)).await?;
        }
        for durable in table::DURABLES {
            self.declare_consumer(durable).await?;
        }
        Ok(())
    }

    /// When a stream was made. A message's number is one of its stream: in one that was made anew numbers begin again.
    ///
    /// # Errors
    /// [`Error::Client`] when it is not there or not reachable.
    pub async fn born(&self, stream: &str) -> Result<Timestamp, Error> {
        let found = self.js.get_stream(stream).await;
        let found = found.map_err(|error| Error::Client {
            what: format!("look at stream {stream}"),
            source: Box::new(error),
        })?;
        let millis = found.cached_info().created.unix_timestamp_nanos() / 1_000_000;
        Ok(Timestamp::from_millis(i64::try_from(millis).unwrap_or(0)))
    }

    async fn declare_stream(&self, wanted: Config) -> Result<(), Error> {
        let name = wanted.name.clone();
        let failed = |source| Error::Declare { what: format!("stream {name}"), source };
        match self.js.get_stream(&name).await {
            Ok(there) => {
                let wanted = adapt(wanted, &there.cached_info().config)?;
                if differs(&wanted, &there.cached_info().config)
                    && let Err(error) = self.js.update_stream(&wanted).await
                {
                    return Err(self.not_made(&wanted, error).await);
                }
            }
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(inner) if inner.code() == 404 => {
                    // Answers with what is there when another process was quicker with the same configuration.
                    if let Err(error) = self.js.create_stream(&wanted).await {
                        return Err(self.not_made(&wanted, error).await);
                    }
                }
                _ => return Err(failed(Box::new(error))),
            },
        }
        Ok(())
    }

    /// Why a stream was not made: another one that has its subjects stays in the way, the rest may be over later.
    async fn not_made(&self, wanted: &Config, error: CreateStreamError) -> Error {
        let overlaps = |kind| matches!(kind, CreateStreamErrorKind::JetStream(inner) if inner.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP);
        if !overlaps(error.kind()) {
            return Error::Declare { what: format!("stream {}", wanted.name), source: Box::new(error) };
        }
        for subject in &wanted.subjects {
            if let Ok(other) = self.js.stream_by_subject(subject).await
                && other != wanted.name
            {
                let detail = format!(
                    "the stream {other} has its subject {subject}; delete that stream or take the subject from it, or use another account"
                );
                return Error::Incompatible { stream: wanted.name.clone(), detail };
            }
        }
        let detail = "another stream has its subjects; find it with `nats stream ls`, or use another account";
        Error::Incompatible { stream: wanted.name.clone(), detail: detail.to_owned() }
    }

    pub(crate) async fn declare_consumer(&self, durable: &Durable) -> Result<(), Error> {
        self.js.create_consumer_on_stream(consumer_config(durable), durable.stream).await.map(|_| ()).map_err(
            |error| Error::Declare { what: format!("consumer {}", durable.name), source: Box::new(error) },
        )
    }
}

fn stream_config(stream: &table::Stream, replicas: usize) -> Config {
    let (retention, discard) = match stream.keep {
        Keep::Newest => (RetentionPolicy::Limits, DiscardPolicy::Old),
        Keep::All | Keep::Untouchable => (RetentionPolicy::Limits, DiscardPolicy::New),
        Keep::Work => (RetentionPolicy::WorkQueue, DiscardPolicy::New),
    };
    let untouchable = stream.keep == Keep::Untouchable;
    Config {
        name: stream.name.to_owned(),
        description: Some(format!("Signalbox: {}", stream.summary)),
        subjects: stream.subjects.iter().map(|&subject| subject.to_owned()).collect(),
        retention,
        discard,
        max_age: stream.max_age,
        max_bytes: stream.max_bytes,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        // Headers count too, and a dead letter has some more of them.
        max_message_size: i32::try_from(EVENT_BYTES_MAX + 64 * 1024).unwrap_or(i32::MAX),
        storage: StorageType::File,
        num_replicas: replicas,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        allow_atomic_publish: true,
        deny_delete: untouchable,
        deny_purge: untouchable,
        ..Config::default()
    }
}

fn bucket_config(bucket: Bucket, replicas: usize) -> Config {
    Config {
        name: format!("KV_{}", bucket.name()),
        description: Some(format!("Signalbox: bucket {}", bucket.name())),
        subjects: vec![format!("$KV.{}.>", bucket.name())],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_bytes: bucket.max_bytes(),
        max_messages: -1,
        max_messages_per_subject: bucket.history(),
        max_consumers: -1,
        max_message_size: -1,
        storage: StorageType::File,
        num_replicas: replicas,
        duplicate_window: Duration::from_secs(120),
        allow_rollup: true,
        deny_delete: true,
        allow_direct: bucket.any_replica(),
        allow_message_ttl: true,
        subject_delete_marker_ttl: Some(MARKER_TTL),
        ..Config::default()
    }
}

pub(crate) fn consumer_config(durable: &Durable) -> pull::Config {
    pull::Config {
        durable_name: Some(durable.name.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: durable.ack_wait,
        // The limit is ours, with a dead letter: at the server's own limit a message would just stay.
        max_deliver: -1,
        max_ack_pending: durable.max_ack_pending,
        filter_subjects: durable.subjects.iter().map(|&subject| subject.to_owned()).collect(),
        ..pull::Config::default()
    }
}

/// Fits what is wanted to what is there, or says why it cannot be.
fn adapt(mut wanted: Config, there: &Config) -> Result<Config, Error> {
    let incompatible = |what: &str, found: String| Error::Incompatible {
        stream: there.name.clone(),
        detail: format!(
            "{what} is {found} and cannot be changed; move its messages away and delete the stream, or use another account"
        ),
    };
    if there.storage != wanted.storage {
        return Err(incompatible("its storage", format!("{:?}", there.storage)));
    }
    if there.retention != wanted.retention {
        return Err(incompatible("its retention", format!("{:?}", there.retention)));
    }
    if there.sealed || there.mirror.is_some() {
        return Err(incompatible("it", "sealed or a mirror".to_owned()));
    }
    let unlimited = wanted.max_bytes < 0 || there.max_bytes < 0;
    wanted.max_bytes = if unlimited { -1 } else { wanted.max_bytes.max(there.max_bytes) };
    wanted.max_age = if there.max_age.is_zero() { Duration::ZERO } else { wanted.max_age.max(there.max_age) };
    // The server refuses to take these back.
    wanted.deny_delete |= there.deny_delete;
    wanted.deny_purge |= there.deny_purge;
    wanted.allow_message_ttl |= there.allow_message_ttl;
    wanted.placement.clone_from(&there.placement);
    wanted.metadata.clone_from(&there.metadata);
    wanted.compression.clone_from(&there.compression);
    wanted.republish.clone_from(&there.republish);
    Ok(wanted)
}

/// Whether what the table decides is different on the server. What it does not decide stays as it is.
fn differs(wanted: &Config, there: &Config) -> bool {
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort_unstable();
        subjects
    };
    sorted(&wanted.subjects) != sorted(&there.subjects)
        || wanted.description != there.description
        || wanted.discard != there.discard
        || wanted.max_age != there.max_age
        || wanted.max_bytes != there.max_bytes
        || wanted.max_messages_per_subject != there.max_messages_per_subject
        || wanted.max_message_size != there.max_message_size
        || wanted.num_replicas != there.num_replicas
        || wanted.duplicate_window != there.duplicate_window
        || wanted.allow_direct != there.allow_direct
        || wanted.allow_rollup != there.allow_rollup
        || wanted.allow_atomic_publish != there.allow_atomic_publish
        || wanted.allow_message_ttl != there.allow_message_ttl
        || wanted.subject_delete_marker_ttl != there.subject_delete_marker_ttl
        || wanted.deny_delete != there.deny_delete
        || wanted.deny_purge != there.deny_purge
}
