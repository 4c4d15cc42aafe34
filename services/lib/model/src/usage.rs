//! Usage: what passed, counted.

mod sketch;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::health::Reason;
use crate::{IntegrationId, ProviderId, RouteId, Timestamp};

pub use sketch::{BUCKETS, Sketch};

/// Calls of one integration in one short span, counted by one gateway or prober.
///
/// The event's id is made of the counter's instance, the span's start and the integration, so that counting
/// it twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct UsageCounted {
    /// Which integration.
    pub integration: IntegrationId,
    /// Its provider.
    pub provider: ProviderId,
    /// Who counted: a role and its instance, `gateway/h7k2`.
    pub counter: String,
    /// The span's start.
    pub from: Timestamp,
    /// The span's end. Both ends lie in the same minute.
    pub to: Timestamp,
    /// By endpoint.
    pub counts: Vec<Count>,
}

/// Calls of one endpoint by one caller, by one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Count {
    /// A bounded name of the endpoint: `/v2/aggs`.
    pub endpoint: String,
    /// Who called: an actor; `system:prober` for probes.
    pub actor: String,
    /// The route by which they came. Absent: past any route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteId>,
    /// Calls that were sent to the provider.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// What was wrong with those that failed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<Reason, u64>,
    /// Answers that came from the cache instead.
    #[serde(default)]
    pub cache_hits: u64,
    /// Bytes of request bodies.
    #[serde(default)]
    pub request_bytes: u64,
    /// Bytes of answer bodies.
    #[serde(default)]
    pub response_bytes: u64,
    /// Sum of the times to the answers' heads, in milliseconds.
    #[serde(default)]
    pub latency_sum_ms: u64,
    /// These times, as counts of buckets: `<bucket>:<count>,…`. Bucket n below 128 is n microseconds; further on each power of
    /// two has 64 of one width, so that bucket 128 begins at 128 microseconds, 192 at 256, 256 at 512.
    #[serde(default, skip_serializing_if = "Sketch::is_empty")]
    pub latency: Sketch,
    /// What it cost, in millionths of a US dollar.
    #[serde(default)]
    pub cost_micros: u64,
    /// Messages of WebSocket connections to the provider. Absent: none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub messages_sent: u64,
    /// Messages of WebSocket connections from the provider. Absent: none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub messages_received: u64,
    /// What language models used. `cost_micros` includes what it cost. Absent: nothing.
    #[serde(default, skip_serializing_if = "Tokens::is_none")]
    pub tokens: Tokens,
    /// The same by model, where an answer named one. At most [`MODELS_MAX`]; further ones are counted as
    /// [`OTHER_MODEL`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelCount>,
    /// Names of models that answered and have no price, as they called themselves: what they used is counted as
    /// [`OTHER_MODEL`]. At most [`UNPRICED_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpriced_models: Vec<String>,
}

/// Models without a price that one [`Count`] names.
pub const UNPRICED_MAX: usize = 4;
/// Models that are counted apart in one [`Count`].
pub const MODELS_MAX: usize = 16;
/// The model of those that found no place of their own.
pub const OTHER_MODEL: &str = "other";

/// Tokens of language models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(default)]
pub struct Tokens {
    /// Of questions, those included that a cache had or was given.
    pub input_tokens: u64,
    /// Among them: read from a cache of the provider.
    pub cached_tokens: u64,
    /// Among them: written to a cache of the provider.
    pub cache_write_tokens: u64,
    /// Of answers, thoughts included.
    pub output_tokens: u64,
    /// Answers whose cost is not known: their model has no price, or they did not say what they used.
    pub unpriced_answers: u64,
}

