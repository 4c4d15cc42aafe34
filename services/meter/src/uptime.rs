//! What integrations were: written down as it happens, answered when asked, compared with what is usual.
//!
//! Takes *health.observed* and *health.changed* into the database, each once. Answers `/uptime`. Tells *health.compared* when an
//! integration got worse than it usually is at this hour; what that means for its health is failover's to say.

mod answer;
mod compare;
mod report;
mod spans;
mod sweep;
mod take;
mod usual;
mod was;

#[cfg(test)]
mod tests;

pub(crate) use was::Was;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Meter;

/// The stream that is read.
const STREAM: &str = "HEALTH";

/// When the stream was made: messages are numbered since. Zero: not known yet.
#[derive(Clone, Default)]
struct Era(Arc<AtomicI64>);

impl Era {
    fn known(&self) -> Option<Timestamp> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Timestamp::from_millis(millis)),
        }
    }

    /// Asks anew. A stream that somebody made anew meanwhile is another.
    async fn look(&self, meter: &Meter) -> Result<Timestamp, bus::Error> {
        let born = meter.bus.born(STREAM).await?;
        self.0.store(born.as_millis(), Ordering::Relaxed);
        Ok(born)
    }
}

/// Takes, answers and compares until told to stop.
pub(crate) async fn run(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    let era = Era::default();
    let taking = take::take(meter.clone(), era.clone(), stopping.clone());
    let answers = answer::answers(meter.clone(), stopping.clone());
    let comparing = compare::compare(meter.clone(), stopping.clone());
    let sweep = sweep::sweep(meter, era, stopping);
    let (taking, answers, ()) = tokio::join!(taking, answers, async {
        tokio::join!(comparing, sweep);
    });
    taking?;
    answers
}
