//! Coinbase Advanced Trade: a token (JWT) for each request, good for two minutes and one method, host and path.
//!
//! ES256 or EdDSA, by what the private key is. Neither query nor body is signed, so neither is read nor changed.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use model::secret::Fields;

use super::key::PrivateKey;
use super::{Moment, SignError, field, mac, say_content_type, set, target};

/// How long a token is good, in seconds.
const LIFE_SECS: u64 = 120;

pub(super) struct CoinbaseAdvanced {
    /// The key's name as JSON.
    name: String,
    key: PrivateKey,
    alg: &'static str,
}

impl CoinbaseAdvanced {
    pub(super) fn new(fields: &Fields) -> Result<Self, SignError> {
        let key = PrivateKey::read("private_key", field(fields, "private_key")?)?;
        let alg = match &key {
            PrivateKey::P256(_) => "ES256",
            PrivateKey::Ed25519(_) => "EdDSA",
            PrivateKey::Rsa(_) => {
                let why = "is an RSA key, but Coinbase takes EC (P-256) and Ed25519 keys";
                return Err(SignError::InvalidField { field: "private_key".to_owned(), why });
            }
        };
        Ok(Self { name: json(field(fields, "key_name")?.expose()), key, alg })
    }

    pub(super) fn sign(&self, head: &mut Parts, at: &Moment) -> Result<(), SignError> {
        let (name, now) = (&self.name, at.secs());
        let uri = json(&format!("{} {}{}", head.method, target::authority(head)?, head.uri.path()));
        let header =
            format!(r#"{{"alg":"{}","kid":{name},"nonce":"{}","typ":"JWT"}}"#, self.alg, at.random_hex());
        let claims = format!(
            r#"{{"sub":{name},"iss":"cdp","nbf":{now},"exp":{},"uri":{uri}}}"#,
            now.saturating_add(LIFE_SECS)
        );
        let signed = format!("{}.{}", mac::base64url(header.as_bytes()), mac::base64url(claims.as_bytes()));
        let signature = mac::base64url(&self.key.sign("private_key", signed.as_bytes())?);
        set(head, "authorization", &format!("Bearer {signed}.{signature}"))?;
        if head.method != http::Method::GET && !head.headers.contains_key(CONTENT_TYPE) {
            say_content_type(head, "application/json");
        }
        Ok(())
    }
}

/// A text as JSON.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
