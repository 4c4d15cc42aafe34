//! Brings a database to the schema that this program knows, or refuses it.
//!
//! The steps are files under `migrations/`, one directory a database, and never change once they were shipped: the
//! database remembers the checksum of each. All missing steps run in one transaction; on PostgreSQL an advisory lock
//! lets replicas that start together take turns.

use std::collections::BTreeSet;

use model::Timestamp;
use sha2::{Digest as _, Sha256};
use tracing::info;

use crate::db::{Db, Tx, settle, values};
use crate::{Error, Result};

/// One step.
struct Step {
    version: i64,
    name: &'static str,
    text: &'static str,
}

const SQLITE: &[Step] = &[
    Step { version: 1, name: "first", text: include_str!("../migrations/sqlite/0001_first.sql") },
    Step { version: 2, name: "urgency", text: include_str!("../migrations/sqlite/0002_urgency.sql") },
    Step { version: 3, name: "usage", text: include_str!("../migrations/sqlite/0003_usage.sql") },
    Step { version: 4, name: "uptime", text: include_str!("../migrations/sqlite/0004_uptime.sql") },
    Step { version: 5, name: "rules", text: include_str!("../migrations/sqlite/0005_rules.sql") },
    Step { version: 6, name: "watched", text: include_str!("../migrations/sqlite/0006_watched.sql") },
    Step { version: 7, name: "turn", text: include_str!("../migrations/sqlite/0007_turn.sql") },
    Step { version: 8, name: "tallies", text: include_str!("../migrations/sqlite/0008_tallies.sql") },
    Step { version: 9, name: "marks", text: include_str!("../migrations/sqlite/0009_marks.sql") },
];
const POSTGRES: &[Step] = &[
    Step { version: 1, name: "first", text: include_str!("../migrations/postgres/0001_first.sql") },
    Step { version: 2, name: "urgency", text: include_str!("../migrations/postgres/0002_urgency.sql") },
    Step { version: 3, name: "usage", text: include_str!("../migrations/postgres/0003_usage.sql") },
    Step { version: 4, name: "uptime", text: include_str!("../migrations/postgres/0004_uptime.sql") },
    Step { version: 5, name: "rules", text: include_str!("../migrations/postgres/0005_rules.sql") },
    Step { version: 6, name: "watched", text: include_str!("../migrations/postgres/0006_watched.sql") },
    Step { version: 7, name: "turn", text: include_str!("../migrations/postgres/0007_turn.sql") },
    Step { version: 8, name: "tallies", text: include_str!("../migrations/postgres/0008_tallies.sql") },
    Step { version: 9, name: "marks", text: include_str!("../migrations/postgres/0009_marks.sql") },
];

/// How long a replica waits for another one that migrates.
const WAIT_FOR_OTHERS: &str = "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '10min'";
/// The advisory lock, `signalbx` in ASCII.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_xact_lock(8316294031637771896)";
/// Which steps a database has seen.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations (
    version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// Executes the steps that are missing. A schema that is newer or other than ours is refused untouched.
pub(crate) async fn migrate(db: &Db, at: Timestamp) -> Result<()> {
    let steps = match db {
        Db::Sqlite { .. } => SQLITE,
        Db::Postgres(_) => POSTGRES,
    };
    settle(|| async {
        let mut tx = db.begin().await?;
        if matches!(tx, Tx::Postgres(_)) {
            tx.script(WAIT_FOR_OTHERS).await?;
            tx.script(ADVISORY_LOCK).await?;
        }
        tx.execute(TABLE, &[]).await?;
        let known = check(&mut tx, steps).await?;
        for step in steps.iter().filter(|step| !known.contains(&step.version)) {
            tx.script(step.text).await?;
            tx.execute(
                "INSERT INTO migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
                &values![step.version, step.name, checksum(step), at],
            )
            .await?;
            info!(
                step.version,
                step.name, "Migrated the database to schema {} ({}).", step.version, step.name
            );
        }
        tx.commit().await
    })
    .await
}

/// The steps that the database has seen.
async fn check(tx: &mut Tx, steps: &[Step]) -> Result<BTreeSet<i64>> {
    let newest = steps.last().map_or(0, |step| step.version);
    let mut known = BTreeSet::new();
    for row in tx.all("SELECT version, checksum FROM migrations ORDER BY version", &[]).await? {
        let seen = row.int("version")?;
        let Some(step) = steps.iter().find(|step| step.version == seen) else {
            return Err(Error::Migration {
                why: format!(
                    "the database has schema {seen}, this program knows schema {newest}: \
                     start the newer program that migrated it"
                ),
            });
        };
        if row.text("checksum")? != checksum(step) {
            return Err(Error::Migration {
                why: format!(
                    "schema {seen} ({}) of the database is not the one of this program: \
                     start the program that made it, or use another database",
                    step.name
                ),
            });
        }
        known.insert(seen);
    }
    Ok(known)
}

fn checksum(step: &Step) -> String {
    hex::encode(Sha256::digest(step.text))
}
