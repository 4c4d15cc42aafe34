//! Message authentication codes, digests and how bytes are written as text.
//!
//! A secret is held as bytes that are wiped, and becomes a key of ring's only while it signs.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use model::Secret;
use model::auth::signing::{HmacAlgorithm, SecretEncoding, SignatureEncoding};
use ring::{digest, hmac};
use zeroize::Zeroizing;

use super::SignError;

/// Base64 that does not mind missing padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a secret. Wiped when dropped.
pub(super) struct MacKey(Zeroizing<Vec<u8>>);

impl MacKey {
    /// The secret of a field, by how it is written there.
    pub(super) fn read(field: &str, secret: &Secret, encoding: SecretEncoding) -> Result<Self, SignError> {
        let invalid = |why| SignError::InvalidField { field: field.to_owned(), why };
        let bytes = match encoding {
            SecretEncoding::Text => Zeroizing::new(secret.expose().as_bytes().to_vec()),
            SecretEncoding::Base64 => unbase64(secret.expose()).ok_or_else(|| invalid("is not base64"))?,
            SecretEncoding::Hex => unhex(secret.expose()).ok_or_else(|| invalid("is not hexadecimal"))?,
        };
        if bytes.is_empty() {
            return Err(invalid("holds no secret"));
        }
        Ok(Self(bytes))
    }

    /// The code of a text that comes in pieces.
    pub(super) fn sign(&self, algorithm: HmacAlgorithm, pieces: &[&[u8]]) -> hmac::Tag {
        let algorithm = match algorithm {
            HmacAlgorithm::Sha256 => hmac::HMAC_SHA256,
            HmacAlgorithm::Sha384 => hmac::HMAC_SHA384,
            HmacAlgorithm::Sha512 => hmac::HMAC_SHA512,
            HmacAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        };
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, &self.0));
        for piece in pieces {
            context.update(piece);
        }
        context.sign()
    }

    /// HMAC-SHA256 in base64.
    pub(super) fn sha256_base64(&self, pieces: &[&[u8]]) -> String {
        base64(self.sign(HmacAlgorithm::Sha256, pieces).as_ref())
    }

    /// HMAC-SHA256 in hexadecimal.
    pub(super) fn sha256_hex(&self, pieces: &[&[u8]]) -> String {
        hex(self.sign(HmacAlgorithm::Sha256, pieces).as_ref())
    }
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

/// SHA-512.
pub(super) fn sha512(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA512, bytes)
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("a nibble is below 16");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Bytes in a configured writing.
pub(super) fn encode(bytes: &[u8], encoding: SignatureEncoding) -> String {
    match encoding {
        SignatureEncoding::Hex => hex(bytes),
        SignatureEncoding::Base64 => base64(bytes),
        SignatureEncoding::Base64url => base64url(bytes),
    }
}

/// The bytes of base64, whose white space does not count.
pub(super) fn unbase64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    LENIENT.decode(text.as_bytes()).ok().map(Zeroizing::new)
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim().as_bytes();
    let nibble = |byte: u8| (byte as char).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = text.chunks(2).map(|pair| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str, encoding: SecretEncoding) -> Result<MacKey, SignError> {
        MacKey::read("api_secret", &Secret::new(text.to_owned()), encoding)
    }

    #[test]
    fn a_secret_is_the_same_however_it_is_written() {
        let mac = |text, encoding| key(text, encoding).expect("a secret").sha256_hex(&[b"a", b"b"]);
        let plain = mac("key!", SecretEncoding::Text);
        assert_eq!(mac("a2V5IQ==", SecretEncoding::Base64), plain);
        assert_eq!(mac(" a2V5\nIQ", SecretEncoding::Base64), plain);
        assert_eq!(mac("6b657921", SecretEncoding::Hex), plain);
        assert_eq!(mac("6B657921\n", SecretEncoding::Hex), plain);
    }

    #[test]
    fn a_broken_secret_is_named_and_not_shown() {
        for (text, encoding) in [
            ("a-b", SecretEncoding::Base64),
            ("abc", SecretEncoding::Hex),
            ("zz", SecretEncoding::Hex),
            (" ", SecretEncoding::Hex),
        ] {
            let error = key(text, encoding).err().expect("broken").to_string();
            assert!(error.contains("`api_secret`") && !error.contains("a-b"), "{error}");
        }
    }

    #[test]
    fn every_hash_signs() {
        // RFC 2202 and RFC 4231, test case 2.
        let key = key("Jefe", SecretEncoding::Text).expect("a secret");
        let text = b"what do ya want for nothing?";
        for (algorithm, begins) in [
            (HmacAlgorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (HmacAlgorithm::Sha256, "5bdcc146bf60754e6a042426089575c7"),
            (HmacAlgorithm::Sha384, "af45d2e376484031617f78d2b58a6b1b"),
            (HmacAlgorithm::Sha512, "164b7a7bfcf819e2e395fbe73b56e0a3"),
        ] {
            let tag = key.sign(algorithm, &[text]);
            assert!(encode(tag.as_ref(), SignatureEncoding::Hex).starts_with(begins), "{algorithm:?}");
        }
        assert_eq!(encode(&[255, 254], SignatureEncoding::Base64url), "__4");
        assert_eq!(encode(&[255, 254], SignatureEncoding::Base64), "//4=");
    }
}
