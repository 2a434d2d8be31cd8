//! The same behaviour on each database: [`on_each_database!`](crate::on_each_database) runs a test with a fresh one of each kind.

use std::{
    path::PathBuf,
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
    AssertSqlSafe, ConnectOptions, Connection, Executor, MySqlConnection, PgConnection, Row,
    SqliteConnection,
};

use super::{folder, mariadb, postgres, servers_are_skipped};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
    MariaDb,
}

/// A server that no other test uses.
enum Private {
    Postgres(postgres::Cluster),
    MariaDb(mariadb::Server),
}

/// An empty database of a test's own. Its schema is the test's to make, or [`DatabaseUnderTest::store`]'s.
pub struct DatabaseUnderTest {
    pub kind: Kind,
    pub config: Database,
    pub sequencer: Sequencer,
    private: Option<Private>,
}

impl DatabaseUnderTest {
    /// One of the shared server. `None` if a person asked to leave servers out.
    pub async fn fresh(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Sqlite => Some(Self::sqlite()),
            _ if servers_are_skipped() => None,
            Kind::Postgres => {
                let cluster = blocking(|| &*postgres::SHARED).await;
                Some(Self::postgres(cluster).await)
            }
            Kind::MariaDb => {
                let server = blocking(|| &*mariadb::SHARED).await;
                Some(Self::mariadb(server).await)
            }
        }
    }

    /// One whose server no other test uses, so that it may be stopped.
    pub async fn private(kind: Kind) -> Option<Self> {
        match kind {
            Kind::MariaDb => Self::private_mariadb(&[]).await,
            Kind::Postgres if !servers_are_skipped() => {
                let cluster = blocking(postgres::Cluster::new).await;
                let mut database = Self::postgres(&cluster).await;
                database.private = Some(Private::Postgres(cluster));
                Some(database)
            }
            Kind::Postgres => None,
            Kind::Sqlite => Some(Self::sqlite()),
        }
    }

    /// One on a PostgreSQL of its own, whose tables are on a file system of so many MiB. Also where that is seen from outside.
    pub async fn postgres_on_small_disk(mebibytes: u32) -> Option<(Self, PathBuf)> {
        if servers_are_skipped() {
            return None;
        }
        let cluster = blocking(move || postgres::Cluster::with_small_disk(mebibytes)).await;
        let (inside, outside) = cluster.small_disk();
        let mut admin = PgConnection::connect(&cluster.url("postgres"))
            .await
            .unwrap();
        for statement in [
            format!("CREATE TABLESPACE small LOCATION '{}'", inside.display()),
            "CREATE DATABASE small TABLESPACE small".to_owned(),
        ] {
            admin.execute(AssertSqlSafe(statement)).await.unwrap();
        }
        admin.close().await.unwrap();
        let mut database = Self::of(Kind::Postgres, cluster.url("small"));
        // While there is room for it.
        database.execute("CREATE EXTENSION amcheck").await;
        database.private = Some(Private::Postgres(cluster));
        Some((database, outside))
    }

    /// Kills the private server without any order, as a machine that fails would.
    pub fn kill(&self) {
        match &self.private {
            Some(Private::Postgres(cluster)) => cluster.kill(),
            Some(Private::MariaDb(server)) => server.stop(),
            None => panic!("only a private server is killed"),
        }
    }

    /// One on a MariaDB that runs with options of its own.
    pub async fn private_mariadb(options: &'static [&'static str]) -> Option<Self> {
        if servers_are_skipped() {
            return None;
        }
        let server = blocking(|| mariadb::Server::new(options)).await;
        let mut database = Self::mariadb(&server).await;
        database.private = Some(Private::MariaDb(server));
        Some(database)
    }

    fn sqlite() -> Self {
        let file = folder::fresh("sqlite").join("data").join("changeover.db");
        Self::of(Kind::Sqlite, format!("sqlite://{}", file.display()))
    }

    async fn postgres(cluster: &postgres::Cluster) -> Self {
        let name = new_name();
        let mut admin = PgConnection::connect(&cluster.url("postgres"))
            .await
            .unwrap();
        let create = format!("CREATE DATABASE {name}");
        admin.execute(AssertSqlSafe(create)).await.unwrap();
        admin.close().await.unwrap();
        Self::of(Kind::Postgres, cluster.url(&name))
    }

    async fn mariadb(server: &mariadb::Server) -> Self {
        let name = new_name();
        let mut admin = MySqlConnection::connect(&server.url("mysql"))
            .await
            .unwrap();
        let create = format!("CREATE DATABASE {name}");
        admin.execute(AssertSqlSafe(create)).await.unwrap();
        admin.close().await.unwrap();
        Self::of(Kind::MariaDb, server.url(&name))
    }

    fn of(kind: Kind, url: String) -> Self {
        let config = Database {
            url,
            connections: 4,
            ..Database::default()
        };
        Self {
            kind,
            config,
            sequencer: Sequencer::default(),
            private: None,
        }
    }

    /// Whether it has many writers at a time, each with a transaction of its own.
    pub fn is_server(&self) -> bool {
        self.kind != Kind::Sqlite
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
                let options = options.busy_timeout(Duration::from_mins(1));
                Producer::Sqlite(options.connect().await.unwrap())
            }
            Kind::Postgres => {
                Producer::Postgres(PgConnection::connect(&self.config.url).await.unwrap())
            }
            Kind::MariaDb => {
                Producer::MariaDb(MySqlConnection::connect(&self.config.url).await.unwrap())
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

    /// Whether it has an index of this name, whole or not.
    pub async fn has_index(&self, name: &str) -> bool {
        let catalogue = match self.kind {
            Kind::Sqlite => "sqlite_schema WHERE type = 'index' AND name",
            Kind::Postgres => "pg_indexes WHERE indexname",
            Kind::MariaDb => {
                "information_schema.statistics WHERE table_schema = DATABASE() AND index_name"
            }
        };
        let sql = format!("SELECT CAST(count(*) AS TEXT) FROM {catalogue} = '{name}'");
        self.text(&sql).await.is_some_and(|count| count != "0")
    }

    /// How the database would run a statement, a line per step.
    pub async fn plan(&self, sql: &str) -> String {
        self.producer().await.plan(sql).await
    }

    /// Stops the private server, as a crash would.
    pub fn stop(&self) {
        match &self.private {
            Some(Private::Postgres(cluster)) => cluster.stop(),
            Some(Private::MariaDb(server)) => server.stop(),
            None => panic!("only a private server is stopped"),
        }
    }

    /// Starts the private server again.
    pub fn start(&self) {
        match &self.private {
            Some(Private::Postgres(cluster)) => cluster.start(),
            Some(Private::MariaDb(server)) => server.start(),
            None => panic!("only a private server is started"),
        }
    }
}

