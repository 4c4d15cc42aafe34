//! Sessions of people at the console. Only hashes of what a browser holds: a stolen table opens nothing.

use model::Timestamp;

use crate::db::{Row, values};
use crate::{Error, Result, Store};

/// Sessions of one person that are listed at most.
const SESSIONS_LISTED_MAX: u32 = 100;

/// Somebody at the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Hash of the cookie.
    pub hash: String,
    /// Who.
    pub user: String,
    /// Hash of the token that changes must carry.
    pub csrf_hash: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When the password was last given.
    pub authenticated_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Store {
    /// Keeps a new session. [`Error::Exists`] when its hash is there.
    pub async fn session_put(
        &self,
        hash: &str,
        user: &str,
        csrf_hash: &str,
        created_at: Timestamp,
        authenticated_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<()> {
        let made = self
            .db()
            .execute(
                "INSERT INTO sessions (hash, person, csrf_hash, created_at, authenticated_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (hash) DO NOTHING",
                &values![hash, user, csrf_hash, created_at, authenticated_at, expires_at],
            )
            .await?;
        if made == 1 { Ok(()) } else { Err(Error::exists("session", "of this hash")) }
    }

    /// The session of a cookie's hash, also one that has expired: the caller has the clock.
    pub async fn session(&self, hash: &str) -> Result<Option<Session>> {
        self.db()
            .optional(
                "SELECT hash, person, csrf_hash, created_at, authenticated_at, expires_at FROM sessions
                 WHERE hash = $1",
                &values![hash],
            )
            .await?
            .as_ref()
            .map(session)
            .transpose()
    }

    /// The newest sessions of a person, at most 100.
    pub async fn sessions_of(&self, user: &str) -> Result<Vec<Session>> {
        self.db()
            .all(
                "SELECT hash, person, csrf_hash, created_at, authenticated_at, expires_at FROM sessions
                 WHERE person = $1 ORDER BY created_at DESC, hash LIMIT $2",
                &values![user, SESSIONS_LISTED_MAX],
            )
            .await?
            .iter()
            .map(session)
            .collect()
    }

    /// Moves a session's end. False when there is no such session.
    pub async fn session_touch(&self, hash: &str, expires_at: Timestamp) -> Result<bool> {
        let touched = self
            .db()
            .execute("UPDATE sessions SET expires_at = $2 WHERE hash = $1", &values![hash, expires_at])
            .await?;
        Ok(touched == 1)
    }

    /// The password was given again. False when there is no such session.
    pub async fn session_reauthenticated(&self, hash: &str, at: Timestamp) -> Result<bool> {
        let touched = self
            .db()
            .execute("UPDATE sessions SET authenticated_at = $2 WHERE hash = $1", &values![hash, at])
            .await?;
        Ok(touched == 1)
    }

    /// Ends a session. False when there was none.
    pub async fn session_delete(&self, hash: &str) -> Result<bool> {
        Ok(self.db().execute("DELETE FROM sessions WHERE hash = $1", &values![hash]).await? == 1)
    }

    /// Ends all sessions of a person; says how many.
    pub async fn sessions_delete_of(&self, user: &str) -> Result<u64> {
        self.db().execute("DELETE FROM sessions WHERE person = $1", &values![user]).await
    }

    /// Forgets sessions that expired before; says how many.
    pub async fn sessions_purge(&self, expired_before: Timestamp) -> Result<u64> {
        self.db().execute("DELETE FROM sessions WHERE expires_at < $1", &values![expired_before]).await
    }
}

fn session(row: &Row) -> Result<Session> {
    Ok(Session {
        hash: row.text("hash")?,
        user: row.text("person")?,
        csrf_hash: row.text("csrf_hash")?,
        created_at: row.time("created_at")?,
        authenticated_at: row.time("authenticated_at")?,
        expires_at: row.time("expires_at")?,
    })
}
