//! The same behaviour on each database: [`on_each_database!`](crate::on_each_database) runs a test with a fresh one of each kind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use changeover::{
    config::{database::Database, sequencer::Sequencer},
    store::{self, Store},
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row, SqliteConnection,
};

use super::{folder, postgres, servers_are_skipped};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// An empty database of a test's own. Its schema is the test's to make, or [`DatabaseUnderTest::store`]'s.
pub struct DatabaseUnderTest {
    pub kind: Kind,
    pub config: Database,
    pub sequencer: Sequencer,
    private: Option<postgres::Cluster>,
}

impl DatabaseUnderTest {
    /// One of the shared server. `None` if a person asked to leave servers out.
    pub async fn fresh(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Sqlite => Some(Self::sqlite()),
            Kind::Postgres if servers_are_skipped() => None,
            Kind::Postgres => {
                let cluster = tokio::task::spawn_blocking(|| &*postgres::SHARED)
                    .await
                    .unwrap();
                Some(Self::on(cluster, None).await)
            }
        }
    }

    /// One whose server no other test uses, so that it may be stopped.
    pub async fn private(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Sqlite => Some(Self::sqlite()),
            Kind::Postgres if servers_are_skipped() => None,
            Kind::Postgres => {
                let cluster = tokio::task::spawn_blocking(postgres::Cluster::new)
                    .await
                    .unwrap();
                let mut database = Self::on(&cluster, None).await;
                database.private = Some(cluster);
                Some(database)
            }
        }
    }

    fn sqlite() -> Self {
        let file = folder::fresh("sqlite").join("data").join("changeover.db");
        Self::of(Kind::Sqlite, format!("sqlite://{}", file.display()), None)
    }

    async fn on(cluster: &postgres::Cluster, private: Option<postgres::Cluster>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect(&cluster.url("postgres"))
            .await
            .unwrap();
        let create = format!("CREATE DATABASE {name}");
        admin.execute(AssertSqlSafe(create)).await.unwrap();
        admin.close().await.unwrap();
        Self::of(Kind::Postgres, cluster.url(&name), private)
    }

    fn of(kind: Kind, url: String, private: Option<postgres::Cluster>) -> Self {
        let config = Database {
            url,
            connections: 4,
            ..Database::default()
        };
        Self {
            kind,
            config,
            sequencer: Sequencer::default(),
            private,
        }
    }

    /// Another handle of the gateway, as of another process. The schema stays as it is.
    pub async fn open(&self) -> Arc<dyn Store> {
        store::open(&self.config, &self.sequencer).await.unwrap()
    }

    /// A handle of the gateway, with the schema made.
    pub async fn store(&self) -> Arc<dyn Store> {
        let store = self.open().await;
        store.migrate().await.unwrap();
        store
    }

    /// A connection of a producer, which knows nothing of the gateway.
    pub async fn producer(&self) -> Producer {
        match self.kind {
            Kind::Sqlite => {
                let options: sqlx::sqlite::SqliteConnectOptions = self.config.url.parse().unwrap();
                let options = options.busy_timeout(Duration::from_secs(20));
                Producer::Sqlite(options.connect().await.unwrap())
            }
            Kind::Postgres => {
                Producer::Postgres(PgConnection::connect(&self.config.url).await.unwrap())
            }
        }
    }

    /// Runs statements on a connection of their own.
    pub async fn execute(&self, sql: &str) {
        self.producer().await.execute(sql).await;
    }

    /// The first column of the first row, which must be text: CAST what is not.
    pub async fn text(&self, sql: &str) -> Option<String> {
        self.producer().await.text(sql).await
    }

    /// How the database would run a statement, a line per step.
    pub async fn plan(&self, sql: &str) -> String {
        self.producer().await.plan(sql).await
    }

    /// Stops the private server, as a crash would.
    pub fn stop(&self) {
        self.private
            .as_ref()
            .expect("only a private server is stopped")
            .stop();
    }

    /// Starts the private server again.
    pub fn start(&self) {
        self.private
            .as_ref()
            .expect("only a private server is started")
            .start();
    }
}

/// A plain connection to the database.
pub enum Producer {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Producer {
    /// Runs statements; `BEGIN` and `COMMIT` are statements like others.
    pub async fn execute(&mut self, sql: &str) {
        self.try_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Runs statements, which may fail.
    pub async fn try_execute(&mut self, sql: &str) -> sqlx::Result<()> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => connection.execute(sql).await.map(drop),
            Self::Postgres(connection) => connection.execute(sql).await.map(drop),
        }
    }

    /// How the database would run a statement, a line per step.
    pub async fn plan(&mut self, sql: &str) -> String {
        let lines: Vec<String> = match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                    .fetch_all(connection)
                    .await
                    .unwrap();
                rows.iter().map(|row| row.get("detail")).collect()
            }
            Self::Postgres(connection) => {
                sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {sql}")))
                    .fetch_all(connection)
                    .await
                    .unwrap()
            }
        };
        lines.join("\n")
    }

    /// The first column of the first row, which must be text: CAST what is not.
    pub async fn text(&mut self, sql: &str) -> Option<String> {
        let sql = sql.to_owned();
        let found: Option<Option<String>> = match self {
            Self::Sqlite(connection) => {
                sqlx::query_scalar(AssertSqlSafe(sql))
                    .fetch_optional(connection)
                    .await
            }
            Self::Postgres(connection) => {
                sqlx::query_scalar(AssertSqlSafe(sql))
                    .fetch_optional(connection)
                    .await
            }
        }
        .unwrap();
        found.flatten()
    }
}

/// Runs each named `async fn(DatabaseUnderTest)` on a fresh database of each kind, as tests of the
/// modules `sqlite` and `postgres`.
#[macro_export]
macro_rules! on_each_database {
    ($($test:ident),+ $(,)?) => {
        $crate::on_each_database!(@one sqlite Sqlite $($test)+);
        $crate::on_each_database!(@one postgres Postgres $($test)+);
    };
    (@one $module:ident $kind:ident $($test:ident)+) => {
        mod $module {
            use $crate::support::database::{DatabaseUnderTest, Kind};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(database) = DatabaseUnderTest::fresh(Kind::$kind).await {
                        super::$test(database).await;
                    }
                }
            )+
        }
    };
}
