//! A copy of a database, put back later: what a restore does, or a fail-over that lost commits.

use std::{fs, process::Command, time::Duration};

use super::{
    database::{DatabaseUnderTest, Kind},
    folder,
};

/// A copy of all tables.
pub struct Backup {
    /// The file of the copy, on SQLite.
    file: String,
    /// On PostgreSQL.
    tables: Vec<String>,
}

impl Backup {
    /// Copies everything as of one moment.
    pub async fn take(database: &DatabaseUnderTest) -> Self {
        let list = "SELECT string_agg(tablename, ',') FROM pg_tables \
                    WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'";
        let tables = match database.kind {
            Kind::Sqlite => String::new(),
            Kind::Postgres => database.text(list).await.unwrap(),
            Kind::MariaDb => {
                let list = "SELECT CAST(group_concat(table_name) AS CHAR) FROM information_schema.tables \
                            WHERE table_schema = DATABASE() AND table_name <> '_sqlx_migrations'";
                database.text(list).await.unwrap()
            }
        };
        let tables: Vec<_> = tables.split(',').map(str::to_owned).collect();
        let file = folder::fresh("backup").join("copy.db");
        let file = file.to_str().unwrap().to_owned();
        let sql = match database.kind {
            Kind::Sqlite => format!("VACUUM INTO '{file}'"),
            Kind::MariaDb => {
                let copy = |table: &String| {
                    format!("CREATE TABLE older_{table} AS SELECT * FROM {table};")
                };
                tables.iter().map(copy).collect()
            }
            Kind::Postgres => {
                let copy = |table: &String| format!("CREATE TABLE older.{table} AS TABLE {table};");
                let copies: String = tables.iter().map(copy).collect();
                format!(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE SCHEMA older; {copies} COMMIT"
                )
            }
        };
        database.execute(&sql).await;
        Self { file, tables }
    }

    /// Puts it back in one transaction, under whoever uses the database: on SQLite with its shell.
    pub async fn restore(&self, database: &DatabaseUnderTest) {
        if database.kind == Kind::Sqlite {
            let path = database.config.url.strip_prefix("sqlite://").unwrap();
            let restore = format!(".restore '{}'", self.file);
            let mut shell = Command::new("sqlite3");
            shell.args(["-cmd", ".timeout 20000", path, &restore]);
            let done = shell.output().expect("the package `sqlite3` is missing");
            assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
            return;
        }
        if database.kind == Kind::MariaDb {
            return self.restore_mariadb(database).await;
        }
        let tables = self.tables.join(",");
        let put = |table: &String| {
            format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM older.{table};")
        };
        let puts: String = self.tables.iter().map(put).collect();
        let sql = format!("BEGIN; LOCK TABLE {tables} IN EXCLUSIVE MODE; {puts} COMMIT");
        database.execute(&sql).await;
    }

    /// The server may choose it as the victim of a deadlock with the gateway.
    async fn restore_mariadb(&self, database: &DatabaseUnderTest) {
        let put = |table: &String| {
            format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM older_{table};")
        };
        let puts: String = self.tables.iter().map(put).collect();
        let sql = format!("START TRANSACTION; {puts} COMMIT");
        super::eventually("the copy is put back", Duration::from_mins(1), async || {
            database.producer().await.try_execute(&sql).await.ok()
        })
        .await;
    }

    /// Puts it back while nobody uses the database: on SQLite the file itself.
    pub async fn restore_file(&self, database: &DatabaseUnderTest) {
        if database.kind != Kind::Sqlite {
            return self.restore(database).await;
        }
        let path = database.config.url.strip_prefix("sqlite://").unwrap();
        for ending in ["-wal", "-shm"] {
            // Left behind only by a process that was killed.
            let _absent = fs::remove_file(format!("{path}{ending}"));
        }
        fs::copy(&self.file, path).unwrap();
    }
}
