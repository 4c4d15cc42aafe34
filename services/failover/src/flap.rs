//! Sees flapping: the weighted share of changes among the last votes.
//!
//! Pure. New changes weigh more (1.2) than old ones (0.8), as in the monitors that people know; starting and
//! stopping have thresholds of their own, so that flapping does not flap.

use std::collections::VecDeque;

use model::health::Health;

use crate::state::HISTORY_VOTES;

/// Above this share flapping begins, in percent.
pub const START_PERCENT: u32 = 30;
/// Below this share flapping ends, in percent.
pub const STOP_PERCENT: u32 = 15;

const OLDEST_WEIGHT: u64 = 800;
const WEIGHT_RANGE: u64 = 400;
const STEPS: u64 = HISTORY_VOTES as u64 - 1;

/// The weighted share of changes, in percent. Votes that were not yet cast count as no change.
pub fn percent(history: &VecDeque<Health>) -> u32 {
    let missing = HISTORY_VOTES.saturating_sub(history.len()) as u64;
    let changed: u64 = history
        .iter()
        .zip(history.iter().skip(1))
        .zip(missing..)
        .filter(|((before, after), _)| before != after)
        .map(|(_, step)| OLDEST_WEIGHT + WEIGHT_RANGE * step / (STEPS - 1))
        .sum();
    // The weights of all steps have a mean of 1000.
    u32::try_from((changed * 100).div_ceil(STEPS * 1000)).unwrap_or(100)
}

/// Whether it flaps now, given whether it did before.
pub fn flaps(before: bool, history: &VecDeque<Health>) -> bool {
    let share = percent(history);
    if before { share >= STOP_PERCENT } else { share > START_PERCENT }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(text: &str) -> VecDeque<Health> {
        text.chars().map(|c| if c == 'u' { Health::Up } else { Health::Down }).collect()
    }

    #[test]
    fn steady_is_zero_and_alternating_is_all() {
        assert_eq!(percent(&history(&"u".repeat(21))), 0);
        assert_eq!(percent(&history("")), 0);
        assert_eq!(percent(&history("ududududududududududu")), 100);
    }

    #[test]
    fn one_outage_is_not_flapping() {
        assert!(!flaps(false, &history("uuuuuudddddddduuuuuuu")));
    }

    #[test]
    fn begins_above_thirty_and_ends_below_fifteen() {
        let busy = history("uuuuuuuuuuuuuduududud");
        assert!(percent(&busy) > 30, "{}", percent(&busy));
        assert!(flaps(false, &busy));
        let calmer = history("ududuuuuuuuuuuuuuuuuu");
        assert!(percent(&calmer) > 15 && percent(&calmer) < 30, "{}", percent(&calmer));
        assert!(!flaps(false, &calmer) && flaps(true, &calmer));
        assert!(!flaps(true, &history("uduuuuuuuuuuuuuuuuuuu")));
    }
}
