//! Delivers: finds lanes that are due, works on each in a task of its own, and on no more at once than is allowed.
//!
//! The rows in the database are the truth; messages on the bus and the clock only wake. A lane is one webhook: it is
//! held by one worker at a time, so deliveries keep their order (the most urgent first), and a target that hangs holds
//! its own lane alone.

mod disable;
mod lane;
mod record;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bus::{Message, Outcome};
use model::{Timestamp, WebhookId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::desk::Desk;
use crate::telemetry;

/// How often what waits is counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// How long a database that is away is left alone before it is asked again.
const AWAY_PAUSE: Duration = Duration::from_secs(1);
/// How long lanes may finish their attempt after the stop, beyond an attempt's own deadline.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// A message that says that a delivery is due only rings: the row is the truth.
pub(crate) async fn ring(desk: &Desk, message: Message) -> Outcome {
    debug!(event.id = %message.envelope.id, "A delivery is due.");
    desk.bell.notify_one();
    Outcome::Done
}

/// Works on lanes until the token is cancelled, then lets attempts finish.
pub(crate) async fn deliver(desk: Arc<Desk>, stopping: CancellationToken) -> anyhow::Result<()> {
    free_own_lanes(&desk).await;
    let mut lanes = JoinSet::new();
    let mut busy = HashSet::new();
    let mut counted: Option<Instant> = None;
    while !stopping.is_cancelled() {
        if counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
            counted = Some(Instant::now());
            count(&desk).await;
        }
        let pause = match start(&desk, &mut lanes, &mut busy, &stopping).await {
            Ok(pause) => pause,
            Err(error) => {
                warn!(%error, "Due deliveries cannot be looked for now; trying again.");
                AWAY_PAUSE
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            Some(ended) = lanes.join_next(), if !lanes.is_empty() => free(&mut busy, ended),
            () = desk.bell.notified() => {}
            () = sleep(pause) => {}
        }
    }
    let rest = async { while lanes.join_next().await.is_some() {} };
    if timeout(desk.settings.deadline() + STOP_GRACE, rest).await.is_err() {
        warn!("Attempts did not end in time; they are made again at the next start.");
    }
    Ok(())
}

/// Starts a task for each lane that is due, as far as there is room. Says how long nothing else will be due.
async fn start(
    desk: &Arc<Desk>,
    lanes: &mut JoinSet<WebhookId>,
    busy: &mut HashSet<WebhookId>,
    stopping: &CancellationToken,
) -> store::Result<Duration> {
    let poll = Duration::from_millis(desk.settings.poll_ms);
    let room = desk.settings.lanes_max as usize - busy.len().min(desk.settings.lanes_max as usize);
    if room == 0 {
        return Ok(poll);
    }
    let now = Timestamp::now();
    for webhook in desk.store.lanes_due(now, u32::try_from(room).unwrap_or(u32::MAX)).await? {
        let until = now.plus(desk.settings.lane_hold());
        if busy.contains(&webhook) || !desk.store.lane_claim(&webhook, desk.bus.source(), now, until).await? {
            continue;
        }
        busy.insert(webhook.clone());
        lanes.spawn(lane::work(Arc::clone(desk), webhook, stopping.clone()));
    }
    let next = desk.store.lanes_next_due(now).await?;
    let wait = next.map_or(poll, |at| at.since(Timestamp::now()));
    // A lane that is due and was not started is somebody else's: the shortest wait keeps this from spinning.
    Ok(wait.clamp(Duration::from_millis(20), poll))
}

fn free(busy: &mut HashSet<WebhookId>, ended: Result<WebhookId, tokio::task::JoinError>) {
    match ended {
        Ok(webhook) => {
            busy.remove(&webhook);
        }
        Err(error) => {
            // Which one is not known any more; the database still knows who holds what.
            error!(%error, "A lane's task broke.");
            busy.clear();
        }
    }
}

/// Gives back the lanes that this instance held when it was killed, so that nobody waits for their time to end.
async fn free_own_lanes(desk: &Desk) {
    let freed = async {
        for webhook in desk.book.page(&desk.store).await?.webhooks.keys() {
            desk.store.lane_release(webhook, desk.bus.source()).await?;
        }
        Ok::<(), store::Error>(())
    };
    if let Err(error) = freed.await {
        warn!(%error, "Lanes of an earlier run could not be given back; they end by themselves.");
    }
}

async fn count(desk: &Desk) {
    let counted = async {
        Ok::<_, store::Error>((desk.store.pending_total().await?, desk.store.oldest_pending().await?))
    };
    match counted.await {
        Ok((pending, oldest)) => telemetry::waiting(pending, oldest),
        Err(error) => debug!(%error, "What waits cannot be counted now."),
    }
}
