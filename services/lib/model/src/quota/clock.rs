//! What time it may be: not a moment but two, between which the true one lies.
//!
//! Pure. All gateways go by the bus's clock: whatever the bus says is carried on by the process's own steady clock, so
//! that a wall clock that is set back or forth changes nothing. A bus whose clock itself jumps, or that is heard for the
//! first time, is believed only once the wall clock agrees with it; until then both are possible. What is given is given by the earliest, what ends ends by
//! the latest: in doubt nobody spends.

use crate::Timestamp;

/// How much a steady clock may run wrong, in millionths: the worst quartz that is sold, doubled.
const DRIFT_PPM: u64 = 200;
/// Between two words of the bus, how far its clock may go wrong against ours before it is said to have jumped, in
/// milliseconds: servers of a cluster are that far apart and more.
const JUMP_MS: i64 = 1_000;
/// How near a wall clock must be to take sides, in milliseconds.
const NEAR_MS: i64 = 2_000;

/// What is known of the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    bus: Option<Anchor>,
    /// Whether a wall clock ever agreed with it.
    is_proven: bool,
    /// What it was before the bus jumped.
    before: Option<Anchor>,
}

/// A reading: at the steady moment it was between these two.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    steady_ms: u64,
    earliest: i64,
    latest: i64,
}

/// A moment, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// On the process's own steady clock, in milliseconds.
    pub steady_ms: u64,
    /// It is not sooner.
    pub earliest: Timestamp,
    /// It is not later.
    pub latest: Timestamp,
}

impl Now {
    /// A moment that is known to the millisecond.
    pub fn exactly(at: Timestamp, steady_ms: u64) -> Self {
        Self { steady_ms, earliest: at, latest: at }
    }

    /// How far apart the two are, in milliseconds.
    pub fn doubt_ms(&self) -> u64 {
        self.latest.as_millis().abs_diff(self.earliest.as_millis())
    }
}

impl Anchor {
    fn at(self, steady_ms: u64) -> (i64, i64) {
        let gone = i64::try_from(steady_ms.saturating_sub(self.steady_ms)).unwrap_or(i64::MAX);
        let wrong = 1 + gone.unsigned_abs().saturating_mul(DRIFT_PPM) / 1_000_000;
        let wrong = i64::try_from(wrong).unwrap_or(i64::MAX);
        let (earliest, latest) = (self.earliest.saturating_add(gone), self.latest.saturating_add(gone));
        (earliest.saturating_sub(wrong), latest.saturating_add(wrong))
    }
}

impl Clock {
    /// Takes the time stamp that the bus put on something of ours: asked for and received at these steady moments, when the
    /// wall clock showed `wall`.
    pub fn hear(&mut self, asked_ms: u64, received_ms: u64, bus: Timestamp, wall: Timestamp) {
        let took = i64::try_from(received_ms.saturating_sub(asked_ms)).unwrap_or(i64::MAX);
        let earliest = bus.as_millis();
        let heard = Anchor { steady_ms: received_ms, earliest, latest: earliest.saturating_add(took) };
        let agrees = agrees(wall, heard.earliest, heard.latest);
        let Some(known) = self.bus.filter(|_| self.is_proven) else {
            self.is_proven = agrees;
            self.bus = Some(heard);
            return;
        };
        let (from, to) = known.at(received_ms);
        if heard.earliest > to.saturating_add(JUMP_MS) || heard.latest < from.saturating_sub(JUMP_MS) {
            self.before = self.before.or(Some(known));
            self.bus = Some(heard);
            return;
        }
        if let Some((from, to)) = self.before.map(|before| before.at(received_ms))
            && heard.earliest <= to.saturating_add(JUMP_MS)
            && heard.latest >= from.saturating_sub(JUMP_MS)
        {
            // It is back where it was.
            self.before = None;
        }
        // The sharper of the two; where they only touch, what both allow.
        if took <= to.saturating_sub(from) || heard.earliest > to || heard.latest < from {
            self.bus = Some(heard);
        }
    }

