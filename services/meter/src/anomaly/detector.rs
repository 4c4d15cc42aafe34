//! One series seen through the three views: how surprising is this value?
//!
//! The mean of the views' surprises is Fisher's way of joining chances, up to a factor: several views that are mildly surprised
//! weigh as much as one that is very much so. Never decides what to do about it: that is `alarm`.

use jiff::Timestamp;

use super::season::Season;
use super::shape::Shape;
use super::tail::Tail;

/// Buckets of the wide view: 8 hours of 5 minutes, 2 days of half hours, 4 days of hours.
const WIDE_BUCKETS: usize = 96;
/// Buckets of the narrow view.
const NARROW_BUCKETS: usize = 24;
/// Turns a median distance into a standard deviation, for normal noise.
const DEVIATION_PER_MEDIAN: f64 = 1.4826;
/// Larger values are taken for this: squares of their roots' differences must fit single precision.
const VALUE_MAX: f64 = 1e18;

/// The memory of one series: about 200 KiB at most.
#[derive(Clone, Debug)]
pub struct Detector {
    wide: Shape,
    narrow: Shape,
    season: Season,
    /// What was surprising so far, by view: wide, narrow, season.
    tails: [Tail; 3],
    last: Option<Timestamp>,
}

/// What the views say of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// When its bucket began.
    pub at: Timestamp,
    /// The value itself.
    pub value: f64,
    /// Mean surprise of the views, in tenfold rareness: 2 is about one in a hundred in every view. 0 while learning.
    pub surprise: f64,
    /// What was expected at this time of day; `None` before a day is known.
    pub expected: Option<f64>,
    /// Mean distance of the last half dozen values from the expected, in robust standard deviations on the square-root scale.
    pub deviations: Option<f64>,
}

impl Default for Detector {
    fn default() -> Self {
        Detector {
            wide: Shape::new(WIDE_BUCKETS),
            narrow: Shape::new(NARROW_BUCKETS),
            season: Season::default(),
            tails: Default::default(),
            last: None,
        }
    }
}

impl Detector {
    /// Takes the next bucket's value and says how surprising it is.
    ///
    /// `None` for a value that is no number and for a bucket not later than the last: it is not learned from either,
    /// so that a bucket delivered twice counts once. Buckets should be of one length, five minutes or longer; a
    /// missing one is simply not told.
    pub fn observe(&mut self, at: Timestamp, value: f64) -> Option<Seen> {
        if !value.is_finite() || self.last.is_some_and(|last| at <= last) {
            return None;
        }
        self.last = Some(at);
        let scaled = root(value.clamp(-VALUE_MAX, VALUE_MAX));
        let residual = self.season.residual(at, scaled);
        // Before a day is known its view has nothing to say, nor to learn: zeros would make the second day a wonder.
        let by_day = residual.expected.map(|_| residual.smoothed.abs());
        let figures = [Some(self.wide.distance(scaled)), Some(self.narrow.distance(scaled)), by_day];
        let deviations = self.tails[2]
            .median()
            .filter(|median| *median > 0.0)
            .map(|median| residual.smoothed / (DEVIATION_PER_MEDIAN * median));
        let mut surprise = 0.0;
        for (tail, figure) in self.tails.iter_mut().zip(figures) {
            surprise += figure.map_or(0.0, |figure| tail.weigh(figure)) / figures.len() as f64;
        }
        Some(Seen { at, value, surprise, expected: residual.expected.map(square), deviations })
    }
}

/// The square root, with the value's sign.
fn root(value: f64) -> f64 {
    value.abs().sqrt().copysign(value)
}

/// What `root` was taken of.
fn square(scaled: f64) -> f64 {
    (scaled * scaled).copysign(scaled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(bucket: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + bucket * 300).expect("a time of this century")
    }

    fn daily(bucket: i64) -> f64 {
        let hour = (bucket % 288) / 12;
        100.0 + 50.0 * f64::from(u8::from((8..18).contains(&hour))) + ((bucket * 7919) % 13) as f64
    }

    #[test]
    fn an_ordinary_week_surprises_little_and_a_stopped_series_much() {
        let mut detector = Detector::default();
        let ordinary =
            (0..2_016).filter_map(|bucket| detector.observe(at(bucket), daily(bucket))).skip(1_000);
        let highest = ordinary.map(|seen| seen.surprise).fold(0.0, f64::max);
        let stopped = (2_016..2_028).filter_map(|bucket| detector.observe(at(bucket), 0.0)).last();
        let stopped = stopped.expect("each bucket is later than the one before");
        assert!(stopped.surprise > 2.0 * highest, "{} {highest}", stopped.surprise);
        assert!(stopped.deviations.is_some_and(|deviations| deviations < -4.0), "{stopped:?}");
        assert!(stopped.expected.is_some_and(|expected| expected > 90.0), "{stopped:?}");
    }

    #[test]
    fn a_bucket_twice_counts_once() {
        let mut detector = Detector::default();
        assert!(detector.observe(at(1), 5.0).is_some());
        assert_eq!(detector.observe(at(1), 5.0), None);
        assert_eq!(detector.observe(at(0), 5.0), None);
    }

    #[test]
    fn what_is_no_number_is_not_learned() {
        let mut detector = Detector::default();
        assert_eq!(detector.observe(at(1), f64::NAN), None);
        assert_eq!(detector.observe(at(1), f64::INFINITY), None);
        assert!(detector.observe(at(1), 5.0).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_series_gives_a_surprise_that_is_no_number(values in prop::collection::vec(any::<f64>(), 0..400)) {
            let mut detector = Detector::default();
            for (bucket, value) in (0..).zip(values) {
                if let Some(seen) = detector.observe(at(bucket), value) {
                    prop_assert!((0.0..=30.0).contains(&seen.surprise));
                }
            }
        }

        #[test]
        fn the_future_changes_no_verdict(values in prop::collection::vec(0.0..100.0f64, 300..400), cut in 0usize..300) {
            let (mut whole, mut part) = (Detector::default(), Detector::default());
            let all: Vec<_> = (0..).zip(&values).map(|(bucket, value)| whole.observe(at(bucket), *value)).collect();
            let some: Vec<_> = (0..).zip(&values[..cut]).map(|(bucket, value)| part.observe(at(bucket), *value)).collect();
            prop_assert_eq!(&all[..cut], &some[..]);
        }
    }
}
