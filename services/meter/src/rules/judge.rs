//! Judges readings of one figure one after the other: fine, waiting, or firing; and what people should hear.
//!
//! Pure: state and reading in; next state and what follows out. A reading carries its time. Waiting and ending both
//! need an unbroken stretch, so that a figure which swings around its threshold is told once.

use std::time::Duration;

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a figure must stand, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terms {
    /// Where it begins, and where it gets worse: the mildest first, at least one.
    pub(crate) bands: Vec<f64>,
    /// Where it is over.
    pub(crate) resolve_at: f64,
    /// Whether more is worse. Else less is, and a figure is bad below its band.
    pub(crate) above: bool,
    /// How long it must stand there without a break.
    pub(crate) wait: Duration,
    /// How long it must be over without a break.
    pub(crate) keep: Duration,
}

/// What a figure says at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    /// It stands here.
    Value(f64),
    /// It says nothing: there were too few calls.
    Nothing,
    /// What it says proves nothing: maintenance, or traffic is just being moved.
    Held,
}

/// What was found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// Nothing to tell.
    #[default]
    Fine,
    /// It stands where it should not, but not for long enough.
    Waiting {
        /// Since when.
        since: Timestamp,
    },
    /// People have heard of it.
    Firing {
        /// Since when.
        since: Timestamp,
        /// The worst band so far.
        band: usize,
        /// Since when it is over, while that does not last.
        over_since: Option<Timestamp>,
    },
}

/// What people should hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It fires, in this band.
    Raised(usize),
    /// It fires already, and got worse: this band.
    Worse(usize),
    /// It is over.
    Resolved,
}

impl Terms {
    /// The worst band that a value reaches.
    fn band(&self, value: f64) -> Option<usize> {
        self.bands.iter().rposition(|from| if self.above { value >= *from } else { value < *from })
    }

    /// Whether a value is on the good side of the end.
    fn is_over(&self, value: f64) -> bool {
        self.band(value).is_none()
            && if self.above { value <= self.resolve_at } else { value >= self.resolve_at }
    }
}

/// Folds one reading into the state, and says what people should hear of it.
///
/// A reading that says nothing ends a wait, and counts as over: what is not called does not fail. One that is held ends a wait
/// and leaves what fires as it is.
pub(crate) fn judge(terms: &Terms, state: State, reading: Reading, at: Timestamp) -> (State, Option<News>) {
    let band = match reading {
        Reading::Value(value) => terms.band(value),
        Reading::Nothing | Reading::Held => None,
    };
    match (state, band) {
        (State::Fine | State::Waiting { .. }, None) => (State::Fine, None),
        (State::Fine, Some(band)) => begin(terms, at, at, band),
        (State::Waiting { since }, Some(band)) => begin(terms, since.min(at), at, band),
        (State::Firing { since, band: worst, .. }, Some(band)) => {
            let next = State::Firing { since, band: worst.max(band), over_since: None };
            (next, (band > worst).then_some(News::Worse(band)))
        }
        (State::Firing { since, band, over_since }, None) => match reading {
            Reading::Held => (State::Firing { since, band, over_since: None }, None),
            Reading::Value(value) if !terms.is_over(value) => {
                (State::Firing { since, band, over_since: None }, None)
            }
            Reading::Value(_) | Reading::Nothing => {
                let over = over_since.unwrap_or(at).min(at);
                if at.since(over) >= terms.keep {
                    return (State::Fine, Some(News::Resolved));
                }
                (State::Firing { since, band, over_since: Some(over) }, None)
            }
        },
    }
}

