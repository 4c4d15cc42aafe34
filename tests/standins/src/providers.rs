//! The providers: what every one of them must be able to say, and the list of them all.
//!
//! A provider is asked in the order in which the real ones decide: is the key right, is there
//! room, what is the answer. It sees the request as it arrived and the desk of its instance; it
//! keeps no state of its own.

mod alpaca;
mod alpha_vantage;
mod anthropic;
mod binance;
mod bybit;
mod chat;
mod coinbase_advanced;
mod coinbase_exchange;
mod coingecko;
mod finnhub;
mod fmp;
mod fred;
mod gemini;
mod kraken;
mod kucoin;
mod massive;
mod openai;
mod symbols;
mod taapi;
mod tiingo;
mod tools;
mod twelve_data;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use crate::call::{Answer, Call};
use crate::config::Tokens;
use crate::limits::{Rule, Tally};
use crate::market::Market;

/// Keys whose last nonce is remembered.
const NONCES_MAX: usize = 1024;

/// What a provider may look at beside the request.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    /// The key it accepts, field by field.
    pub(crate) key: &'a BTreeMap<String, String>,
    /// The time, in milliseconds since 1970.
    pub(crate) now_ms: i64,
    /// Prices.
    pub(crate) market: Market,
    /// The number of this request.
    pub(crate) sequence: u64,
    /// The last nonce of each key.
    pub(crate) nonces: &'a Mutex<HashMap<String, u64>>,
    /// Fixed token counts.
    pub(crate) tokens: Option<Tokens>,
    /// Fixed text.
    pub(crate) reply: Option<&'a str>,
    /// Units of the first limit used so far, and its size; for usage endpoints.
    pub(crate) usage: (u64, u64),
}

impl Desk<'_> {
    /// Whether a value is what a key field expects; a field without an expectation takes any.
    pub(crate) fn accepts(&self, field: &str, given: Option<&str>) -> bool {
        match (self.key.get(field), given) {
            (_, None | Some("")) => false,
            (None, Some(_)) => true,
            (Some(expected), Some(given)) => expected == given,
        }
    }

    /// A key field, or nothing.
    pub(crate) fn field(&self, field: &str) -> &str {
        self.key.get(field).map_or("", String::as_str)
    }

    /// Takes a nonce; false when the key has used the same or a later one.
    pub(crate) fn take_nonce(&self, key: &str, nonce: u64) -> bool {
        let mut nonces = self.nonces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if nonces.get(key).is_some_and(|last| *last >= nonce) {
            return false;
        }
        if nonces.len() >= NONCES_MAX && !nonces.contains_key(key) {
            nonces.clear();
        }
        nonces.insert(key.to_owned(), nonce);
        true
    }

    /// The time in whole seconds.
    pub(crate) fn now_secs(&self) -> i64 {
        self.now_ms.div_euclid(1000)
    }
}

/// A provider as its clients know it.
pub(crate) trait Provider: std::fmt::Debug + Send + Sync {
    /// The catalogue's id.
    fn id(&self) -> &'static str;

    /// Other names for it.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// The path of its documented base URL.
    fn base_path(&self) -> &'static str {
        ""
    }

    /// The key's fields.
    fn fields(&self) -> &'static [&'static str] {
        &["api_key"]
    }

    /// Its documented limits, the main one first.
    fn limits(&self) -> Vec<Rule>;

    /// The credential of a request, where the provider looks for it.
    fn credential(&self, call: &Call) -> Option<String>;

    /// What the counters are kept by; the caller's address is always the same here.
    fn counted_by(&self, call: &Call) -> String {
        self.credential(call).unwrap_or_default()
    }

    /// How much a request counts.
    fn weight(&self, _call: &Call) -> u64 {
        1
    }

    /// Whether the key and signature are right; else the documented refusal.
    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer>;

    /// The documented answer to a key that was revoked.
    fn bad_key(&self, desk: &Desk<'_>, call: &Call) -> Answer;

    /// The documented answer over a limit.
    fn throttled(&self, desk: &Desk<'_>, call: &Call, tally: &Tally) -> Answer;

    /// The answer to an admitted request.
    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer;

    /// An answer with the usage headers the provider documents.
    fn label(&self, _desk: &Desk<'_>, answer: Answer, _tally: &Tally) -> Answer {
        answer
    }

    /// A stream that breaks with an error event after it began well. `None`: it has no streams.
    fn broken_stream(&self, _desk: &Desk<'_>, _call: &Call) -> Option<Answer> {
        None
    }
}

static ALL: &[&dyn Provider] = &[
    &alpha_vantage::AlphaVantage,
    &massive::Massive,
    &fred::Fred,
    &fmp::Fmp,
    &taapi::Taapi,
    &finnhub::Finnhub,
    &twelve_data::TwelveData,
    &tiingo::Tiingo,
    &coingecko::CoinGecko,
    &openai::OPENAI,
    &anthropic::Anthropic,
    &gemini::Gemini,
    &openai::MISTRAL,
    &openai::OPENROUTER,
    &binance::Binance,
    &coinbase_advanced::CoinbaseAdvanced,
    &coinbase_exchange::CoinbaseExchange,
    &kraken::Kraken,
    &kucoin::KuCoin,
    &bybit::Bybit,
    &alpaca::Alpaca,
];

/// The provider of an id or alias.
pub(crate) fn find(name: &str) -> Option<&'static dyn Provider> {
    ALL.iter().copied().find(|provider| provider.id() == name || provider.aliases().contains(&name))
}

/// All ids.
pub fn ids() -> Vec<&'static str> {
    ALL.iter().map(|provider| provider.id()).collect()
}
