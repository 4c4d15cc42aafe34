//! Why the store did not do what was asked. Database words stay in here: callers see facts they can act on.

use std::fmt;

/// What came from beneath.
type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What functions of this crate answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of this kind has this id already. Nothing was written.
    #[error("{kind} `{id}` exists already")]
    Exists {
        /// `integration`, `delivery`, …
        kind: &'static str,
        /// Which one.
        id: String,
    },
    /// Nothing of this kind has this id. Nothing was written.
    #[error("there is no {kind} `{id}`")]
    Missing {
        /// `integration`, `delivery`, …
        kind: &'static str,
        /// Which one.
        id: String,
    },
    /// It is not any more what the caller saw: read it again. Nothing was written.
    #[error("{kind} `{id}` has changed meanwhile")]
    Stale {
        /// `integration`, `delivery`, …
        kind: &'static str,
        /// Which one.
        id: String,
    },
    /// The configuration has another revision than the change is based on: read it again and decide again.
    /// Nothing was written.
    #[error("the configuration changed meanwhile")]
    Moved,
    /// The database does not answer, or not in time, or is full. Whether a write happened is not known when
    /// the connection broke: do the same again, with the same ids.
    #[error("the database is not available")]
    Unavailable {
        /// What the client library said.
        #[source]
        source: Source,
    },
    /// Another transaction was in the way, again and again. Nothing was written.
    #[error("another transaction was in the way")]
    Conflict {
        /// What the client library said.
        #[source]
        source: Source,
    },
    /// The database refused a statement: a fault of this program, or a schema that somebody changed.
    #[error("the database refused a statement")]
    Refused {
        /// What the client library said.
        #[source]
        source: Source,
    },
    /// A row holds something that this program did not write.
    #[error("{what} in the database is not what was written: {why}")]
    Corrupt {
        /// Column or thing.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The schema cannot be used by this program. One line that says what to do.
    #[error("{why}")]
    Migration {
        /// What is wrong and what to do.
        why: String,
    },
    /// The database's address cannot be understood, or leads to a server that does not let us in. Never contains a
    /// password.
    #[error("database address: {0}")]
    Url(String),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Conflict { .. })
    }

    pub(crate) fn corrupt(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::Corrupt { what: what.into(), why: why.to_string() }
    }

    pub(crate) fn exists(kind: &'static str, id: impl Into<String>) -> Self {
        Self::Exists { kind, id: id.into() }
    }

    pub(crate) fn missing(kind: &'static str, id: impl Into<String>) -> Self {
        Self::Missing { kind, id: id.into() }
    }

    pub(crate) fn stale(kind: &'static str, id: impl Into<String>) -> Self {
        Self::Stale { kind, id: id.into() }
    }
}

/// What PostgreSQL calls a transaction that lost against another one: serialisation failure, deadlock, lock not
/// given in time (appendix A of its manual).
const POSTGRES_CONFLICTS: [&str; 3] = ["40001", "40P01", "55P03"];
/// Classes and codes of PostgreSQL that say "not now": connection, resources, operator intervention, statement
/// timeout is among the latter; `25006` is a standby that was promoted elsewhere.
const POSTGRES_LATER: [&str; 4] = ["08", "53", "57", "25006"];
/// SQLite's primary result codes for "another process is in the way": BUSY, LOCKED.
const SQLITE_CONFLICTS: [u32; 2] = [5, 6];
/// SQLite's primary result codes for "not now": NOMEM, READONLY, IOERR, FULL, CANTOPEN.
const SQLITE_LATER: [u32; 5] = [7, 8, 10, 13, 14];

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default().into_owned();
                let sqlite = database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
                let primary = code.parse::<u32>().map_or(0, |extended| extended & 0xff);
                let conflict = if sqlite {
                    SQLITE_CONFLICTS.contains(&primary)
                } else {
                    POSTGRES_CONFLICTS.contains(&code.as_str())
                };
                let later = if sqlite {
                    SQLITE_LATER.contains(&primary)
                } else {
                    POSTGRES_LATER.iter().any(|class| code.starts_with(class))
                };
                match (conflict, later) {
                    (true, _) => Self::Conflict { source: error.into() },
                    (_, true) => Self::Unavailable { source: error.into() },
                    _ => Self::Refused { source: error.into() },
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable { source: error.into() },
            _ => Self::Refused { source: error.into() },
        }
    }
}
