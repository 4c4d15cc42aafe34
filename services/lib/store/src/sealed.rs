//! The shelf of the sealed key store: envelopes by path and version. What is in them only its master key tells.

use crate::db::{Statement, values};
use crate::{Error, Result, Store};

/// Paths that one listing gives at most.
const PATHS_MAX: u32 = 100_000;
/// Sorts after every character: the end of all texts with a prefix.
const LAST_CHARACTER: char = '\u{10FFFF}';

impl Store {
    /// One version of a record, or its newest, with its version.
    pub async fn sealed_get(&self, path: &str, version: Option<u32>) -> Result<Option<(u32, Vec<u8>)>> {
        let mut select = Statement::new("SELECT version, bytes FROM sealed");
        select.filter("path = ", path).filter_some("version = ", version);
        select.push(" ORDER BY version DESC LIMIT 1");
        self.db()
            .select(select)
            .await?
            .first()
            .map(|row| Ok((row.small("version")?, row.bytes("bytes")?)))
            .transpose()
    }

    /// Puts a version there. [`Error::Exists`] when it is there: an envelope is never overwritten.
    pub async fn sealed_put(&self, path: &str, version: u32, bytes: &[u8]) -> Result<()> {
        let put = self
            .db()
            .execute(
                "INSERT INTO sealed (path, version, bytes) VALUES ($1, $2, $3)
                 ON CONFLICT (path, version) DO NOTHING",
                &values![path, version, bytes],
            )
            .await?;
        if put == 1 { Ok(()) } else { Err(Error::exists("sealed record", format!("{path}#{version}"))) }
    }

    /// The versions that are there, oldest first.
    pub async fn sealed_versions(&self, path: &str) -> Result<Vec<u32>> {
        self.db()
            .all("SELECT version FROM sealed WHERE path = $1 ORDER BY version", &values![path])
            .await?
            .iter()
            .map(|row| row.small("version"))
            .collect()
    }

    /// Erases one version, or all. It is not an error when there is none.
    pub async fn sealed_erase(&self, path: &str, version: Option<u32>) -> Result<()> {
        let mut delete = Statement::new("DELETE FROM sealed");
        delete.filter("path = ", path).filter_some("version = ", version);
        let (sql, values) = delete.finish();
        self.db().execute(sql, &values).await.map(drop)
    }

    /// The paths that begin with a prefix, in their order. At most 100,000.
    pub async fn sealed_list(&self, prefix: &str) -> Result<Vec<String>> {
        self.db()
            .all(
                "SELECT DISTINCT path FROM sealed WHERE path >= $1 AND path < $2 ORDER BY path LIMIT $3",
                &values![prefix, format!("{prefix}{LAST_CHARACTER}"), PATHS_MAX],
            )
            .await?
            .iter()
            .map(|row| row.text("path"))
            .collect()
    }
}
