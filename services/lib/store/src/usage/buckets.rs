//! Steps of time and how few of them cover a span. Pure; all in UTC.

use std::time::Duration;

use model::Timestamp;
use model::ask::UsageStep;

/// The length of a row's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day in UTC.
    Day,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Step {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Minute => 0,
            Self::Hour => 1,
            Self::Day => 2,
        }
    }

    const fn millis(self) -> i64 {
        match self {
            Self::Minute => MINUTE_MS,
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
        }
    }

    /// How long rows of this step are kept: 2 days, 90 days, 5 years. Hours for one more, because ninety days of a zone
    /// whose clocks went back have one more.
    pub const fn kept(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 2 * 86_400,
            Self::Hour => 90 * 86_400 + 3_600,
            Self::Day => 5 * 366 * 86_400,
        })
    }

    /// The start of the step that a moment lies in.
    pub fn floor(self, at: Timestamp) -> Timestamp {
        let ms = at.as_millis();
        Timestamp::from_millis(ms - ms.rem_euclid(self.millis()))
    }

    /// The start of the first step that begins at a moment or after it.
    fn ceil(self, at: Timestamp) -> Timestamp {
        let floor = self.floor(at);
        if floor == at { at } else { Timestamp::from_millis(floor.as_millis().saturating_add(self.millis())) }
    }

    /// The start of the month (UTC) that a moment lies in.
    pub(super) fn month_of(at: Timestamp) -> Timestamp {
        let day = at.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).day();
        Timestamp::from_millis(Self::Day.floor(at).as_millis() - i64::from(day - 1) * DAY_MS)
    }

    /// The start of the month after one.
    pub(super) fn month_after(start: Timestamp) -> Timestamp {
        // Every month has more than 27 days and less than 32, so this lies in the next one.
        Self::month_of(Timestamp::from_millis(start.as_millis().saturating_add(32 * DAY_MS)))
    }
}

impl From<UsageStep> for Step {
    fn from(step: UsageStep) -> Self {
        match step {
            UsageStep::Minute => Self::Minute,
            UsageStep::Hour => Self::Hour,
            UsageStep::Day => Self::Day,
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

/// Covers a span by whole steps, each as long as fits: at most five pieces, in order, none empty. The span begins
/// with the minute of `from` and ends before `to`, or with the minute that `to` lies within.
pub(super) fn cover(from: Timestamp, to: Timestamp) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(5);
    between(&mut pieces, 2, Step::Minute.floor(from), Step::Minute.ceil(to));
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
                format!("{:?} {}..{}", piece.step, &piece.from.to_string()[..16], &piece.to.to_string()[..16])
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
                "Minute 2024-01-30T22:58..2024-01-30T23:00",
                "Hour 2024-01-30T23:00..2024-01-31T00:00",
                "Day 2024-01-31T00:00..2024-04-02T00:00",
                "Hour 2024-04-02T00:00..2024-04-02T01:00",
                "Minute 2024-04-02T01:00..2024-04-02T01:03",
            ],
        );
    }

    #[test]
    fn a_span_within_an_hour_is_minutes() {
        check("2024-02-29T10:05:00Z", "2024-02-29T10:07:00Z", &["Minute 2024-02-29T10:05..2024-02-29T10:07"]);
    }

    #[test]
    fn hours_are_kept_for_ninety_days_of_any_zone() {
        for name in ["UTC", "America/New_York", "Europe/Berlin", "Pacific/Auckland"] {
            let zone = jiff::tz::TimeZone::get(name).expect("a zone");
            for half_hour in 0..2 * 24 * 730 {
                let now = at("2024-01-01T00:29:59Z").plus(Duration::from_secs(1_800 * half_hour));
                let (from, _) = model::ask::UsageWindow::Quarter.span_in(now, &zone);
                assert!(from >= now.minus(Step::Hour.kept()), "{name} {now} {from}");
            }
        }
    }

    #[test]
    fn months_follow_each_other() {
        let start = Step::month_of(at("2024-02-29T10:05:00Z"));
        assert_eq!(start, at("2024-02-01T00:00:00Z"));
        assert_eq!(Step::month_after(start), at("2024-03-01T00:00:00Z"));
        assert_eq!(Step::month_after(at("2024-12-01T00:00:00Z")), at("2025-01-01T00:00:00Z"));
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
            prop_assert!(!pieces.is_empty() && pieces.len() <= 5);
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
