//! The chain of the audit log: `hash_i = SHA-256(hash_{i-1} ‖ leaf_i)`, from 32 zero bytes. Pure.

use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// The end of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// How many leaves it has.
    pub(super) sequence: u64,
    hash: [u8; 32],
}

impl Chain {
    /// A chain without leaves.
    pub(super) const fn empty() -> Self {
        Self { sequence: 0, hash: [0; 32] }
    }

    /// The end of a chain as it was stored.
    pub(super) fn at(sequence: u64, hash: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hash, &mut bytes).map_err(|error| Error::corrupt("the audit head", error))?;
        Ok(Self { sequence, hash: bytes })
    }

    /// Adds a leaf.
    pub(super) fn add(&mut self, leaf: &[u8]) {
        self.sequence += 1;
        self.hash = Sha256::new().chain_update(self.hash).chain_update(leaf).finalize().into();
    }

    /// The hash as 64 hex digits.
    pub(super) fn hash(&self) -> String {
        hex::encode(self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_hash_of_the_hash_before_and_the_leaf() {
        let mut chain = Chain::empty();
        chain.add(b"one");
        chain.add(b"two");
        let first = Sha256::digest([&[0; 32][..], b"one"].concat());
        let second = Sha256::digest([&first[..], b"two"].concat());
        assert_eq!(chain.hash(), hex::encode(second));
        assert_eq!(Chain::at(2, &chain.hash()).expect("its own hash"), chain);
    }

    #[test]
    fn the_order_of_leaves_matters() {
        let (mut one, mut other) = (Chain::empty(), Chain::empty());
        one.add(b"a");
        one.add(b"b");
        other.add(b"b");
        other.add(b"a");
        assert_ne!(one, other);
    }
}
