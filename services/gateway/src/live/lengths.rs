//! How long the answers of language models are whose callers do not say how long they may be. Pure.
//!
//! Nothing bounds such an answer, so what is taken of a token limit for it is a guess; one far too high keeps others
//! out of what nobody uses. It is learned for every endpoint by itself, of the longest of the latest answers that told what
//! they used.

use super::peak::{ByEndpoint, Peak};

/// Answers from which on it is known what is usual.
const SAMPLES_MIN: u32 = 4;
/// By this part more is taken than the longest had.
const MARGIN: u64 = 4;

/// The lengths of one integration's answers.
#[derive(Debug, Default)]
pub(crate) struct Lengths(ByEndpoint<Peak>);

impl Lengths {
    /// A whole answer of an endpoint had so many tokens.
    pub(crate) fn saw(&mut self, endpoint: &str, tokens: u64) {
        if let Some(peak) = self.0.entry(endpoint) {
            peak.saw(tokens);
        }
    }

    /// How many tokens an answer of this endpoint is likely to have at most; nothing where that is not known.
    pub(crate) fn usual(&self, endpoint: &str) -> Option<u64> {
        let longest = self.0.get(endpoint)?.known(SAMPLES_MIN)?;
        Some(longest.saturating_add(longest.div_ceil(MARGIN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lengths: impl IntoIterator<Item = u64>) -> Lengths {
        let mut all = Lengths::default();
        lengths.into_iter().for_each(|tokens| all.saw("/chat", tokens));
        all
    }

    #[test]
    fn a_few_answers_say_what_is_usual_and_the_longest_counts_at_once() {
        assert_eq!(seen([20; 3]).usual("/chat"), None);
        assert_eq!(seen([20; 4]).usual("/chat"), Some(25));
        assert_eq!(seen([20; 4]).usual("/embeddings"), None);
        assert_eq!(seen([20, 20, 20, 20, 4_000]).usual("/chat"), Some(5_000));
        assert_eq!(seen([0; 4]).usual("/chat"), Some(0));
    }

    #[test]
    fn long_answers_are_forgotten_slowly() {
        let after =
            |short| seen([4_000].into_iter().chain(vec![20; short])).usual("/chat").unwrap_or_default();
        assert!(after(10) > 2_500, "{}", after(10));
        assert!(after(100) < 60, "{}", after(100));
    }

    #[test]
    fn endpoints_are_bounded() {
        let mut all = Lengths::default();
        (0..2_560).for_each(|n| (0..4).for_each(|_| all.saw(&format!("/{n}"), 7)));
        assert_eq!(all.0.len(), 256);
        assert_eq!((all.usual("/0"), all.usual("/9999")), (Some(9), None));
    }
}
