//! Judges each bucket against the baseline, and says when a degradation begins and ends.

use jiff::Timestamp;

use super::baseline::{Baseline, Usual};

/// Calls below which a bucket proves nothing.
const REQUESTS_MIN: u64 = 20;
/// Times the usual p95 from which it is slower.
const SLOWER_TIMES: f64 = 2.0;
/// Robust deviations of the p95's logarithm from which it is slower.
const SLOWER_DEVIATIONS: f64 = 4.0;
/// Milliseconds more than usual that people notice.
const SLOWER_MS_MIN: f64 = 50.0;
/// Times the usual share of errors, and share above it, from which there are more.
const ERRORS_TIMES: f64 = 2.0;
const ERRORS_ABOVE: f64 = 0.02;
/// Width of the interval in which the true share of errors may lie, in standard deviations.
const WILSON_DEVIATIONS: f64 = 3.0;
/// Buckets it must last, and be over for.
const LASTING_BUCKETS: u32 = 3;
/// Seconds after which what lasts is the usual.
const USUAL_AFTER_SECS: i64 = 86_400;

/// One bucket of an integration's calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it began.
    pub at: Timestamp,
    /// Its hour of the day, 0 to 23, on the clock by which its callers live.
    pub hour: usize,
    /// Calls in it.
    pub requests: u64,
    /// Calls that failed by the provider's fault.
    pub errors: u64,
    /// 95th percentile of the latency, in milliseconds; `None` when nothing answered.
    pub p95_ms: Option<f64>,
}

/// What got worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The p95 latency, in milliseconds.
    Latency,
    /// Errors a request, 0 to 1.
    Errors,
}

/// What shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// What got worse, which gives the unit of the two figures.
    pub kind: Kind,
    /// The latest bucket's figure.
    pub value: f64,
    /// What is usual at this hour.
    pub baseline: f64,
    /// When the first bucket that was worse began.
    pub since: Timestamp,
    /// Calls in the worse buckets that show it.
    pub requests: u64,
}

/// What a bucket means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// As usual, or too little to say.
    Usual,
    /// A degradation began.
    Began(Evidence),
    /// It goes on.
    Lasts(Evidence),
    /// It is over.
    Ended,
}

/// One integration under watch.
#[derive(Clone, Debug, Default)]
pub struct Degradation {
    baseline: Baseline,
    last: Option<Timestamp>,
    /// Worse buckets in a row, with what shows them.
    worse: Option<(u32, Evidence)>,
    /// Buckets in a row that are not worse, while a degradation lasts.
    better: u32,
    lasts: bool,
}

impl Degradation {
    /// Takes the next bucket. `quiet`: maintenance, or the traffic is elsewhere; it proves and teaches nothing.
    ///
    /// A bucket not later than the last changes nothing, so that one told twice counts once.
    pub fn observe(&mut self, sample: &Sample, quiet: bool) -> Outcome {
        let again = self.last.is_some_and(|last| sample.at <= last);
        if again || quiet || sample.requests < REQUESTS_MIN {
            return self.unchanged();
        }
        self.last = Some(sample.at);
        match self.judge(sample) {
            Some(evidence) => self.worse(sample, evidence),
            None => self.usual(sample),
        }
    }

    fn unchanged(&self) -> Outcome {
        match self.worse {
            Some((_, evidence)) if self.lasts => Outcome::Lasts(evidence),
            Some(_) | None => Outcome::Usual,
        }
    }

    fn worse(&mut self, sample: &Sample, seen: Evidence) -> Outcome {
        self.better = 0;
        let (count, evidence) = match self.worse {
            Some((count, before)) if before.kind == seen.kind || self.lasts => {
                let requests = before.requests.saturating_add(sample.requests);
                (count.saturating_add(1), Evidence { since: before.since, requests, ..seen })
            }
            Some(_) | None => (1, seen),
        };
        self.worse = Some((count, evidence));
        if sample.at.as_second() - evidence.since.as_second() >= USUAL_AFTER_SECS {
            self.learn(sample);
        }
        if self.lasts {
            return Outcome::Lasts(evidence);
        }
        if count < LASTING_BUCKETS {
            return Outcome::Usual;
        }
        self.lasts = true;
        Outcome::Began(evidence)
    }

    fn usual(&mut self, sample: &Sample) -> Outcome {
        self.learn(sample);
        self.better = self.better.saturating_add(1);
        match self.worse {
            Some((_, evidence)) if self.lasts && self.better < LASTING_BUCKETS => Outcome::Lasts(evidence),
            Some(_) | None => {
                self.worse = None;
                if std::mem::take(&mut self.lasts) { Outcome::Ended } else { Outcome::Usual }
            }
        }
    }

    fn learn(&mut self, sample: &Sample) {
        self.baseline.keep(sample.hour, sample.requests, sample.errors, sample.p95_ms);
    }

