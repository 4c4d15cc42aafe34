//! Binance (spot): the query and the body are signed as they are sent, and the signature is their last parameter.
//!
//! HMAC-SHA256 in hexadecimal, or Ed25519 or RSA in base64, by what the secret is. A form without a query carries time
//! and signature itself; everything else has them in its query.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use model::Secret;
use model::auth::signing::SecretEncoding;
use model::secret::Fields;

use super::key::PrivateKey;
use super::mac::{self, MacKey};
use super::target::{self, Pairs};
use super::{Moment, SignError, field, recv_window, say_content_type, set};

/// Paths that want to see the key and refuse a signature.
const KEY_ONLY: [&str; 4] = [
    "/api/v3/historicalTrades",
    "/api/v3/userDataStream",
    "/sapi/v1/userDataStream",
    "/sapi/v1/userDataStream/isolated",
];
const FORM: &str = "application/x-www-form-urlencoded";

pub(super) struct Binance {
    api_key: Secret,
    key: Key,
    recv_window: Option<String>,
}

enum Key {
    Mac(MacKey),
    Private(PrivateKey),
}

impl Binance {
    pub(super) fn new(fields: &Fields) -> Result<Self, SignError> {
        let secret = field(fields, "api_secret")?;
        let key = if PrivateKey::is_pem(secret) {
            match PrivateKey::read("api_secret", secret)? {
                PrivateKey::P256(_) => {
                    let why = "is an EC key, but Binance takes Ed25519 and RSA keys";
                    return Err(SignError::InvalidField { field: "api_secret".to_owned(), why });
                }
                key => Key::Private(key),
            }
        } else {
            Key::Mac(MacKey::read("api_secret", secret, SecretEncoding::Text)?)
        };
        Ok(Self { api_key: field(fields, "api_key")?.clone(), key, recv_window: recv_window(fields)? })
    }

    pub(super) fn sign(&self, head: &mut Parts, body: &mut Bytes, at: &Moment) -> Result<(), SignError> {
        set(head, "x-mbx-apikey", self.api_key.expose())?;
        if KEY_ONLY.contains(&head.uri.path()) {
            return Ok(());
        }
        let mut query = Pairs::without(target::query(head), &["signature"]);
        let Some(mut form) = form(head, body)? else {
            self.complete(&mut query, None, at);
            let signature = self.signature(&[query.as_str().as_bytes(), body])?;
            query.push("signature", &signature);
            return target::set_query(head, query.as_str());
        };
        if query.is_empty() && !form.is_empty() {
            self.complete(&mut form, None, at);
            let signature = self.signature(&[form.as_str().as_bytes()])?;
            form.push("signature", &signature);
        } else {
            self.complete(&mut query, Some(&form), at);
            let signature = self.signature(&[query.as_str().as_bytes(), form.as_str().as_bytes()])?;
            query.push("signature", &signature);
        }
        target::set_query(head, query.as_str())?;
        if !form.is_empty() {
            say_content_type(head, FORM);
        }
        *body = form.into_string().into();
        Ok(())
    }

    /// Adds what the caller did not say: the window, then the time.
    fn complete(&self, pairs: &mut Pairs, beside: Option<&Pairs>, at: &Moment) {
        let says = |name: &str| pairs.get(name).or_else(|| beside.and_then(|form| form.get(name))).is_some();
        let (has_window, has_time) = (says("recvWindow"), says("timestamp"));
        if let Some(window) = self.recv_window.as_ref().filter(|_| !has_window) {
            pairs.push("recvWindow", window);
        }
        if !has_time {
            pairs.push("timestamp", &at.now_ms.to_string());
        }
    }

    fn signature(&self, pieces: &[&[u8]]) -> Result<String, SignError> {
        match &self.key {
            Key::Mac(key) => Ok(key.sha256_hex(pieces)),
            Key::Private(key) => Ok(mac::base64(&key.sign("api_secret", &pieces.concat())?)),
        }
    }
}

/// The body as a form without a caller's signature; nothing when it is something else.
fn form(head: &Parts, body: &Bytes) -> Result<Option<Pairs>, SignError> {
    let is_form = match head.headers.get(CONTENT_TYPE) {
        Some(kind) => {
            kind.as_bytes().get(..FORM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM.as_bytes()))
        }
        None => !body.trim_ascii_start().starts_with(b"{"),
    };
    if !is_form && !body.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(body).map_err(|_| SignError::InvalidBody("is not a form in UTF-8"))?;
    Ok(Some(Pairs::without(text, &["signature"])))
}
