//! A place for an answer on its way to a caller: its body is copied as it passes, and kept and shared once it is whole.
//!
//! A half answer is never kept. When the caller goes away and others wait for the answer, the rest is read without it,
//! for a bounded time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;

use crate::cache::flight::Lead;
use crate::cache::kept::Kept;
use crate::cache::key::Key;
use crate::cache::{Cache, Moment};
use crate::proxy::echo::Veiled;

/// How long the rest of an answer is read for others when its caller went away, in milliseconds.
const REST_MS: u64 = 10_000;

/// A place for an answer.
pub(crate) struct Place {
    cache: Cache,
    key: Key,
    kept: Kept,
    body: Vec<u8>,
    moment: Moment,
    lead: Option<Lead>,
}

impl Place {
    /// `len` is the size of the body, where it is known.
    pub(super) fn new(
        cache: Cache,
        key: Key,
        kept: Kept,
        len: Option<usize>,
        moment: Moment,
        lead: Option<Lead>,
    ) -> Self {
        Self { cache, key, kept, body: Vec::with_capacity(len.unwrap_or(0)), moment, lead }
    }

    /// Copies a piece; says whether the answer can still be kept.
    pub(crate) fn add(&mut self, data: &[u8]) -> bool {
        let fits = self.body.len() + data.len() <= self.cache.body_bytes_max();
        if fits {
            self.body.extend_from_slice(data);
        }
        fits
    }

    /// The body is whole: keeps the answer, and gives it to all who wait.
    pub(crate) fn keep(mut self) {
        self.kept.body = Bytes::from(std::mem::take(&mut self.body).into_boxed_slice());
        let kept = Arc::new(self.kept);
        self.cache.keep(&self.key, &kept, self.moment);
        if let Some(lead) = self.lead {
            lead.land(&kept);
        }
    }

    /// It proved too large: each who waits goes alone.
    pub(crate) fn apart(self) {
        if let Some(lead) = self.lead {
            lead.apart();
        }
    }

    /// Reads the rest for those who wait.
    pub(crate) fn go_on(mut self, ahead: Option<Bytes>, rest: Option<Veiled>) {
        let followed = self.lead.as_ref().is_some_and(Lead::is_followed);
        let (Some(mut rest), Ok(runtime), true) = (rest, tokio::runtime::Handle::try_current(), followed)
        else {
            return;
        };
        let Some(permit) = self.cache.behind() else { return };
        let reading = async move {
            if ahead.is_some_and(|ahead| !self.add(&ahead)) {
                return self.apart();
            }
            while let Some(frame) = rest.frame().await {
                let Ok(frame) = frame else { return };
                if frame.data_ref().is_some_and(|data| !self.add(data)) {
                    return self.apart();
                }
            }
            self.keep();
        };
        runtime.spawn(async move {
            // Out of time, one of those who wait asks anew.
            let _ = tokio::time::timeout(Duration::from_millis(REST_MS), reading).await;
            drop(permit);
        });
    }
}
