//! Answers to requests with an `Idempotency-Key`: begun before the work, ended with its effect.
//!
//! A request whose program died leaves its row without an answer. After two minutes the same request may begin
//! again; the first one, should it still live, then finds the answer taken and writes nothing.

use std::time::Duration;

use model::Timestamp;

use crate::db::{Tx, settle, values};
use crate::{Error, Result, Store};

/// How long a request may run before the same one may begin again.
const RUNNING_MAX: Duration = Duration::from_secs(120);

/// A kept answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The caller's key.
    pub key: String,
    /// Who called; keys of two callers never meet.
    pub actor: String,
    /// A hash of the request, so that another one under the same key is noticed.
    pub request_hash: String,
    /// The answer's status.
    pub status: u16,
    /// The answer's body.
    pub body: String,
}

/// What a request with a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The first of its kind: do it.
    Started,
    /// The first one has not ended yet.
    Running,
    /// It was answered. Its `request_hash` may be another one.
    Done(Answered),
}

/// Keeps an answer in the transaction of its effect. [`Error::Stale`] when it was answered already.
pub(crate) async fn finish(tx: &mut Tx, answer: &Answered, at: Timestamp) -> Result<()> {
    let kept = tx
        .execute(
            "INSERT INTO answered (key, actor, request_hash, status, body, begun_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (key, actor) DO UPDATE SET status = excluded.status, body = excluded.body
             WHERE answered.status IS NULL AND answered.request_hash = excluded.request_hash",
            &values![
                &answer.key,
                &answer.actor,
                &answer.request_hash,
                u32::from(answer.status),
                &answer.body,
                at
            ],
        )
        .await?;
    if kept == 1 { Ok(()) } else { Err(Error::stale("answer", &answer.key)) }
}

impl Store {
    /// The answer that was kept for a key, if its request has ended.
    pub async fn answered(&self, key: &str, actor: &str) -> Result<Option<Answered>> {
        let row = self
            .db()
            .optional(
                "SELECT request_hash, status, body FROM answered
                 WHERE key = $1 AND actor = $2 AND status IS NOT NULL",
                &values![key, actor],
            )
            .await?;
        row.map(|row| {
            let status = row.int("status")?;
            Ok(Answered {
                key: key.to_owned(),
                actor: actor.to_owned(),
                request_hash: row.text("request_hash")?,
                status: u16::try_from(status).map_err(|error| Error::corrupt("column `status`", error))?,
                body: row.text("body")?,
            })
        })
        .transpose()
    }

    /// Begins a request with a key, or says what came of the first one.
    pub async fn answered_begin(&self, key: &str, actor: &str, hash: &str, at: Timestamp) -> Result<Begin> {
        let begun = self
            .db()
            .execute(
                "INSERT INTO answered (key, actor, request_hash, begun_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (key, actor) DO UPDATE SET begun_at = excluded.begun_at
                 WHERE answered.status IS NULL AND answered.request_hash = excluded.request_hash
                   AND answered.begun_at < $5",
                &values![key, actor, hash, at, at.minus(RUNNING_MAX)],
            )
            .await?;
        if begun == 1 {
            return Ok(Begin::Started);
        }
        Ok(self.answered(key, actor).await?.map_or(Begin::Running, Begin::Done))
    }

    /// Keeps the answer of a request whose effect was written elsewhere. [`Error::Stale`] when it has one.
    pub async fn answered_end(&self, answer: &Answered) -> Result<()> {
        settle(|| async {
            let mut tx = self.db().begin().await?;
            finish(&mut tx, answer, Timestamp::default()).await?;
            tx.commit().await
        })
        .await
    }

    /// Forgets a request that ended without an answer worth keeping, so that it may begin again.
    pub async fn answered_abandon(&self, key: &str, actor: &str) -> Result<()> {
        self.db()
            .execute(
                "DELETE FROM answered WHERE key = $1 AND actor = $2 AND status IS NULL",
                &values![key, actor],
            )
            .await
            .map(drop)
    }

    /// Forgets what began before; says how many.
    pub async fn answered_purge(&self, before: Timestamp) -> Result<u64> {
        self.db().execute("DELETE FROM answered WHERE begun_at < $1", &values![before]).await
    }
}
