//! The memory of a stand-in: the last things it received, and how to wait for the next.
//!
//! Bounded: the oldest entry falls out when a new one comes. Sequence numbers start at 1 and never
//! repeat, also not after `clear`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use http::HeaderMap;
use serde::Serialize;
use tokio::sync::watch;

/// Entries a ledger remembers.
pub const REMEMBERED_MAX: usize = 200;

/// Nothing more arrived before the deadline.
#[derive(Debug, thiserror::Error)]
#[error("nothing arrived within {waited_ms} ms (after number {after})")]
pub struct NothingArrived {
    /// How long it was waited, in milliseconds.
    pub waited_ms: u128,
    /// The last number that had been taken.
    pub after: u64,
}

/// A request that a provider stand-in received.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// 1 for the first request, then counting.
    pub sequence: u64,
    /// When it arrived, in milliseconds since 1970.
    pub at_ms: i64,
    /// The method, upper case.
    pub method: String,
    /// The path as sent (percent-encoded).
    pub path: String,
    /// The query as sent, without the question mark; empty when there is none.
    pub query: String,
    /// The headers, names in lower case; values of a repeated one are joined with `, `.
    pub headers: BTreeMap<String, String>,
    /// The credential the request carried, where the provider looks for it. Absent: none.
    pub credential: Option<String>,
    /// The body as text.
    pub body: String,
    /// The status it got. Absent: no answer (hang, reset before the head).
    pub status: Option<u16>,
    /// The switch that was at work: `ok`, `slow`, `throttle`, ….
    pub mode: &'static str,
}

/// A bounded memory of `T`.
#[derive(Debug)]
pub(crate) struct Ledger<T> {
    entries: Mutex<VecDeque<(u64, T)>>,
    last: watch::Sender<u64>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Ledger { entries: Mutex::new(VecDeque::new()), last: watch::Sender::new(0) }
    }
}

impl<T: Clone> Ledger<T> {
    /// Writes an entry; `make` gets its number.
    pub(crate) fn add(&self, make: impl FnOnce(u64) -> T) {
        let mut entries = self.lock();
        let sequence = *self.last.borrow() + 1;
        entries.push_back((sequence, make(sequence)));
        if entries.len() > REMEMBERED_MAX {
            entries.pop_front();
        }
        self.last.send_replace(sequence);
    }

    /// What is remembered, oldest first.
    pub(crate) fn all(&self) -> Vec<T> {
        self.lock().iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// Forgets the entries.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// How many were ever written.
    pub(crate) fn total(&self) -> u64 {
        *self.last.borrow()
    }

    /// The oldest entry after a number, waited for at most `within`.
    pub(crate) async fn next(&self, after: u64, within: Duration) -> Result<(u64, T), NothingArrived> {
        let mut watching = self.last.subscribe();
        let found = tokio::time::timeout(within, async {
            loop {
                let entry = self.lock().iter().find(|(sequence, _)| *sequence > after).cloned();
                if entry.is_some() {
                    return entry;
                }
                if watching.changed().await.is_err() {
                    return None;
                }
            }
        });
        found.await.ok().flatten().ok_or(NothingArrived { waited_ms: within.as_millis(), after })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(u64, T)>> {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Headers as a map that reads well in JSON.
pub(crate) fn headers(map: &HeaderMap) -> BTreeMap<String, String> {
    let mut plain = BTreeMap::<String, String>::new();
    for (name, value) in map {
        let value = String::from_utf8_lossy(value.as_bytes());
        plain
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    plain
}
