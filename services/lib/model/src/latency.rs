//! Latencies, kept so that they can be added up and still give true percentiles.
//!
//! A sketch counts answers by buckets whose borders grow by 4 %, so that every percentile is right to 2 %, whatever was
//! added to what in which order (as DDSketch has it). Percentiles themselves are never averaged. Holds at most
//! [`BUCKETS_MAX`] buckets: what takes longer than an hour counts as an hour.

use std::collections::BTreeMap;

/// What each bucket's border is of the one before: twice 2 % of error.
const GROWTH: f64 = 1.02 / 0.98;
/// The longest latency that is told apart, in milliseconds.
pub const LATENCY_MS_MAX: u32 = 3_600_000;
/// Buckets of a sketch at most: `ln(LATENCY_MS_MAX) / ln(GROWTH)`, and one for zero.
pub const BUCKETS_MAX: usize = 379;

/// Latencies of many answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Answers by bucket. Bucket 0 is up to a millisecond.
    buckets: BTreeMap<u16, u64>,
}

impl Latencies {
    /// Adds answers that took so many milliseconds each.
    pub fn add(&mut self, latency_ms: u32, answers: u64) {
        if answers > 0 {
            let count = self.buckets.entry(bucket(latency_ms)).or_default();
            *count = count.saturating_add(answers);
        }
    }

    /// Adds all that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (&bucket, &answers) in &other.buckets {
            let count = self.buckets.entry(bucket).or_default();
            *count = count.saturating_add(answers);
        }
    }

    /// How many answers it holds.
    pub fn answers(&self) -> u64 {
        self.buckets.values().fold(0, |sum, answers| sum.saturating_add(*answers))
    }

    /// The latency that so many in a thousand answers do not exceed, in milliseconds, right to 2 %. Nothing without
    /// answers.
    pub fn quantile(&self, per_mille: u32) -> Option<u32> {
        let wanted = (u128::from(self.answers()) * u128::from(per_mille.min(1000))).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        for (&bucket, &answers) in &self.buckets {
            seen += u128::from(answers);
            if seen >= wanted {
                return Some(middle(bucket));
            }
        }
        None
    }

    /// As few bytes: for each bucket its distance from the one before and its count, as LEB128.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.buckets.len() * 3);
        let mut before = 0;
        for (&bucket, &answers) in &self.buckets {
            put(&mut bytes, u64::from(bucket - before));
            put(&mut bytes, answers);
            before = bucket;
        }
        bytes
    }

    /// Reads [`Latencies::to_bytes`]. Nothing when these are not such bytes.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let (mut buckets, mut before) = (BTreeMap::new(), 0_u64);
        while !bytes.is_empty() {
            before = before.checked_add(take(&mut bytes)?)?;
            let bucket = u16::try_from(before).ok().filter(|bucket| usize::from(*bucket) < BUCKETS_MAX)?;
            buckets.insert(bucket, take(&mut bytes)?);
        }
        Some(Self { buckets })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the logarithm of at least 1 is not negative, and BUCKETS_MAX bounds it"
)]
fn bucket(latency_ms: u32) -> u16 {
    (f64::from(latency_ms.clamp(1, LATENCY_MS_MAX)).ln() / GROWTH.ln()).ceil() as u16
}

/// The latency that is at most 2 % from every one in a bucket.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most LATENCY_MS_MAX and 2 %")]
fn middle(bucket: u16) -> u32 {
    (2.0 * GROWTH.powi(i32::from(bucket)) / (GROWTH + 1.0)).round().max(1.0) as u32
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(latencies: impl IntoIterator<Item = u32>) -> Latencies {
        let mut all = Latencies::default();
        latencies.into_iter().for_each(|ms| all.add(ms, 1));
        all
    }

    #[test]
    fn percentiles_are_right_to_two_percent() {
        let all = of(1..=10_000);
        for (per_mille, exact) in [(500, 5_000_f64), (950, 9_500.0), (990, 9_900.0), (1000, 10_000.0)] {
            let found = f64::from(all.quantile(per_mille).expect("there are answers"));
            assert!((found - exact).abs() <= exact * 0.02 + 1.0, "{per_mille}: {found}");
        }
        assert_eq!(Latencies::default().quantile(500), None);
        assert_eq!(of([0, 1]).quantile(500), Some(1));
    }

    #[test]
    fn the_order_in_which_they_are_added_up_does_not_matter() {
        let mut one = of(1..500);
        one.merge(&of(500..=10_000));
        let mut other = of(5_000..=10_000);
        other.merge(&of(1..5_000));
        assert_eq!(one, other);
        assert_eq!(one.answers(), 10_000);
    }

    #[test]
    fn bytes_hold_all_of_it_and_other_bytes_nothing() {
        let mut all = of((0..=u32::MAX).step_by(100_003));
        all.add(7, u64::MAX);
        let bytes = all.to_bytes();
        assert!(bytes.len() < BUCKETS_MAX * 12);
        assert_eq!(Latencies::from_bytes(&bytes), Some(all));
        assert_eq!(Latencies::from_bytes(&[]), Some(Latencies::default()));
        for bad in [&[0x80][..], &[1], &[0xff, 0x7f, 1], &[0xff; 32]] {
            assert_eq!(Latencies::from_bytes(bad), None, "{bad:?}");
        }
    }
}
