//! The schema is made once, recognised, and refused when it is newer or changed.

use changeover::store::{Error, SchemaState};

use crate::support::database::{DatabaseUnderTest, Kind};

crate::on_each_database!(
    are_pending_then_current,
    leave_tables_of_others_alone,
    run_once_when_two_processes_start_together,
    refuse_a_newer_schema,
    refuse_a_changed_migration,
);

async fn are_pending_then_current(database: DatabaseUnderTest) {
    let store = database.open().await;
    store.ping().await.unwrap();
    let SchemaState::Pending(pending) = store.schema_state().await.unwrap() else {
        panic!("a new database has no schema");
    };
    assert_eq!(store.migrate().await.unwrap(), pending);
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
    assert_eq!(store.migrate().await.unwrap(), 0);
    store.close().await;
    assert!(matches!(store.ping().await, Err(Error::Unavailable { .. })));
}

async fn leave_tables_of_others_alone(database: DatabaseUnderTest) {
    let store = database.open().await;
    database
        .execute("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (7)")
        .await;
    assert!(matches!(
        store.schema_state().await.unwrap(),
        SchemaState::Pending(_)
    ));
    store.migrate().await.unwrap();
    assert_eq!(
        database
            .text("SELECT CAST(id AS TEXT) FROM orders")
            .await
            .as_deref(),
        Some("7")
    );
}

async fn run_once_when_two_processes_start_together(database: DatabaseUnderTest) {
    let handles = [
        database.open().await,
        database.open().await,
        database.open().await,
    ];
    let tasks = handles.map(|store| tokio::spawn(async move { store.migrate().await }));
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let rows = database
        .text("SELECT CAST(count(*) AS TEXT) FROM _sqlx_migrations")
        .await;
    let versions = database
        .text("SELECT CAST(count(DISTINCT version) AS TEXT) FROM _sqlx_migrations")
        .await;
    assert_eq!(rows, versions);
}

async fn refuse_a_newer_schema(database: DatabaseUnderTest) {
    let store = database.store().await;
    database
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 9999, 'of the future', success, checksum, 1 FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
    let refused =
        |error| matches!(error, Error::SchemaNewer { found: 9999, known } if known < 9999);
    assert!(refused(store.schema_state().await.unwrap_err()));
    assert!(refused(store.migrate().await.unwrap_err()));
}

async fn refuse_a_changed_migration(database: DatabaseUnderTest) {
    let store = database.store().await;
    let other = match database.kind {
        Kind::Sqlite | Kind::MariaDb => "x'00'",
        Kind::Postgres => "'\\x00'::bytea",
    };
    database
        .execute(&format!(
            "UPDATE _sqlx_migrations SET checksum = {other} WHERE version = 1"
        ))
        .await;
    let error = store.schema_state().await.unwrap_err().to_string();
    assert!(
        error.contains("migration 1") && error.contains("checksum"),
        "{error}"
    );
    assert!(store.migrate().await.is_err());
}
