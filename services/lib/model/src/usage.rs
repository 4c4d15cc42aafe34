//! Usage: what passed, counted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{IntegrationId, ProviderId, Timestamp};

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

/// Calls of one endpoint by one caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Count {
    /// A bounded name of the endpoint: `/v2/aggs`.
    pub endpoint: String,
    /// Who called: an actor; `system:prober` for probes.
    pub actor: String,
    /// Calls that were sent to the provider.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
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
    /// What it cost, in millionths of a US dollar.
    #[serde(default)]
    pub cost_micros: u64,
    /// Messages of WebSocket connections to the provider.
    #[serde(default)]
    pub messages_sent: u64,
    /// Messages of WebSocket connections from the provider.
    #[serde(default)]
    pub messages_received: u64,
    /// What language models used. `cost_micros` includes what it cost.
    #[serde(default)]
    pub tokens: Tokens,
    /// The same by model, where an answer named one. At most [`MODELS_MAX`]; further ones are counted as
    /// [`OTHER_MODEL`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelCount>,
}

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
}

impl Tokens {
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
            });
        }
        assert_eq!(count.models.len(), MODELS_MAX);
        assert_eq!(count.models.iter().map(|m| m.tokens.input_tokens).sum::<u64>(), 100);
        assert_eq!(count.models.iter().map(|m| m.cost_micros).sum::<u64>(), 200);
        assert_eq!(count.models.last().map(|m| m.model.as_str()), Some(OTHER_MODEL));
    }

    #[test]
    fn a_count_of_before_is_read() {
        let old = r#"{"endpoint":"/a","actor":"user:ada","requests":1,"errors":0}"#;
        let read: Count = serde_json::from_str(old).expect("reads");
        assert_eq!((read.requests, read.tokens, read.models.len()), (1, Tokens::default(), 0));
    }
}
