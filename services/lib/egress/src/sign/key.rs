//! Private keys in the forms in which people have them: PEM (PKCS#8, SEC1, PKCS#1) and bare base64.
//!
//! Read once and kept ready. The kind is told from the key, not from configuration. Errors say what is wrong with the
//! form, never what stands in it.

mod der;

use ed25519_dalek::{Signer, SigningKey};
use model::Secret;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaEncoding,
};
use zeroize::Zeroizing;

use super::{SignError, mac};

/// The longest private key, in bytes of its text: an RSA key of 8192 bits has about 6,400.
const KEY_BYTES_MAX: usize = 16 * 1024;

/// A private key, ready to sign.
pub(super) enum PrivateKey {
    /// EdDSA.
    Ed25519(Box<SigningKey>),
    /// ECDSA on P-256.
    P256(Box<EcdsaKeyPair>),
    /// RSA, 2048 bits or more.
    Rsa(Box<rsa::KeyPair>),
}

impl PrivateKey {
    /// Whether a text claims to be a PEM.
    pub(super) fn is_pem(secret: &Secret) -> bool {
        secret.expose().contains("-----BEGIN")
    }

    /// Reads a key: a PEM, whose line breaks may be written `\n`, or base64 of a seed (32 bytes), of seed and public key
    /// (64 bytes) or of what a PEM holds.
    pub(super) fn read(field: &str, secret: &Secret) -> Result<Self, SignError> {
        read(secret.expose()).map_err(|why| SignError::InvalidField { field: field.to_owned(), why })
    }

    /// Ed25519, or ECDSA with SHA-256 as r and s, or RSASSA-PKCS1-v1_5 with SHA-256.
    pub(super) fn sign(&self, field: &str, text: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Ed25519(key) => Ok(key.sign(text).to_bytes().to_vec()),
            Self::P256(key) => match key.sign(&SystemRandom::new(), text) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(SignError::Unable(field.to_owned())),
            },
            Self::Rsa(key) => rsa_sign(key, field, &RSA_PKCS1_SHA256, text),
        }
    }

    /// RSASSA-PSS with SHA-512.
    pub(super) fn sign_pss(&self, field: &str, text: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Rsa(key) => rsa_sign(key, field, &RSA_PSS_SHA512, text),
            Self::Ed25519(_) | Self::P256(_) => Err(SignError::Unable(field.to_owned())),
        }
    }
}

fn rsa_sign(
    key: &rsa::KeyPair,
    field: &str,
    padding: &'static dyn RsaEncoding,
    text: &[u8],
) -> Result<Vec<u8>, SignError> {
    let mut signature = vec![0; key.public().modulus_len()];
    match key.sign(padding, &SystemRandom::new(), text, &mut signature) {
        Ok(()) => Ok(signature),
        Err(_) => Err(SignError::Unable(field.to_owned())),
    }
}

fn read(text: &str) -> Result<PrivateKey, &'static str> {
    if text.len() > KEY_BYTES_MAX {
        return Err("is too long for a private key");
    }
    let (label, inner) = match unwrap(text)? {
        Some((label, inner)) => (Some(label), inner),
        None => (None, Zeroizing::new(text.replace("\\n", "\n"))),
    };
    let bytes = mac::unbase64(&inner).ok_or("is neither a PEM nor base64")?;
    match (label, bytes.len()) {
        (None, 32) => ed25519(&bytes),
        (None, 64) => pair(&bytes),
        (Some("PRIVATE KEY"), _) => pkcs8(&bytes),
        (Some("EC PRIVATE KEY"), _) => sec1(&bytes),
        (Some("RSA PRIVATE KEY"), _) => rsa(&bytes),
        (Some("ENCRYPTED PRIVATE KEY"), _) => Err("is an encrypted private key; store it decrypted"),
        (Some(_), _) => Err("is a PEM, but not of a private key"),
        (None, _) => pkcs8(&bytes).or_else(|_| sec1(&bytes)).map_err(|_| "is no private key"),
    }
}

