//! Signs a message as Standard Webhooks 1.0.0 says, so that receivers know it is ours. Pure: time is an argument.
//!
//! Signed is `{id}.{seconds}.{body}` over the exact bytes sent. Several secrets, divided by spaces, sign side by side
//! while one replaces the other: the new one first.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, Mac};
use model::Secret;
use sha2::Sha256;

/// What the text of a secret begins with.
const PREFIX: &str = "whsec_";
/// The most secrets that sign side by side.
const SECRETS_MAX: usize = 4;

/// Why nothing can be signed. Never says what the secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    /// It is not there.
    #[error("the webhook has no signing secret")]
    Missing,
    /// It is not `whsec_` and base64 text.
    #[error("the signing secret is not `whsec_` followed by base64 text")]
    Malformed,
    /// There are more than four.
    #[error("the webhook has more than {SECRETS_MAX} signing secrets")]
    TooMany,
}

/// The value of `webhook-signature`.
pub(crate) fn signature(secrets: &Secret, id: &str, seconds: i64, body: &[u8]) -> Result<String, Wrong> {
    let secrets: Vec<&str> = secrets.expose().split_ascii_whitespace().collect();
    match secrets.len() {
        0 => return Err(Wrong::Missing),
        1..=SECRETS_MAX => {}
        _ => return Err(Wrong::TooMany),
    }
    let signed: Result<Vec<String>, Wrong> =
        secrets.iter().map(|secret| sign(secret, id, seconds, body)).collect();
    Ok(signed?.join(" "))
}

fn sign(secret: &str, id: &str, seconds: i64, body: &[u8]) -> Result<String, Wrong> {
    let text = secret.strip_prefix(PREFIX).unwrap_or(secret).trim_end_matches('=');
    let key = STANDARD_NO_PAD.decode(text).map_err(|_| Wrong::Malformed)?;
    if key.is_empty() {
        return Err(Wrong::Malformed);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| Wrong::Malformed)?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        secrets: Vec<String>,
        msg_id: String,
        timestamp: i64,
        payload_base64: String,
        signature: String,
    }

    #[test]
    fn signs_as_the_reference_libraries_do() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("sign/vectors.json")).expect("the vectors are readable");
        assert!(vectors.len() >= 6);
        for vector in vectors {
            let body = STANDARD.decode(vector.payload_base64).expect("base64");
            let secrets = Secret::new(vector.secrets.join(" "));
            let signed = signature(&secrets, &vector.msg_id, vector.timestamp, &body).expect("signs");
            assert_eq!(signed, vector.signature, "{}", vector.name);
        }
    }

    #[test]
    fn a_wrong_secret_is_named_and_not_shown() {
        let sign = |text: &str| signature(&Secret::new(text.to_owned()), "m", 1, b"");
        assert_eq!(sign(""), Err(Wrong::Missing));
        assert_eq!(sign("whsec_"), Err(Wrong::Malformed));
        assert_eq!(sign("whsec_***"), Err(Wrong::Malformed));
        assert_eq!(sign("a b c d e"), Err(Wrong::TooMany));
    }
}
