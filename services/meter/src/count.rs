//! Takes events: counts each once, many in one transaction, then looks for models without a price.
//!
//! The second time is harmless: the database knows the event. Notices are looked at also then, because the program may have
//! died between counting and giving notice. What was counted is in answers once it is folded (`fold`). What cannot be counted together is counted one by one, so that one event that
//! the database refuses takes no other with it.

use bus::{Message, Outcome};
use metrics::counter;
use model::EventId;
use model::usage::UsageCounted;
use store::Plans;
use tokio_util::task::AbortOnDropHandle;

use crate::telemetry::COUNTED;
use crate::{Meter, unpriced};

/// Counts a batch on a task of its own, so that one is read and added up while another is written and a third is pulled.
pub(crate) async fn count(meter: &Meter, messages: Vec<Message>) -> Vec<Outcome> {
    let meter = meter.clone();
    let counting = tokio::spawn(async move { together(&meter, &messages).await });
    match AbortOnDropHandle::new(counting).await {
        Ok(outcomes) => outcomes,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process stops: whatever has no outcome comes again.
            Err(_) => Vec::new(),
        },
    }
}

async fn together(meter: &Meter, messages: &[Message]) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Done; messages.len()];
    let (mut events, mut places) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
    for (place, message) in messages.iter().enumerate() {
        match message.fact::<UsageCounted>() {
            Ok(usage) => {
                events.push((message.envelope.id.clone(), usage));
                places.push(place);
            }
            Err(error) => outcomes[place] = Outcome::Reject(error.to_string()),
        }
    }
    let plans = plans(meter);
    match write(meter, &events, &plans).await {
        Ok(()) => {}
        Err(Outcome::Retry) => places.iter().for_each(|place| outcomes[*place] = Outcome::Retry),
        Err(_) => {
            for (event, place) in events.chunks(1).zip(&places) {
                if let Err(outcome) = write(meter, event, &plans).await {
                    outcomes[*place] = outcome;
                }
            }
        }
    }
    let done = events.iter().zip(&places).filter(|(_, place)| outcomes[**place] == Outcome::Done);
    let done: Vec<&UsageCounted> = done.map(|((_, usage), _)| usage).collect();
    if let Err(error) = unpriced::look(meter, &done).await {
        tracing::warn!(
            error = format!("{error:#}"),
            "Models without a price could not be told; trying again."
        );
        for place in places {
            if outcomes[place] == Outcome::Done {
                outcomes[place] = Outcome::Retry;
            }
        }
    }
    outcomes
}

/// Writes events; what becomes of them where that fails.
async fn write(meter: &Meter, events: &[(EventId, UsageCounted)], plans: &Plans) -> Result<(), Outcome> {
    match meter.store.usage_tally(events, plans).await {
        Ok(new) => {
            meter.tallied.notify_one();
            let new = new.iter().filter(|new| **new).count();
            counter!(COUNTED, "outcome" => "new").increment(new as u64);
            counter!(COUNTED, "outcome" => "seen").increment((events.len() - new) as u64);
            Ok(())
        }
        Err(error) if error.is_transient() => Err(Outcome::Retry),
        Err(error) => Err(Outcome::Reject(error.to_string())),
    }
}

/// The plans of integrations that have one.
fn plans(meter: &Meter) -> Plans {
    let snapshot = meter.snapshot.borrow().clone();
    let integrations = snapshot.iter().flat_map(|snapshot| snapshot.integrations.values());
    integrations.filter_map(|one| Some((one.id.clone(), one.cost.plan.clone()?))).collect()
}

#[cfg(test)]
mod tests;