/// What one model used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ModelCount {
    /// Its name, as its price is listed; else as the answer has it.
    pub model: String,
    /// Answers.
    pub answers: u64,
    /// What they used.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// What they cost, in millionths of a US dollar.
    pub cost_micros: u64,
    /// Bytes of their questions' bodies. Absent: none were counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub request_bytes: u64,
    /// Bytes of their bodies. Absent: none were counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub response_bytes: u64,
    /// The times to their heads, as [`Count::latency`] has them.
    #[serde(default, skip_serializing_if = "Sketch::is_empty")]
    pub latency: Sketch,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Tokens {
    /// Whether nothing was used, as of a provider that is no language model.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what others used.
    pub fn add(&mut self, more: &Self) {
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(more.cached_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(more.cache_write_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.unpriced_answers = self.unpriced_answers.saturating_add(more.unpriced_answers);
    }
}

impl Count {
    /// Adds what others counted of the same endpoint, caller and way.
    pub fn add(&mut self, more: &Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.errors = self.errors.saturating_add(more.errors);
        for (reason, times) in &more.reasons {
            *self.reasons.entry(*reason).or_default() += times;
        }
        self.cache_hits = self.cache_hits.saturating_add(more.cache_hits);
        self.request_bytes = self.request_bytes.saturating_add(more.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(more.response_bytes);
        self.latency_sum_ms = self.latency_sum_ms.saturating_add(more.latency_sum_ms);
        self.latency.merge(&more.latency);
        self.cost_micros = self.cost_micros.saturating_add(more.cost_micros);
        self.messages_sent = self.messages_sent.saturating_add(more.messages_sent);
        self.messages_received = self.messages_received.saturating_add(more.messages_received);
        self.tokens.add(&more.tokens);
        more.models.iter().for_each(|model| self.add_model(model));
        more.unpriced_models.iter().for_each(|model| self.add_unpriced(model));
    }

    /// Names a model that has no price.
    pub fn add_unpriced(&mut self, model: &str) {
        if self.unpriced_models.len() < UNPRICED_MAX
            && !self.unpriced_models.iter().any(|known| known == model)
        {
            self.unpriced_models.push(model.to_owned());
        }
    }

    /// Adds what a model used, at its place among the models.
    pub fn add_model(&mut self, more: &ModelCount) {
        let at = self.models.iter().position(|known| known.model == more.model);
        // The last place is kept for those that have none.
        let full = self.models.len() + 1 >= MODELS_MAX && more.model != OTHER_MODEL;
        let at =
            at.or_else(|| full.then(|| self.models.iter().position(|m| m.model == OTHER_MODEL)).flatten());
        let place = match at {
            Some(at) => &mut self.models[at],
            None => {
                let model = if full { OTHER_MODEL.to_owned() } else { more.model.clone() };
                self.models.push(ModelCount { model, ..ModelCount::default() });
                let last = self.models.len() - 1;
                &mut self.models[last]
            }
        };
        place.answers = place.answers.saturating_add(more.answers);
        place.tokens.add(&more.tokens);
        place.cost_micros = place.cost_micros.saturating_add(more.cost_micros);
        place.request_bytes = place.request_bytes.saturating_add(more.request_bytes);
        place.response_bytes = place.response_bytes.saturating_add(more.response_bytes);
        place.latency.merge(&more.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_a_bound_and_nothing_is_lost() {
        let mut count = Count::default();
        for n in 0..100 {
            let tokens = Tokens { input_tokens: 1, ..Tokens::default() };
            count.add_model(&ModelCount {
                model: format!("m-{}", n % 50),
                answers: 1,
                tokens,
                cost_micros: 2,
                ..ModelCount::default()
            });
        }
        assert_eq!(count.models.len(), MODELS_MAX);
        assert_eq!(count.models.iter().map(|m| m.tokens.input_tokens).sum::<u64>(), 100);
        assert_eq!(count.models.iter().map(|m| m.cost_micros).sum::<u64>(), 200);
        assert_eq!(count.models.last().map(|m| m.model.as_str()), Some(OTHER_MODEL));
    }

    #[test]
    fn what_did_not_happen_is_not_told() {
        let told = serde_json::to_string(&Count::default()).expect("serialises");
        assert!(!told.contains("tokens") && !told.contains("messages"), "{told}");
        assert_eq!(serde_json::from_str::<Count>(&told).expect("reads"), Count::default());
        let tokens = Tokens { output_tokens: 1, ..Tokens::default() };
        let some = Count { tokens, messages_sent: 2, messages_received: 3, ..Count::default() };
        let told = serde_json::to_string(&some).expect("serialises");
        assert_eq!(serde_json::from_str::<Count>(&told).expect("reads"), some);
    }

    #[test]
    fn a_count_of_before_is_read() {
        let old = r#"{"endpoint":"/a","actor":"user:ada","requests":1,"errors":0}"#;
        let read: Count = serde_json::from_str(old).expect("reads");
        assert_eq!((read.requests, read.tokens, read.models.len()), (1, Tokens::default(), 0));
    }
}
