//! The sealed record: a data key wrapped by the master key, and the value sealed by the data key.
//!
//! Version 1: `"SBX1" ‖ algorithm ‖ kek id (16) ‖ kek nonce (24) ‖ wrapped data key (48) ‖ commitment (32) ‖
//! nonce (24) ‖ ciphertext and tag`. Both layers are bound to the same associated data: the store, the place,
//! the version, the algorithm and the master key's id. So a record opens only where it was put, and a record
//! that was cut, changed or moved is refused. Pure but for the random bytes it takes from the system.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::master::MasterKey;

const MAGIC: &[u8; 4] = b"SBX1";
/// XChaCha20-Poly1305, the only one so far.
const ALGORITHM: u8 = 1;
const DOMAIN: &[u8] = b"signalbox/secret/v1";
const COMMITMENT: &[u8] = b"signalbox/commitment/v1";
const FIELD: &[u8] = b"fields";

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Where a record lies. Part of what is authenticated.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
    pub(crate) version: u32,
}

/// Seals a value for a place under a new data key. `None`: the system gave no random bytes.
pub(crate) fn seal(master: &MasterKey, place: Place<'_>, value: &[u8]) -> Option<Vec<u8>> {
    let aad = associated(master, place);
    let mut data_key = Zeroizing::new([0; KEY_BYTES]);
    let (mut kek_nonce, mut nonce) = ([0; NONCE_BYTES], [0; NONCE_BYTES]);
    for bytes in [&mut data_key[..], &mut kek_nonce, &mut nonce] {
        getrandom::fill(bytes).ok()?;
    }

    let mut record = Vec::with_capacity(HEAD_BYTES + value.len() + TAG_BYTES);
    record.extend(MAGIC);
    record.push(ALGORITHM);
    record.extend(master.kek_id());
    record.extend(kek_nonce);
    encrypt(master.key(), &kek_nonce, &aad, &data_key[..], &mut record)?;
    record.extend(commitment(&data_key, &aad));
    record.extend(nonce);
    encrypt(&data_key, &nonce, &aad, value, &mut record)?;
    Some(record)
}

/// Opens a record at its place, or says in one clause why it does not open.
pub(crate) fn open(
    master: &MasterKey,
    place: Place<'_>,
    record: &[u8],
) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let parts = Parts::of(record)?;
    if &parts.kek_id != master.kek_id() {
        return Err("it was sealed with another master key");
    }
    let aad = associated(master, place);
    let data_key = decrypt(master.key(), &parts.kek_nonce, &aad, parts.wrapped).ok_or(CHANGED)?;
    let data_key = Zeroizing::new(<[u8; KEY_BYTES]>::try_from(&data_key[..]).map_err(|_| CHANGED)?);
    if !bool::from(commitment(&data_key, &aad).ct_eq(&parts.commitment)) {
        return Err(CHANGED);
    }
    decrypt(&data_key, &parts.nonce, &aad, parts.value).ok_or(CHANGED)
}

const CHANGED: &str = "the record was changed, or belongs somewhere else";
const HEAD_BYTES: usize = MAGIC.len() + 1 + 16 + NONCE_BYTES + (KEY_BYTES + TAG_BYTES) + 32 + NONCE_BYTES;

/// A record, taken apart. Nothing in it is believed yet.
struct Parts<'a> {
    kek_id: [u8; 16],
    kek_nonce: [u8; NONCE_BYTES],
    wrapped: &'a [u8],
    commitment: [u8; 32],
    nonce: [u8; NONCE_BYTES],
    value: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(record: &'a [u8]) -> Result<Self, &'static str> {
        let cut = "the record is cut short";
        let rest = record.strip_prefix(MAGIC).ok_or("it is not a record of version 1")?;
        let (algorithm, rest) = rest.split_first().ok_or(cut)?;
        if *algorithm != ALGORITHM {
            return Err("its algorithm is unknown");
        }
        let (kek_id, rest) = rest.split_first_chunk().ok_or(cut)?;
        let (kek_nonce, rest) = rest.split_first_chunk().ok_or(cut)?;
        let (wrapped, rest) = rest.split_at_checked(KEY_BYTES + TAG_BYTES).ok_or(cut)?;
        let (commitment, rest) = rest.split_first_chunk().ok_or(cut)?;
        let (nonce, value) = rest.split_first_chunk().ok_or(cut)?;
        Ok(Self {
            kek_id: *kek_id,
            kek_nonce: *kek_nonce,
            wrapped,
            commitment: *commitment,
            nonce: *nonce,
            value,
        })
    }
}

