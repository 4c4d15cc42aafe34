//! Tallies: sums that were counted and are in no row yet, as they are kept in between.
//!
//! A row of a roll-up is about as dear whether it takes one call or a thousand, so those who count much keep the sums of many
//! transactions like this first: short, and in the same transaction as the marks of what was counted. Whoever folds them takes
//! all, also those of a replica that died. Minutes only, and not of everything: both follow from the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::Timestamp;
use model::health::Reason;
use model::usage::{Sketch, Tokens};

use super::rows::{Key, Sums};
use super::{Facet, Step, Totals};
use crate::db::{Tx, values};
use crate::{Error, Result};

/// Tallies that are folded in one transaction at most.
pub(super) const TAKEN_MAX: u32 = 64;
/// The form that is written.
const FORM: u8 = 1;
/// Bytes of a number at most, 7 bits each.
const VARINT_BYTES_MAX: u32 = 10;

/// Keeps sums.
pub(super) async fn put(tx: &mut Tx, sums: &Sums<'_>) -> Result<()> {
    if sums.is_empty() {
        return Ok(());
    }
    let bytes = write(sums)?;
    tx.execute("INSERT INTO usage_tallies (sums) VALUES ($1)", &values![bytes.as_slice()]).await?;
    Ok(())
}

/// Takes the oldest tallies, at most so many: how many, and what they are together.
pub(super) async fn take(tx: &mut Tx, limit: u32) -> Result<(usize, Sums<'static>)> {
    let rows = tx
        .all(
            "DELETE FROM usage_tallies WHERE id IN (SELECT id FROM usage_tallies ORDER BY id LIMIT $1)
             RETURNING sums",
            &values![limit],
        )
        .await?;
    let mut sums = Sums::default();
    for row in &rows {
        read(&row.bytes("sums")?, &mut sums)
            .ok_or_else(|| Error::corrupt("column `sums`", "it is no tally"))?;
    }
    Ok((rows.len(), sums))
}

/// The form: a byte that names it; then of each sum its key, its numbers, its latencies, its reasons as JSON or nothing. A text
/// has its length before it; numbers are 7 bits a byte, low ones first.
fn write(sums: &Sums<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1 + sums.len() * 128);
    bytes.push(FORM);
    for (key, sum) in sums {
        text(&mut bytes, key.integration.as_bytes());
        number(&mut bytes, u64::from(key.facet.number()));
        number(&mut bytes, key.start.as_millis().cast_unsigned());
        text(&mut bytes, key.name.as_bytes());
        numbers(sum).into_iter().for_each(|value| number(&mut bytes, value));
        text(&mut bytes, &sum.latency.to_bytes());
        let reasons = match sum.reasons.is_empty() {
            true => Vec::new(),
            false => serde_json::to_vec(&sum.reasons).map_err(|error| Error::corrupt("reasons", error))?,
        };
        text(&mut bytes, &reasons);
    }
    Ok(bytes)
}

/// Adds what was written; nothing where it cannot be read.
fn read(bytes: &[u8], sums: &mut Sums<'static>) -> Option<()> {
    let (form, mut bytes) = bytes.split_first()?;
    if *form != FORM {
        return None;
    }
    let bytes = &mut bytes;
    while !bytes.is_empty() {
        let integration = Cow::Owned(String::from_utf8(read_text(bytes)?.to_vec()).ok()?);
        let facet = read_number(bytes)?;
        let facet = Facet::EVERY.into_iter().find(|known| u64::from(known.number()) == facet)?;
        let start = Timestamp::from_millis(read_number(bytes)?.cast_signed());
        let name = Cow::Owned(String::from_utf8(read_text(bytes)?.to_vec()).ok()?);
        let mut values = [0; 12];
        for value in &mut values {
            *value = read_number(bytes)?;
        }
        let mut sum = totals(values);
        if !sum.latency.merge_bytes(read_text(bytes)?) {
            return None;
        }
        let reasons = read_text(bytes)?;
        if !reasons.is_empty() {
            sum.reasons = serde_json::from_slice::<BTreeMap<Reason, u64>>(reasons).ok()?;
        }
        match sums.entry(Key { integration, facet, step: Step::Minute, start, name }) {
            std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().add(&sum),
            std::collections::hash_map::Entry::Vacant(new) => drop(new.insert(sum)),
        }
    }
    Some(())
}

