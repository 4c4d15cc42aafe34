//! One integration, as one of those who observe sees it: gathers what was observed until it is enough to be compared with what
//! is usual, and says what came of it as an event.
//!
//! Pure. A bucket is as many spans of five minutes as it takes for 24 calls, an hour at most, so that busy integrations are
//! judged every five minutes, probes every half minute every quarter of an hour, and rare ones never: too little says nothing.
//! A span in which it was down, being worked on or not known is quiet: it proves nothing and teaches nothing.

use std::time::Duration;

use model::Timestamp;
use model::health::{Check, HealthCompared, Reason};
use model::usage::Sketch;
use model::{IntegrationId, ProviderId};
use store::{HealthSum, Slot};

use super::report::in_millis;
use crate::degrade::{Degradation, Evidence, Kind, Outcome, Sample};

/// Calls that are compared at once at least.
const CALLS_MIN: u64 = 24;
/// Longest time whose calls are compared at once.
const BUCKET_MAX: Duration = Duration::from_secs(3600);
/// Lengths of a bucket for which word of it counts, unless there is newer.
const COUNTS_LENGTHS: u32 = 4;
/// Calls in a million.
const MILLION: f64 = 1e6;

/// Calls that are gathered.
#[derive(Clone, Debug)]
struct Bucket {
    from: Timestamp,
    requests: u64,
    failures: u64,
    latency: Sketch,
}

/// What is known of an integration by one source.
#[derive(Clone, Debug)]
pub(super) struct Usual {
    check: Check,
    gathered: Option<Bucket>,
    degradation: Degradation,
    /// The last word on a degradation that is not over.
    told: Option<HealthCompared>,
}

impl Usual {
    pub(super) fn new(check: Check) -> Self {
        Self { check, gathered: None, degradation: Degradation::default(), told: None }
    }

    /// Adds what was observed in the next five minutes. Says what is to be told, if that was enough to say something.
    pub(super) fn add(
        &mut self,
        sum: &HealthSum,
        provider: &ProviderId,
        quiet: bool,
    ) -> Option<HealthCompared> {
        if quiet {
            self.gathered = None;
            return None;
        }
        let length = Duration::from_millis(Slot::Five.millis().unsigned_abs());
        let to = sum.start.plus(length);
        let begun = self.gathered.take().filter(|bucket| to.since(bucket.from) <= BUCKET_MAX);
        let empty = Bucket { from: sum.start, requests: 0, failures: 0, latency: Sketch::default() };
        let mut bucket = begun.unwrap_or(empty);
        bucket.requests = bucket.requests.saturating_add(sum.requests);
        bucket.failures = bucket.failures.saturating_add(sum.failures);
        bucket.latency.merge(&sum.latency);
        if bucket.requests < CALLS_MIN {
            self.gathered = Some(bucket);
            return None;
        }
        self.judge(&sum.integration, provider, &bucket, to)
    }

