//! Signs requests: the rules of the exchanges, HMACs by configuration, and HTTP message signatures (RFC 9421).
//!
//! Pure: time, nonce and randomness come in a [`Moment`]; only signatures that need blinding ask the system for more.
//! What is signed is what is sent: a signer changes target, headers and body in place, and nothing may touch them
//! afterwards. A caller's own signature and key never pass; its `timestamp`, `nonce` and `recvWindow` parameters do.
//! Errors name fields, never values.

mod error;
mod key;
mod mac;
mod moment;
mod target;

mod binance;
mod bybit;
mod coinbase_advanced;
mod coinbase_exchange;
mod kraken;
mod kucoin;

mod message;
mod pattern;

pub use error::SignError;
pub use moment::{Moment, Nonces};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use model::Secret;
use model::auth::{Auth, Signer};
use model::secret::Fields;

use crate::credential;

/// The longest body that is signed, in bytes: it must be held whole.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A key made ready to sign by its provider's rules: private keys are read and patterns compiled once.
///
/// Keep it beside the fields it was made from, and make it anew when they change. Secrets and Ed25519 keys are wiped
/// when it is dropped; what ring holds of an ECDSA or RSA key is not, as ring offers no way to.
pub struct Prepared(Rule);

enum Rule {
    Binance(binance::Binance),
    CoinbaseAdvanced(coinbase_advanced::CoinbaseAdvanced),
    CoinbaseExchange(coinbase_exchange::CoinbaseExchange),
    Kraken(kraken::Kraken),
    Kucoin(kucoin::Kucoin),
    Bybit(bybit::Bybit),
    Pattern(Box<pattern::Patterned>),
    Message(Box<message::Message>),
}

impl Prepared {
    /// Reads the key. [`SignError::NotSigned`] for a scheme that only shows it: those are
    /// [`credential::apply`](crate::credential::apply)'s.
    pub fn new(auth: &Auth, fields: &Fields) -> Result<Self, SignError> {
        Ok(Self(match auth {
            Auth::Signed { signer } => match signer {
                Signer::Binance => Rule::Binance(binance::Binance::new(fields)?),
                Signer::CoinbaseAdvanced => {
                    Rule::CoinbaseAdvanced(coinbase_advanced::CoinbaseAdvanced::new(fields)?)
                }
                Signer::CoinbaseExchange => {
                    Rule::CoinbaseExchange(coinbase_exchange::CoinbaseExchange::new(fields)?)
                }
                Signer::Kraken => Rule::Kraken(kraken::Kraken::new(fields)?),
                Signer::Kucoin => Rule::Kucoin(kucoin::Kucoin::new(fields)?),
                Signer::Bybit => Rule::Bybit(bybit::Bybit::new(fields)?),
            },
            Auth::Hmac { .. } => Rule::Pattern(Box::new(pattern::Patterned::new(auth, fields)?)),
            Auth::MessageSignature { .. } => Rule::Message(Box::new(message::Message::new(auth, fields)?)),
            Auth::None {}
            | Auth::Header { .. }
            | Auth::Headers { .. }
            | Auth::Bearer { .. }
            | Auth::Basic { .. }
            | Auth::Query { .. } => return Err(SignError::NotSigned),
        }))
    }

    /// Whether the body must be held whole to sign. If not, [`Prepared::sign`] leaves it alone and may be given an empty one.
    pub fn reads_body(&self) -> bool {
        match &self.0 {
            Rule::CoinbaseAdvanced(_) => false,
            Rule::Pattern(rule) => rule.reads_body(),
            Rule::Message(rule) => rule.reads_body(),
            Rule::Binance(_)
            | Rule::CoinbaseExchange(_)
            | Rule::Kraken(_)
            | Rule::Kucoin(_)
            | Rule::Bybit(_) => true,
        }
    }

    /// Takes the caller's credentials off and signs. The URI is absolute, with path and query as they will be sent.
    ///
    /// Binance may and Kraken will change the body: `Content-Length` is to be said from what it is afterwards. Sign each
    /// attempt from the unsigned request. After an error nothing must be sent.
    pub fn sign(&self, head: &mut Parts, body: &mut Bytes, at: &Moment) -> Result<(), SignError> {
        if self.reads_body() && body.len() > BODY_BYTES_MAX {
            return Err(SignError::BodyTooLarge);
        }
        credential::strip(&mut head.headers);
        match &self.0 {
            Rule::Binance(rule) => rule.sign(head, body, at),
            Rule::CoinbaseAdvanced(rule) => rule.sign(head, at),
            Rule::CoinbaseExchange(rule) => rule.sign(head, body, at),
            Rule::Kraken(rule) => rule.sign(head, body, at),
            Rule::Kucoin(rule) => rule.sign(head, body, at),
            Rule::Bybit(rule) => rule.sign(head, body, at),
            Rule::Pattern(rule) => rule.sign(head, body, at),
            Rule::Message(rule) => rule.sign(head, body, at),
        }
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prepared([redacted])")
    }
}

/// A field of the key; an empty one is none.
fn field<'f>(fields: &'f Fields, name: &str) -> Result<&'f Secret, SignError> {
    optional(fields, name).ok_or_else(|| SignError::MissingField(name.to_owned()))
}

fn optional<'f>(fields: &'f Fields, name: &str) -> Option<&'f Secret> {
    fields.get(name).filter(|value| !value.is_empty())
}

/// The field `recv_window`: milliseconds, perhaps with decimals.
fn recv_window(fields: &Fields) -> Result<Option<String>, SignError> {
    let Some(window) = optional(fields, "recv_window") else { return Ok(None) };
    if is_window(window.expose()) {
        return Ok(Some(window.expose().to_owned()));
    }
    Err(SignError::InvalidField { field: "recv_window".to_owned(), why: "is not a number of milliseconds" })
}

fn is_window(text: &str) -> bool {
    (1..=9).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Sets a header to exactly one value, which no log shows.
fn set(head: &mut Parts, name: &'static str, value: &str) -> Result<(), SignError> {
    set_named(head, HeaderName::from_static(name), value)
}

fn set_named(head: &mut Parts, name: HeaderName, value: &str) -> Result<(), SignError> {
    let mut held =
        HeaderValue::from_str(value).map_err(|_| SignError::InvalidHeader(name.as_str().to_owned()))?;
    held.set_sensitive(true);
    head.headers.insert(name, held);
    Ok(())
}

/// Says what the body is, where the caller did not.
fn say_content_type(head: &mut Parts, kind: &'static str) {
    head.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
}

#[cfg(test)]
mod tests;
