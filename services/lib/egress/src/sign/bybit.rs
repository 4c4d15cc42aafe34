//! Bybit (v5): time, key, window, and the query of a GET or the body of a POST are signed.
//!
//! HMAC-SHA256 in hexadecimal, or RSA in base64, by what the secret is. Changes neither target nor body.

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use model::Secret;
use model::auth::signing::SecretEncoding;
use model::secret::Fields;

use super::key::PrivateKey;
use super::mac::{self, MacKey};
use super::{Moment, SignError, field, is_window, recv_window, say_content_type, set, target};

/// The window when neither caller nor key names one, in milliseconds.
const WINDOW_MS: &str = "5000";
const WINDOW: &str = "x-bapi-recv-window";

pub(super) struct Bybit {
    api_key: Secret,
    key: Key,
    recv_window: Option<String>,
}

enum Key {
    Mac(MacKey),
    Private(PrivateKey),
}

impl Bybit {
    pub(super) fn new(fields: &Fields) -> Result<Self, SignError> {
        let secret = field(fields, "api_secret")?;
        let key = if PrivateKey::is_pem(secret) {
            match PrivateKey::read("api_secret", secret)? {
                key @ PrivateKey::Rsa(_) => Key::Private(key),
                PrivateKey::Ed25519(_) | PrivateKey::P256(_) => {
                    let why = "is a private key, but not an RSA key, which Bybit takes";
                    return Err(SignError::InvalidField { field: "api_secret".to_owned(), why });
                }
            }
        } else {
            Key::Mac(MacKey::read("api_secret", secret, SecretEncoding::Text)?)
        };
        Ok(Self { api_key: field(fields, "api_key")?.clone(), key, recv_window: recv_window(fields)? })
    }

    pub(super) fn sign(&self, head: &mut Parts, body: &Bytes, at: &Moment) -> Result<(), SignError> {
        let asked = head.headers.get(WINDOW).and_then(|value| value.to_str().ok());
        let window = asked.filter(|window| is_window(window)).or(self.recv_window.as_deref());
        let window = window.unwrap_or(WINDOW_MS).to_owned();
        let time = at.now_ms.to_string();
        let has_query = matches!(head.method, Method::GET | Method::HEAD | Method::DELETE);
        let signed = if has_query { target::query(head).as_bytes() } else { body };
        let pieces = [time.as_bytes(), self.api_key.expose().as_bytes(), window.as_bytes(), signed];
        let signature = match &self.key {
            Key::Mac(key) => key.sha256_hex(&pieces),
            Key::Private(key) => mac::base64(&key.sign("api_secret", &pieces.concat())?),
        };
        set(head, "x-bapi-api-key", self.api_key.expose())?;
        set(head, "x-bapi-timestamp", &time)?;
        set(head, WINDOW, &window)?;
        set(head, "x-bapi-sign", &signature)?;
        say_content_type(head, "application/json");
        Ok(())
    }
}
