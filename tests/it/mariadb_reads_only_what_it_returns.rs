//! What MariaDB reads for us, counted by itself: a page costs what it returns, whatever the size of the log, of
//! the channel and of the outbox. (The optimizer knows the sizes only by guess: see `docs/PERFORMANCE.md` for what it
//! says about the statements.)

use changeover::{
    domain::{Audience, Position},
    store::{Beyond, Scan},
    telemetry::Purpose,
};

use crate::{
    store_conformance::{
        changes::{EVERYTHING, change, held, module, number},
        numbering::read,
    },
    support::database::{DatabaseUnderTest, Kind},
};

/// Rows of the log, of which every fourth is for everyone and 40 are for `rare`.
const LOG: &str = "\
    INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, previous, \
                            occurred_at, sequenced_at) \
    SELECT 'big', seq, 1, CASE WHEN seq % 1000 = 1 THEN 'rare' WHEN seq % 4 = 0 THEN '*' \
                          ELSE CONCAT('u', seq % 500) END, \
           CONCAT('k', seq), 'upsert', REPEAT('1', 100), 0, 1, seq FROM seq_1_to_40000";
const STATE: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value) \
    SELECT module, audience, entity_key, op, position, value FROM change_log";
const HEAD: &str = "INSERT INTO module_head (module, head) VALUES ('big', 40000)";

/// Every way of the storage engine to come to a row.
const READ: &str = "\
    SELECT CAST(SUM(variable_value) AS TEXT) FROM information_schema.global_status \
    WHERE variable_name IN ('HANDLER_READ_FIRST', 'HANDLER_READ_KEY', 'HANDLER_READ_LAST', \
        'HANDLER_READ_NEXT', 'HANDLER_READ_PREV', 'HANDLER_READ_RND', 'HANDLER_READ_RND_NEXT')";

/// What the counting costs itself, and a server that does a little by itself.
const SMALL: u64 = 1_500;

async fn rows_read(database: &DatabaseUnderTest) -> u64 {
    database.text(READ).await.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_size() {
    let Some(database) = DatabaseUnderTest::private(Kind::MariaDb).await else {
        return;
    };
    let store = database.store().await;
    for fill in [LOG, STATE, HEAD] {
        database.execute(fill).await;
    }
    let big = module("big");
    let audiences = ["*", "rare"].map(|audience| Audience::new(audience, 64).unwrap());
    let everyone = &audiences[..1];
    let rare = &audiences[1..];

    let before = rows_read(&database).await;
    let whole = "SELECT CAST(COUNT(value) AS TEXT) FROM change_log";
    database.text(whole).await.unwrap();
    let scan = rows_read(&database).await - before;
    assert!(scan > 40_000, "the counter counts: {scan}");

    let cost = async |what: &str, found: usize, expected: usize, before: u64| {
        let cost = rows_read(&database).await - before;
        println!("{what}: {found} rows for {cost} reads");
        assert_eq!(found, expected, "{what}");
        assert!(cost < SMALL, "{what}: {cost} rows read");
    };
    for (what, audiences, after, expected) in [
        ("a page of both channels", &audiences[..], 0, 100),
        ("a page of the large one", everyone, 0, 100),
        ("all of the rare one", rare, 0, 40),
        ("the end of the large one", everyone, 39_900, 25),
        ("nothing new", &audiences[..], 40_000, 0),
    ] {
        let before = rows_read(&database).await;
        let page = store.read_log(read(&big, audiences, after, 100), Purpose::Catchup);
        let found = page.await.unwrap().changes.len();
        cost(what, found, expected, before).await;
        let before = rows_read(&database).await;
        let items = store.read_state(read(&big, audiences, after, 100), false, Purpose::State);
        cost(what, items.await.unwrap().len(), expected, before).await;
    }
    for (after, expected) in [(0, 100), (39_990, 10), (40_000, 0)] {
        let before = rows_read(&database).await;
        let from = [(big.clone(), Position::new(after))];
        let rows = store.rows_after(&from, 100, Purpose::Tail).await.unwrap();
        cost("the tail", rows.len(), expected, before).await;
    }
    let before = rows_read(&database).await;
    let beyond = store.beyond_heads().await.unwrap();
    cost("what lies beyond the heads", beyond.len(), 0, before).await;
    let before = rows_read(&database).await;
    let lease = held(&store, &big).await;
    let row = change(&big, "*", "one more", "1");
    store.append(&[row]).await.unwrap();
    number(&store, &lease).await.unwrap();
    cost("numbering one row", 1, 1, before).await;
}

/// A look at the outbox is cut by bytes without reading the values that it leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_values_in_the_outbox() {
    let Some(mut database) = DatabaseUnderTest::private(Kind::MariaDb).await else {
        return;
    };
    // Reading all of them would take longer than a look may.
    database.sequencer.lease_ms = 10_000;
    let store = database.store().await;
    let name = module("big");
    let rows = "INSERT INTO outbox (module, entity_key, value) \
                SELECT 'big', CONCAT('k', seq), CONCAT('\"', REPEAT('x', 250000), '\"') FROM seq_1_to_400";
    database.execute(rows).await;
    let pages = "SELECT CAST(SUM(variable_value) AS TEXT) FROM information_schema.global_status \
                 WHERE variable_name = 'INNODB_BUFFER_POOL_READ_REQUESTS'";
    let pages = async || -> u64 { database.text(pages).await.unwrap().parse().unwrap() };
    let modules = [name];
    let scan = |bytes| Scan {
        modules: &modules,
        except: false,
        beyond: Beyond::Nothing,
        rows: 1_000,
        bytes,
    };
    let before = pages().await;
    let look = store.scan_outbox(scan(1_000_000)).await.unwrap();
    assert_eq!(look.rows.len(), 3);
    let some = pages().await - before;
    let look = store.scan_outbox(scan(EVERYTHING)).await.unwrap();
    assert_eq!(look.rows.len(), 268);
    let all = pages().await - before - some;
    println!("3 rows for {some} looks at pages, 268 for {all}");
    assert!(some < all / 10, "{some} of {all}");
}
