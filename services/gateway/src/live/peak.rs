//! The greatest of what was seen lately, and whatever is known of endpoints by name. Pure.
//!
//! A peak goes up with the greatest at once and down slowly, so that what is great now and then is remembered; nothing is
//! believed before a few were seen.

use crate::map::Map;

/// A smaller one takes so small a part of the difference away.
const DECAY: u64 = 16;
/// Endpoints of which something is known. Further ones stay unknown.
const ENDPOINTS_MAX: usize = 256;

/// The greatest of what was seen lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    most: u64,
    samples: u32,
}

/// Something for every endpoint by itself, bounded.
#[derive(Debug, Default)]
pub(super) struct ByEndpoint<T>(Map<String, T>);

impl Peak {
    /// So much was seen.
    pub(super) fn saw(&mut self, seen: u64) {
        self.samples = self.samples.saturating_add(1);
        self.most = seen.max(self.most - self.most.saturating_sub(seen) / DECAY);
    }

    /// The greatest, where so many were seen.
    pub(super) fn known(self, samples_min: u32) -> Option<u64> {
        (self.samples >= samples_min).then_some(self.most)
    }
}

impl<T: Default> ByEndpoint<T> {
    /// What is known of one.
    pub(super) fn get(&self, endpoint: &str) -> Option<&T> {
        self.0.get(endpoint)
    }

    /// What is known of one, to be added to; nothing where it is one too many.
    pub(super) fn entry(&mut self, endpoint: &str) -> Option<&mut T> {
        if !self.0.contains_key(endpoint) && self.0.len() < ENDPOINTS_MAX {
            self.0.insert(endpoint.to_owned(), T::default());
        }
        self.0.get_mut(endpoint)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
