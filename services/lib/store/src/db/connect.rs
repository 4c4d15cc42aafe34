//! Opens a database by its address, with the settings that the promises rest on.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::Db;
use crate::{Error, Result};

/// How long SQLite waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that read SQLite.
const SQLITE_READERS: u32 = 4;
/// What a connection that writes SQLite may keep of the file in memory, in KiB (negative: SQLite's way to say so), and one that
/// reads. Less, and a large transaction or a sort goes through the disk; it is taken only as it is used.
const SQLITE_CACHE_KIB: [&str; 2] = ["-16384", "-8192"];
/// Pages of the log after which SQLite takes them into the file: 32 MiB, so that what changes all the time is written there
/// less often.
const SQLITE_LOG_PAGES: &str = "8192";
/// Connections to PostgreSQL of one process.
const POSTGRES_CONNECTIONS: u32 = 10;
/// How long PostgreSQL lets a statement wait for a lock, run, and lets a transaction idle, in milliseconds.
const POSTGRES_BOUNDS_MS: [(&str, u32); 3] =
    [("lock_timeout", 5_000), ("statement_timeout", 30_000), ("idle_in_transaction_session_timeout", 60_000)];

/// What PostgreSQL calls a login that it refuses, and a database that is not there (appendix A of its manual).
const POSTGRES_REFUSALS: [&str; 2] = ["28", "3D"];

impl Db {
    /// Opens `sqlite:///abs/path.db`, `sqlite::memory:` or `postgres://…`.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        if url == "sqlite::memory:" {
            return Self::in_memory().await;
        }
        if let Some(path) = url.strip_prefix("sqlite://") {
            return Self::file(Path::new(path)).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Self::server(url).await;
        }
        Err(Error::Url("use sqlite:///absolute/path.db or postgres://user@host/database".to_owned()))
    }

    async fn in_memory() -> Result<Self> {
        let options = sqlite_options().in_memory(true);
        let writer = sqlite_pool(1).connect_with(options).await?;
        Ok(Self::Sqlite { readers: writer.clone(), writer })
    }

    async fn file(path: &Path) -> Result<Self> {
        if !path.is_absolute() {
            return Err(Error::Url(format!("`{}` is not an absolute path", path.display())));
        }
        owned_only(path).map_err(|error| Error::Url(format!("open {}: {error}", path.display())))?;
        let options = sqlite_options().filename(path);
        let writer = sqlite_pool(1).connect_with(options.clone()).await?;
        let options = options.pragma("query_only", "ON").pragma("cache_size", SQLITE_CACHE_KIB[1]);
        let readers = sqlite_pool(SQLITE_READERS).connect_with(options).await?;
        Ok(Self::Sqlite { writer, readers })
    }

    async fn server(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| {
                Error::Url("it is not a PostgreSQL address: postgres://user@host/database".to_owned())
            })?
            .application_name("signalbox")
            .options(POSTGRES_BOUNDS_MS);
        // A pool would try until its time is over and then not say why.
        match tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options)).await {
            Ok(first) => first.map_err(refused)?.close().await?,
            Err(_) => return Err(sqlx::Error::PoolTimedOut.into()),
        }
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool))
    }
}

/// A server that does not let us in, or has no such database, is a matter of the address. Its text holds no password.
fn refused(error: sqlx::Error) -> Error {
    let refusal = error.as_database_error().filter(|database| {
        let code = database.code().unwrap_or_default();
        POSTGRES_REFUSALS.iter().any(|class| code.starts_with(class))
    });
    match refusal {
        Some(database) => Error::Url(format!("PostgreSQL refuses us: {}", database.message())),
        None => error.into(),
    }
}

/// `FULL`: a commit that was answered survives the loss of power. `secure_delete`: what is erased is overwritten.
fn sqlite_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("secure_delete", "ON")
        .pragma("cache_size", SQLITE_CACHE_KIB[0])
        .pragma("wal_autocheckpoint", SQLITE_LOG_PAGES)
}

/// Connections are kept: a database in memory lives as long as its connection.
fn sqlite_pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Makes the file, readable by its owner only; SQLite gives its side files the same mode.
fn owned_only(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}
