//! A database of its own on the PostgreSQL that the tests are given.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const SERVER: &str = "SIGNALBOX_TEST_POSTGRES_URL";

/// An empty database. Without [`Database::remove`] it stays, as after a failed test.
pub struct Database {
    name: String,
    /// Its address, as `DATABASE_URL` has it.
    pub url: String,
}

impl Database {
    /// Makes one.
    pub async fn make() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("signalbox_e2e_{pid}_{count}");
        administer(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        administer(&format!("CREATE DATABASE {name}")).await;
        let url = Self::at(&name);
        Self { name, url }
    }

    /// The address of a database of this name on the same server, whether it is there or not.
    pub fn at(name: &str) -> String {
        let server = server();
        let (rest, _) = server.rsplit_once('/').expect("an address with a database");
        format!("{rest}/{name}")
    }

    /// Removes it with all that is in it.
    pub async fn remove(self) {
        administer(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

fn server() -> String {
    std::env::var(SERVER)
        .unwrap_or_else(|_| panic!("{SERVER} must be the address of a running PostgreSQL, as a superuser"))
}

async fn administer(sql: &str) {
    let mut connection = PgConnection::connect(&server()).await.expect("PostgreSQL answers");
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .expect("the user may make databases");
    connection.close().await.expect("PostgreSQL says good-bye");
}
