//! KuCoin: time, method, path with its query as text, and body are signed; the wire has the encoded form.
//!
//! HMAC-SHA256 with the secret as text, in base64; the passphrase is shown signed, which versions 2 and 3 of keys have in
//! common. A plus in the query is sent as `%20`, so that both sides read the same text.

use bytes::Bytes;
use http::request::Parts;
use model::Secret;
use model::auth::signing::SecretEncoding;
use model::secret::Fields;
use percent_encoding::percent_decode_str;

use super::mac::MacKey;
use super::{Moment, SignError, field, optional, say_content_type, set, target};

/// The version of keys that are made today.
const VERSION: &str = "3";

pub(super) struct Kucoin {
    api_key: Secret,
    key: MacKey,
    /// Signed, as it is shown.
    passphrase: Secret,
    version: &'static str,
}

impl Kucoin {
    pub(super) fn new(fields: &Fields) -> Result<Self, SignError> {
        let key = MacKey::read("api_secret", field(fields, "api_secret")?, SecretEncoding::Text)?;
        let passphrase = key.sha256_base64(&[field(fields, "passphrase")?.expose().as_bytes()]);
        let version = match optional(fields, "key_version").map_or(VERSION, Secret::expose) {
            "3" => "3",
            "2" => "2",
            _ => {
                let why = "must be 2 or 3";
                return Err(SignError::InvalidField { field: "key_version".to_owned(), why });
            }
        };
        let api_key = field(fields, "api_key")?.clone();
        Ok(Self { api_key, key, passphrase: Secret::new(passphrase), version })
    }

    pub(super) fn sign(&self, head: &mut Parts, body: &Bytes, at: &Moment) -> Result<(), SignError> {
        target::set_query(head, &target::query(head).replace('+', "%20"))?;
        let time = at.now_ms.to_string();
        let text: Vec<u8> = percent_decode_str(target::path_and_query(head)).collect();
        let signature =
            self.key.sha256_base64(&[time.as_bytes(), head.method.as_str().as_bytes(), &text, body]);
        set(head, "kc-api-key", self.api_key.expose())?;
        set(head, "kc-api-sign", &signature)?;
        set(head, "kc-api-timestamp", &time)?;
        set(head, "kc-api-passphrase", self.passphrase.expose())?;
        set(head, "kc-api-key-version", self.version)?;
        say_content_type(head, "application/json");
        Ok(())
    }
}
