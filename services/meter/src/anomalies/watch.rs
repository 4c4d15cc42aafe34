//! One integration under watch: a detector for each figure, fed bucket by bucket, and a judge of each for each rule.
//!
//! Pure. The same buckets in the same order make the same watch, so that one who starts again and is fed what was written
//! down knows what its predecessor knew. Cost is watched from the first bucket that cost something.

use std::collections::BTreeMap;

use model::Timestamp;
use model::id::Slug;
use model::rule::Rule;
use store::WatchedBucket;

use super::BUCKET;
use super::figure::Figure;
use crate::anomaly::{Anomaly, Detector, Judge, Verdict};

/// From when on a figure is told as unusual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Terms {
    /// Least surprise, in tenfold rareness.
    pub(crate) surprise: f64,
    /// Buckets over which surprises are averaged.
    pub(crate) buckets: usize,
}

impl Terms {
    /// What a rule of anomalies says, its values filled in.
    pub(crate) fn of(rule: &Rule) -> Self {
        let buckets = rule.wait.unwrap_or_default().length().as_secs().div_ceil(BUCKET.as_secs());
        Self {
            surprise: rule.threshold.unwrap_or(f64::INFINITY),
            buckets: usize::try_from(buckets).unwrap_or(usize::MAX),
        }
    }
}

/// What is told of: a figure, by a rule.
pub(crate) type Told = (Figure, Slug);

/// One figure, and those who judge it.
#[derive(Clone, Debug)]
struct Series {
    detector: Detector,
    judges: BTreeMap<Slug, Judge>,
}

/// The alarms of an integration.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    rules: BTreeMap<Slug, Terms>,
    series: BTreeMap<Figure, Series>,
    lasting: BTreeMap<Told, Anomaly>,
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
    /// Nothing is known yet. Without rules nothing is looked at.
    pub(crate) fn new(rules: BTreeMap<Slug, Terms>) -> Self {
        Self { rules, series: BTreeMap::new(), lasting: BTreeMap::new(), last: None }
    }

    /// Takes the next bucket, and says what began with it and what ended. One not later than the last changes nothing.
    pub(crate) fn feed(&mut self, bucket: &WatchedBucket) -> Vec<(Told, Verdict)> {
        if self.last.is_some_and(|last| bucket.start <= last) {
            return Vec::new();
        }
        self.last = Some(bucket.start);
        let mut news = Vec::new();
        if self.rules.is_empty() {
            return news;
        }
        for figure in Figure::ALL {
            let Some(value) = figure.of(bucket) else { continue };
            if figure == Figure::Cost && value == 0.0 && !self.series.contains_key(&figure) {
                continue;
            }
            let rules = &self.rules;
            let series = self.series.entry(figure).or_insert_with(|| Series::new(figure, rules));
            let seen = match figure.is_quiet(bucket.aside) {
                true => None,
                false => Some(series.detector.observe(bucket.start.to_jiff(), value)),
            };
            for (rule, judge) in &mut series.judges {
                let verdict = match seen {
                    None => judge.skip(),
                    Some(seen) => judge.judge(seen),
                };
                match &verdict {
                    Verdict::Normal | Verdict::Lasts => continue,
                    Verdict::Began(anomaly) => {
                        self.lasting.insert((figure, rule.clone()), anomaly.clone());
                    }
                    Verdict::Ended => {
                        self.lasting.remove(&(figure, rule.clone()));
                    }
                }
                news.push(((figure, rule.clone()), verdict));
            }
        }
        news
    }

    /// What is unusual after the last bucket.
    pub(crate) fn lasting(&self) -> &BTreeMap<Told, Anomaly> {
        &self.lasting
    }

    /// When the last bucket began.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// How many series it holds.
    pub(crate) fn series(&self) -> usize {
        self.series.len()
    }
}

impl Series {
    fn new(figure: Figure, rules: &BTreeMap<Slug, Terms>) -> Self {
        let judge = |terms: &Terms| Judge::new(figure.sensitivity(terms.surprise, terms.buckets));
        let judges = rules.iter().map(|(rule, terms)| (rule.clone(), judge(terms))).collect();
        Self { detector: Detector::default(), judges }
    }
}

/// What would have been told of buckets, oldest first, of those that ended at `from` or later.
pub(crate) fn found(terms: Terms, buckets: &[WatchedBucket], from: Timestamp) -> Vec<Found> {
    let mut watch = Watch::new(BTreeMap::from([(Slug::of("anomaly"), terms)]));
    let mut all: Vec<Found> = Vec::new();
    for bucket in buckets {
        let at = bucket.start.plus(BUCKET);
        for ((figure, _), verdict) in watch.feed(bucket) {
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

    /// About one false alarm in five weeks and series, measured on public data.
    const TERMS: Terms = Terms { surprise: 2.0, buckets: 2 };

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
        assert_eq!(found(TERMS, &buckets, from), []);
        buckets.extend((2_016..2_024).map(|number| WatchedBucket { errors: 120, ..ordinary(number) }));
        buckets.extend((2_024..2_060).map(ordinary));
        let found = found(TERMS, &buckets, from);
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
            let strict = Terms { surprise: 31.0, buckets: 2 };
            let rules = [(Slug::of("anomaly"), TERMS), (Slug::of("strict"), strict)];
            let mut watch = Watch::new(BTreeMap::from(rules));
            buckets.iter().for_each(|bucket| drop(watch.feed(bucket)));
            watch
        };
        let (mut once, twice) = (fed(&buckets), fed(&buckets));
        assert_eq!(once.lasting(), twice.lasting());
        let lasting: Vec<&Told> = once.lasting().keys().collect();
        assert_eq!(lasting, [&(Figure::Errors, Slug::of("anomaly"))]);
        assert_eq!(once.feed(&buckets[2_019]), [], "a bucket again changes nothing");
        assert_eq!(once.series(), 3, "what costs nothing has no series");
    }
}
