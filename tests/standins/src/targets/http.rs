//! The HTTP receiver: `POST /hooks/{name}` checks Standard Webhooks signatures as a good receiver does.
//!
//! A hook without a secret takes everything. A repeated `webhook-id` is answered 200 and marked.

use http::Method;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::json;

use super::{State, Verdict};
use crate::call::{Answer, Call};
use crate::config::TargetsConfig;
use crate::signing::{base64, hmac_sha256, unbase64};

/// How far the timestamp may be off, in seconds; exactly this much is still right.
const TOLERANCE_SECS: i64 = 300;

pub(super) fn judge(state: &mut State, config: &TargetsConfig, call: &Call) -> Verdict {
    if !matches!(call.method, Method::POST | Method::PUT) {
        return Verdict::refused(refusal(405, "method not allowed"), "not a POST");
    }
    let verified = match verify(config, call) {
        Ok(verified) => Some(verified),
        Err(Unverified::NoSecret) => None,
        Err(Unverified::Because(reason)) => {
            return Verdict { verified: Some(false), ..Verdict::refused(refusal(401, &reason), reason) };
        }
    };
    let duplicate =
        call.header("webhook-id").is_some_and(|id| !state.remember(&format!("{}/{id}", call.path)));
    Verdict {
        verified,
        duplicate,
        ..Verdict::taken(Answer::ok(json!({ "received": true, "duplicate": duplicate })))
    }
}

pub(super) fn refusal(status: u16, text: &str) -> Answer {
    Answer::json(status, json!({ "error": text }))
}

/// Why there is no verified signature.
#[derive(Debug)]
pub(super) enum Unverified {
    /// The hook has no secret.
    NoSecret,
    /// Something is missing or wrong.
    Because(String),
}

/// Checks the signature; several secrets of a hook are separated by spaces.
pub(super) fn verify(config: &TargetsConfig, call: &Call) -> Result<bool, Unverified> {
    let hook = call.segments().get(1).cloned().unwrap_or_default();
    let secrets = config
        .hook_secrets
        .get(&hook)
        .or_else(|| config.hook_secrets.get("*"))
        .ok_or(Unverified::NoSecret)?;
    let because = |text: &str| Unverified::Because(text.to_owned());
    let header = |name: &str| {
        call.header(name).ok_or_else(|| Unverified::Because(format!("header {name} is missing")))
    };
    let (id, timestamp, signatures) =
        (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    let sent: i64 = timestamp.parse().map_err(|_| because("webhook-timestamp is no number"))?;
    if (call.at_ms.div_euclid(1000) - sent).abs() > TOLERANCE_SECS {
        return Err(because("webhook-timestamp is more than 300 s off"));
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &call.body].concat();
    let fits = secrets
        .split_whitespace()
        .any(|secret| signatures.split(' ').any(|entry| matches(secret, entry, &signed)));
    if fits { Ok(true) } else { Err(because("no signature fits")) }
}

fn matches(secret: &str, entry: &str, signed: &[u8]) -> bool {
    match (entry.split_once(','), secret.strip_prefix("whpk_")) {
        (Some(("v1a", signature)), Some(public)) => {
            UnparsedPublicKey::new(&ED25519, unbase64(public)).verify(signed, &unbase64(signature)).is_ok()
        }
        (Some(("v1", signature)), None) => {
            let key = unbase64(secret.strip_prefix("whsec_").unwrap_or(secret));
            !key.is_empty() && base64(&hmac_sha256(&key, signed)) == signature
        }
        _ => false,
    }
}