    /// The last word on a degradation that lasts.
    pub(super) fn lasts(&self) -> Option<&HealthCompared> {
        self.told.as_ref()
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of an hour")]
    fn judge(
        &mut self,
        id: &IntegrationId,
        provider: &ProviderId,
        bucket: &Bucket,
        to: Timestamp,
    ) -> Option<HealthCompared> {
        let p95 = bucket.latency.per_mille(950);
        let sample = Sample {
            at: bucket.from.to_jiff(),
            hour: usize::try_from(bucket.from.as_secs().rem_euclid(86_400) / 3600).unwrap_or(0),
            requests: bucket.requests,
            errors: bucket.failures,
            p95_ms: p95.map(|micros| micros as f64 / 1000.0),
        };
        let word = |evidence: &Evidence| told(id, provider, self.check, bucket, to, evidence);
        match self.degradation.observe(&sample, false) {
            Outcome::Usual => None,
            Outcome::Began(evidence) | Outcome::Lasts(evidence) => {
                self.told = Some(word(&evidence));
                self.told.clone()
            }
            Outcome::Ended => self.told.take().map(|before| HealthCompared {
                worse: false,
                at: to,
                until: to,
                requests: bucket.requests,
                p95_ms: p95.map(in_millis),
                errors_ppm: ppm(bucket.failures, bucket.requests),
                detail: "it is as usual again".to_owned(),
                ..before
            }),
        }
    }
}

/// What shows a degradation, as everyone hears it.
fn told(
    id: &IntegrationId,
    provider: &ProviderId,
    check: Check,
    bucket: &Bucket,
    to: Timestamp,
    evidence: &Evidence,
) -> HealthCompared {
    let p95_ms = bucket.latency.per_mille(950).map(in_millis);
    let errors_ppm = ppm(bucket.failures, bucket.requests);
    let (since, requests) = (Timestamp::from(evidence.since), evidence.requests);
    let (whose, calls) = match check {
        Check::Probe => ("probes", format!("{requests} probes")),
        Check::Traffic => ("calls", format!("{requests} calls")),
    };
    let (reason, usual_p95_ms, usual_errors_ppm, detail) = match evidence.kind {
        Kind::Latency => {
            let (now, usual) = (whole(evidence.value), whole(evidence.baseline));
            let detail = format!(
                "95 of 100 {whose} took up to {now} ms, usually {usual} ms at this hour ({calls} since {since})"
            );
            (Reason::Slow, Some(usual), None, detail)
        }
        Kind::Errors => {
            let (now, usual) = (evidence.value * 100.0, evidence.baseline * 100.0);
            let detail = format!(
                "{now:.1} % of {whose} failed, usually {usual:.1} % at this hour ({calls} since {since})"
            );
            (Reason::MoreErrors, None, Some(whole(evidence.baseline * MILLION)), detail)
        }
    };
    HealthCompared {
        integration: id.clone(),
        provider: provider.clone(),
        check,
        worse: true,
        reason,
        at: to,
        since,
        until: to.plus(to.since(bucket.from) * COUNTS_LENGTHS),
        requests,
        p95_ms,
        usual_p95_ms,
        errors_ppm,
        usual_errors_ppm,
        detail,
    }
}

fn ppm(part: u64, of: u64) -> u32 {
    let ppm = u128::from(part.min(of)) * 1_000_000 / u128::from(of.max(1));
    u32::try_from(ppm).unwrap_or(1_000_000)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on both sides")]
fn whole(figure: f64) -> u32 {
    figure.round().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uptime::tests::{id, minute, provider};

    fn sum(five: i64, requests: u64, failures: u64, ms: u64) -> HealthSum {
        let mut latency = Sketch::default();
        latency.add_times(ms * 1000, requests - failures);
        let start = minute(five * 5);
        HealthSum {
            integration: id(),
            check: Check::Traffic,
            start,
            observations: requests,
            requests,
            failures,
            last_at: start,
            latency,
        }
    }

    /// Two ordinary days of as many calls every five minutes, then these; what is said of them.
    fn check(calls: u64, then: &[(u64, u64, u64, bool)]) -> Vec<Option<HealthCompared>> {
        let mut usual = Usual::new(Check::Traffic);
        for five in 0..576_i64 {
            let ms = 100 + (five * 37 % 23).unsigned_abs();
            assert_eq!(usual.add(&sum(five, calls, calls / 100, ms), &provider(), false), None);
        }
        (576..)
            .zip(then)
            .map(|(five, (requests, failures, ms, quiet))| {
                usual.add(&sum(five, *requests, *failures, *ms), &provider(), *quiet)
            })
            .collect()
    }

    #[test]
    fn slower_than_usual_is_told_with_its_evidence_until_it_is_over() {
        let slow = (200, 2, 900, false);
        let fine = (200, 2, 110, false);
        let said = check(200, &[slow, slow, slow, slow, fine, fine, fine, fine]);
        let worse: Vec<_> = said.iter().map(|said| said.as_ref().map(|said| said.worse)).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(worse, [None, None, yes, yes, yes, yes, no, None]);
        let began = said[2].as_ref().expect("it began");
        assert_eq!((began.reason, began.since, began.at), (Reason::Slow, minute(2880), minute(2895)));
        assert_eq!((began.until, began.requests), (minute(2915), 600));
        assert!(began.p95_ms.is_some_and(|ms| ms.abs_diff(900) < 20), "{began:?}");
        assert!(began.usual_p95_ms.is_some_and(|ms| (100..125).contains(&ms)), "{began:?}");
        assert!(began.detail.starts_with("95 of 100 calls took up to "), "{}", began.detail);
    }

    #[test]
    fn more_errors_than_usual_are_told() {
        let bad = (200, 40, 110, false);
        let said = check(200, &[bad, bad, bad]);
        let began = said[2].as_ref().expect("it began");
        assert_eq!((began.reason, began.errors_ppm), (Reason::MoreErrors, 200_000));
        assert_eq!(began.usual_errors_ppm, Some(10_000));
    }

    #[test]
    fn a_quiet_time_says_nothing_and_proves_nothing() {
        let slow = (200, 2, 900, false);
        let quiet = (200, 200, 900, true);
        assert!(check(200, &[quiet; 6]).iter().all(Option::is_none));
        let said = check(200, &[slow, quiet, quiet, slow, quiet, slow]);
        assert_eq!(
            said.iter().map(Option::is_some).collect::<Vec<_>>(),
            [false, false, false, false, false, true]
        );
    }

    #[test]
    fn few_calls_are_gathered_and_very_few_say_nothing() {
        // Ten probes in five minutes: compared every quarter of an hour.
        let said = check(10, &[(10, 0, 900, false); 9]);
        let told: Vec<_> = said.iter().map(Option::is_some).collect();
        assert_eq!(told, [false, false, false, false, false, false, false, false, true]);
        assert!(check(1, &[(1, 0, 900, false); 60]).iter().all(Option::is_none));
    }
}
