//! Which events were counted: each once, however often it comes.
//!
//! An event is known by the second in which it begins and 51 bits of its id: among a million events of an hour two are taken for
//! one another once in 16 million hours. The second stands first, so that new marks lie beside each other and not all over the
//! hour's pages. Usually all of a batch are new, so they are marked without asking; where one was not,
//! nothing of the attempt stays and all are asked for.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use model::EventId;
use model::usage::UsageCounted;
use sha2::{Digest as _, Sha256};

use crate::Result;
use crate::db::{Statement, Tx, Value, values};

/// Marks that are asked for by one statement.
const ROWS_PER_READ: usize = 400;
/// How marks are written.
const INSERT: &str = "INSERT INTO usage_seen (hour, id) VALUES ";

/// Bits of an event's id by which it is known among those of a second.
const ID_BITS: u32 = 51;

/// The hour, and the second within it with the bits of the id, by which an event is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mark {
    hour: i64,
    id: i64,
}

impl Mark {
    /// The mark of an event.
    pub(super) fn of(id: &EventId, usage: &UsageCounted) -> Self {
        let hash = Sha256::digest(id.as_str());
        let mut bits = [0; 8];
        bits.copy_from_slice(&hash[..8]);
        let secs = usage.from.as_secs();
        let id = u64::from_be_bytes(bits) >> (u64::BITS - ID_BITS);
        Self { hour: secs.div_euclid(3600), id: secs.rem_euclid(3600) << ID_BITS | id.cast_signed() }
    }
}

/// Marks events as counted if none of them was before: for each whether it comes for the first time. Nothing where one was:
/// then this transaction must not be committed.
pub(super) async fn take_new(tx: &mut Tx, marks: &[Mark]) -> Result<Option<Vec<bool>>> {
    if has_inbox(tx).await? {
        return Ok(None);
    }
    let (fresh, new) = first(marks, HashSet::with_capacity_and_hasher(marks.len(), RandomState::default()));
    let touched = tx.insert_kept(INSERT, &new, " ON CONFLICT DO NOTHING").await?;
    Ok((touched == new.len() as u64).then_some(fresh))
}

/// Marks events as counted, and says for each whether it was not before.
pub(super) async fn take(
    tx: &mut Tx,
    events: &[(EventId, UsageCounted)],
    marks: &[Mark],
) -> Result<Vec<bool>> {
    let mut known = HashSet::default();
    for part in marks.chunks(ROWS_PER_READ) {
        let mut select = Statement::new("WITH wanted (hour, id) AS (VALUES ");
        for (number, mark) in part.iter().enumerate() {
            if number > 0 {
                select.push(", ");
            }
            select.bind_all(values![mark.hour, mark.id]);
        }
        select.push(
            ") SELECT s.hour, s.id FROM wanted CROSS JOIN usage_seen AS s
             WHERE s.hour = wanted.hour AND s.id = wanted.id",
        );
        let (sql, values) = select.finish();
        for row in tx.all(sql, &values).await? {
            known.insert(Mark { hour: row.int("hour")?, id: row.int("id")? });
        }
    }
    if has_inbox(tx).await? {
        let ids: Vec<Value> = events.iter().map(|(id, _)| id.into()).collect();
        let head = "SELECT event_id FROM inbox WHERE consumer = 'meter' AND event_id IN ";
        let counted = tx.each_in(head, &[], &ids, "").await?;
        let counted: HashSet<String> =
            counted.iter().map(|row| row.text("event_id")).collect::<Result<_>>()?;
        let before = events.iter().zip(marks).filter(|((id, _), _)| counted.contains(id.as_str()));
        known.extend(before.map(|(_, mark)| *mark));
    }
    let (fresh, new) = first(marks, known);
    tx.insert_kept(INSERT, &new, "").await?;
    Ok(fresh)
}

/// Whether there are events that were counted before there were marks.
async fn has_inbox(tx: &mut Tx) -> Result<bool> {
    let any = tx.optional("SELECT 1 AS n FROM inbox WHERE consumer = 'meter' LIMIT 1", &[]).await?;
    Ok(any.is_some())
}

/// For each mark whether it is not known and comes for the first time; and the rows of those, neighbours beside each other.
fn first(marks: &[Mark], mut known: HashSet<Mark, RandomState>) -> (Vec<bool>, Vec<[Value; 2]>) {
    let fresh: Vec<bool> = marks.iter().map(|mark| known.insert(*mark)).collect();
    let mut new: Vec<Mark> =
        marks.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(mark, _)| *mark).collect();
    new.sort_unstable();
    (fresh, new.into_iter().map(|mark| values![mark.hour, mark.id]).collect())
}
