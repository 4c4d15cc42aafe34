//! How long answers took, as a sketch: counts of buckets that are at most 1.6 % wide.
//!
//! Any number of sketches add up to the sketch of all, whatever their order, so that a percentile of a month is as true as one
//! of a second: at most 0.8 % off the real one (a promise of 1 %), never an average of percentiles. The buckets are the same
//! for everybody and made by integers alone: up to 127 microseconds each has its own; then each power of two has 64 of one
//! width. What takes longer than 71 minutes counts as that.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema as OpenSchema};

/// Buckets of a power of two.
const PER_POWER: usize = 64;
/// Values below have a bucket each.
const EXACT: u64 = 128;
/// Buckets in all: up to 2^32 microseconds.
pub const BUCKETS: usize = 128 + (32 - 7) * PER_POWER;
/// Buckets that are kept as they are: a second of calls rarely has more.
const FEW_MAX: usize = 32;
/// A bucket's number in bytes: 7 bits each, at most so many.
const VARINT_BYTES_MAX: usize = 10;

/// Counts of times. Empty, it has no memory of its own; with few different ones, 16 bytes for each; else 512 for a power of
/// two that occurs.
#[derive(Clone, Debug, Default)]
pub struct Sketch {
    /// Buckets and their counts, in their order, as long as there are at most [`FEW_MAX`] of them.
    few: Vec<(u16, u64)>,
    /// Counts of 64 neighbours, by which they are, in their order. Nothing while there are few.
    powers: Vec<(u8, Box<[u64; PER_POWER]>)>,
}

impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        self.buckets().eq(other.buckets())
    }
}

impl Eq for Sketch {}

/// The bucket of a time in microseconds.
fn bucket(micros: u64) -> usize {
    if micros < EXACT {
        return usize::try_from(micros).unwrap_or(0);
    }
    let power = micros.ilog2().min(31);
    let micros = micros.min((1 << 32) - 1);
    let within = usize::try_from(micros >> (power - 6)).unwrap_or(0) - PER_POWER;
    128 + (power as usize - 7) * PER_POWER + within
}

/// Which of the powers a bucket is in.
fn power_of(bucket: usize) -> u8 {
    u8::try_from(bucket / PER_POWER).unwrap_or(u8::MAX)
}

/// The middle of a bucket, in microseconds.
fn middle(bucket: usize) -> u64 {
    if bucket < 128 {
        return bucket as u64;
    }
    let (power, within) = ((bucket - 128) / PER_POWER + 7, (bucket - 128) % PER_POWER);
    let width = 1_u64 << (power - 6);
    (PER_POWER + within) as u64 * width + width / 2
}

impl Sketch {
    /// What stands between sketches that are kept one after the other: a distance of nothing, written longer than
    /// [`Sketch::to_bytes`] writes it.
    pub const BETWEEN: [u8; 2] = [0x80, 0x00];

    /// Counts a time in microseconds. Takes memory only where its power of two is new.
    pub fn add(&mut self, micros: u64) {
        self.add_to(bucket(micros), 1);
    }

    /// Counts the same time so often.
    pub fn add_times(&mut self, micros: u64, times: u64) {
        if times > 0 {
            self.add_to(bucket(micros), times);
        }
    }

    fn add_to(&mut self, bucket: usize, count: u64) {
        if count == 0 {
            return;
        }
        if self.powers.is_empty() {
            let number = u16::try_from(bucket).unwrap_or(u16::MAX);
            let at = match self.few.last() {
                // In their order, as they are mostly told.
                Some((last, _)) if *last >= number => self.few.partition_point(|(known, _)| *known < number),
                _ => self.few.len(),
            };
            if let Some((_, place)) = self.few.get_mut(at).filter(|(known, _)| *known == number) {
                *place = place.saturating_add(count);
                return;
            }
            if self.few.len() < FEW_MAX {
                self.few.insert(at, (number, count));
                return;
            }
            self.spread();
        }
        let place = &mut self.power(power_of(bucket))[bucket % PER_POWER];
        *place = place.saturating_add(count);
    }

    /// Makes room for more than a few buckets.
    fn spread(&mut self) {
        for (bucket, count) in std::mem::take(&mut self.few) {
            let bucket = usize::from(bucket);
            self.power(power_of(bucket))[bucket % PER_POWER] = count;
        }
    }

    /// The counts of a power of two; takes memory for them where there are none. Only when there are more than a few buckets.
    fn power(&mut self, power: u8) -> &mut [u64; PER_POWER] {
        let at = match self.powers.iter().position(|(known, _)| *known >= power) {
            Some(at) if self.powers[at].0 == power => at,
            at => {
                let at = at.unwrap_or(self.powers.len());
                self.powers.insert(at, (power, Box::new([0; PER_POWER])));
                at
            }
        };
        &mut self.powers[at].1
    }

