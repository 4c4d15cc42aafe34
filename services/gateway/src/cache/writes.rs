//! What was written through here: answers that were asked for before a write to their address are not used after it
//! (RFC 9111, section 4.4).
//!
//! Nothing is searched for: a write marks a place that its address falls on, and an answer knows the place of its own.
//! Two addresses may share a place; then one is asked for once more than it must be. Other gateways do not hear of it.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::IntegrationId;

use super::key::normal;
use crate::map::Hashing;

/// Places that addresses fall on.
const PLACES: usize = 2_048;

/// All writes. A write is a number; a later one has a larger one.
#[derive(Debug)]
pub(super) struct Writes {
    hasher: Hashing,
    last: AtomicU64,
    places: Box<[AtomicU64]>,
    /// Whether there was ever an answer that a write could have ended.
    matter: AtomicBool,
}

/// Which writes end an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Since {
    place: usize,
    /// The last write before it was asked for.
    last: u64,
}

impl Writes {
    pub(super) fn new() -> Self {
        let places = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: Hashing::default(), last: AtomicU64::new(0), places, matter: AtomicBool::new(false) }
    }

    /// The last write so far.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// From now on writes are marked.
    pub(super) fn begin(&self) {
        if !self.matter.load(Ordering::Relaxed) {
            self.matter.store(true, Ordering::Release);
        }
    }

    /// An answer of an address that was asked for after this write.
    pub(super) fn since(&self, integration: &IntegrationId, path: &str, last: u64) -> Since {
        Since { place: self.place(integration, path), last }
    }

    /// Something was written to an address, whatever the query.
    pub(super) fn mark(&self, integration: &IntegrationId, path: &str) {
        if self.matter.load(Ordering::Relaxed) {
            let write = self.last.fetch_add(1, Ordering::AcqRel) + 1;
            self.places[self.place(integration, path)].fetch_max(write, Ordering::AcqRel);
        }
    }

    /// Whether nothing was written since.
    pub(super) fn none(&self, since: Since) -> bool {
        self.places[since.place].load(Ordering::Acquire) <= since.last
    }

    fn place(&self, integration: &IntegrationId, path: &str) -> usize {
        let hash = self.hasher.hash_one((integration.as_str(), normal(path)));
        usize::try_from(hash % PLACES as u64).expect("below 2,048")
    }
}
