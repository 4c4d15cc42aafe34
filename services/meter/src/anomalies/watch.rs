//! One integration under watch: an alarm for each figure, fed bucket by bucket.
//!
//! Pure. The same buckets in the same order make the same watch, so that one who starts again and is fed what was written
//! down knows what its predecessor knew. Cost is watched from the first bucket that cost something.

use std::collections::BTreeMap;

use model::Timestamp;
use store::WatchedBucket;

use super::figure::Figure;
use crate::anomaly::{Alarm, Anomaly, Verdict};

/// From when on a figure is told as unusual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Terms {
    /// Least surprise, in tenfold rareness.
    pub(crate) surprise: f64,
    /// Buckets over which surprises are averaged.
    pub(crate) buckets: usize,
}

impl Terms {
    /// Those without a rule: about one false alarm in five weeks and series, measured on public data.
    pub(crate) const DEFAULT: Self = Self { surprise: 2.0, buckets: 2 };
}

/// The alarms of an integration.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    terms: Terms,
    alarms: BTreeMap<Figure, Alarm>,
    lasting: BTreeMap<Figure, Anomaly>,
    last: Option<Timestamp>,
}

/// Something unusual of the past.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// Of what.
    pub(crate) figure: Figure,
    /// As it was when it began to be told.
    pub(crate) anomaly: Anomaly,
    /// When that was: the end of the bucket that showed it.
    pub(crate) from: Timestamp,
    /// When it was over. Absent: it lasts.
    pub(crate) to: Option<Timestamp>,
}

impl Watch {
    /// Nothing is known yet.
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, alarms: BTreeMap::new(), lasting: BTreeMap::new(), last: None }
    }

    /// Takes the next bucket, and says what began with it and what ended. One not later than the last changes nothing.
    pub(crate) fn feed(&mut self, bucket: &WatchedBucket) -> Vec<(Figure, Verdict)> {
        if self.last.is_some_and(|last| bucket.start <= last) {
            return Vec::new();
        }
        self.last = Some(bucket.start);
        let mut news = Vec::new();
        for figure in Figure::ALL {
            let Some(value) = figure.of(bucket) else { continue };
            if figure == Figure::Cost && value == 0.0 && !self.alarms.contains_key(&figure) {
                continue;
            }
            let Terms { surprise, buckets } = self.terms;
            let new = || Alarm::new(figure.sensitivity(surprise, buckets));
            let alarm = self.alarms.entry(figure).or_insert_with(new);
            match alarm.observe(bucket.start.to_jiff(), value, figure.is_quiet(bucket.aside)) {
                Verdict::Normal | Verdict::Lasts => {}
                Verdict::Began(anomaly) => {
                    self.lasting.insert(figure, anomaly.clone());
                    news.push((figure, Verdict::Began(anomaly)));
                }
                Verdict::Ended => {
                    self.lasting.remove(&figure);
                    news.push((figure, Verdict::Ended));
                }
            }
        }
        news
    }

    /// What is unusual after the last bucket.
    pub(crate) fn lasting(&self) -> &BTreeMap<Figure, Anomaly> {
        &self.lasting
    }

    /// When the last bucket began.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// How many series it holds.
    pub(crate) fn series(&self) -> usize {
        self.alarms.len()
    }
}

/// What would have been told of buckets, oldest first, of those that ended at `from` or later.
pub(crate) fn found(terms: Terms, buckets: &[WatchedBucket], from: Timestamp) -> Vec<Found> {
    let mut watch = Watch::new(terms);
    let mut all: Vec<Found> = Vec::new();
    for bucket in buckets {
        let at = bucket.start.plus(super::BUCKET);
        for (figure, verdict) in watch.feed(bucket) {
            match verdict {
                Verdict::Began(anomaly) => all.push(Found { figure, anomaly, from: at, to: None }),
                Verdict::Ended => {
                    let open = all.iter_mut().rev().find(|found| found.figure == figure);
                    if let Some(open) = open {
                        open.to = Some(at);
                    }
                }
                Verdict::Normal | Verdict::Lasts => {}
            }
        }
    }
    all.retain(|found| found.to.is_none_or(|to| to >= from));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Aside;

    fn bucket(number: i64, requests: u64, errors: u64) -> WatchedBucket {
        WatchedBucket {
            start: Timestamp::from_millis(1_700_000_100_000 + number * 300_000),
            requests,
            errors,
            p95_ms: Some(180 + u32::try_from(number * 7919 % 41).expect("small")),
            cost_micros: 0,
            aside: Aside::No,
        }
    }

    fn ordinary(number: i64) -> WatchedBucket {
        bucket(number, 400 + u64::try_from(number * 7919 % 37).expect("small"), u64::from(number % 4 == 0))
    }

    fn week() -> Vec<WatchedBucket> {
        (0..2_016).map(ordinary).collect()
    }

    #[test]
    fn a_week_as_usual_has_nothing_and_errors_are_found_once() {
        let mut buckets = week();
        let from = buckets[288].start;
        assert_eq!(found(Terms::DEFAULT, &buckets, from), []);
        buckets.extend((2_016..2_024).map(|number| WatchedBucket { errors: 120, ..ordinary(number) }));
        buckets.extend((2_024..2_060).map(ordinary));
        let found = found(Terms::DEFAULT, &buckets, from);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].figure, Figure::Errors);
        assert!(found[0].anomaly.value > 0.25, "{found:?}");
        assert!(found[0].anomaly.expected.is_some_and(|expected| expected < 0.01), "{found:?}");
        assert!(found[0].to.is_some());
    }

    #[test]
    fn what_is_fed_again_makes_the_same_watch() {
        let mut buckets = week();
        buckets.extend((2_016..2_020).map(|number| bucket(number, 400, 120)));
        let fed = |buckets: &[WatchedBucket]| {
            let mut watch = Watch::new(Terms::DEFAULT);
            buckets.iter().for_each(|bucket| drop(watch.feed(bucket)));
            watch
        };
        let (mut once, twice) = (fed(&buckets), fed(&buckets));
        assert_eq!(once.lasting(), twice.lasting());
        assert_eq!(once.lasting().len(), 1);
        assert_eq!(once.feed(&buckets[2_019]), [], "a bucket again changes nothing");
        assert_eq!(once.series(), 3, "what costs nothing has no series");
    }
}