    /// Adds what others counted.
    pub fn merge(&mut self, more: &Self) {
        if self.is_empty() {
            self.clone_from(more);
            return;
        }
        for (bucket, count) in &more.few {
            self.add_to(usize::from(*bucket), *count);
        }
        if !more.powers.is_empty() {
            self.spread();
        }
        for (power, counts) in &more.powers {
            for (place, count) in self.power(*power).iter_mut().zip(counts.iter()) {
                *place = place.saturating_add(*count);
            }
        }
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.buckets().fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.few.is_empty() && self.powers.is_empty()
    }

    /// The time in microseconds that so many per mille of all do not exceed (nearest rank); nothing where none was counted.
    pub fn per_mille(&self, per_mille: u64) -> Option<u64> {
        let all = self.count();
        let rank = (u128::from(all) * u128::from(per_mille.min(1000)))
            .div_ceil(1000)
            .clamp(1, u128::from(all.max(1)));
        let mut passed = 0_u128;
        self.buckets().find_map(|(bucket, count)| {
            passed += u128::from(count);
            (passed >= rank).then(|| middle(bucket))
        })
    }

    /// Buckets with something in them, in their order.
    fn buckets(&self) -> impl Iterator<Item = (usize, u64)> {
        let many = self.powers.iter().flat_map(|(power, counts)| {
            let first = usize::from(*power) * PER_POWER;
            counts.iter().enumerate().filter(|(_, n)| **n > 0).map(move |(at, n)| (first + at, *n))
        });
        self.few.iter().map(|(bucket, count)| (usize::from(*bucket), *count)).chain(many)
    }

    /// As bytes, to be kept: of each bucket the distance to the one before and its count, 7 bits a byte, low ones first.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A distance and a count are a byte each, or little more.
        let mut bytes = Vec::with_capacity(self.few.len() * 4 + self.powers.len() * 3 * PER_POWER);
        let mut before = 0;
        for (bucket, count) in &self.few {
            let bucket = usize::from(*bucket);
            varint(&mut bytes, (bucket - before) as u64);
            varint(&mut bytes, *count);
            before = bucket;
        }
        for (power, counts) in &self.powers {
            let first = usize::from(*power) * PER_POWER;
            for (at, count) in counts.iter().enumerate() {
                if *count > 0 {
                    varint(&mut bytes, (first + at - before) as u64);
                    varint(&mut bytes, *count);
                    before = first + at;
                }
            }
        }
        bytes
    }

    /// Adds what was kept as bytes; whether they could be read. What came before a fault counts. [`Sketch::BETWEEN`] stands
    /// between the bytes of one sketch and those of the next.
    pub fn merge_bytes(&mut self, mut bytes: &[u8]) -> bool {
        let mut bucket = 0_usize;
        let few = self.powers.is_empty() && bytes.len() <= 2 * FEW_MAX;
        if !few {
            self.spread();
        }
        // Where the bucket before was: most are of the same power.
        let mut near = 0;
        while !bytes.is_empty() {
            if let Some(next) = bytes.strip_prefix(&Self::BETWEEN) {
                (bytes, bucket) = (next, 0);
                continue;
            }
            let (Some(distance), Some(count)) = (read_varint(&mut bytes), read_varint(&mut bytes)) else {
                return false;
            };
            bucket = bucket.saturating_add(usize::try_from(distance).unwrap_or(usize::MAX));
            if bucket >= BUCKETS {
                return false;
            }
            if few {
                self.add_to(bucket, count);
                continue;
            }
            let power = power_of(bucket);
            if self.powers.get(near).is_none_or(|(known, _)| *known != power) {
                self.power(power);
                near = self.powers.iter().position(|(known, _)| *known == power).unwrap_or(0);
            }
            let place = &mut self.powers[near].1[bucket % PER_POWER];
            *place = place.saturating_add(count);
        }
        true
    }

    /// As text: `<bucket>:<count>`, or `<bucket>` for one, with commas between.
    fn to_text(&self) -> String {
        let mut text = String::new();
        for (bucket, count) in self.buckets() {
            if !text.is_empty() {
                text.push(',');
            }
            let written =
                if count == 1 { write!(text, "{bucket}") } else { write!(text, "{bucket}:{count}") };
            written.expect("writing to a String cannot fail");
        }
        text
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut sketch =
            Self { few: Vec::with_capacity(FEW_MAX.min(text.len() / 5 + 1)), powers: Vec::new() };
        let mut rest = text.as_bytes();
        while let Some((first, more)) = rest.split_first() {
            if *first == b',' {
                rest = more;
                continue;
            }
            let bucket = usize::try_from(read_digits(&mut rest)?).ok().filter(|bucket| *bucket < BUCKETS)?;
            let count = match rest.strip_prefix(b":") {
                Some(more) => {
                    rest = more;
                    read_digits(&mut rest)?
                }
                None => 1,
            };
            if rest.first().is_some_and(|next| *next != b',') {
                return None;
            }
            sketch.add_to(bucket, count);
        }
        Some(sketch)
    }
}

