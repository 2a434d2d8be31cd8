//! The index of the state by time: made when it is asked for, whole in the end, and never part of an answer.

use std::sync::Arc;

use changeover::{
    domain::{Audience, Micros},
    store::{StateTicks, Store},
    telemetry::Purpose,
};

use super::changes::{change, held, module, number};
use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
};

crate::on_each_database!(
    is_there_once_it_was_asked_for,
    is_dropped_by_the_migration_and_nobody_else,
    is_made_once_by_processes_that_start_together,
    quickens_what_is_read_and_changes_nothing,
);

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);
const NAME: &str = "entity_state_tick";
const MAKE: &str =
    "CREATE INDEX entity_state_tick ON entity_state (module, audience, sequenced_at)";

async fn is_there_once_it_was_asked_for(database: DatabaseUnderTest) {
    let always = database.kind == Kind::MariaDb;
    let store = database.store().await;
    assert_eq!(database.has_index(NAME).await, always);
    assert_eq!(store.has_tick_index().await.unwrap(), always);
    for _ in 0..2 {
        store.make_tick_index().await.unwrap();
        assert!(database.has_index(NAME).await);
        assert!(store.has_tick_index().await.unwrap());
    }
    store.close().await;
    database.store().await.close().await;
    assert!(database.has_index(NAME).await, "a start leaves it alone");
}

async fn is_dropped_by_the_migration_and_nobody_else(database: DatabaseUnderTest) {
    if database.kind == Kind::MariaDb {
        return;
    }
    let store = database.store().await;
    // As a program of before left it.
    for sql in [MAKE, "DELETE FROM _sqlx_migrations WHERE version = 8"] {
        database.execute(sql).await;
    }
    assert_eq!(store.migrate().await.unwrap(), 1);
    assert!(!database.has_index(NAME).await);
}

async fn is_made_once_by_processes_that_start_together(database: DatabaseUnderTest) {
    database.store().await.close().await;
    let handles = [
        database.open().await,
        database.open().await,
        database.open().await,
    ];
    let tasks = handles.map(|store| tokio::spawn(async move { store.make_tick_index().await }));
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(database.open().await.has_tick_index().await.unwrap());
}

/// Everything of two channels by time, in pages.
async fn pages(store: &Arc<dyn Store>) -> Vec<(Micros, u64)> {
    let name = module("a");
    let audiences = ["u", "*"].map(|audience| Audience::new(audience, 64).unwrap());
    let mut found: Vec<(Micros, u64)> = Vec::new();
    loop {
        let read = StateTicks {
            module: &name,
            audiences: &audiences,
            from: Micros::new(found.last().map_or(0, |(at, _)| at.get() + 1)),
            before: Micros::new(i64::MAX),
            limit: 7,
        };
        let page = store.read_state_ticks(read, Purpose::State).await.unwrap();
        if page.is_empty() {
            return found;
        }
        found.extend(page.iter().map(|(at, item)| (*at, item.position.get())));
    }
}

async fn quickens_what_is_read_and_changes_nothing(mut database: DatabaseUnderTest) {
    const ITEMS: usize = 2_000;
    // Half of it is what a busy machine has for numbering them all at once.
    database.sequencer.lease_ms = 120_000;
    let store = database.store().await;
    let name = module("a");
    let lease = held(&store, &name).await;
    let audience = |n| ["*", "u", "somebody else"][n % 3];
    let changes: Vec<_> = (0..ITEMS)
        .map(|n| change(&name, audience(n), &format!("k{n}"), "1"))
        .collect();
    store.append(&changes).await.unwrap();
    number(&store, &lease).await.unwrap();
    // A time for each, in no order of theirs.
    database
        .execute("UPDATE entity_state SET sequenced_at = 5 + (position * 1009) % 4001")
        .await;
    let before = pages(&store).await;
    let of_others = (0..ITEMS).filter(|n| n % 3 == 2).count();
    assert_eq!(before.len(), ITEMS - of_others);
    assert!(before.is_sorted());
    store.make_tick_index().await.unwrap();
    assert_eq!(pages(&store).await, before);
    if database.kind == Kind::MariaDb {
        return; // `mariadb_reads_only_what_it_returns` counts there.
    }
    database.execute("ANALYZE entity_state").await;
    // As `store/*/ticks.rs` has it, for one channel.
    let sql = "SELECT entity_key FROM entity_state WHERE module = 'a' AND audience = '*' \
               AND sequenced_at >= 50 AND sequenced_at < 4000 \
               ORDER BY sequenced_at, position LIMIT 5";
    let plan = database.plan(sql).await;
    assert!(plan.contains(NAME), "{plan}");
}

