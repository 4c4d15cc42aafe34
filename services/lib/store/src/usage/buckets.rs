//! Steps of time and how few of them cover a span. Pure; all in UTC.

use model::Timestamp;

/// The length of a row's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Step {
    /// All of them, shortest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The start of the step that a moment lies in.
    pub fn floor(self, at: Timestamp) -> Timestamp {
        let ms = at.as_millis();
        Timestamp::from_millis(match self {
            Self::Minute => ms - ms.rem_euclid(MINUTE_MS),
            Self::Hour => ms - ms.rem_euclid(HOUR_MS),
            Self::Day => ms - ms.rem_euclid(DAY_MS),
            Self::Month => {
                let day = at.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).day();
                ms - ms.rem_euclid(DAY_MS) - i64::from(day - 1) * DAY_MS
            }
        })
    }

    /// The start of the first step that begins at a moment or after it.
    fn ceil(self, at: Timestamp) -> Timestamp {
        let floor = self.floor(at);
        if floor == at { at } else { self.after(floor) }
    }

    /// The start of the step after the one that begins at a moment.
    fn after(self, start: Timestamp) -> Timestamp {
        let ms = start.as_millis();
        match self {
            Self::Minute => Timestamp::from_millis(ms.saturating_add(MINUTE_MS)),
            Self::Hour => Timestamp::from_millis(ms.saturating_add(HOUR_MS)),
            Self::Day => Timestamp::from_millis(ms.saturating_add(DAY_MS)),
            // Every month has more than 27 days and less than 32, so this lies in the next one.
            Self::Month => self.floor(Timestamp::from_millis(ms.saturating_add(32 * DAY_MS))),
        }
    }
}

/// Whole steps from `from` to before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) step: Step,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// Covers a span by whole steps, each as long as fits: at most seven pieces, in order, none empty. The span begins
/// with the minute of `from` and ends before `to`, or with the minute that `to` lies within.
pub(super) fn cover(from: Timestamp, to: Timestamp) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(7);
    between(&mut pieces, 3, Step::Minute.floor(from), Step::Minute.ceil(to));
    pieces
}

/// Covers a span whose ends lie on steps of the level below: long steps in the middle, shorter ones around.
fn between(pieces: &mut Vec<Piece>, level: usize, from: Timestamp, to: Timestamp) {
    if from >= to {
        return;
    }
    let step = Step::ALL[level];
    if level == 0 {
        pieces.push(Piece { step, from, to });
        return;
    }
    let (first, last) = (step.ceil(from), step.floor(to));
    if first >= last {
        between(pieces, level - 1, from, to);
        return;
    }
    between(pieces, level - 1, from, first);
    pieces.push(Piece { step, from: first, to: last });
    between(pieces, level - 1, last, to);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn check(from: &str, to: &str, expected: &[&str]) {
        let pieces: Vec<String> = cover(at(from), at(to))
            .iter()
            .map(|piece| {
                format!(
                    "{} {}..{}",
                    piece.step.as_str(),
                    &piece.from.to_string()[..16],
                    &piece.to.to_string()[..16]
                )
            })
            .collect();
        assert_eq!(pieces, expected);
    }

    #[test]
    fn a_span_is_long_steps_with_short_ones_around() {
        check(
            "2024-01-30T22:58:10Z",
            "2024-04-02T01:02:03Z",
            &[
                "minute 2024-01-30T22:58..2024-01-30T23:00",
                "hour 2024-01-30T23:00..2024-01-31T00:00",
                "day 2024-01-31T00:00..2024-02-01T00:00",
                "month 2024-02-01T00:00..2024-04-01T00:00",
                "day 2024-04-01T00:00..2024-04-02T00:00",
                "hour 2024-04-02T00:00..2024-04-02T01:00",
                "minute 2024-04-02T01:00..2024-04-02T01:03",
            ],
        );
    }

    #[test]
    fn a_span_within_an_hour_is_minutes() {
        check("2024-02-29T10:05:00Z", "2024-02-29T10:07:00Z", &["minute 2024-02-29T10:05..2024-02-29T10:07"]);
    }

    #[test]
    fn an_empty_span_is_nothing() {
        check("2024-02-29T10:05:00Z", "2024-02-29T10:05:00Z", &[]);
        check("2024-02-29T10:05:00Z", "2023-02-28T10:05:00Z", &[]);
    }

    proptest! {
        #[test]
        fn pieces_touch_each_other_and_are_few(from in 0_i64..4_000_000_000_000, length in 1_i64..100_000_000_000) {
            let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(from + length));
            let pieces = cover(from, to);
            prop_assert!(!pieces.is_empty() && pieces.len() <= 7);
            prop_assert_eq!(pieces[0].from, Step::Minute.floor(from));
            prop_assert_eq!(pieces[pieces.len() - 1].to, Step::Minute.ceil(to));
            for pair in pieces.windows(2) {
                prop_assert_eq!(pair[0].to, pair[1].from);
            }
            for piece in pieces {
                prop_assert!(piece.from < piece.to);
                prop_assert_eq!(piece.step.floor(piece.from), piece.from);
                prop_assert_eq!(piece.step.floor(piece.to), piece.to);
            }
        }
    }
}
