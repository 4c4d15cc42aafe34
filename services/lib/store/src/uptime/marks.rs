//! Marks: which messages of a stream were taken, a bit each.
//!
//! A message's number says which bit of which block. The row of a block is locked while it is read and written, so that
//! two who are given the same message agree on who takes it. A stream that was made anew has another birth, and blocks of its own.

use std::collections::BTreeMap;

use model::Timestamp;

use super::HealthEvent;
use crate::Result;
use crate::db::{Tx, values};

/// Messages of one block.
const BLOCK: u64 = 2048;
/// Bytes of a block's bits.
const BYTES: usize = (BLOCK / 8) as usize;

/// Marks messages as taken; for each, whether it was not before.
pub(super) async fn take(tx: &mut Tx, era: Timestamp, events: &[HealthEvent]) -> Result<Vec<bool>> {
    let mut fresh = vec![false; events.len()];
    // In the order of the blocks, so that two who take from several do not wait for each other.
    let mut blocks: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        blocks.entry(event.sequence / BLOCK).or_default().push(at);
    }
    for (block, places) in blocks {
        let newest = places.iter().map(|at| events[*at].stored_at).max().unwrap_or_default();
        let rows = tx
            .all(
                "INSERT INTO health_marks (era, block, bits, at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (era, block) DO UPDATE SET
                   at = CASE WHEN excluded.at > health_marks.at THEN excluded.at ELSE health_marks.at END
                 RETURNING bits",
                &values![era, block, [0_u8; BYTES].as_slice(), newest],
            )
            .await?;
        let mut bits = rows.first().map(|row| row.bytes("bits")).transpose()?.unwrap_or_default();
        bits.resize(BYTES, 0);
        for at in places {
            let bit = usize::try_from(events[at].sequence % BLOCK).unwrap_or(0);
            let (byte, mask) = (&mut bits[bit / 8], 1_u8 << (bit % 8));
            fresh[at] = *byte & mask == 0;
            *byte |= mask;
        }
        tx.execute(
            "UPDATE health_marks SET bits = $3 WHERE era = $1 AND block = $2",
            &values![era, block, bits.as_slice()],
        )
        .await?;
    }
    Ok(fresh)
}