/// What both layers are bound to: each part behind its length, so that no two lists give the same bytes.
fn associated(master: &MasterKey, place: Place<'_>) -> Vec<u8> {
    let version = place.version.to_be_bytes();
    let parts: [&[u8]; 8] = [
        DOMAIN,
        master.store_id(),
        place.kind.as_bytes(),
        place.id.as_bytes(),
        FIELD,
        &version,
        &[ALGORITHM],
        master.kek_id(),
    ];
    let mut out = Vec::with_capacity(192);
    for part in parts {
        // Parts are ids and constants, far under 4 GiB.
        out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(part);
    }
    out
}

/// Binds the record to one data key: the cipher alone does not.
fn commitment(data_key: &[u8; KEY_BYTES], aad: &[u8]) -> [u8; 32] {
    let mut tag = [0; 32];
    Hkdf::<Sha256>::new(Some(COMMITMENT), data_key)
        .expand(aad, &mut tag)
        .expect("32 bytes are under HKDF's limit of 8,160");
    tag
}

fn encrypt(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let begin = out.len();
    // The value is encrypted in place at once; `out` has its room, so no copy is left by growing.
    out.extend_from_slice(value);
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_in_place_detached(XNonce::from_slice(nonce), aad, out.get_mut(begin..)?)
        .ok()?;
    out.extend(tag);
    Some(())
}

fn decrypt(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (body, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG_BYTES)?)?;
    let mut value = Zeroizing::new(body.to_vec());
    XChaCha20Poly1305::new(key.into())
        .decrypt_in_place_detached(XNonce::from_slice(nonce), aad, &mut value, Tag::from_slice(tag))
        .ok()?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(id: &str, version: u32) -> Place<'_> {
        Place { kind: "keys", id, version }
    }

    #[test]
    fn the_cipher_gives_the_published_vector() {
        // draft-irtf-cfrg-xchacha-03, appendix A.3.1.
        let key: [u8; 32] = std::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap());
        let nonce: [u8; 24] = std::array::from_fn(|at| 0x40 + u8::try_from(at).unwrap());
        let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let sealed = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
                      ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
                      21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49";
        let mut out = Vec::new();
        encrypt(&key, &nonce, &aad, text, &mut out).unwrap();
        assert_eq!(hex::encode(&out), sealed);
        assert_eq!(&decrypt(&key, &nonce, &aad, &out).unwrap()[..], text);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let master = MasterKey::generate().unwrap();
        let record = seal(&master, place("a", 1), b"{\"api_key\":\"canary\"}").unwrap();
        assert_eq!(&open(&master, place("a", 1), &record).unwrap()[..], b"{\"api_key\":\"canary\"}");
        for bit in 0..record.len() * 8 {
            let mut changed = record.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&master, place("a", 1), &changed).is_err(), "bit {bit}");
        }
        for end in 0..record.len() {
            assert!(open(&master, place("a", 1), &record[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn every_swap_of_two_records_is_refused() {
        let master = MasterKey::generate().unwrap();
        let places: Vec<(String, u32)> =
            (0..24).flat_map(|id| (1..=2).map(move |version| (format!("key-{id}"), version))).collect();
        let records: Vec<Vec<u8>> =
            places.iter().map(|(id, version)| seal(&master, place(id, *version), b"same").unwrap()).collect();
        for (here, (id, version)) in places.iter().enumerate() {
            for (there, record) in records.iter().enumerate() {
                assert_eq!(open(&master, place(id, *version), record).is_ok(), here == there);
            }
        }
        let elsewhere = Place { kind: "webhooks", id: "key-0", version: 1 };
        assert!(open(&master, elsewhere, &records[0]).is_err());
    }

    #[test]
    fn another_master_key_opens_nothing() {
        let (one, two) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let record = seal(&one, place("a", 1), b"x").unwrap();
        assert_eq!(open(&two, place("a", 1), &record), Err("it was sealed with another master key"));
    }

    #[test]
    fn the_parts_of_the_associated_data_cannot_run_into_each_other() {
        let master = MasterKey::generate().unwrap();
        let one = Place { kind: "ab", id: "c", version: 1 };
        let two = Place { kind: "a", id: "bc", version: 1 };
        assert_ne!(associated(&master, one), associated(&master, two));
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in prop::collection::vec(any::<u8>(), 0..300), version in 1u32..) {
            let master = MasterKey::generate().unwrap();
            let record = seal(&master, place("a", version), &value).unwrap();
            prop_assert_eq!(record.len(), HEAD_BYTES + value.len() + TAG_BYTES);
            prop_assert_eq!(&open(&master, place("a", version), &record).unwrap()[..], &value[..]);
        }

        #[test]
        fn any_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
            let master = MasterKey::generate().unwrap();
            if magic {
                bytes.splice(0..0, *b"SBX1\x01");
            }
            prop_assert!(open(&master, place("a", 1), &bytes).is_err());
        }
    }
}
