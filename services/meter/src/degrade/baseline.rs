//! What is usual at each hour of the day: the middle p95, its spread, and the share of errors.
//!
//! Hours are those of the series' own clock, as the caller tells them (0 to 23). An hour with too little of its own borrows
//! the whole day's. Keeps `SAMPLES_MAX` samples an hour, the oldest dropped first.

use std::collections::VecDeque;

use crate::order::median;

const HOURS: usize = 24;
/// Samples kept an hour of the day: two weeks of 5-minute buckets.
const SAMPLES_MAX: usize = 14 * 12;
/// Samples from which an hour's own baseline counts, and from which the whole day's does.
const SAMPLES_MIN: usize = 12;
/// Turns a median distance into a standard deviation, for normal noise.
const DEVIATION_PER_MEDIAN: f64 = 1.4826;

/// One bucket that was ordinary.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// Natural logarithm of the p95 in milliseconds; `None` when nothing answered.
    p95_log: Option<f32>,
    requests: u64,
    errors: u64,
}

/// What is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usual {
    /// Middle p95, in milliseconds, with the robust deviation of its logarithm; `None` with too few.
    pub(super) p95: Option<(f64, f64)>,
    /// Errors a request; `None` with too few samples.
    pub(super) error_rate: Option<f64>,
}

/// Samples by hour of the day.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    hours: [VecDeque<Kept>; HOURS],
}

impl Default for Baseline {
    fn default() -> Self {
        Baseline { hours: std::array::from_fn(|_| VecDeque::new()) }
    }
}

impl Baseline {
    /// Learns an ordinary bucket.
    pub(super) fn keep(&mut self, hour: usize, requests: u64, errors: u64, p95_ms: Option<f64>) {
        let kept = &mut self.hours[hour % HOURS];
        if kept.len() == SAMPLES_MAX {
            kept.pop_front();
        }
        let p95_log = p95_ms.filter(|p95| *p95 > 0.0).map(|p95| p95.ln() as f32);
        kept.push_back(Kept { p95_log, requests, errors });
    }

    /// What is usual at an hour of the day.
    pub(super) fn usual(&self, hour: usize) -> Usual {
        let own = &self.hours[hour % HOURS];
        if own.len() >= SAMPLES_MIN { usual(own.iter()) } else { usual(self.hours.iter().flatten()) }
    }
}

fn usual<'a>(samples: impl Iterator<Item = &'a Kept>) -> Usual {
    let (mut count, mut requests, mut errors, mut logs) = (0usize, 0u64, 0u64, Vec::new());
    for sample in samples {
        count += 1;
        requests = requests.saturating_add(sample.requests);
        errors = errors.saturating_add(sample.errors);
        logs.extend(sample.p95_log.map(f64::from));
    }
    let error_rate = (count >= SAMPLES_MIN && requests > 0).then(|| errors as f64 / requests as f64);
    if logs.len() < SAMPLES_MIN {
        return Usual { p95: None, error_rate };
    }
    let middle = median(&mut logs);
    let p95 = middle.and_then(|middle| {
        let mut distances: Vec<f64> = logs.iter().map(|log| (log - middle).abs()).collect();
        median(&mut distances).map(|distance| (middle.exp(), distance * DEVIATION_PER_MEDIAN))
    });
    Usual { p95, error_rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_borrows_the_days_baseline_until_it_has_its_own() {
        let mut baseline = Baseline::default();
        for _ in 0..SAMPLES_MIN {
            baseline.keep(3, 100, 1, Some(200.0));
        }
        let (own, borrowed) = (baseline.usual(3), baseline.usual(4));
        assert_eq!(own, borrowed);
        assert_eq!(own.error_rate, Some(0.01));
        assert!(own.p95.is_some_and(|(p95, deviation)| (p95 - 200.0).abs() < 0.1 && deviation == 0.0));
    }

    #[test]
    fn too_little_is_no_baseline() {
        let mut baseline = Baseline::default();
        baseline.keep(3, 100, 1, Some(200.0));
        assert_eq!(baseline.usual(3), Usual { p95: None, error_rate: None });
    }

    #[test]
    fn memory_ends_at_its_bound() {
        let mut baseline = Baseline::default();
        for _ in 0..1_000 {
            baseline.keep(3, 100, 1, None);
        }
        assert_eq!(baseline.hours[3].len(), SAMPLES_MAX);
    }
}
