//! Reads what language models used from the passing bytes of their answers, streamed or not.
//!
//! A copy is looked at, never the bytes that pass: nothing here changes or delays them, and bytes that cannot be read cost
//! the caller nothing. Which numbers count is in the catalogue (`cost.tokens`), and so are the prices. The same answer
//! costs the same to the micro-unit whether it was streamed or not, because both end in one [`Usage`] and one sum. A cost
//! that is not known is counted as not known.

mod ask;
mod events;
mod price;
mod usage;

use std::sync::Arc;

use bytes::Bytes;
use catalogue::{Provider, TokenFields, TokenPrice};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use memchr::memmem::Finder;
use model::usage::{ModelCount, Tokens};
use serde_json::Value;

use crate::body::Inbound;
use crate::proxy::encoding::{Coded, Coding, Decoder};
use events::Events;
use usage::Usage;

/// A JSON answer is read whole up to this size, in bytes.
const WHOLE_BYTES_MAX: usize = 1024 * 1024;
/// Of a larger one, this much of its end is read, in bytes: there providers tell what was used.
const TAIL_BYTES: usize = 64 * 1024;
/// Bytes of events for one token, at least: each says much beside its few.
const EVENT_TOKEN_BYTES: u64 = 8;
/// The longest name of a model that is counted by itself, in bytes.
const MODEL_BYTES_MAX: usize = 96;
/// The model of answers that named none.
const NAMELESS: &str = "unknown";
/// The setting of an integration by which a stream is asked to tell what it used, and its value.
const ASK: (&str, &str) = ("usage", "ask");

/// What is read from the answers of one integration; made once for a configuration.
pub(crate) struct Rules {
    provider: &'static Provider,
    fields: &'static TokenFields,
    /// What an operator says of prices, before what the catalogue says.
    prices: Vec<TokenPrice>,
    /// The members of an answer that hold what was used.
    names: Vec<Finder<'static>>,
    /// Whether streams are asked to tell what they used.
    asks: bool,
}

/// What an answer used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    /// As it is counted.
    pub(crate) count: ModelCount,
    /// The model's name where it has no price: it is counted as another.
    pub(crate) unpriced: Option<String>,
}

/// Reads one answer as it passes.
pub(crate) struct Reader {
    rules: Arc<Rules>,
    kind: Kind,
    decoder: Option<Decoder>,
    usage: Usage,
    /// Whether something of it could not be read.
    lost: bool,
    /// Bytes that were read.
    plain: u64,
}

enum Kind {
    /// One document.
    Whole { bytes: Vec<u8>, cut: bool },
    /// Events, or lines, with a document each.
    Events(Events),
}

// === impl Rules ===

impl Rules {
    /// Nothing for providers that count no tokens.
    pub(crate) fn new(
        provider: &'static Provider,
        settings: &serde_json::Map<String, Value>,
        prices: &[TokenPrice],
    ) -> Option<Arc<Self>> {
        let fields = provider.cost.tokens.as_ref()?;
        let all =
            [&fields.input, &fields.cached_read, &fields.cache_write, &fields.cache_write_1h, &fields.output];
        let all = all.into_iter().flatten().chain(&provider.cost.reported);
        let mut names: Vec<&str> = all.filter_map(|pointer| pointer.split('/').nth(1)).collect();
        names.sort_unstable();
        names.dedup();
        let names = names.into_iter().map(|name| Finder::new(&format!("\"{name}\"")).into_owned()).collect();
        let asks = settings.get(ASK.0).and_then(Value::as_str) == Some(ASK.1);
        Some(Arc::new(Self { provider, fields, prices: prices.to_vec(), names, asks }))
    }

    /// A model's prices. Nothing is an unknown cost, never none.
    pub(crate) fn price_of(&self, model: &str) -> Option<&TokenPrice> {
        TokenPrice::find(&self.prices, model).or_else(|| self.provider.price_of(model))
    }

    /// What a million tokens of a question and as many of an answer cost with the cheapest model, in millionths of a dollar.
    pub(crate) fn cheapest(&self) -> u64 {
        let theirs = self.provider.cost.prices.iter();
        let theirs = theirs.filter(|price| !self.prices.iter().any(|own| own.model == price.model));
        let all = self.prices.iter().chain(theirs);
        all.map(|price| price.input.saturating_add(price.output)).min().unwrap_or_default()
    }

    /// The body that asks for what will be used, where that is configured and a held body does not ask.
    pub(crate) fn asking(&self, body: &Inbound) -> Option<Inbound> {
        let Inbound::Held(bytes) = body else { return None };
        if self.asks { ask::ask(bytes).map(Inbound::Held) } else { None }
    }

    /// Whether a document may tell what was used: it has one of the members, and there is something in it.
    fn may_tell(&self, json: &[u8]) -> bool {
        self.names
            .iter()
            .any(|name| name.find_iter(json).any(|at| value_at(json, at + name.needle().len()).is_some()))
    }
}

/// Where the value of a member begins whose name ends here; nothing for `null` and for what is no member.
fn value_at(json: &[u8], name_end: usize) -> Option<usize> {
    let skip = |from: usize| (from..json.len()).find(|at| !json[*at].is_ascii_whitespace());
    let value = skip(skip(name_end).filter(|colon| json[*colon] == b':')? + 1)?;
    (json[value] != b'n').then_some(value)
}

// === impl Reader ===

