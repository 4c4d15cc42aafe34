//! How long the answers of language models are whose callers do not say how long they may be. Pure.
//!
//! Nothing bounds such an answer, so what is taken of a token limit for it is a guess; one far too high keeps others
//! out of what nobody uses. It is learned for every endpoint by itself, of answers that tell what they used: up with the longest answer at once, down slowly, and
//! nothing is believed before a few were seen.

use crate::map::Map;

/// Answers from which on it is known what is usual.
const SAMPLES_MIN: u32 = 4;
/// A shorter answer takes so small a part of the difference away.
const DECAY: u64 = 16;
/// By this part more is taken than the longest had.
const MARGIN: u64 = 4;
/// Endpoints of which it is known. Further ones stay unknown.
const ENDPOINTS_MAX: usize = 256;

/// The lengths of one integration's answers.
#[derive(Debug, Default)]
pub(crate) struct Lengths(Map<String, Usual>);

#[derive(Debug, Default)]
struct Usual {
    tokens: u64,
    samples: u32,
}

impl Lengths {
    /// A whole answer of an endpoint had so many tokens.
    pub(crate) fn saw(&mut self, endpoint: &str, tokens: u64) {
        if let Some(usual) = self.0.get_mut(endpoint) {
            usual.saw(tokens);
        } else if self.0.len() < ENDPOINTS_MAX {
            self.0.entry(endpoint.to_owned()).or_default().saw(tokens);
        }
    }

    /// How many tokens an answer of this endpoint is likely to have at most; nothing where that is not known.
    pub(crate) fn usual(&self, endpoint: &str) -> Option<u64> {
        let usual = self.0.get(endpoint).filter(|usual| usual.samples >= SAMPLES_MIN)?;
        Some(usual.tokens.saturating_add(usual.tokens.div_ceil(MARGIN)))
    }
}

impl Usual {
    fn saw(&mut self, tokens: u64) {
        self.samples = self.samples.saturating_add(1);
        self.tokens = tokens.max(self.tokens - self.tokens.saturating_sub(tokens) / DECAY);
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
        (0..10 * ENDPOINTS_MAX).for_each(|n| (0..4).for_each(|_| all.saw(&format!("/{n}"), 7)));
        assert_eq!(all.0.len(), ENDPOINTS_MAX);
        assert_eq!((all.usual("/0"), all.usual("/9999")), (Some(9), None));
    }
}
