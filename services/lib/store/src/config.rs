//! Configuration: documents of a kind under one revision that counts every change.
//!
//! A commit first moves the single `meta` row, which later commits then wait for. So `based_on` is exact: between
//! the check and the end of the transaction nobody else changes configuration.

use model::config::Kind;
use model::{Envelope, Timestamp};

use crate::alerts::{self, AlertWrite};
use crate::answered::{self, Answered};
use crate::db::{Row, Statement, Tx, settle, values};
use crate::{Error, Result, Store, outbox};

/// Documents in one page at most.
const PAGE_MAX: u32 = 1_000;

/// A piece of configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its kind.
    pub kind: Kind,
    /// Its id, unique within the kind.
    pub id: String,
    /// What it says.
    pub body: serde_json::Value,
    /// The configuration's revision with which it last changed: its ETag.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The whole configuration at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Everything {
    /// Its revision.
    pub revision: u64,
    /// All documents, by kind and id.
    pub documents: Vec<Document>,
}

/// What happens to a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// It is made: [`Error::Exists`] when it is there.
    Create {
        /// Its kind.
        kind: Kind,
        /// Its id.
        id: String,
        /// What it says.
        body: serde_json::Value,
    },
    /// It is replaced: [`Error::Missing`] when it is not there.
    Update {
        /// Its kind.
        kind: Kind,
        /// Its id.
        id: String,
        /// What it says from now on.
        body: serde_json::Value,
        /// The revision it must have, else [`Error::Stale`].
        expected: Option<u64>,
    },
    /// It is removed: [`Error::Missing`] when it is not there.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its id.
        id: String,
        /// The revision it must have, else [`Error::Stale`].
        expected: Option<u64>,
    },
}

/// What happens together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The configuration's revision that the change was decided upon; [`Error::Moved`] when it has another one.
    pub based_on: Option<u64>,
    /// Documents that change.
    pub writes: Vec<Write>,
    /// Events that tell of it.
    pub events: Vec<Envelope<Vec<u8>>>,
    /// Alerts that change. The event that tells of each must be among `events`.
    pub alerts: Vec<AlertWrite>,
    /// The answer to a request with an `Idempotency-Key`.
    pub answer: Option<Answered>,
}

impl Store {
    /// The whole configuration, read at one moment.
    pub async fn everything(&self) -> Result<Everything> {
        let mut tx = self.db().snapshot().await?;
        let revision = tx.one("SELECT revision FROM meta WHERE id = 1", &[]).await?.count("revision")?;
        let rows = tx
            .all(
                "SELECT kind, id, body, revision, created_at, updated_at FROM documents ORDER BY kind, id",
                &[],
            )
            .await?;
        tx.commit().await?;
        Ok(Everything { revision, documents: rows.iter().map(document).collect::<Result<_>>()? })
    }

    /// The configuration's revision: 0 when nothing was ever changed.
    pub async fn revision(&self) -> Result<u64> {
        self.db().one("SELECT revision FROM meta WHERE id = 1", &[]).await?.count("revision")
    }

    /// One document.
    pub async fn document(&self, kind: Kind, id: &str) -> Result<Option<Document>> {
        self.db()
            .optional(
                "SELECT kind, id, body, revision, created_at, updated_at FROM documents
                 WHERE kind = $1 AND id = $2",
                &values![kind.as_str(), id],
            )
            .await?
            .as_ref()
            .map(document)
            .transpose()
    }

    /// Documents of a kind by id, after an id. At most `limit` and at most 1,000.
    pub async fn documents(&self, kind: Kind, after_id: Option<&str>, limit: u32) -> Result<Vec<Document>> {
        let mut select =
            Statement::new("SELECT kind, id, body, revision, created_at, updated_at FROM documents");
        select.filter("kind = ", kind.as_str()).filter_some("id > ", after_id);
        select.push(" ORDER BY id LIMIT ").bind(limit.min(PAGE_MAX));
        self.db().select(select).await?.iter().map(document).collect()
    }

    /// Does all of a change in one transaction, and answers the configuration's revision from then on. The
    /// revision grows by one when documents are written.
    ///
    /// [`Error::Moved`], [`Error::Exists`], [`Error::Missing`], [`Error::Stale`]: nothing was written.
    pub async fn commit(&self, change: Change, at: Timestamp) -> Result<u64> {
        let revision = settle(|| self.commit_once(&change, at)).await?;
        self.outbox_rang(&change.events);
        Ok(revision)
    }

    async fn commit_once(&self, change: &Change, at: Timestamp) -> Result<u64> {
        let mut tx = self.db().begin().await?;
        let revision = advance(&mut tx, change).await?;
        for one in &change.writes {
            write(&mut tx, one, revision, at).await?;
        }
        for alert in &change.alerts {
            alerts::write_in_commit(&mut tx, alert, &change.events, at).await?;
        }
        outbox::put(&mut tx, &change.events, at).await?;
        if let Some(answer) = &change.answer {
            answered::finish(&mut tx, answer, at).await?;
        }
        tx.commit().await?;
        Ok(revision)
    }
}

/// Locks the revision, checks what the change is based on, and counts on when documents are written.
async fn advance(tx: &mut Tx, change: &Change) -> Result<u64> {
    let step = u64::from(!change.writes.is_empty());
    let row = tx
        .one("UPDATE meta SET revision = revision + $1 WHERE id = 1 RETURNING revision", &values![step])
        .await?;
    let revision = row.count("revision")?;
    match change.based_on {
        Some(based_on) if based_on + step != revision => Err(Error::Moved),
        _ => Ok(revision),
    }
}

async fn write(tx: &mut Tx, write: &Write, revision: u64, at: Timestamp) -> Result<()> {
    let (kind, id, expected, touched) = match write {
        Write::Create { kind, id, body } => {
            let made = tx
                .execute(
                    "INSERT INTO documents (kind, id, body, revision, created_at, updated_at)
                     VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (kind, id) DO NOTHING",
                    &values![kind.as_str(), id, body.to_string(), revision, at],
                )
                .await?;
            return if made == 1 { Ok(()) } else { Err(Error::exists(kind.as_str(), id)) };
        }
        Write::Update { kind, id, body, expected } => {
            let mut update = Statement::new("UPDATE documents SET body = ");
            update
                .bind(body.to_string())
                .push(", revision = ")
                .bind(revision)
                .push(", updated_at = ")
                .bind(at);
            update.filter("kind = ", kind.as_str()).filter("id = ", id).filter_some("revision = ", *expected);
            (kind, id, expected, tx.run(update).await?)
        }
        Write::Delete { kind, id, expected } => {
            let mut delete = Statement::new("DELETE FROM documents");
            delete.filter("kind = ", kind.as_str()).filter("id = ", id).filter_some("revision = ", *expected);
            (kind, id, expected, tx.run(delete).await?)
        }
    };
    match touched {
        0 if expected.is_some() && is_there(tx, *kind, id).await? => Err(Error::stale(kind.as_str(), id)),
        0 => Err(Error::missing(kind.as_str(), id)),
        _ => Ok(()),
    }
}

async fn is_there(tx: &mut Tx, kind: Kind, id: &str) -> Result<bool> {
    let row = tx
        .optional("SELECT id FROM documents WHERE kind = $1 AND id = $2", &values![kind.as_str(), id])
        .await?;
    Ok(row.is_some())
}

fn document(row: &Row) -> Result<Document> {
    Ok(Document {
        kind: row.word("kind")?,
        id: row.text("id")?,
        body: row.json("body")?,
        revision: row.count("revision")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