    /// The time at a steady moment, when the wall clock shows `wall`. Nothing before the bus was heard: what was leased
    /// from it is all that may be spent.
    pub fn read(&self, steady_ms: u64, wall: Timestamp) -> Option<Now> {
        let (mut from, mut to) = self.bus?.at(steady_ms);
        if !self.is_proven {
            (from, to) = (from.min(wall.as_millis()), to.max(wall.as_millis()));
        }
        if let Some((was_from, was_to)) = self.before.map(|before| before.at(steady_ms)) {
            match (agrees(wall, from, to), agrees(wall, was_from, was_to)) {
                (true, false) => {}
                (false, true) => (from, to) = (was_from, was_to),
                _ => (from, to) = (from.min(was_from), to.max(was_to)),
            }
        }
        let (earliest, latest) = (Timestamp::from_millis(from), Timestamp::from_millis(to));
        Some(Now { steady_ms, earliest, latest })
    }
}

/// Whether a wall clock shows one of these moments, or nearly.
fn agrees(wall: Timestamp, from: i64, to: i64) -> bool {
    wall.as_millis() >= from.saturating_sub(NEAR_MS) && wall.as_millis() <= to.saturating_add(NEAR_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn check(clock: &Clock, steady_ms: u64, wall: i64, earliest: i64, latest: i64) {
        let now = clock.read(steady_ms, at(wall)).expect("the bus was heard");
        let got = (now.earliest.as_millis(), now.latest.as_millis());
        assert!((got.0 - earliest).abs() <= 2 && (got.1 - latest).abs() <= 2, "{got:?}");
    }

    #[test]
    fn the_wall_clock_changes_nothing() {
        let mut clock = Clock::default();
        assert_eq!(clock.read(0, at(5)), None);
        clock.hear(1_000, 1_010, at(500_000), at(500_000));
        for wall in [0, 500_000, 99_000_000] {
            check(&clock, 1_010, wall, 500_000, 500_010);
            check(&clock, 2_010, wall, 501_000, 501_010);
        }
    }

    #[test]
    fn doubt_grows_with_time_and_a_sharper_word_ends_it() {
        let mut clock = Clock::default();
        clock.hear(0, 100, at(500_000), at(500_000));
        check(&clock, 100, 0, 500_000, 500_100);
        check(&clock, 1_000_100, 0, 1_499_800, 1_500_300);
        clock.hear(1_000_100, 1_000_104, at(1_500_050), at(1_500_050));
        check(&clock, 1_000_104, 0, 1_500_050, 1_500_054);
        // One that took longer says less.
        clock.hear(1_000_104, 1_001_104, at(1_500_300), at(1_500_300));
        check(&clock, 1_001_104, 0, 1_501_050, 1_501_054);
    }

    #[test]
    fn a_bus_that_jumps_is_believed_when_the_wall_clock_agrees() {
        let mut clock = Clock::default();
        clock.hear(0, 0, at(500_000), at(500_000));
        clock.hear(1_000, 1_000, at(4_100_000), at(501_000));
        check(&clock, 1_000, 501_000, 501_000, 501_000);
        check(&clock, 1_000, 4_100_000, 4_100_000, 4_100_000);
        check(&clock, 1_000, 9_000_000, 501_000, 4_100_000);
        clock.hear(2_000, 2_000, at(502_000), at(502_000));
        check(&clock, 2_000, 9_000_000, 502_000, 502_000);
        clock.hear(3_000, 3_000, at(503_000), at(503_000));
        check(&clock, 3_000, 9_000_000, 503_000, 503_000);
    }

    #[test]
    fn a_bus_that_is_heard_for_the_first_time_is_not_believed_alone() {
        let mut clock = Clock::default();
        clock.hear(0, 0, at(4_100_000), at(500_000));
        check(&clock, 1_000, 501_000, 501_000, 4_101_000);
        clock.hear(2_000, 2_000, at(502_000), at(502_000));
        check(&clock, 2_000, 502_000, 502_000, 502_000);
        check(&clock, 2_000, 9_000_000, 502_000, 502_000);
    }
}
