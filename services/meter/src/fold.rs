//! Brings what was tallied into what answers are made of, a moment after it was counted: rows are written once for many batches.
//!
//! It never counts. What a process that died had tallied is brought in by whoever comes next; of several replicas each brings
//! in what all have tallied.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Meter;

/// How long what was tallied waits at most. An answer is behind by this and the time that folding takes.
const WAITS_MAX: Duration = Duration::from_millis(500);
/// The same while more waits in the stream than is counted at once: answers are behind by that anyway, and rows that are
/// written less often leave more for counting.
const BEHIND_MAX: Duration = Duration::from_secs(2);
/// When nothing was tallied for so long, there is nothing to wait for.
const QUIET: Duration = Duration::from_millis(50);

/// Pause before what failed is tried again: the database may be away for long.
const PAUSE: Duration = Duration::from_secs(2);

/// Folds until told to stop, then once more; for the first time at once.
pub(crate) async fn run(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    meter.tallied.notify_one();
    let mut fails = false;
    loop {
        let stops = stopping.run_until_cancelled(more(&meter)).await.is_none();
        match meter.store.usage_fold().await {
            Ok(added) => {
                fails = false;
                if added {
                    meter.fresh.notify_one();
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(error = %error, "What was counted could not be added up; trying again.");
                }
                meter.tallied.notify_one();
                stopping.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
        }
        if stops {
            return Ok(());
        }
    }
}

/// Waits until something was tallied, and then for more of it.
async fn more(meter: &Meter) {
    meter.tallied.notified().await;
    let begun = Instant::now();
    let latest = || begun + if meter.behind.load(Ordering::Relaxed) { BEHIND_MAX } else { WAITS_MAX };
    while Instant::now() < latest() {
        let until = latest().min(Instant::now() + QUIET);
        if tokio::time::timeout_at(until, meter.tallied.notified()).await.is_err() {
            return;
        }
    }
}
