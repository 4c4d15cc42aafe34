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
        if let Some(from) = from {
            outlive(from, Sent::outlive, &stopping).await;
        }
        Ok(())
    }
}

/// Lets all that come outlive their callers, until `stopping`. From then on none is polled: the lane whose clock it waits by
/// may have ended.
async fn outlive<T, F: Future<Output = ()>>(
    mut from: mpsc::Receiver<T>,
    wait: impl Fn(T) -> F,
    stopping: &CancellationToken,
) {
    let mut waiting = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            Some(()) = waiting.next() => {}
            sent = from.recv(), if waiting.len() < LINGERING_MAX => match sent {
                Some(sent) => waiting.push(wait(sent)),
                None => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn what_lingers_is_not_polled_when_its_lane_may_have_ended() {
        for _ in 0..50 {
            let (to, from) = mpsc::channel(2);
            let stopping = CancellationToken::new();
            let ends = |()| {
                poll_fn(|cx| {
                    assert!(!stopping.is_cancelled(), "polled after the end");
                    stopping.cancel();
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
            };
            to.send(()).await.expect("there is a place");
            outlive(from, ends, &stopping).await;
        }
    }
}
