//! MySQL's default isolation is REPEATABLE READ: a transaction reads from the snapshot of its first SELECT, and
//! deletes from what is there now. A reader of the outbox that leaves it so loses a row and numbers another
//! twice; under READ COMMITTED the same steps are right, and every session of ours says so by name.

use changeover::telemetry::Purpose;

use crate::{
    store_conformance::changes::{change, held, module, number},
    support::database::{DatabaseUnderTest, Kind, Producer},
};

/// What a reader copied, and what it left behind, as keys.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    numbered: String,
    left: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_steps_that_are_right_under_read_committed() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::MariaDb).await else {
        return;
    };
    database.store().await;
    let default = "SELECT @@tx_isolation";
    assert_eq!(
        database.text(default).await.as_deref(),
        Some("REPEATABLE-READ"),
        "the server is as it comes"
    );
    let lost = naive_reader(&database, "REPEATABLE READ").await;
    assert_eq!(lost.numbered, "early,early", "`early` twice, `late` never");
    assert_eq!(lost.left, "", "`late` is gone");
    let kept = naive_reader(&database, "READ COMMITTED").await;
    assert_eq!(kept.numbered, "early,late");
    assert_eq!(kept.left, "");
}

/// A reader that looks for work, waits for the head's lock, numbers what it reads and deletes up to the last id that it
/// has read. While it waits, another one numbers, and a producer commits a row with a lower id. Nothing happens between its last read
/// and its delete.
async fn naive_reader(database: &DatabaseUnderTest, isolation: &str) -> Outcome {
    database
        .execute(
            "DROP TABLE IF EXISTS copied; CREATE TABLE copied (n INT AUTO_INCREMENT PRIMARY KEY, entity_key TEXT); \
             INSERT INTO module_head (module) VALUES ('naive') ON DUPLICATE KEY UPDATE head = 0",
        )
        .await;
    let [mut late, mut other, mut reader] = [
        database.producer().await,
        database.producer().await,
        database.producer().await,
    ];
    late.execute("BEGIN").await;
    late.execute(&row("late")).await;
    other.execute(&row("early")).await;
    let isolation = format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}");
    reader.execute(&isolation).await;
    reader.execute("BEGIN").await;
    let waiting = "SELECT CAST(count(*) AS TEXT) FROM outbox";
    assert_eq!(reader.text(waiting).await.as_deref(), Some("1"));

    // The other one numbers what there is.
    other.execute("BEGIN").await;
    copy_and_delete(&mut other, "=").await;
    other.execute("COMMIT").await;
    late.execute("COMMIT").await;

    // Now the reader has its turn.
    reader
        .execute("SELECT head FROM module_head WHERE module = 'naive' FOR UPDATE")
        .await;
    copy_and_delete(&mut reader, "<=").await;
    reader.execute("COMMIT").await;
    Outcome {
        numbered: list(
            database,
            "SELECT GROUP_CONCAT(entity_key ORDER BY n) FROM copied",
        )
        .await,
        left: list(
            database,
            "SELECT GROUP_CONCAT(entity_key ORDER BY id) FROM outbox",
        )
        .await,
    }
}

async fn copy_and_delete(reader: &mut Producer, up_to: &str) {
    let last = "SELECT CAST(MAX(id) AS TEXT) FROM outbox";
    let last = reader.text(last).await.unwrap_or_default();
    let keys = "SELECT GROUP_CONCAT(entity_key ORDER BY id) FROM outbox";
    let keys = reader.text(keys).await.unwrap_or_default();
    for key in keys.split(',') {
        let copy = format!("INSERT INTO copied (entity_key) VALUES ('{key}')");
        reader.execute(&copy).await;
    }
    let delete = format!("DELETE FROM outbox WHERE id {up_to} {last}");
    reader.execute(&delete).await;
}

fn row(key: &str) -> String {
    format!("INSERT INTO outbox (module, entity_key, value) VALUES ('naive', '{key}', '1')")
}

async fn list(database: &DatabaseUnderTest, sql: &str) -> String {
    database.text(sql).await.unwrap_or_default()
}

/// Ours, in the same situation, and what the server says about its transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_ours_runs_under_read_committed() {
    let Some(database) = DatabaseUnderTest::private(Kind::MariaDb).await else {
        return;
    };
    let store = database.store().await;
    let name = module("ours");
    let lease = held(&store, &name).await;
    let mut late = database.producer().await;
    late.execute("BEGIN").await;
    let row = "INSERT INTO outbox (module, entity_key, value) VALUES ('ours', 'late', '1')";
    late.execute(row).await;
    store
        .append(&[change(&name, "*", "early", "1")])
        .await
        .unwrap();
    number(&store, &lease).await.unwrap();
    late.execute("COMMIT").await;

    let open = store
        .begin_numbering(std::slice::from_ref(&lease))
        .await
        .unwrap();
    let isolation = "SELECT GROUP_CONCAT(trx_isolation_level) FROM information_schema.innodb_trx";
    assert_eq!(
        database.text(isolation).await.as_deref(),
        Some("READ COMMITTED")
    );
    drop(open);
    number(&store, &lease).await.unwrap();
    let from = [(name, changeover::domain::Position::ZERO)];
    let log = store.rows_after(&from, 10, Purpose::Tail).await.unwrap();
    let keys: Vec<_> = log.iter().map(|(_, change)| &*change.key).collect();
    assert_eq!(keys, ["early", "late"]);
}
