//! Fingerprints of values: they tell whether two keys are the same, and not what they are.
//!
//! A plain hash of a short secret can be guessed by whoever sees it (safety section 5), so the hash is keyed with a
//! secret that each key store makes for itself and keeps among its own records. It is never shown, listed or moved:
//! two installs have different fingerprints for the same key.

use hkdf::hmac::{Hmac, Mac};
use model::Secret;
use model::secret::Fields;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{Error, Expected, Path, Vault};

/// Where the secret lies in the folder of the store's own, and the name of its only value.
const PLACE: &str = "fingerprints";
const FIELD: &str = "secret";
/// Bytes of the secret.
const SECRET_BYTES: usize = 32;
/// Bytes of a fingerprint; it is shown as twice as many hex digits.
const BYTES: usize = 16;
/// What is hashed before the fields, so that no other use of the secret makes the same hash.
const DOMAIN: &[u8] = b"signalbox/key-fingerprint/v1";

/// Makes fingerprints. It holds the secret: it cannot be printed, and is wiped when dropped.
pub struct Fingerprints(Zeroizing<[u8; SECRET_BYTES]>);

/// Whether a fingerprint is of the keyed kind. Those of the first releases were not, and were shorter.
pub fn is_keyed(fingerprint: &str) -> bool {
    fingerprint.len() == 2 * BYTES && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Fingerprints {
    /// Reads the store's secret, or makes it. Of many who make it one is first, and all get that one's.
    pub(crate) async fn of_store(vault: &Vault) -> Result<Self, Error> {
        let path = Path::own(PLACE);
        match vault.read(&path, None).await {
            Ok(there) => return Self::of(&there.fields, &path),
            Err(Error::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *secret).map_err(|_| Error::Random)?;
        let made = Fields::from([(FIELD.to_owned(), Secret::new(hex::encode(*secret)))]);
        match vault.write(&path, &made, Expected::New).await {
            Ok(_) => Ok(Self(secret)),
            Err(Error::Conflict { .. }) => Self::of(&vault.read(&path, None).await?.fields, &path),
            Err(error) => Err(error),
        }
    }

    fn of(fields: &Fields, path: &Path) -> Result<Self, Error> {
        let refuse = || Error::Unreadable { path: path.to_string(), why: "it is no secret of fingerprints" };
        let text = fields.get(FIELD).ok_or_else(refuse)?;
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        hex::decode_to_slice(text.expose(), &mut *secret).map_err(|_| refuse())?;
        Ok(Self(secret))
    }

    /// The fingerprint of a key's values: 32 hex digits. The same for the same names and values, whatever key holds
    /// them, and in this key store only.
    pub fn make(&self, fields: &Fields) -> String {
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(DOMAIN);
        for part in fields.iter().flat_map(|(name, value)| [name.as_str(), value.expose()]) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        hex::encode(&mac.finalize().into_bytes()[..BYTES])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(secret: u8) -> Fingerprints {
        Fingerprints(Zeroizing::new([secret; SECRET_BYTES]))
    }

    fn fields(given: &[(&str, &str)]) -> Fields {
        given.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned()))).collect()
    }

    #[test]
    fn the_same_values_have_the_same_fingerprint_in_one_install_only() {
        let values = fields(&[("key", "1234"), ("secret", "abcd")]);
        let one = prints(1).make(&values);
        assert!(is_keyed(&one), "{one}");
        assert_eq!(one, prints(1).make(&values));
        assert_ne!(one, prints(2).make(&values), "another install has another secret");
        for other in [
            fields(&[("key", "1234"), ("secret", "abce")]),
            fields(&[("key", "12"), ("34secret", "abcd")]),
            fields(&[("key", "1234secret"), ("", "abcd")]),
            fields(&[("key", "1234")]),
            fields(&[]),
        ] {
            assert_ne!(one, prints(1).make(&other));
        }
    }

    #[test]
    fn fingerprints_of_the_first_kind_are_told_apart() {
        for old in ["", "0123456789abcdef", "zz23456789abcdef0123456789abcdef"] {
            assert!(!is_keyed(old), "{old}");
        }
    }
}