/// At least one digit, and a number that fits.
fn read_digits(rest: &mut &[u8]) -> Option<u64> {
    let (mut number, mut read) = (0_u64, 0);
    while let Some(digit) = rest.get(read).filter(|byte| byte.is_ascii_digit()) {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        read += 1;
    }
    *rest = &rest[read..];
    (read > 0).then_some(number)
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    // Most are small.
    if let [byte @ 0..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return Some(u64::from(*byte));
    }
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        number |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(at).ok()?)?;
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

impl Serialize for Sketch {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Sketch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Text)
    }
}

/// Reads the text where it lies.
struct Text;

impl Visitor<'_> for Text {
    type Value = Sketch;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("`bucket:count,…`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Sketch, E> {
        Sketch::from_text(text).ok_or_else(|| E::custom("not `bucket:count,…`"))
    }
}

impl JsonSchema for Sketch {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Sketch".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(:[0-9]+)?(,[0-9]+(:[0-9]+)?)*)?$" })
    }
}

impl utoipa::PartialSchema for Sketch {
    fn schema() -> RefOr<OpenSchema> {
        ObjectBuilder::new().schema_type(Type::String).into()
    }
}

impl ToSchema for Sketch {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(times: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        times.iter().for_each(|micros| sketch.add(*micros));
        sketch
    }

    #[test]
    fn buckets_follow_each_other() {
        assert_eq!((bucket(0), bucket(127), bucket(128), bucket(129)), (0, 127, 128, 128));
        assert_eq!((bucket(u64::MAX), bucket((1 << 32) - 1)), (BUCKETS - 1, BUCKETS - 1));
        let mut last = 0;
        for micros in 0..100_000 {
            let next = bucket(micros);
            assert!(next == last || next == last + 1, "{micros}");
            last = next;
        }
        for at in 0..BUCKETS {
            assert_eq!(bucket(middle(at)), at);
        }
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Sketch::default().per_mille(500), None);
        assert_eq!(of(&[7]).per_mille(0), Some(7));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "\"x\"",
            "\"1728\"",
            "\"1:\"",
            "\"1:-1\"",
            "\":1\"",
            "\"1:2:3\"",
            "\"1;2\"",
            "\"99999999999999999999\"",
        ] {
            assert!(serde_json::from_str::<Sketch>(text).is_err(), "{text}");
        }
        assert!(!Sketch::default().merge_bytes(&[0x80]));
        assert!(!Sketch::default().merge_bytes(&[0xff, 0xff, 0x7f, 1]));
    }

    proptest! {
        #[test]
        fn percentiles_are_within_one_percent(mut times in prop::collection::vec(1_u64..4_000_000_000, 1..300), per_mille in 1_u64..=1000) {
            let found = of(&times).per_mille(per_mille).expect("times");
            times.sort_unstable();
            let rank = (times.len() as u64 * per_mille).div_ceil(1000).max(1);
            let real = times[usize::try_from(rank).expect("small") - 1];
            prop_assert!(found.abs_diff(real) * 100 <= real, "{found} for {real}");
        }

        #[test]
        fn parts_add_up_whatever_their_order(one in prop::collection::vec(any::<u64>(), 0..50), other in prop::collection::vec(any::<u64>(), 0..50)) {
            let all = of(&[one.clone(), other.clone()].concat());
            let (mut one, other) = (of(&one), of(&other));
            let mut turned = other.clone();
            turned.merge(&one);
            one.merge(&other);
            prop_assert_eq!(&one, &all);
            prop_assert_eq!(&turned, &all);
            let mut read = Sketch::default();
            prop_assert!(read.merge_bytes(&all.to_bytes()));
            prop_assert_eq!(&read, &all);
            let parts = [turned.to_bytes(), other.to_bytes(), Vec::new(), of(&[0, 7]).to_bytes()];
            let mut joined = Sketch::default();
            prop_assert!(joined.merge_bytes(&parts.join(&Sketch::BETWEEN[..])));
            turned.merge(&other);
            turned.merge(&of(&[0, 7]));
            prop_assert_eq!(&joined, &turned);
            let text = serde_json::to_string(&all).expect("serialises");
            prop_assert_eq!(serde_json::from_str::<Sketch>(&text).expect("reads"), all);
        }
    }
}
