//! Looks at the outbox that leave out what earlier ones have had, where the database tells rows by their transaction.

use std::{sync::Arc, time::Duration};

use changeover::{
    domain::ModuleName,
    store::{Beyond, Look, Mark, Scan, Store},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::changes::{EVERYTHING, module};
use crate::support::{
    database::{DatabaseUnderTest, Kind, Producer},
    eventually,
};

const PRODUCERS: usize = 4;
const STEPS: i64 = 600;

/// Producers begin, insert (here and there with ids of their own), roll back to savepoints, commit and roll back in any
/// order. Whatever a look at everything finds, the look beyond the mark finds too, cut at the same row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_beyond_a_mark_is_everything() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    let store = database.store().await;
    let name = module("marked");
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut producers = Vec::new();
    for _ in 0..PRODUCERS {
        producers.push((database.producer().await, false));
    }
    let mut mark = Mark::NOTHING;
    for step in 0..STEPS {
        let (producer, is_open) = &mut producers[chance.random_range(0..PRODUCERS)];
        produce(producer, is_open, &mut chance, step).await;
        let rows = chance.random_range(1..=6);
        let bytes = if chance.random_bool(0.3) {
            60
        } else {
            EVERYTHING
        };
        let through = if chance.random_bool(0.3) {
            chance.random_range(-1_010_000..2_010_000)
        } else {
            i64::MAX
        };
        let found = same_as_everything(&store, &name, (mark, through), rows, bytes).await;
        // Now and then numbering fails: its rows stay, and so does the mark.
        if found.rows.is_empty() || chance.random_bool(0.8) {
            number(&database, &found).await;
            mark = found.mark.unwrap();
        }
    }
    for (producer, is_open) in &mut producers {
        if *is_open {
            producer.execute("COMMIT").await;
        }
    }
    loop {
        let found = same_as_everything(&store, &name, (mark, i64::MAX), 6, EVERYTHING).await;
        number(&database, &found).await;
        mark = found.mark.unwrap();
        if found.rows.is_empty() {
            break;
        }
    }
    let left = "SELECT CAST(count(*) AS TEXT) FROM outbox";
    assert_eq!(database.text(left).await.as_deref(), Some("0"));
}

async fn produce(producer: &mut Producer, is_open: &mut bool, chance: &mut StdRng, step: i64) {
    if !*is_open {
        producer.execute("BEGIN").await;
        *is_open = true;
    }
    let inserted = match chance.random_range(0..8) {
        0 => format!("{}; ROLLBACK TO s", insert("SAVEPOINT s; ", "", "")),
        1 => format!("{}; RELEASE s", insert("SAVEPOINT s; ", "", "")),
        // Far below and far above what the identity gives.
        2 => insert("", "id, ", &format!("{}, ", -1_000_000 + 7 * step)),
        3 => insert("", "id, ", &format!("{}, ", 2_000_000 - 7 * step)),
        _ => insert("", "", ""),
    };
    producer.execute(&inserted).await;
    let end = match chance.random_range(0..6) {
        0 | 1 => "COMMIT",
        2 => "ROLLBACK",
        _ => return,
    };
    producer.execute(end).await;
    *is_open = false;
}

fn insert(before: &str, column: &str, value: &str) -> String {
    let columns = format!("{column}module, entity_key, value");
    format!("{before}INSERT INTO outbox ({columns}) VALUES ({value}'marked', 'k', '1')")
}

/// Of everything the same, up to the row at which the look was to end.
async fn same_as_everything(
    store: &Arc<dyn Store>,
    name: &ModuleName,
    (mark, through): (Mark, i64),
    rows: u32,
    bytes: usize,
) -> Look {
    let beyond = Beyond::Mark { mark, through };
    let found = look(store, name, beyond, rows, bytes).await;
    let mut all = look(store, name, Beyond::Nothing, rows, bytes).await.rows;
    all.retain(|row| row.id <= through.max(mark.id));
    assert_eq!(found.rows, all, "beyond {beyond:?}");
    found
}