/// Begins a transaction that sees the database as it is now, and goes on doing so. Whoever makes an index beside it waits for
/// its end.
async fn onlooker(database: &DatabaseUnderTest) -> crate::support::database::Producer {
    let mut onlooker = database.producer().await;
    onlooker
        .execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .await;
    onlooker
}

async fn postgres() -> Option<DatabaseUnderTest> {
    DatabaseUnderTest::fresh(Kind::Postgres).await
}

/// The session that makes it, held up by the onlooker.
const MAKING: &str = "wait_event = 'virtualxid' AND query LIKE 'CREATE INDEX%'";
/// The ones that wait for their turn.
const LOCKED_OUT: &str = "query LIKE '%advisory%' AND pid <> pg_backend_pid()";

async fn until_sessions(database: &DatabaseUnderTest, which: &str, expected: &str) {
    let sql = format!(
        "SELECT CAST(count(*) AS TEXT) FROM pg_stat_activity \
         WHERE datname = current_database() AND {which}"
    );
    eventually(which, PATIENCE, async || {
        (database.text(&sql).await? == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_finished_by_the_server_if_the_process_dies() {
    let Some(database) = postgres().await else {
        return;
    };
    let identity = "SELECT CAST(to_regclass('entity_state_tick')::oid AS TEXT)";
    let (dying, next) = (database.store().await, database.store().await);
    let mut onlooker = onlooker(&database).await;
    let dying = tokio::spawn(async move { dying.make_tick_index().await });
    until_sessions(&database, MAKING, "1").await;
    let begun = database.text(identity).await;
    // Its connection ends without a word.
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    let next = tokio::spawn(async move { next.make_tick_index().await.map(|()| next) });
    until_sessions(&database, LOCKED_OUT, "1").await;
    onlooker.execute("COMMIT").await;
    let next = next.await.unwrap().unwrap();
    assert!(next.has_tick_index().await.unwrap());
    assert_eq!(database.text(identity).await, begun, "it was made anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_made_anew_after_an_interruption() {
    let Some(database) = postgres().await else {
        return;
    };
    let store = database.store().await;
    let mut onlooker = onlooker(&database).await;
    let mut interrupted = database.producer().await;
    interrupted.execute("SET lock_timeout = '50ms'").await;
    let concurrently = MAKE.replace("INDEX", "INDEX CONCURRENTLY");
    interrupted.try_execute(&concurrently).await.unwrap_err();
    onlooker.execute("COMMIT").await;
    assert!(database.has_index(NAME).await, "what is left of it");
    assert!(!store.has_tick_index().await.unwrap());

    store.make_tick_index().await.unwrap();
    assert!(store.has_tick_index().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_waited_for_by_others_while_numbering_goes_on() {
    let Some(database) = postgres().await else {
        return;
    };
    let store = database.store().await;
    let name = module("a");
    let lease = held(&store, &name).await;
    let mut onlooker = onlooker(&database).await;
    let handles = [
        database.open().await,
        database.open().await,
        database.open().await,
    ];
    let tasks = handles.map(|store| tokio::spawn(async move { store.make_tick_index().await }));
    until_sessions(&database, MAKING, "1").await;
    until_sessions(&database, LOCKED_OUT, "2").await;
    assert!(!store.has_tick_index().await.unwrap());
    store.append(&[change(&name, "*", "k", "1")]).await.unwrap();
    number(&store, &lease).await.unwrap();
    assert_eq!(pages(&store).await.len(), 1);
    onlooker.execute("COMMIT").await;
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(store.has_tick_index().await.unwrap());
}
