//! Alert rules: looks at figures, and tells when one stands where a rule says that it should not.
//!
//! `plan` says what is looked at, `figure` what a figure is made of, `judge` what a reading means, `tell` what people hear; all
//! pure. `watch` does it live, in one process at a time; `trial` over what was recorded. Never counts, never limits.

mod book;
mod figure;
mod judge;
mod leased;
mod plan;
mod record;
mod slow;
mod tell;
mod trial;
mod watch;

#[cfg(test)]
pub(crate) use trial::test as tested;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use book::Book;
pub(crate) use figure::Span;
pub(crate) use leased::{Ledgers, follow};
pub(crate) use plan::source_of;
pub(crate) use watch::watch;

use model::subject;
use tokio_util::sync::CancellationToken;

use crate::answer::answered;
use crate::{Meter, budget};

/// Answers what rules would have done and what budgets stand at, until told to stop.
pub(crate) async fn answers(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    let bus = meter.bus.clone();
    let asked = meter.clone();
    let trials = bus.answer(&subject::ask("meter", "test-rule"), "meter", move |question| {
        let meter = asked.clone();
        async move { answered("the figures", trial::test(&meter, question).await) }
    });
    let budgets = bus.answer(&subject::ask("meter", "budgets"), "meter", move |question| {
        let meter = meter.clone();
        async move { answered("the figures", budget::now(&meter, question).await) }
    });
    let (trials, budgets) = tokio::join!(trials.until(stopping.clone()), budgets.until(stopping));
    trials?;
    budgets?;
    Ok(())
}
