//! Takes messages of the stream `HEALTH` into the database, as many in one transaction as came meanwhile.
//!
//! The second time is harmless: the database knows each message by its number. Times are held against the bus's clock, the one
//! that all share: a change that says it was decided long before or after the bus took it is moved there.

use std::time::Duration;

use bus::{Message, Outcome, table};
use metrics::counter;
use model::Timestamp;
use model::health::{HealthChanged, Observed};
use store::{HealthEvent, HealthFact};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Era;
use crate::Meter;
use crate::telemetry::HEALTH_TAKEN;

/// Messages in one transaction at most, and so in work at once.
const BATCH_MAX: usize = 128;
/// How long a decision may be on its way: what is further off was decided by a clock that is wrong.
const LAG_MAX: Duration = Duration::from_secs(600);

/// A message, and where to say what became of it.
struct Input {
    event: HealthEvent,
    settled: oneshot::Sender<Outcome>,
}

pub(super) async fn take(meter: Meter, era: Era, stopping: CancellationToken) -> anyhow::Result<()> {
    let (inputs, mut inbox) = mpsc::channel(BATCH_MAX);
    let consumer = meter
        .bus
        .consume(&table::UPTIME, move |message| receive(message, inputs.clone()))
        .concurrency(BATCH_MAX)
        .until(stopping);
    let writing = async {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while inbox.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let (events, settled): (Vec<_>, Vec<_>) =
                batch.drain(..).map(|Input { event, settled }| (event, settled)).unzip();
            for (outcome, settled) in write(&meter, &era, &events).await.into_iter().zip(settled) {
                // Who waits for it may have gone: then it comes again, and is known.
                let _ = settled.send(outcome);
            }
        }
    };
    let (consumed, ()) = tokio::join!(Box::pin(consumer), writing);
    Ok(consumed?)
}

async fn receive(message: Message, inputs: mpsc::Sender<Input>) -> Outcome {
    let stored_at = message.stored_at;
    let fact = if message.is::<HealthChanged>() {
        message.decode::<HealthChanged>().map(|fact| HealthFact::Changed(by_the_bus(fact.data, stored_at)))
    } else {
        message.decode::<Observed>().map(|fact| HealthFact::Observed(fact.data))
    };
    let fact = match fact {
        Ok(fact) => fact,
        Err(error) => return Outcome::Reject(error.to_string()),
    };
    let event = HealthEvent { sequence: message.sequence, stored_at, event: message.envelope.id, fact };
    let (settled, outcome) = oneshot::channel();
    if inputs.send(Input { event, settled }).await.is_err() {
        return Outcome::Retry;
    }
    outcome.await.unwrap_or(Outcome::Retry)
}

/// Writes a batch. Where it cannot be written at all, each by itself, so that one that is bad is alone.
async fn write(meter: &Meter, era: &Era, events: &[HealthEvent]) -> Vec<Outcome> {
    let born = match era.known() {
        Some(born) => born,
        None => match era.look(meter).await {
            Ok(born) => born,
            Err(error) => {
                tracing::debug!(%error, "The stream's birth is not known yet: {error}.");
                return vec![Outcome::Retry; events.len()];
            }
        },
    };
    match meter.store.health_take(born, events).await {
        Ok(fresh) => {
            for fresh in fresh {
                counter!(HEALTH_TAKEN, "outcome" => if fresh { "new" } else { "seen" }).increment(1);
            }
            vec![Outcome::Done; events.len()]
        }
        Err(error) if error.is_transient() => vec![Outcome::Retry; events.len()],
        Err(error) if events.len() == 1 => vec![Outcome::Reject(error.to_string())],
        Err(_) => {
            let mut outcomes = Vec::with_capacity(events.len());
            for event in events {
                let alone = meter.store.health_take(born, std::slice::from_ref(event)).await;
                outcomes.push(match alone {
                    Ok(_) => Outcome::Done,
                    Err(error) if error.is_transient() => Outcome::Retry,
                    Err(error) => Outcome::Reject(error.to_string()),
                });
            }
            outcomes
        }
    }
}

/// A change by the clock of the bus.
fn by_the_bus(changed: HealthChanged, stored_at: Timestamp) -> HealthChanged {
    let (ahead, behind) = (changed.at.since(stored_at), stored_at.since(changed.at));
    let ran = changed.at.since(changed.since);
    let at = if ahead.max(behind) > LAG_MAX { stored_at } else { changed.at.min(stored_at) };
    let since = if at == changed.at { changed.since.min(at) } else { at.minus(ran) };
    HealthChanged { at, since, ..changed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uptime::tests::{changed, minute};
    use model::health::Health;

    #[test]
    fn a_change_is_told_by_the_clock_of_the_bus() {
        let check = |since: i64, at: i64, stored: i64, expected: (i64, i64)| {
            let told =
                HealthChanged { since: minute(since), ..changed(minute(at), Health::Up, Health::Down) };
            let kept = by_the_bus(told, minute(stored));
            assert_eq!((kept.since, kept.at), (minute(expected.0), minute(expected.1)));
        };
        check(0, 3, 3, (0, 3));
        check(0, 3, 8, (0, 3)); // on its way for five minutes
        check(0, 3, 100, (97, 100)); // decided by a clock that is behind
        check(200, 203, 100, (97, 100)); // ahead
        check(101, 102, 100, (99, 100)); // a little ahead
        check(9, 3, 5, (3, 3)); // begun after it was decided
    }
}
