//! The configuration as it is published: followed from its bucket, swapped in whole.
//!
//! An older revision never replaces a newer one, and the last good one stays when the bus is away.

use std::sync::Arc;

use futures_util::StreamExt;
use model::snapshot::{KEY, Snapshot};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Bucket, Bus, Change, Error};

impl Bus {
    /// Follows the snapshot until told to stop. Nothing is there before the first one was published.
    pub async fn snapshots(
        &self,
        stopping: CancellationToken,
    ) -> Result<watch::Receiver<Option<Arc<Snapshot>>>, Error> {
        let mut changes = self.bucket(Bucket::Config).await?.watch_key::<Snapshot>(KEY);
        let (sender, receiver) = watch::channel(None::<Arc<Snapshot>>);
        tokio::spawn(async move {
            loop {
                let change = tokio::select! {
                    () = stopping.cancelled() => return,
                    () = sender.closed() => return,
                    change = changes.next() => change,
                };
                match change {
                    Some(Change::Put { value, .. }) => {
                        let newer = |there: &Arc<Snapshot>| value.revision > there.revision;
                        let swap = sender.borrow().as_ref().is_none_or(newer);
                        if swap {
                            tracing::debug!(
                                revision = value.revision,
                                "Serving revision {} of the configuration.",
                                value.revision
                            );
                            sender.send_replace(Some(Arc::new(value)));
                        }
                    }
                    // The last good one stays.
                    Some(Change::Deleted { .. }) => {}
                    None => return,
                }
            }
        });
        Ok(receiver)
    }
}