async fn look(
    store: &Arc<dyn Store>,
    name: &ModuleName,
    beyond: Beyond,
    rows: u32,
    bytes: usize,
) -> Look {
    let scan = Scan {
        modules: std::slice::from_ref(name),
        except: false,
        beyond,
        rows,
        bytes,
    };
    store.scan_outbox(scan).await.unwrap()
}

async fn number(database: &DatabaseUnderTest, look: &Look) {
    for row in &look.rows {
        let delete = format!("DELETE FROM outbox WHERE id = {}", row.id);
        database.execute(&delete).await;
    }
}

/// A row that is mended while it waits, or whose writer names a transaction of its own choice, is found all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_lies_about_its_transaction() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    let store = database.store().await;
    let name = module("marked");
    let stranger = "INSERT INTO outbox (module, entity_key, value) VALUES ('stranger', 'k', '1')";
    database.execute(stranger).await;
    database.execute(&insert("", "", "")).await;
    let first = same_as_everything(&store, &name, (Mark::NOTHING, i64::MAX), 6, EVERYTHING).await;
    assert_eq!(first.rows.len(), 1);
    number(&database, &first).await;
    let mark = first.mark.unwrap();
    let mended = "UPDATE outbox SET module = 'marked'";
    let told = "INSERT INTO outbox (id, module, entity_key, value, txid) VALUES (-7, 'marked', 'k', '1', 0)";
    for sql in [mended, told] {
        database.execute(sql).await;
    }
    let found = same_as_everything(&store, &name, (mark, i64::MAX), 6, EVERYTHING).await;
    assert_eq!(found.rows.len(), 2);
}

const DEAD: u64 = 100_000;
const LOOKS: u64 = 20;

/// A snapshot keeps every numbered row as a dead one. The pages that a session has looked at are told when it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_rows_cost_nothing_behind_a_mark() {
    let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await else {
        return;
    };
    drop(database.store().await);
    let mut reader = database.producer().await;
    reader
        .execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM outbox")
        .await;
    let rows = format!(
        "INSERT INTO outbox (module, entity_key, value) SELECT 'marked', 'k' || n, '1' \
         FROM generate_series(1, {DEAD}) n"
    );
    // One of them in the statistics, so that a plan cannot believe the table small.
    for sql in [&*rows, "ANALYZE outbox", "DELETE FROM outbox"] {
        database.execute(sql).await;
    }
    let everything = pages_of(&database, |_| Beyond::Nothing).await;
    let beyond = pages_of(&database, |mark| Beyond::Mark {
        mark,
        through: i64::MAX,
    })
    .await;
    println!("{everything} pages for {LOOKS} looks at everything, {beyond} with marks");
    // The first of the looks has no mark.
    assert!(
        everything > LOOKS * DEAD / 200,
        "the snapshot keeps the rows"
    );
    assert!(
        beyond < everything / LOOKS * 3,
        "{beyond} pages for {LOOKS} looks"
    );
    reader.execute("COMMIT").await;
}

/// Pages of the outbox that some looks in a session of their own looked at, each with one new row.
async fn pages_of(database: &DatabaseUnderTest, beyond: impl Fn(Mark) -> Beyond) -> u64 {
    const PAGES: &str = "SELECT CAST(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read AS TEXT) \
                         FROM pg_statio_user_tables WHERE relname = 'outbox'";
    const SESSIONS: &str = "SELECT CAST(count(*) AS TEXT) FROM pg_stat_activity \
                            WHERE application_name = 'changeover'";
    let ended = async || {
        let sessions = database.text(SESSIONS).await;
        (sessions.as_deref() == Some("0")).then_some(())
    };
    let soon = Duration::from_secs(30);
    eventually("earlier sessions have ended", soon, ended).await;
    let pages = async || -> u64 { database.text(PAGES).await.unwrap().parse().unwrap() };
    let before = pages().await;
    let store = database.open().await;
    let name = module("marked");
    let mut mark = Mark::NOTHING;
    for _ in 0..LOOKS {
        database.execute(&insert("", "", "")).await;
        let found = look(&store, &name, beyond(mark), 100, EVERYTHING).await;
        assert_eq!(found.rows.len(), 1);
        number(database, &found).await;
        mark = found.mark.unwrap_or(mark);
    }
    drop(store);
    eventually("this session has ended", soon, ended).await;
    pages().await - before
}