fn numbers(sum: &Totals) -> [u64; 12] {
    [
        sum.requests,
        sum.errors,
        sum.cache_hits,
        sum.request_bytes,
        sum.response_bytes,
        sum.latency_sum_ms,
        sum.cost_micros,
        sum.tokens.input_tokens,
        sum.tokens.cached_tokens,
        sum.tokens.cache_write_tokens,
        sum.tokens.output_tokens,
        sum.tokens.unpriced_answers,
    ]
}

fn totals(numbers: [u64; 12]) -> Totals {
    let [
        requests,
        errors,
        cache_hits,
        request_bytes,
        response_bytes,
        latency_sum_ms,
        cost_micros,
        tokens @ ..,
    ] = numbers;
    let [input_tokens, cached_tokens, cache_write_tokens, output_tokens, unpriced_answers] = tokens;
    let tokens = Tokens { input_tokens, cached_tokens, cache_write_tokens, output_tokens, unpriced_answers };
    Totals {
        requests,
        errors,
        reasons: BTreeMap::new(),
        cache_hits,
        request_bytes,
        response_bytes,
        latency_sum_ms,
        latency: Sketch::default(),
        cost_micros,
        tokens,
    }
}

fn text(to: &mut Vec<u8>, text: &[u8]) {
    number(to, text.len() as u64);
    to.extend_from_slice(text);
}

fn number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn read_text<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(text)
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..VARINT_BYTES_MAX {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(parts: Vec<(String, i64, [u64; 12], Vec<u64>)>) -> Sums<'static> {
        let mut sums = Sums::default();
        for (place, (name, start, numbers, times)) in parts.into_iter().enumerate() {
            let mut sum = totals(numbers);
            times.iter().for_each(|micros| sum.latency.add(*micros));
            if place % 2 == 0 {
                sum.reasons.insert(Reason::Timeout, place as u64 + 1);
            }
            let (integration, name) = (Cow::Owned(format!("i-{place}")), Cow::Owned(name));
            let (facet, start) = (Facet::EVERY[place % 5], Timestamp::from_millis(start));
            sums.insert(Key { integration, facet, step: Step::Minute, start, name }, sum);
        }
        sums
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_adds_up(
            parts in prop::collection::vec(
                (".{0,9}", any::<i64>(), prop::array::uniform12(0..u64::MAX / 2), prop::collection::vec(any::<u64>(), 0..60)),
                0..12,
            ),
        ) {
            let written = sums(parts);
            let bytes = write(&written).expect("it can be written");
            let mut found = Sums::default();
            read(&bytes, &mut found).expect("it can be read");
            prop_assert!(found == written);
            read(&bytes, &mut found).expect("it can be read");
            for (key, sum) in &written {
                let mut twice = sum.clone();
                twice.add(sum);
                prop_assert_eq!(found.get(key), Some(&twice));
            }
            for cut in 1..bytes.len().min(40) {
                let mut found = Sums::default();
                // Cut where a sum ends it is a shorter tally; anywhere else it is none.
                let read = read(&bytes[..bytes.len() - cut], &mut found);
                prop_assert!(read.is_none() || found.len() < written.len());
            }
        }
    }

    #[test]
    fn another_form_is_refused() {
        assert!(read(&[], &mut Sums::default()).is_none());
        assert!(read(&[FORM + 1], &mut Sums::default()).is_none());
        assert!(read(&[FORM, 0xff], &mut Sums::default()).is_none());
    }
}
