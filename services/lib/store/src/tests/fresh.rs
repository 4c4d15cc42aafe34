//! A fresh database for each test, gone afterwards.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::Store;

/// A running PostgreSQL whose user may make databases.
const POSTGRES_URL: &str = "SIGNALBOX_TEST_POSTGRES_URL";

/// An empty store and where it is.
pub(crate) struct Fresh {
    pub(crate) store: Store,
    pub(crate) url: String,
}

/// Executes a behaviour on a SQLite file.
pub(crate) async fn sqlite<F: Future<Output = ()> + Send + 'static>(behaviour: impl FnOnce(Fresh) -> F) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let url = format!("sqlite://{}", home.path().join("store.db").display());
    let store = Store::open(&url).await.expect("a fresh file opens");
    behaviour(Fresh { store: store.clone(), url }).await;
    store.close().await;
}

/// Executes a behaviour on a PostgreSQL database of its own, which is dropped also when the behaviour fails.
pub(crate) async fn postgres<F: Future<Output = ()> + Send + 'static>(behaviour: impl FnOnce(Fresh) -> F) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var(POSTGRES_URL).unwrap_or_else(|_| {
        panic!("{POSTGRES_URL} must be the address of a running PostgreSQL, as a superuser")
    });
    let name = format!("signalbox_store_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    administer(&server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    administer(&server, format!("CREATE DATABASE {name}")).await;
    let (rest, _) = server.rsplit_once('/').expect("an address with a database");
    let url = format!("{rest}/{name}");
    let store = Store::open(&url).await.expect("a fresh database opens");
    let outcome = tokio::spawn(behaviour(Fresh { store: store.clone(), url })).await;
    store.close().await;
    administer(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn administer(server: &str, sql: String) {
    let mut connection = PgConnection::connect(server).await.expect("PostgreSQL answers");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("the user may make databases");
    connection.close().await.expect("PostgreSQL says good-bye");
}