    /// What is worse in a bucket, errors before latency.
    fn judge(&self, sample: &Sample) -> Option<Evidence> {
        let Usual { p95, error_rate } = self.baseline.usual(sample.hour);
        let shown = |kind, value, baseline| Evidence {
            kind,
            value,
            baseline,
            since: sample.at,
            requests: sample.requests,
        };
        let (rate, least) = error_rates(sample);
        if let Some(usual) =
            error_rate.filter(|usual| least > (usual * ERRORS_TIMES).max(usual + ERRORS_ABOVE))
        {
            return Some(shown(Kind::Errors, rate, usual));
        }
        let ((usual, deviation), now) = (p95?, sample.p95_ms?);
        let slow = (usual * SLOWER_TIMES)
            .max(usual * (SLOWER_DEVIATIONS * deviation).exp())
            .max(usual + SLOWER_MS_MIN);
        (now > slow).then(|| shown(Kind::Latency, now, usual))
    }
}

/// The share of errors, and the lower end of Wilson's interval for it.
fn error_rates(sample: &Sample) -> (f64, f64) {
    let calls = sample.requests as f64;
    let rate = sample.errors.min(sample.requests) as f64 / calls;
    let squared = WILSON_DEVIATIONS * WILSON_DEVIATIONS;
    let half = WILSON_DEVIATIONS * (rate * (1.0 - rate) / calls + squared / (4.0 * calls * calls)).sqrt();
    (rate, (rate + squared / (2.0 * calls) - half) / (1.0 + squared / calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(bucket: i64, errors: u64, p95_ms: f64) -> Sample {
        let at = Timestamp::from_second(bucket * 300).expect("a time of this century");
        Sample { at, hour: (bucket / 12 % 24) as usize, requests: 200, errors, p95_ms: Some(p95_ms) }
    }

    /// Three ordinary days, then the given buckets (errors of 200, p95); what is said of these, a letter each.
    fn check(buckets: &[(u64, f64)], expected: &str) -> Option<Evidence> {
        let mut degradation = Degradation::default();
        for bucket in 0..864 {
            let p95 = 180.0 + ((bucket * 7919) % 41) as f64;
            degradation.observe(&sample(bucket, u64::from(bucket % 4 == 0), p95), false);
        }
        let mut began = None;
        let said = (864..).zip(buckets).map(|(bucket, (errors, p95))| {
            match degradation.observe(&sample(bucket, *errors, *p95), false) {
                Outcome::Usual => '.',
                Outcome::Began(evidence) => {
                    began = Some(evidence);
                    'B'
                }
                Outcome::Lasts(_) => 'l',
                Outcome::Ended => 'E',
            }
        });
        assert_eq!(said.collect::<String>(), expected);
        began
    }

    #[test]
    fn slower_for_three_buckets_is_degraded_and_usual_for_three_is_not() {
        let evidence = check(
            &[(0, 900.0), (0, 900.0), (0, 950.0), (0, 900.0), (0, 200.0), (0, 200.0), (0, 200.0), (0, 200.0)],
            "..BlllE.",
        );
        let evidence = evidence.expect("a degradation began");
        assert_eq!((evidence.kind, evidence.value, evidence.requests), (Kind::Latency, 950.0, 600));
        assert!((190.0..210.0).contains(&evidence.baseline), "{evidence:?}");
        assert_eq!(evidence.since.as_second(), 864 * 300);
    }

    #[test]
    fn more_errors_are_told_before_latency() {
        let evidence = check(&[(40, 900.0); 3], "..B").expect("a degradation began");
        assert_eq!((evidence.kind, evidence.value), (Kind::Errors, 0.2));
    }

    #[test]
    fn one_slow_bucket_is_nothing() {
        check(&[(0, 900.0), (0, 200.0), (0, 900.0), (0, 900.0), (0, 200.0)], ".....");
    }

    #[test]
    fn a_few_errors_more_are_nothing() {
        check(&[(5, 200.0); 6], "......");
    }

    #[test]
    fn few_calls_prove_nothing() {
        let mut degradation = Degradation::default();
        let few = Sample { requests: 5, errors: 5, ..sample(1, 0, 100.0) };
        assert_eq!(degradation.observe(&few, false), Outcome::Usual);
    }

    #[test]
    fn what_lasts_a_day_and_more_becomes_the_usual() {
        let mut degradation = Degradation::default();
        let told = |degradation: &mut Degradation, buckets: std::ops::Range<i64>, p95: f64| {
            buckets.map(|bucket| degradation.observe(&sample(bucket, 0, p95), false)).last()
        };
        told(&mut degradation, 0..864, 200.0);
        assert!(matches!(told(&mut degradation, 864..1_000, 800.0), Some(Outcome::Lasts(_))));
        assert_eq!(told(&mut degradation, 1_000..8_640, 800.0), Some(Outcome::Usual));
    }
}