impl Reader {
    /// Reads an answer with this head; nothing when no model answers in it.
    pub(crate) fn new(rules: &Arc<Rules>, status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let media_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok())?.to_ascii_lowercase();
        if !status.is_success() {
            return None;
        }
        let kind = match &*media_type {
            text if text.starts_with("text/event-stream") => Kind::Events(Events::default()),
            text if text.contains("ndjson") || text.contains("jsonl") => Kind::Events(Events::lines()),
            text if text.contains("json") => Kind::Whole { bytes: Vec::new(), cut: false },
            _ => return None,
        };
        let coded = Coding::of(headers);
        let decoder = if let Coded::By(coding) = coded { Some(Decoder::new(coding)) } else { None };
        let lost = matches!(coded, Coded::Unknown);
        Some(Self { rules: rules.clone(), kind, decoder, usage: Usage::default(), lost, plain: 0 })
    }

    /// Looks at the next bytes.
    pub(crate) fn read(&mut self, bytes: &Bytes) {
        if self.lost {
            return;
        }
        let Self { rules, kind, decoder, usage, plain, .. } = self;
        match decoder {
            None => {
                *plain += bytes.len() as u64;
                kind.read(rules, usage, bytes);
            }
            Some(decoder) => {
                let decoded = decoder.decode(bytes, &mut |bytes| {
                    *plain += bytes.len() as u64;
                    kind.read(rules, usage, bytes);
                });
                self.lost = decoded.is_err();
            }
        }
    }

    /// How many tokens a stream of events that does not tell is thought to have at most, by its length; nothing where that is not known.
    /// A document that does not tell may be of something that is not done.
    pub(crate) fn most(&self) -> Option<u64> {
        let is_known = !self.lost && matches!(self.kind, Kind::Events(_));
        is_known.then(|| self.plain.div_ceil(EVENT_TOKEN_BYTES))
    }

    /// What was used, when the answer has ended or broken off; nothing when it was no answer of a model.
    pub(crate) fn end(mut self) -> Option<Used> {
        let rules = self.rules.clone();
        if let Some(decoder) = self.decoder.take().filter(|_| !self.lost) {
            let (kind, usage) = (&mut self.kind, &mut self.usage);
            self.lost = decoder.end(&mut |plain| kind.read(&rules, usage, plain)).is_err();
        }
        let is_stream = matches!(self.kind, Kind::Events(_));
        let cut = self.kind.end(&rules, &mut self.usage);
        if !self.usage.is_told() && !is_stream && !cut && !self.lost {
            return None;
        }
        Some(self.usage.count(rules.fields, |model| rules.price_of(model)))
    }
}

impl Kind {
    fn read(&mut self, rules: &Rules, usage: &mut Usage, plain: &[u8]) {
        match self {
            Self::Events(events) => events.read(plain, &mut |data| document(rules, usage, data)),
            Self::Whole { bytes, cut } => {
                bytes.extend_from_slice(plain);
                if bytes.len() > WHOLE_BYTES_MAX || (*cut && bytes.len() > 4 * TAIL_BYTES) {
                    *cut = true;
                    bytes.drain(..bytes.len() - TAIL_BYTES);
                }
            }
        }
    }

    /// Reads what is left, and says whether a document was too large to be read whole.
    fn end(&mut self, rules: &Rules, usage: &mut Usage) -> bool {
        match self {
            Self::Events(events) => events.end(&mut |data| document(rules, usage, data)),
            Self::Whole { bytes, cut: false } => document(rules, usage, bytes),
            Self::Whole { bytes, cut: true } => tail(rules, usage, bytes),
        }
        matches!(self, Self::Whole { cut: true, .. })
    }
}

/// Takes what a document tells. One that cannot be read tells nothing.
fn document(rules: &Rules, usage: &mut Usage, json: &[u8]) {
    if !rules.may_tell(json) {
        return;
    }
    match serde_json::from_slice(json) {
        // Some streams are one array of what would be events.
        Ok(Value::Array(parts)) => {
            parts.iter().for_each(|part| usage.take(rules.provider, rules.fields, part));
        }
        Ok(value) => usage.take(rules.provider, rules.fields, &value),
        Err(_) => {}
    }
}

/// Takes what the end of a large document tells: its last members of the right names.
fn tail(rules: &Rules, usage: &mut Usage, json: &[u8]) {
    let model = Finder::new("\"model\"");
    let mut found = serde_json::Map::new();
    for name in rules.names.iter().chain([&model]) {
        let places = name.find_iter(json).filter_map(|at| value_at(json, at + name.needle().len()));
        let value =
            places.last().and_then(|at| serde_json::Deserializer::from_slice(&json[at..]).into_iter().next());
        if let Some(Ok(value)) = value {
            let name = String::from_utf8_lossy(name.needle());
            found.insert(name.trim_matches('"').to_owned(), value);
        }
    }
    usage.take(rules.provider, rules.fields, &Value::Object(found));
}

/// A model's name that may be counted by: short, and of letters that a label can have.
fn tidy_name(name: &str) -> &str {
    let name = name.strip_prefix("models/").unwrap_or(name);
    let fits =
        !name.is_empty() && name.len() <= MODEL_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { name } else { NAMELESS }
}

/// Tokens of an answer whose cost is known, or not.
fn tokens(usage: Tokens, priced: bool) -> Tokens {
    Tokens { unpriced_answers: u64::from(!priced), ..usage }
}

#[cfg(test)]
mod tests;
