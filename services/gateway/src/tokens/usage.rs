//! What one answer says that it used: each of the catalogue's numbers as it was told last.
//!
//! Pure. A stream may tell a number early and correct it later, as Anthropic does with the tokens of its answer; a number
//! that was told is never forgotten because a later event does not repeat it.

use catalogue::{Provider, TokenFields, TokenPrice};
use model::usage::{ModelCount, OTHER_MODEL, Tokens};
use serde_json::Value;

use super::{NAMELESS, Used, price, tidy_name, tokens};

/// Where a document, or a stream's event, may hold what a whole answer has at its top.
const ROOTS: [&str; 3] = ["", "/message", "/response"];
/// The members that name the model.
const MODELS: [&str; 2] = ["/model", "/modelVersion"];

/// What was told, number by number in the catalogue's order.
#[derive(Debug, Default)]
pub(super) struct Usage {
    numbers: [Vec<Option<u64>>; 5],
    model: Option<String>,
    /// What the answer says that it cost, in millionths of a dollar.
    reported_micros: Option<u64>,
}

/// Sums of what was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) input: u64,
    pub(super) cached_read: u64,
    pub(super) cache_write: u64,
    pub(super) cache_write_1h: u64,
    pub(super) output: u64,
}

impl Usage {
    /// Takes what a document tells.
    pub(super) fn take(&mut self, provider: &Provider, fields: &TokenFields, document: &Value) {
        let TokenFields { input, cached_read, cache_write, cache_write_1h, output, .. } = fields;
        let roots = || ROOTS.iter().filter_map(|root| document.pointer(root)).filter(|root| root.is_object());
        let pointers = [input, cached_read, cache_write, cache_write_1h, output];
        for (numbers, pointers) in self.numbers.iter_mut().zip(pointers) {
            numbers.resize(pointers.len(), None);
            for (number, pointer) in numbers.iter_mut().zip(pointers) {
                let told = roots().find_map(|root| root.pointer(pointer)?.as_u64());
                *number = told.or(*number);
            }
        }
        let model = roots().find_map(|root| MODELS.iter().find_map(|at| root.pointer(at)?.as_str()));
        if let Some(model) = model {
            self.model = Some(tidy_name(model).to_owned());
        }
        let reported = provider.cost.reported.as_ref();
        let reported = reported.and_then(|at| roots().find_map(|root| root.pointer(at)));
        if let Some(Value::Number(dollars)) = reported {
            self.reported_micros = price::dollars(&dollars.to_string()).or(self.reported_micros);
        }
    }

    /// Whether anything was told.
    pub(super) fn is_told(&self) -> bool {
        self.reported_micros.is_some() || self.numbers.iter().flatten().any(Option::is_some)
    }

    /// Counts it, with its cost where that is known.
    pub(super) fn count<'p>(
        &self,
        fields: &TokenFields,
        price_of: impl FnOnce(&str) -> Option<&'p TokenPrice>,
    ) -> Used {
        let sums = self.sums();
        let name = self.model.as_deref().unwrap_or(NAMELESS);
        let known = price_of(name);
        let price = known.filter(|_| self.is_told());
        let by_price = price.map(|price| price::of(price, fields.input_includes_cached, &sums));
        let cost_micros = self.reported_micros.or(by_price);
        let cached = sums.cached_read.saturating_add(sums.cache_write);
        let input = if fields.input_includes_cached { sums.input } else { sums.input.saturating_add(cached) };
        let used = Tokens {
            input_tokens: input,
            cached_tokens: sums.cached_read,
            cache_write_tokens: sums.cache_write,
            output_tokens: sums.output,
            unpriced_answers: 0,
        };
        let model = match (known, cost_micros) {
            (Some(price), _) => &price.model,
            (None, Some(_)) => name,
            (None, None) => OTHER_MODEL,
        };
        let count = ModelCount {
            model: model.to_owned(),
            answers: 1,
            tokens: tokens(used, cost_micros.is_some()),
            cost_micros: cost_micros.unwrap_or(0),
            ..ModelCount::default()
        };
        // Of an answer that did not say what it used no name is missing in a table of prices.
        let unpriced = (known.is_none() && cost_micros.is_none() && self.is_told()).then(|| name.to_owned());
        Used { count, unpriced }
    }

    fn sums(&self) -> Sums {
        let sum = |at: usize| {
            self.numbers[at].iter().flatten().fold(0_u64, |sum, number| sum.saturating_add(*number))
        };
        Sums {
            input: sum(0),
            cached_read: sum(1),
            cache_write: sum(2),
            cache_write_1h: sum(3),
            output: sum(4),
        }
    }
}
