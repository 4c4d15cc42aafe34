//! Attempts whose callers have their answers from somebody else: waited for a little longer, for what they tell.
//!
//! Bounded: where too many linger already a further one is dropped. Stopping drops them all. Each is counted as sent
//! either way, and none is waited for by a caller.

use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::attempt::Sent;

/// Attempts that linger at a time, and as many again that are about to.
const LINGERING_MAX: usize = 256;

/// Where attempts linger.
pub(crate) struct Lingering {
    to: mpsc::Sender<Sent>,
    from: Mutex<Option<mpsc::Receiver<Sent>>>,
}

impl Default for Lingering {
    fn default() -> Self {
        let (to, from) = mpsc::channel(LINGERING_MAX);
        Self { to, from: Mutex::new(Some(from)) }
    }
}

impl Lingering {
    /// Lets an attempt linger, if there is a place.
    pub(crate) fn keep(&self, sent: Sent) {
        drop(self.to.try_send(sent));
    }

    /// Waits for them until `stopping`.
    pub(crate) async fn wait(&self, stopping: CancellationToken) -> anyhow::Result<()> {
        let from = self.from.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut from) = from else { return Ok(()) };
        let mut waiting = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = waiting.next() => {}
                sent = from.recv(), if waiting.len() < LINGERING_MAX => match sent {
                    Some(sent) => waiting.push(sent.outlive()),
                    None => return Ok(()),
                },
                () = stopping.cancelled() => return Ok(()),
            }
        }
    }
}
