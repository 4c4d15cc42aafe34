//! Kraken (spot): path, nonce and body are signed; the nonce stands in the body, and is put there if it is missing.
//!
//! HMAC-SHA512 over the path and a SHA-256 of nonce and body, with the decoded secret, in base64. Forms and JSON keep
//! their other bytes as they were. Also puts the key's one-time password in, when it has one.

use bytes::Bytes;
use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use model::Secret;
use model::auth::signing::{HmacAlgorithm, SecretEncoding};
use model::secret::Fields;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::mac::{self, MacKey};
use super::target::Pairs;
use super::{Moment, SignError, field, optional, say_content_type, set};

pub(super) struct Kraken {
    api_key: Secret,
    key: MacKey,
    otp: Option<Secret>,
}

impl Kraken {
    pub(super) fn new(fields: &Fields) -> Result<Self, SignError> {
        let key = MacKey::read("api_secret", field(fields, "api_secret")?, SecretEncoding::Base64)?;
        let api_key = field(fields, "api_key")?.clone();
        Ok(Self { api_key, key, otp: optional(fields, "otp").cloned() })
    }

    pub(super) fn sign(&self, head: &mut Parts, body: &mut Bytes, at: &Moment) -> Result<(), SignError> {
        if head.method != Method::POST {
            return Err(SignError::WrongMethod("POST only"));
        }
        let text = std::str::from_utf8(body).map_err(|_| SignError::InvalidBody("is not UTF-8"))?;
        let is_json = match head.headers.get(CONTENT_TYPE) {
            Some(kind) => kind
                .as_bytes()
                .get(.."application/json".len())
                .is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json")),
            None => text.trim_start().starts_with('{'),
        };
        let (nonce, signed) = if is_json {
            say_content_type(head, "application/json");
            self.complete_json(text, at)?
        } else {
            say_content_type(head, "application/x-www-form-urlencoded");
            self.complete_form(text, at)
        };
        let digest = mac::sha256([nonce.as_bytes(), signed.as_bytes()].concat().as_slice());
        let pieces = [head.uri.path().as_bytes(), digest.as_ref()];
        let signature = mac::base64(self.key.sign(HmacAlgorithm::Sha512, &pieces).as_ref());
        set(head, "api-key", self.api_key.expose())?;
        set(head, "api-sign", &signature)?;
        *body = signed.into();
        Ok(())
    }

    /// The nonce, and the form with it.
    fn complete_form(&self, text: &str, at: &Moment) -> (String, String) {
        let mut form = Pairs::without(text, &[]);
        if let Some(otp) = self.otp.as_ref().filter(|_| form.get("otp").is_none()) {
            form.push("otp", otp.expose());
        }
        let nonce = form.get("nonce").unwrap_or_else(|| {
            let nonce = at.nonce.to_string();
            form.push_front("nonce", &nonce);
            nonce
        });
        (nonce, form.into_string())
    }

    /// The nonce, and the JSON object with it as its first member.
    fn complete_json(&self, text: &str, at: &Moment) -> Result<(String, String), SignError> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        const NONE: SignError =
            SignError::InvalidBody("is no JSON object with one nonce that is a number or a text");
        let rest = text.trim_start().strip_prefix('{').ok_or(NONE)?;
        let said: Said = serde_json::from_str(text).map_err(|_| NONE)?;
        let mut first = Vec::new();
        let nonce = match said.nonce {
            Some(Nonce::Text(nonce)) => nonce,
            Some(Nonce::Number(nonce)) => nonce.to_string(),
            None => {
                first.push(format!(r#""nonce":"{}""#, at.nonce));
                at.nonce.to_string()
            }
        };
        if let Some(otp) = self.otp.as_ref().filter(|_| said.otp.is_none()) {
            first.push(format!(r#""otp":{}"#, serde_json::Value::from(otp.expose())));
        }
        if first.is_empty() {
            return Ok((nonce, text.to_owned()));
        }
        let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
        Ok((nonce, format!("{{{}{comma}{rest}", first.join(","))))
    }
}

/// What a caller's JSON says of what we would add.
#[derive(Deserialize)]
struct Said {
    #[serde(default, deserialize_with = "said")]
    nonce: Option<Nonce>,
    #[serde(default, deserialize_with = "said")]
    otp: Option<IgnoredAny>,
}

/// A member that is there says something, be it null.
fn said<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Nonce {
    Number(u64),
    Text(String),
}