/// The label of a PEM and its base64; nothing when the text is none.
fn unwrap(text: &str) -> Result<Option<(&str, Zeroizing<String>)>, &'static str> {
    const BROKEN: &str = "is a broken PEM";
    let Some((_, rest)) = text.split_once("-----BEGIN ") else { return Ok(None) };
    let (label, rest) = rest.split_once("-----").ok_or(BROKEN)?;
    // An EC key may have its curve in a block before it.
    if label == "EC PARAMETERS" {
        return unwrap(rest);
    }
    let (inner, end) = rest.split_once("-----END ").ok_or(BROKEN)?;
    if end.split_once("-----").is_none_or(|(closing, _)| closing != label) {
        return Err(BROKEN);
    }
    if inner.contains("ENCRYPTED") {
        return Err("is an encrypted private key; store it decrypted");
    }
    Ok(Some((label, Zeroizing::new(inner.replace("\\r", "").replace("\\n", "\n")))))
}

fn ed25519(seed: &[u8]) -> Result<PrivateKey, &'static str> {
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).map_err(|_| "is no Ed25519 key of 32 bytes")?);
    Ok(PrivateKey::Ed25519(Box::new(SigningKey::from_bytes(&seed))))
}

fn pair(bytes: &[u8]) -> Result<PrivateKey, &'static str> {
    let bytes = Zeroizing::new(<[u8; 64]>::try_from(bytes).map_err(|_| "is no Ed25519 key of 64 bytes")?);
    let key =
        SigningKey::from_keypair_bytes(&bytes).map_err(|_| "has two halves that do not belong together")?;
    Ok(PrivateKey::Ed25519(Box::new(key)))
}

/// PKCS#8 (RFC 5958): version, algorithm, key.
fn pkcs8(bytes: &[u8]) -> Result<PrivateKey, &'static str> {
    const BROKEN: &str = "is no PKCS#8 key";
    let mut fields = der::Reader::new(bytes).sequence().ok_or(BROKEN)?;
    fields.read(der::INTEGER).ok_or(BROKEN)?;
    let mut algorithm = fields.sequence().ok_or(BROKEN)?;
    let kind = algorithm.read(der::OBJECT_ID).ok_or(BROKEN)?;
    let inner = fields.read(der::OCTETS).ok_or(BROKEN)?;
    match kind {
        der::ED25519 => ed25519(der::Reader::new(inner).read(der::OCTETS).ok_or(BROKEN)?),
        der::EC => match algorithm.read(der::OBJECT_ID) {
            Some(der::P256) => sec1(inner),
            _ => Err("is an EC key, but not on the curve P-256"),
        },
        der::RSA | der::RSA_PSS => rsa(inner),
        _ => Err("is a private key of an unknown kind"),
    }
}

/// SEC 1, appendix C.4 (RFC 5915): version, key, perhaps the curve, perhaps the public key.
fn sec1(bytes: &[u8]) -> Result<PrivateKey, &'static str> {
    const BROKEN: &str = "is no EC key";
    let mut fields = der::Reader::new(bytes).sequence().ok_or(BROKEN)?;
    fields.read(der::INTEGER).ok_or(BROKEN)?;
    let private = fields.read(der::OCTETS).ok_or(BROKEN)?;
    if let Some(curve) = fields.read(der::CONTEXT_0)
        && der::Reader::new(curve).read(der::OBJECT_ID) != Some(der::P256)
    {
        return Err("is an EC key, but not on the curve P-256");
    }
    // ring checks that both belong together, and cannot make the one from the other.
    let public = fields.read(der::CONTEXT_1).and_then(|inner| der::Reader::new(inner).read(der::BITS));
    let public = public.ok_or("is an EC key without its public half; write it again with `openssl ec`")?;
    let point = public.strip_prefix(&[0]).ok_or(BROKEN)?;
    // Leading zeros may be missing.
    let mut scalar = Zeroizing::new([0; 32]);
    scalar[32_usize.checked_sub(private.len()).ok_or(BROKEN)?..].copy_from_slice(private);
    let pair = EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &scalar[..],
        point,
        &SystemRandom::new(),
    );
    pair.map(|pair| PrivateKey::P256(Box::new(pair))).map_err(|_| BROKEN)
}

fn rsa(bytes: &[u8]) -> Result<PrivateKey, &'static str> {
    let key = rsa::KeyPair::from_der(bytes);
    key.map(|key| PrivateKey::Rsa(Box::new(key))).map_err(|_| "is no RSA key of 2048 bits or more")
}

#[cfg(test)]
mod tests;
