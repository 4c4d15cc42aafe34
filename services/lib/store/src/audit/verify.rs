//! Verifies the audit log: walks the whole chain at one moment and names the first entry that is not as it was written.

use super::{Chain, Leaf};
use crate::db::{Row, values};
use crate::{Result, Store};

/// Entries that are read at a time.
const ENTRIES_AT_A_TIME: u32 = 1_000;

/// What came of verifying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Entries from the first on that are as they were written.
    pub entries: u64,
    /// The hash of the last of them, 64 hex digits. Kept elsewhere it shows later that nobody rewrote the whole chain.
    pub head: String,
    /// The first sequence where the log is not what was written: changed, removed, swapped, or cut off.
    pub first_bad: Option<u64>,
}

impl Store {
    /// Verifies the whole log as it is at this moment.
    pub async fn audit_verify(&self) -> Result<Verified> {
        let mut tx = self.db().snapshot().await?;
        let mut chain = Chain::empty();
        loop {
            let rows = tx
                .all(
                    "SELECT sequence, event_id, at, actor, action, target, verb, outcome, leaf, hash FROM audit
                     WHERE sequence > $1 ORDER BY sequence LIMIT $2",
                    &values![chain.sequence, ENTRIES_AT_A_TIME],
                )
                .await?;
            for row in &rows {
                let mut next = chain.clone();
                next.add(&row.bytes("leaf")?);
                if row.count("sequence")? != next.sequence || !row.is("hash", &next.hash()) || !agrees(row) {
                    return Ok(bad(&chain));
                }
                chain = next;
            }
            if rows.is_empty() {
                break;
            }
        }
        let head = tx.one("SELECT sequence, hash FROM audit_head WHERE id = 1", &[]).await?;
        tx.commit().await?;
        if head.count("sequence")? != chain.sequence || !head.is("hash", &chain.hash()) {
            return Ok(bad(&chain));
        }
        Ok(Verified { entries: chain.sequence, head: chain.hash(), first_bad: None })
    }
}

fn bad(good: &Chain) -> Verified {
    Verified { entries: good.sequence, head: good.hash(), first_bad: Some(good.sequence + 1) }
}

/// Whether the columns say what the leaf says.
fn agrees(row: &Row) -> bool {
    let Ok(Leaf { event, recorded }) = Leaf::read(row) else { return false };
    row.is("event_id", event.as_str())
        && row.time("at").is_ok_and(|at| at == recorded.at)
        && row.is("actor", recorded.actor.as_str())
        && row.is("action", &recorded.action)
        && row.is("target", &recorded.target)
        && row.is("verb", recorded.verb.as_str())
        && row.is("outcome", &recorded.outcome)
}
