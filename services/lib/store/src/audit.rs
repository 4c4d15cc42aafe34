//! The audit log: rows that are only ever added, each hashed together with all before it.
//!
//! What an entry says is in its leaf, the exact bytes that were hashed; the columns beside it are for looking up
//! and are held against the leaf by [`Store::audit_verify`]. Appending locks the head row, so several writers make
//! one chain.

mod chain;
mod verify;

use std::collections::HashSet;

use model::audit::{AuditRecorded, Verb};
use model::{EventId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::db::{Row, Statement, Tx, Value, settle, values};
use crate::{Error, Result, Store};

use chain::Chain;
pub use verify::Verified;

/// Entries in one page at most.
const PAGE_MAX: u32 = 10_000;
/// Everything that an [`AuditRow`] is made of.
const SELECT: &str = "SELECT sequence, leaf, hash FROM audit";

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Counts from 1, without gaps.
    pub sequence: u64,
    /// The event that told of it.
    pub event: EventId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// How they were known.
    pub method: String,
    /// From where.
    pub source_ip: Option<String>,
    /// What exactly: `key.reveal`.
    pub action: String,
    /// What kind of thing.
    pub verb: Verb,
    /// To what: `key/polygon-prod`.
    pub target: String,
    /// `ok`, `intent`, `denied` or `failed`.
    pub outcome: String,
    /// Why.
    pub reason: Option<String>,
    /// The request that it belongs to.
    pub request_id: Option<String>,
    /// SHA-256 over the hash before and the leaf, 64 hex digits.
    pub hash: String,
}

/// Which entries. Absent fields let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those of this actor.
    pub actor: Option<String>,
    /// Only those with this action.
    pub action: Option<String>,
    /// Only those with this target.
    pub target: Option<String>,
    /// Only those of this kind.
    pub verb: Option<Verb>,
    /// Only those with this outcome.
    pub outcome: Option<String>,
    /// Only those from then on.
    pub from: Option<Timestamp>,
    /// Only those before.
    pub to: Option<Timestamp>,
}

/// What is hashed: an entry and its event.
#[derive(Serialize, Deserialize)]
struct Leaf {
    event: EventId,
    #[serde(flatten)]
    recorded: AuditRecorded,
}

impl Leaf {
    fn read(row: &Row) -> Result<Self> {
        serde_json::from_slice(&row.bytes("leaf")?).map_err(|error| Error::corrupt("column `leaf`", error))
    }
}

impl Store {
    /// Adds entries to the log, in their order, in one transaction. An entry whose event is there already is left
    /// out; answers how many were new.
    pub async fn audit_append(&self, entries: &[(EventId, AuditRecorded)]) -> Result<u64> {
        settle(|| async {
            let mut tx = self.db().begin().await?;
            let mut chain = lock_head(&mut tx).await?;
            let mut known = known(&mut tx, entries).await?;
            let mut rows = Vec::with_capacity(entries.len());
            for (event, recorded) in entries {
                if known.insert(event.as_str().to_owned()) {
                    rows.push(columns(&mut chain, event, recorded)?);
                }
            }
            tx.insert(
                "INSERT INTO audit (sequence, event_id, at, actor, action, target, verb, outcome, leaf, hash) VALUES ",
                &rows,
                "",
            )
            .await?;
            tx.execute(
                "UPDATE audit_head SET sequence = $1, hash = $2 WHERE id = 1",
                &values![chain.sequence, chain.hash()],
            )
            .await?;
            let ids: Vec<Value> = entries.iter().map(|(event, _)| event.into()).collect();
            tx.each_in("UPDATE outbox SET unaudited = 0 WHERE event_id IN ", &[], &ids, "").await?;
            tx.commit().await?;
            Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
        })
        .await
    }

    /// Entries, newest first, before a sequence. At most `limit` and at most 10,000.
    pub async fn audit_page(
        &self,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>> {
        let mut select = selection(filter);
        select.filter_some("sequence < ", before);
        select.push(" ORDER BY sequence DESC LIMIT ").bind(limit.min(PAGE_MAX));
        self.db().select(select).await?.iter().map(entry).collect()
    }

    /// Entries, oldest first, after a sequence. At most `limit` and at most 10,000.
    pub async fn audit_export(
        &self,
        filter: &AuditFilter,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>> {
        let mut select = selection(filter);
        select.filter_some("sequence > ", after);
        select.push(" ORDER BY sequence LIMIT ").bind(limit.min(PAGE_MAX));
        self.db().select(select).await?.iter().map(entry).collect()
    }

    /// Audit events that were written to the outbox before then and are not in the log yet.
    pub async fn audit_waiting(&self, before: Timestamp) -> Result<u64> {
        self.db()
            .one(
                "SELECT COUNT(*) AS waiting FROM outbox WHERE unaudited = 1 AND created_at < $1",
                &values![before],
            )
            .await?
            .count("waiting")
    }
}

/// Reads the end of the chain; other writers wait until this transaction ends.
async fn lock_head(tx: &mut Tx) -> Result<Chain> {
    let head = tx
        .one("UPDATE audit_head SET sequence = sequence WHERE id = 1 RETURNING sequence, hash", &[])
        .await?;
    Chain::at(head.count("sequence")?, &head.text("hash")?)
}

/// The events among these that are in the log.
async fn known(tx: &mut Tx, entries: &[(EventId, AuditRecorded)]) -> Result<HashSet<String>> {
    let ids: Vec<Value> = entries.iter().map(|(event, _)| event.into()).collect();
    tx.each_in("SELECT event_id FROM audit WHERE event_id IN ", &[], &ids, "")
        .await?
        .iter()
        .map(|row| row.text("event_id"))
        .collect()
}

fn columns(chain: &mut Chain, event: &EventId, recorded: &AuditRecorded) -> Result<Vec<Value>> {
    let leaf = Leaf { event: event.clone(), recorded: recorded.clone() };
    let leaf = serde_json::to_vec(&leaf).map_err(|error| Error::corrupt("an audit entry", error))?;
    chain.add(&leaf);
    Ok(values![
        chain.sequence,
        event,
        recorded.at,
        recorded.actor.as_str(),
        &recorded.action,
        &recorded.target,
        recorded.verb.as_str(),
        &recorded.outcome,
        leaf.as_slice(),
        chain.hash()
    ]
    .to_vec())
}

fn selection(filter: &AuditFilter) -> Statement {
    let mut select = Statement::new(SELECT);
    select
        .filter_some("actor = ", filter.actor.as_deref())
        .filter_some("action = ", filter.action.as_deref())
        .filter_some("target = ", filter.target.as_deref())
        .filter_some("verb = ", filter.verb.map(Verb::as_str))
        .filter_some("outcome = ", filter.outcome.as_deref())
        .filter_some("at >= ", filter.from)
        .filter_some("at < ", filter.to);
    select
}

fn entry(row: &Row) -> Result<AuditRow> {
    let Leaf { event, recorded } = Leaf::read(row)?;
    Ok(AuditRow {
        sequence: row.count("sequence")?,
        event,
        at: recorded.at,
        actor: recorded.actor.to_string(),
        method: recorded.method,
        source_ip: recorded.source_ip,
        action: recorded.action,
        verb: recorded.verb,
        target: recorded.target,
        outcome: recorded.outcome,
        reason: recorded.reason,
        request_id: recorded.request_id,
        hash: row.text("hash")?,
    })
}
