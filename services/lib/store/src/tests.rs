//! What a store does, on both databases: each behaviour is one function, executed on a SQLite file and on PostgreSQL.

mod fresh;
mod words;

mod alerts;
mod audit;
mod config;
mod deliveries;
mod lanes;
mod migrate;
mod outbox;
mod rules;
mod shelves;
mod uptime;
mod urgency;
mod usage;
mod watched;

/// Makes two tests of each behaviour.
macro_rules! on_both {
    ($($behaviour:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                crate::tests::fresh::sqlite(super::$behaviour).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                crate::tests::fresh::postgres(super::$behaviour).await;
            })*
        }
    };
}
use on_both;
