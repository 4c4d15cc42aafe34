//! What alert rules found: whether a rule waits or fires for something that it looks at. What is fine has no row.
//!
//! A state and the events that tell of it are one transaction, and a state is only replaced by who read it: two
//! evaluators that meet cannot both tell.

use model::{Envelope, Timestamp};

use crate::db::{Row, settle, values};
use crate::{Result, Store, outbox};

/// States that are read at most.
const STATES_MAX: u32 = 100_000;

/// What a rule found in one thing that it looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleState {
    /// The rule's id.
    pub rule: String,
    /// What it looks at.
    pub target: String,
    /// What it found, as its writer has it.
    pub body: serde_json::Value,
    /// Grows with every write.
    pub version: u64,
    /// When it was written.
    pub updated_at: Timestamp,
}

/// What becomes of a state.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleWrite {
    /// The rule's id.
    pub rule: String,
    /// What it looks at.
    pub target: String,
    /// The version that was read; absent when there was none.
    pub expected: Option<u64>,
    /// What it is from now on; absent when it is fine.
    pub body: Option<serde_json::Value>,
}

impl Store {
    /// All states, by rule and target. At most 100,000.
    pub async fn rule_states(&self) -> Result<Vec<RuleState>> {
        self.db()
            .all(
                "SELECT rule, target, body, version, updated_at FROM rule_states ORDER BY rule, target LIMIT $1",
                &values![STATES_MAX],
            )
            .await?
            .iter()
            .map(state)
            .collect()
    }

    /// Replaces a state and writes the events that tell of it. False, and nothing is written, when somebody else
    /// wrote the state since it was read.
    pub async fn rule_state_write(
        &self,
        write: &RuleWrite,
        events: &[Envelope<Vec<u8>>],
        at: Timestamp,
    ) -> Result<bool> {
        let done = settle(|| self.rule_state_once(write, events, at)).await?;
        if done {
            self.outbox_rang(events);
        }
        Ok(done)
    }

    async fn rule_state_once(
        &self,
        write: &RuleWrite,
        events: &[Envelope<Vec<u8>>],
        at: Timestamp,
    ) -> Result<bool> {
        let RuleWrite { rule, target, expected, body } = write;
        let body = body.as_ref().map(serde_json::Value::to_string);
        let mut tx = self.db().begin().await?;
        let touched = match (expected, body) {
            (None, None) => 1,
            (None, Some(body)) => {
                tx.execute(
                    "INSERT INTO rule_states (rule, target, body, version, updated_at) VALUES ($1, $2, $3, 1, $4)
                     ON CONFLICT DO NOTHING",
                    &values![rule, target, body, at],
                )
                .await?
            }
            (Some(expected), Some(body)) => {
                tx.execute(
                    "UPDATE rule_states SET body = $3, version = version + 1, updated_at = $4
                     WHERE rule = $1 AND target = $2 AND version = $5",
                    &values![rule, target, body, at, *expected],
                )
                .await?
            }
            (Some(expected), None) => {
                tx.execute(
                    "DELETE FROM rule_states WHERE rule = $1 AND target = $2 AND version = $3",
                    &values![rule, target, *expected],
                )
                .await?
            }
        };
        if touched == 1 {
            outbox::put(&mut tx, events, at).await?;
        }
        tx.commit().await?;
        Ok(touched == 1)
    }
}

fn state(row: &Row) -> Result<RuleState> {
    Ok(RuleState {
        rule: row.text("rule")?,
        target: row.text("target")?,
        body: row.json("body")?,
        version: row.count("version")?,
        updated_at: row.time("updated_at")?,
    })
}