/// Making a server takes its time.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A database's name that no other test has.
fn new_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A plain connection to the database.
pub enum Producer {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
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
            Self::MariaDb(connection) => connection.execute(sql).await.map(drop),
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
            Self::MariaDb(connection) => {
                let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN {sql}")))
                    .fetch_all(connection)
                    .await
                    .unwrap();
                let step = |row: &sqlx::mysql::MySqlRow| {
                    let text = |column| row.get::<Option<String>, _>(column).unwrap_or_default();
                    format!(
                        "type={} key={} {}",
                        text("type"),
                        text("key"),
                        text("Extra")
                    )
                };
                rows.iter().map(step).collect()
            }
        };
        lines.join("\n")
    }

    /// The first column of the first row, which must be text: CAST what is not.
    pub async fn text(&mut self, sql: &str) -> Option<String> {
        let sql = match self {
            // It has CHAR where the others have TEXT.
            Self::MariaDb(_) => sql.replace(" AS TEXT)", " AS CHAR)"),
            _ => sql.to_owned(),
        };
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
            // Names are bytes there.
            Self::MariaDb(connection) => sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_optional(connection)
                .await
                .map(|row| row.map(|bytes: Option<Vec<u8>>| bytes.map(utf8))),
        }
        .unwrap();
        found.flatten()
    }
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Runs each named `async fn(DatabaseUnderTest)` on a fresh database of each kind, as tests of the
/// modules `sqlite`, `postgres` and `mariadb`.
#[macro_export]
macro_rules! on_each_database {
    ($($test:ident),+ $(,)?) => {
        $crate::on_each_database!(@one sqlite Sqlite $($test)+);
        $crate::on_each_database!(@one postgres Postgres $($test)+);
        $crate::on_each_database!(@one mariadb MariaDb $($test)+);
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
