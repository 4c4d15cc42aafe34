//! Which events were counted: each once, however often it comes.
//!
//! An event is known by the second in which it begins and 51 bits of its id: of a thousand events each second two are taken for
//! one another once in 140 years. The marks of a second are one row, because a row is dear and a number in it is not; a batch
//! asks for the rows of its few seconds and writes them with its own marks at the end.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use foldhash::fast::RandomState;
use model::EventId;
use model::usage::UsageCounted;
use sha2::{Digest as _, Sha256};

use crate::Result;
use crate::db::{Tx, Value, values};

/// Bits of an event's id by which it is known among those of a second.
const ID_BITS: u32 = 51;
/// How the marks of seconds are written.
const INSERT: &str = "INSERT INTO usage_marks (second, ids) VALUES ";
const UPDATE: &str = " ON CONFLICT (second) DO UPDATE SET ids = excluded.ids";

/// The second, and the bits of the id, by which an event is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mark {
    second: i64,
    id: u64,
}

/// The marks of a second.
#[derive(Default)]
struct Second {
    ids: HashSet<u64, RandomState>,
    /// As they lie in the row.
    bytes: Vec<u8>,
    /// How many of the bytes are in the row already.
    kept: usize,
}

impl Mark {
    /// The mark of an event.
    pub(super) fn of(id: &EventId, usage: &UsageCounted) -> Self {
        let hash = Sha256::digest(id.as_str());
        let mut bits = [0; 8];
        bits.copy_from_slice(&hash[..8]);
        Self { second: usage.from.as_secs(), id: u64::from_be_bytes(bits) >> (u64::BITS - ID_BITS) }
    }
}

/// Marks events as counted, and says for each whether it was not before.
pub(super) async fn take(
    tx: &mut Tx,
    events: &[(EventId, UsageCounted)],
    marks: &[Mark],
) -> Result<Vec<bool>> {
    let before = counted_before_marks(tx, events).await?;
    let mut seconds = read(tx, marks).await?;
    let mut fresh = Vec::with_capacity(marks.len());
    for ((event, _), mark) in events.iter().zip(marks) {
        let second = seconds.entry(mark.second).or_default();
        let new = !before.contains(event.as_str()) && second.ids.insert(mark.id);
        if new {
            second.bytes.extend_from_slice(&mark.id.to_be_bytes());
        }
        fresh.push(new);
    }
    seconds.retain(|_, second| second.bytes.len() > second.kept);
    let rows: Vec<[Value; 2]> =
        seconds.iter().map(|(second, marks)| values![*second, marks.bytes.as_slice()]).collect();
    tx.insert_kept(INSERT, &rows, UPDATE).await?;
    Ok(fresh)
}

/// The rows of the seconds of these marks.
async fn read(tx: &mut Tx, marks: &[Mark]) -> Result<BTreeMap<i64, Second>> {
    let wanted: BTreeSet<i64> = marks.iter().map(|mark| mark.second).collect();
    let wanted: Vec<Value> = wanted.into_iter().map(Value::from).collect();
    let rows = tx.each_in("SELECT second, ids FROM usage_marks WHERE second IN ", &[], &wanted, "").await?;
    let mut seconds = BTreeMap::new();
    for row in rows {
        let bytes = row.bytes("ids")?;
        let (ids, _) = bytes.as_chunks();
        let ids = ids.iter().map(|id| u64::from_be_bytes(*id)).collect();
        let kept = bytes.len();
        seconds.insert(row.int("second")?, Second { ids, bytes, kept });
    }
    Ok(seconds)
}

/// Which of these events were counted before there were marks.
async fn counted_before_marks(tx: &mut Tx, events: &[(EventId, UsageCounted)]) -> Result<HashSet<String>> {
    let any = tx.optional("SELECT 1 AS n FROM inbox WHERE consumer = 'meter' LIMIT 1", &[]).await?;
    if any.is_none() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Value> = events.iter().map(|(id, _)| id.into()).collect();
    let head = "SELECT event_id FROM inbox WHERE consumer = 'meter' AND event_id IN ";
    tx.each_in(head, &[], &ids, "").await?.iter().map(|row| row.text("event_id")).collect()
}
