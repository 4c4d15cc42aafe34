//! Watches a bucket: what is there now, then every change, whatever happens to the connection.
//!
//! A watch that breaks is opened again. What changed meanwhile is told then; a key that vanished meanwhile is
//! told as deleted, even when the server no longer knows of it. The same revision is never told twice.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use async_nats::jetstream::kv::{Operation, Watch};
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::backoff;
use crate::consume::chain;
use crate::error::{Error, Source};
use crate::kv::{Change, Kv};

/// Changes that may wait for a slow reader.
const WAITING_MAX: usize = 64;
/// How long opening may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

impl Kv {
    /// Watches every key. A value that cannot be read is logged and left out.
    pub fn watch<T>(&self) -> Pin<Box<dyn Stream<Item = Change<T>> + Send>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.observe(">".to_owned())
    }

    /// Watches one key.
    pub fn watch_key<T>(&self, key: &str) -> Pin<Box<dyn Stream<Item = Change<T>> + Send>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.observe(key.to_owned())
    }

    /// Watches the keys that begin with this token.
    pub fn watch_below<T>(&self, token: &str) -> Pin<Box<dyn Stream<Item = Change<T>> + Send>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.observe(format!("{token}.>"))
    }

    fn observe<T>(&self, filter: String) -> Pin<Box<dyn Stream<Item = Change<T>> + Send>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let observer = Observer { kv: self.clone(), filter, known: BTreeMap::new(), sender };
        tokio::spawn(observer.run());
        Box::pin(futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|change| (change, receiver))
        }))
    }
}

struct Observer<T> {
    kv: Kv,
    filter: String,
    /// The last revision that was told of each key that has a value.
    known: BTreeMap<String, u64>,
    sender: mpsc::Sender<Change<T>>,
}

/// The reader is gone.
struct Gone;

impl<T: DeserializeOwned> Observer<T> {
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let closed = self.sender.clone();
            let watched = tokio::select! {
                () = closed.closed() => return,
                watched = self.session(&mut failures) => watched,
            };
            match watched {
                Ok(Err(Gone)) => return,
                Ok(Ok(())) => {}
                Err(error) => {
                    let bucket = self.kv.bucket.name();
                    debug!(bucket, error = %chain(&*error), "A watch broke; opening it again.");
                }
            }
            failures = failures.saturating_add(1);
            tokio::select! {
                () = closed.closed() => return,
                () = tokio::time::sleep(backoff::REOPEN.after(failures)) => {}
            }
        }
    }

    /// One watch, until it breaks or the connection is another.
    async fn session(&mut self, failures: &mut u32) -> Result<Result<(), Gone>, Source> {
        let mut link = self.kv.bus.link();
        let generation = link.borrow().generation;
        let mut watch = tokio::time::timeout(OPEN_TIMEOUT, self.open()).await??;
        if self.tell_vanished().await?.is_err() {
            return Ok(Err(Gone));
        }
        *failures = 0;
        loop {
            let entry = tokio::select! {
                biased;
                entry = watch.next() => entry,
                _ = link.wait_for(|link| link.generation != generation) => return Ok(Ok(())),
            };
            let Some(entry) = entry else { return Ok(Ok(())) };
            let entry = entry?;
            if self.tell(entry.key, entry.revision, entry.operation, &entry.value).await.is_err() {
                return Ok(Err(Gone));
            }
        }
    }

    async fn open(&self) -> Result<Watch, Source> {
        Ok(self.kv.store.watch_with_history(&self.filter).await?)
    }

    /// Tells of keys that were there before and are not any more. The watch is open already, so what comes
    /// back after this list is told by it.
    async fn tell_vanished(&mut self) -> Result<Result<(), Gone>, Error> {
        if self.known.is_empty() {
            return Ok(Ok(()));
        }
        let there = self.kv.keys().await?;
        let vanished: Vec<String> = self.known.keys().filter(|key| !there.contains(key)).cloned().collect();
        for key in vanished {
            self.known.remove(&key);
            if self.sender.send(Change::Deleted { key }).await.is_err() {
                return Ok(Err(Gone));
            }
        }
        Ok(Ok(()))
    }

    async fn tell(&mut self, key: String, revision: u64, what: Operation, value: &[u8]) -> Result<(), Gone> {
        if self.known.get(&key).is_some_and(|known| *known >= revision) {
            return Ok(());
        }
        let change = match what {
            Operation::Put => {
                self.known.insert(key.clone(), revision);
                match self.kv.parse(&key, value) {
                    Ok(value) => Change::Put { key, value, revision },
                    Err(error) => {
                        warn!(bucket = self.kv.bucket.name(), key, error = %chain(&error), "A value could not be read and is left out.");
                        return Ok(());
                    }
                }
            }
            Operation::Delete | Operation::Purge => match self.known.remove(&key) {
                Some(_) => Change::Deleted { key },
                None => return Ok(()),
            },
        };
        self.sender.send(change).await.map_err(|_| Gone)
    }
}
