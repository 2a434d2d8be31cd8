//! Outbox rows as a producer would write them: one of many channels, about 200 bytes of value.

use std::time::Duration;

use sqlx::{
    Connection, Executor, PgConnection, Postgres, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

/// Rows `first..=last` of a load: row i has key `order-i` and goes to channel i modulo `channels`.
pub struct Rows {
    pub first: i64,
    pub last: i64,
    pub channels: i64,
}

const INSERT: &str = "\
    INSERT INTO outbox (module, audience, entity_key, value) \
    SELECT 'commission', 'u' || (i % $3), 'order-' || i, \
           '{\"order\":' || i || ',\"state\":\"settled\",\"amount\":\"1034.50\",\"note\":\"' \
           || repeat('x', 140) || '\"}' \
    FROM generate_series($1::bigint, $2::bigint) AS i";

const INSERT_SQLITE: &str = "\
    WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
    INSERT INTO outbox (module, audience, entity_key, value) \
    SELECT 'commission', 'u' || (i % ?3), 'order-' || i, \
           '{\"order\":' || i || ',\"state\":\"settled\",\"amount\":\"1034.50\",\"note\":\"' \
           || replace(hex(zeroblob(70)), '0', 'x') || '\"}' \
    FROM n";

/// Inserts and, outside a transaction, commits them.
pub async fn insert<'c>(
    executor: impl Executor<'c, Database = Postgres>,
    rows: Rows,
) -> sqlx::Result<()> {
    sqlx::query(INSERT)
        .bind(rows.first)
        .bind(rows.last)
        .bind(rows.channels)
        .execute(executor)
        .await?;
    Ok(())
}

/// A producer's connection to the gateway's database, whichever that is.
pub enum Producer {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// How long a writer of SQLite waits for the others.
const BUSY: Duration = Duration::from_mins(1);

impl Producer {
    pub async fn connect(url: &str) -> sqlx::Result<Self> {
        if !url.starts_with("sqlite:") {
            return Ok(Self::Postgres(PgConnection::connect(url).await?));
        }
        let options: SqliteConnectOptions = url.parse()?;
        let options = options
            .busy_timeout(BUSY)
            .journal_mode(SqliteJournalMode::Wal);
        let connection = SqliteConnection::connect_with(&options).await?;
        Ok(Self::Sqlite(connection))
    }

    /// Inserts and commits.
    pub async fn insert(&mut self, rows: Rows) -> sqlx::Result<()> {
        match self {
            Self::Postgres(connection) => insert(connection, rows).await,
            Self::Sqlite(connection) => {
                let insert = sqlx::query(INSERT_SQLITE)
                    .bind(rows.first)
                    .bind(rows.last)
                    .bind(rows.channels);
                insert.execute(connection).await?;
                Ok(())
            }
        }
    }

    /// One number.
    pub async fn number(&mut self, query: &'static str) -> sqlx::Result<i64> {
        match self {
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
            Self::Sqlite(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
        }
    }
}