/// It stands in a band since a moment: it waits, or fires when that was long enough.
fn begin(terms: &Terms, since: Timestamp, at: Timestamp, band: usize) -> (State, Option<News>) {
    if at.since(since) >= terms.wait {
        return (State::Firing { since, band, over_since: None }, Some(News::Raised(band)));
    }
    (State::Waiting { since }, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minute(n: usize) -> Timestamp {
        Timestamp::from_millis(1_760_000_000_000 + i64::try_from(n).expect("small") * 60_000)
    }

    fn terms(wait: u64, keep: u64) -> Terms {
        Terms {
            bands: vec![0.5, 0.8],
            resolve_at: 0.3,
            above: true,
            wait: Duration::from_secs(wait * 60),
            keep: Duration::from_secs(keep * 60),
        }
    }

    /// A reading a minute: a number of tenths, `-` says nothing, `h` is held. Out come `R`, `W`, `o` and `.`.
    fn check(terms: &Terms, readings: &str, expected: &str) {
        let mut state = State::Fine;
        let mut told = String::new();
        for (n, word) in readings.split_whitespace().enumerate() {
            let reading = match word {
                "-" => Reading::Nothing,
                "h" => Reading::Held,
                tenths => Reading::Value(tenths.parse::<f64>().expect("tenths") / 10.0),
            };
            let (next, news) = judge(terms, state, reading, minute(n));
            state = next;
            told.push(match news {
                Some(News::Raised(_)) => 'R',
                Some(News::Worse(_)) => 'W',
                Some(News::Resolved) => 'o',
                None => '.',
            });
        }
        assert_eq!(told, expected, "{readings}");
    }

    #[test]
    fn without_a_wait_it_fires_at_once_and_is_over_at_once() {
        check(&terms(0, 0), "1 5 6 2 6", ".R.oR");
    }

    #[test]
    fn it_fires_when_it_stood_there_for_long_enough_without_a_break() {
        check(&terms(2, 0), "5 5 5 5", "..R.");
        check(&terms(2, 0), "5 5 4 5 5 5", ".....R");
        check(&terms(2, 0), "5 5 - 5 5", ".....");
    }

    #[test]
    fn between_threshold_and_end_it_stays_as_it_is() {
        check(&terms(0, 0), "4 5 4 4 3 4", ".R..o.");
    }

    #[test]
    fn it_is_over_when_that_lasts() {
        check(&terms(0, 2), "5 2 2 5 2 2 2", "R.....o");
        check(&terms(0, 2), "5 - - -", "R..o");
    }

    #[test]
    fn getting_worse_is_told_once() {
        check(&terms(0, 0), "5 8 6 9 1", "RW..o");
        check(&terms(0, 0), "9 5 9 1", "R..o");
    }

    #[test]
    fn what_is_held_neither_begins_nor_ends() {
        check(&terms(1, 1), "5 h 5 5", "...R");
        check(&terms(0, 1), "5 1 h 1 1", "R...o");
        check(&terms(0, 0), "h h 5 h h", "..R..");
    }

    #[test]
    fn less_can_be_worse() {
        let down = Terms { bands: vec![0.9], resolve_at: 0.95, above: false, ..terms(0, 0) };
        check(&down, "9.5 8.9 9.2 9.6", ".R.o");
    }

    #[test]
    fn a_clock_that_goes_back_fires_nothing_early() {
        let terms = terms(5, 5);
        let (state, _) = judge(&terms, State::Fine, Reading::Value(0.6), minute(10));
        let (state, news) = judge(&terms, state, Reading::Value(0.6), minute(2));
        assert_eq!((state, news), (State::Waiting { since: minute(2) }, None));
    }

    proptest! {
        /// Raised and resolved take turns; between two of them lie the times that were asked for.
        #[test]
        fn it_is_raised_and_resolved_in_turns(
            readings in prop::collection::vec(prop::option::weighted(0.9, 0.0_f64..1.0), 1..200),
            wait in 0_u64..5, keep in 0_u64..5,
        ) {
            let terms = terms(wait, keep);
            let (mut state, mut open) = (State::Fine, None);
            for (n, reading) in readings.iter().enumerate() {
                let reading = reading.map_or(Reading::Nothing, Reading::Value);
                let (next, news) = judge(&terms, state, reading, minute(n));
                match news {
                    Some(News::Raised(_)) => {
                        prop_assert!(open.is_none());
                        let stood = usize::try_from(wait).expect("small");
                        prop_assert!(n >= stood);
                        for before in &readings[n - stood..=n] {
                            prop_assert!(before.is_some_and(|value| value >= 0.5));
                        }
                        open = Some(n);
                    }
                    Some(News::Worse(band)) => prop_assert!(open.is_some() && band == 1),
                    Some(News::Resolved) => {
                        let begun = open.take();
                        let over = usize::try_from(keep).expect("small");
                        prop_assert!(begun.is_some_and(|begun| n > begun && n - begun > over));
                        for after in &readings[n - over..=n] {
                            prop_assert!(after.is_none_or(|value| value <= 0.3));
                        }
                    }
                    None => {}
                }
                prop_assert_eq!(open.is_some(), matches!(next, State::Firing { .. }));
                state = next;
            }
        }

        /// A state that was written down and read again goes on as if nothing had been.
        #[test]
        fn a_state_survives_being_written_down(
            readings in prop::collection::vec(0.0_f64..1.0, 1..100), wait in 0_u64..5, keep in 0_u64..5,
        ) {
            let terms = terms(wait, keep);
            let (mut here, mut there) = (State::Fine, State::Fine);
            for (n, value) in readings.iter().enumerate() {
                let told = judge(&terms, here, Reading::Value(*value), minute(n));
                let read: State = serde_json::from_value(serde_json::to_value(there).expect("writes")).expect("reads");
                prop_assert_eq!(judge(&terms, read, Reading::Value(*value), minute(n)), told);
                (here, there) = (told.0, told.0);
            }
        }
    }
}
