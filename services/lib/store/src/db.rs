//! One way to speak to two databases: the same texts with `$1`, the same values, the same rows.
//!
//! SQLite has one connection that writes and some that read: a second writer would only wait for the first. Each
//! write begins with `BEGIN IMMEDIATE`, so that a transaction never finds out half-way that it may not write.
//! PostgreSQL writes at `READ COMMITTED`; what must be exact locks the row that it is about. Nothing here uses COPY:
//! sqlx 0.9.0 leaves Nagle's algorithm on, and an exchange in two parts then waits for 40 ms; many rows go
//! into one `INSERT` instead.

mod connect;
mod row;
mod sql;
mod value;

use std::time::Duration;

use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use crate::{Error, Result};

pub(crate) use row::Row;
pub(crate) use sql::{Sql, Statement};
pub(crate) use value::{Value, values};

/// How often a transaction that met another one is tried in all.
const CONFLICT_TRIES: u32 = 8;
/// What the pause before the next try grows by.
const CONFLICT_PAUSE: Duration = Duration::from_millis(7);
/// Rows in one `INSERT` or ids in one `IN (…)`: with 20 columns well below SQLite's 32,766 places.
const ROWS_PER_STATEMENT: usize = 400;

/// Rows in one statement that is kept prepared; what is left over goes in halves of it.
const ROWS_KEPT: usize = 128;

/// The database behind a store.
pub(crate) enum Db {
    /// `writer` has one connection. In memory `readers` is the same pool.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction. Dropped without [`Tx::commit`] it leaves nothing.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

fn sqlite<'q>(
    sql: Sql,
    values: &[Value],
) -> Result<sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>> {
    let kept = sql.is_kept();
    Ok(sqlx::query_with(sql.without_names(), value::sqlite_arguments(values)?).persistent(kept))
}

fn postgres<'q>(
    sql: Sql,
    values: &[Value],
) -> Result<sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>> {
    let kept = sql.is_kept();
    Ok(sqlx::query_with(sql, value::postgres_arguments(values)?).persistent(kept))
}

