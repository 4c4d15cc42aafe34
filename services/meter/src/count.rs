//! Takes one event: counts it once, then looks whether a quota has come near its limit.
//!
//! The second time is harmless: the database knows the event's id. Notices are looked at also then, because
//! the program may have died between counting and giving notice.

use bus::{Message, Outcome};
use metrics::counter;
use model::usage::UsageCounted;
use store::Plans;

use crate::telemetry::COUNTED;
use crate::{Meter, notice};

pub(crate) async fn count(meter: &Meter, message: &Message) -> Outcome {
    let event = match message.decode::<UsageCounted>() {
        Ok(event) => event,
        Err(error) => return Outcome::Reject(error.to_string()),
    };
    let (id, counted) = (event.id, event.data);
    let integration = counted.integration.clone();
    let at = counted.to;
    match meter.store.count(&[(id, counted)], &plans(meter)).await {
        Ok(new) => {
            let outcome = if new.first() == Some(&true) { "new" } else { "seen" };
            counter!(COUNTED, "outcome" => outcome).increment(1);
        }
        Err(error) if error.is_transient() => return Outcome::Retry,
        Err(error) => return Outcome::Reject(error.to_string()),
    }
    match notice::look(meter, &integration, at).await {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "Quotas could not be looked at; trying again.");
            Outcome::Retry
        }
    }
}

/// The plans of integrations that have one.
fn plans(meter: &Meter) -> Plans {
    let snapshot = meter.snapshot.borrow().clone();
    let integrations = snapshot.iter().flat_map(|snapshot| snapshot.integrations.values());
    integrations.filter_map(|one| Some((one.id.clone(), one.cost.plan.clone()?))).collect()
}
