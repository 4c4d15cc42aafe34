//! The exchanges' signature rules, written from their documents as the verifier sees them.
//!
//! Independent of the gateway's signers on purpose: two writers of one rule check each other. The
//! text that was signed is rebuilt from the request as it arrived; nothing is re-encoded.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};

/// HMAC-SHA256.
pub(crate) fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// HMAC-SHA512.
fn hmac_sha512(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Decodes base64; nothing when it is none, so that every signature made with it is wrong.
pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    STANDARD.decode(text.trim()).unwrap_or_default()
}

/// Encodes base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The text Binance signs: the query without its signature, then the body without its.
pub(crate) fn binance_payload(query: &str, body: &str) -> String {
    [query, body].map(without_signature).concat()
}

fn without_signature(encoded: &str) -> String {
    encoded.split('&').filter(|pair| !pair.starts_with("signature=")).collect::<Vec<_>>().join("&")
}

/// Binance, HMAC keys: lower-case hex.
pub(crate) fn binance_hmac(secret: &str, payload: &str) -> String {
    hex::encode(hmac_sha256(secret.as_bytes(), payload.as_bytes()))
}

/// Binance's Ed25519 and RSA keys, Bybit's RSA keys: whether a base64 signature fits the public key.
pub(crate) fn fits_public_key(pem: &str, payload: &str, signature: &str) -> bool {
    let (spki, signature) = (unpem(pem), unbase64(signature));
    let payload = payload.as_bytes();
    if let Some(point) = ed25519_point(&spki) {
        return UnparsedPublicKey::new(&ED25519, point).verify(payload, &signature).is_ok();
    }
    rsa_key(&spki).is_some_and(|key| {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(payload, &signature).is_ok()
    })
}

/// Kraken: path and the digest of nonce and body, with the decoded secret.
pub(crate) fn kraken(secret_base64: &str, path: &str, nonce: &str, body: &str) -> String {
    let digest = Sha256::digest([nonce, body].concat().as_bytes());
    base64(&hmac_sha512(&unbase64(secret_base64), &[path.as_bytes(), &digest].concat()))
}

/// KuCoin, both the request's signature and the passphrase: base64 with the secret as text.
pub(crate) fn kucoin(secret: &str, text: &str) -> String {
    base64(&hmac_sha256(secret.as_bytes(), text.as_bytes()))
}

/// Coinbase Exchange: base64 with the decoded secret.
pub(crate) fn coinbase_exchange(
    secret_base64: &str,
    timestamp: &str,
    method: &str,
    target: &str,
    body: &str,
) -> String {
    let text = [timestamp, method, target, body].concat();
    base64(&hmac_sha256(&unbase64(secret_base64), text.as_bytes()))
}

/// Bybit: lower-case hex; `signed` is the query of a GET or the body of a POST.
pub(crate) fn bybit(secret: &str, timestamp: &str, api_key: &str, window: &str, signed: &str) -> String {
    let text = [timestamp, api_key, window, signed].concat();
    hex::encode(hmac_sha256(secret.as_bytes(), text.as_bytes()))
}

/// A JWT whose signature fits the public key (SPKI PEM, P-256 or Ed25519): header and claims.
///
/// Without a key the signature is not looked at.
pub(crate) fn jwt(token: &str, pem: Option<&str>) -> Option<(Value, Value)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let (header, claims) = (part(header)?, part(claims)?);
    if let Some(pem) = pem {
        let (spki, signature) = (unpem(pem), URL_SAFE_NO_PAD.decode(signature).ok()?);
        let fits = match header["alg"].as_str()? {
            "ES256" => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, spki.get(spki.len().checked_sub(65)?..)?)
                    .verify(signed.as_bytes(), &signature)
                    .is_ok()
            }
            "EdDSA" => UnparsedPublicKey::new(&ED25519, ed25519_point(&spki)?)
                .verify(signed.as_bytes(), &signature)
                .is_ok(),
            _ => false,
        };
        if !fits {
            return None;
        }
    }
    Some((header, claims))
}

/// The bytes in a PEM block; a literal `\n` counts as a line break.
fn unpem(pem: &str) -> Vec<u8> {
    let pem = pem.replace("\\n", "\n");
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    unbase64(&lines.map(str::trim).collect::<String>())
}

/// The 32 bytes of an Ed25519 key in its 44-byte wrapping.
fn ed25519_point(spki: &[u8]) -> Option<&[u8]> {
    (spki.len() == 44).then(|| &spki[12..])
}

/// The PKCS#1 key inside an RSA key's wrapping: what follows the bit string's leading zero.
fn rsa_key(spki: &[u8]) -> Option<&[u8]> {
    // SEQUENCE { SEQUENCE { OID rsaEncryption, NULL } BIT STRING { 0, key } }; lengths of two bytes.
    let start = spki.windows(4).skip(4).position(|w| w[0] == 0x03 && w[1] == 0x82)? + 4;
    (spki.get(start + 4) == Some(&0)).then(|| &spki[start + 5..])
}