impl Db {
    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Begins a transaction whose reads all see the same moment.
    pub(crate) async fn snapshot(&self) -> Result<Tx> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            Self::Postgres(pool) => {
                Tx::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// The rows of one reading statement.
    pub(crate) async fn all(&self, sql: impl Into<Sql>, values: &[Value]) -> Result<Vec<Row>> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                sqlite(sql, values)?.fetch_all(readers).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => {
                postgres(sql, values)?.fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The rows of a statement that was put together.
    pub(crate) async fn select(&self, statement: Statement) -> Result<Vec<Row>> {
        let (sql, values) = statement.finish();
        self.all(sql, &values).await
    }

    /// The first row, if there is one.
    pub(crate) async fn optional(&self, sql: impl Into<Sql>, values: &[Value]) -> Result<Option<Row>> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// The row of a statement that always has one.
    pub(crate) async fn one(&self, sql: impl Into<Sql>, values: &[Value]) -> Result<Row> {
        self.optional(sql, values).await?.ok_or_else(|| Error::corrupt("a row", "it is not there"))
    }

    /// One writing statement in a transaction of its own; says how many rows it touched.
    pub(crate) async fn execute(&self, sql: impl Into<Sql>, values: &[Value]) -> Result<u64> {
        let sql = sql.into();
        settle(|| async {
            let mut tx = self.begin().await?;
            let touched = tx.execute(sql.clone(), values).await?;
            tx.commit().await?;
            Ok(touched)
        })
        .await
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Executes a statement; says how many rows it touched.
    pub(crate) async fn execute(&mut self, sql: impl Into<Sql>, values: &[Value]) -> Result<u64> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite(tx) => sqlite(sql, values)?.execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => postgres(sql, values)?.execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Executes a statement that was put together; says how many rows it touched.
    pub(crate) async fn run(&mut self, statement: Statement) -> Result<u64> {
        let (sql, values) = statement.finish();
        self.execute(sql, &values).await
    }

    /// The rows of a statement.
    pub(crate) async fn all(&mut self, sql: impl Into<Sql>, values: &[Value]) -> Result<Vec<Row>> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite(tx) => {
                sqlite(sql, values)?.fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                postgres(sql, values)?.fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row, if there is one.
    pub(crate) async fn optional(&mut self, sql: impl Into<Sql>, values: &[Value]) -> Result<Option<Row>> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// The row of a statement that always has one.
    pub(crate) async fn one(&mut self, sql: impl Into<Sql>, values: &[Value]) -> Result<Row> {
        self.optional(sql, values).await?.ok_or_else(|| Error::corrupt("a row", "it is not there"))
    }

    /// Inserts many rows, some hundred a statement. `head` ends before the first `(`; `tail` begins with a space.
    /// Gives back what `tail` returns.
    pub(crate) async fn insert(
        &mut self,
        head: &'static str,
        rows: &[Vec<Value>],
        tail: &'static str,
    ) -> Result<Vec<Row>> {
        let mut returned = Vec::new();
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            let mut statement = Statement::new(head);
            for (index, row) in rows.iter().enumerate() {
                if index > 0 {
                    statement.push(", ");
                }
                statement.bind_all(row.iter().cloned());
            }
            statement.push(tail);
            let (sql, values) = statement.finish();
            returned.extend(self.all(sql, &values).await?);
        }
        Ok(returned)
    }

    /// Inserts many rows with few statements, all kept prepared: for what is inserted all the time. `head` ends before the
    /// first `(`; `tail` begins with a space. Says how many rows were touched.
    pub(crate) async fn insert_kept<const COLUMNS: usize>(
        &mut self,
        head: &'static str,
        rows: &[[Value; COLUMNS]],
        tail: &'static str,
    ) -> Result<u64> {
        let (mut touched, mut left, mut some) = (0, rows, ROWS_KEPT);
        while !left.is_empty() {
            while some > left.len() {
                some /= 2;
            }
            let sql = Statement::rows(head, some, COLUMNS, tail);
            while let Some((now, later)) = left.split_at_checked(some) {
                touched += self.execute(sql.clone(), now.as_flattened()).await?;
                left = later;
            }
        }
        Ok(touched)
    }

    /// Executes `head` followed by `IN`-lists of the values, some hundred a statement.
    pub(crate) async fn each_in(
        &mut self,
        head: &'static str,
        first: &[Value],
        listed: &[Value],
        tail: &'static str,
    ) -> Result<Vec<Row>> {
        let mut returned = Vec::new();
        for listed in listed.chunks(ROWS_PER_STATEMENT) {
            let mut statement = Statement::with(head, first);
            statement.bind_all(listed.iter().cloned()).push(tail);
            let (sql, values) = statement.finish();
            returned.extend(self.all(sql, &values).await?);
        }
        Ok(returned)
    }

    /// Makes everything durable.
    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Executes a file of statements.
    pub(crate) async fn script(&mut self, text: &'static str) -> Result<()> {
        match self {
            Self::Sqlite(tx) => sqlx::raw_sql(text).execute(&mut **tx).await.map(drop)?,
            Self::Postgres(tx) => sqlx::raw_sql(text).execute(&mut **tx).await.map(drop)?,
        }
        Ok(())
    }
}

/// Tries a whole transaction again when another one was in the way. Whatever else happens is the answer.
pub(crate) async fn settle<T, F: Future<Output = Result<T>>>(
    mut transaction: impl FnMut() -> F,
) -> Result<T> {
    let mut tried = 1;
    loop {
        match transaction().await {
            Err(Error::Conflict { .. }) if tried < CONFLICT_TRIES => {
                tokio::time::sleep(CONFLICT_PAUSE * tried).await;
                tried += 1;
            }
            answer => return answer,
        }
    }
}
