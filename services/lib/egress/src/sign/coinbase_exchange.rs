//! Coinbase Exchange: time in seconds, method, path with query, and body are signed.
//!
//! HMAC-SHA256 with the decoded secret, in base64. The passphrase is shown as it is. Changes neither target nor body.

use bytes::Bytes;
use http::request::Parts;
use model::Secret;
use model::auth::signing::SecretEncoding;
use model::secret::Fields;

use super::mac::MacKey;
use super::{Moment, SignError, field, say_content_type, set, target};

pub(super) struct CoinbaseExchange {
    api_key: Secret,
    key: MacKey,
    passphrase: Secret,
}

impl CoinbaseExchange {
    pub(super) fn new(fields: &Fields) -> Result<Self, SignError> {
        let key = MacKey::read("api_secret", field(fields, "api_secret")?, SecretEncoding::Base64)?;
        let (api_key, passphrase) = (field(fields, "api_key")?, field(fields, "passphrase")?);
        Ok(Self { api_key: api_key.clone(), key, passphrase: passphrase.clone() })
    }

    pub(super) fn sign(&self, head: &mut Parts, body: &Bytes, at: &Moment) -> Result<(), SignError> {
        target::drop_bare_mark(head)?;
        let time = at.secs().to_string();
        let signature = self.key.sha256_base64(&[
            time.as_bytes(),
            head.method.as_str().as_bytes(),
            target::path_and_query(head).as_bytes(),
            body,
        ]);
        set(head, "cb-access-key", self.api_key.expose())?;
        set(head, "cb-access-sign", &signature)?;
        set(head, "cb-access-timestamp", &time)?;
        set(head, "cb-access-passphrase", self.passphrase.expose())?;
        say_content_type(head, "application/json");
        Ok(())
    }
}
