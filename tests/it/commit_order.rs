//! Ids are taken at the insert and rows appear at the commit. Whatever the order of the two: nothing
//! is lost, nothing comes twice, positions have no holes, and per key the log follows the commits.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::support::{
    database::{DatabaseUnderTest, Kind, Producer},
    gateway::{Client, InProcess, Setup, assert_dense, insert, keys},
    within,
};

const SOON: Duration = Duration::from_secs(30);

crate::on_each_database!(
    commits_out_of_the_order_of_ids_lose_nothing,
    rolled_back_ids_leave_no_hole,
    an_idle_transaction_delays_nobody_else,
    a_slow_writer_comes_before_the_one_that_waited_for_it,
    sixteen_writers_are_numbered_in_the_order_of_their_commits,
);

/// `innodb_autoinc_lock_mode` says how MariaDB hands out ids: 1, as on the shared server, keeps those of an
/// `INSERT … SELECT` together; 2 mixes them with the ids of other transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb_with_interleaved_ids() {
    let mode = &["--innodb-autoinc-lock-mode=2"];
    for round in 0..3 {
        let Some(database) = DatabaseUnderTest::private_mariadb(mode).await else {
            return;
        };
        let set = "SELECT CAST(@@innodb_autoinc_lock_mode AS TEXT)";
        assert_eq!(database.text(set).await.as_deref(), Some("2"));
        match round {
            0 => commits_out_of_the_order_of_ids_lose_nothing(database).await,
            1 => Box::pin(mixed_inserts_lose_nothing(database)).await,
            _ => sixteen_writers_are_numbered_in_the_order_of_their_commits(database).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb_with_consecutive_ids() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::MariaDb).await {
        let set = "SELECT CAST(@@innodb_autoinc_lock_mode AS TEXT)";
        assert_eq!(database.text(set).await.as_deref(), Some("1"));
        Box::pin(mixed_inserts_lose_nothing(database)).await;
    }
}

/// Rows from a query of the server's, whose ids are taken as it goes, beside rows one by one.
async fn mixed_inserts_lose_nothing(database: DatabaseUnderTest) {
    const BULKS: u64 = 10;
    const ROWS: u64 = 300;
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let writers = ["a", "b", "c"].map(|name| {
        let database = &database;
        async move {
            let mut producer = database.producer().await;
            for bulk in 0..BULKS {
                let many = format!(
                    "INSERT INTO outbox (module, entity_key, value) \
                     SELECT 'commission', CONCAT('{name}-{bulk}-', seq), seq FROM seq_1_to_{ROWS}"
                );
                producer.execute("BEGIN").await;
                producer
                    .execute(&insert(&format!("{name}-{bulk}"), "0"))
                    .await;
                producer.execute(&many).await;
                let end = if bulk % 5 == 4 { "ROLLBACK" } else { "COMMIT" };
                producer.execute(end).await;
            }
        }
    });
    let [a, b, c] = writers;
    tokio::join!(a, b, c);
    let total = usize::try_from(3 * (BULKS - BULKS / 5) * (ROWS + 1)).unwrap();
    let all = gateway.client.items(0, total, SOON).await;
    assert_dense(&all);
    assert_eq!(keys(&all).iter().collect::<BTreeSet<_>>().len(), total);
    // A transaction's own rows keep their order.
    for name in ["a", "b", "c"] {
        for bulk in (0..BULKS).filter(|bulk| bulk % 5 != 4) {
            let own = |item: &&Value| {
                let key = item["key"].as_str().unwrap();
                key.starts_with(&format!("{name}-{bulk}-")) || key == format!("{name}-{bulk}")
            };
            let values: Vec<_> = all
                .iter()
                .filter(own)
                .map(|item| item["body"].as_u64().unwrap())
                .collect();
            assert_eq!(values, (0..=ROWS).collect::<Vec<_>>());
        }
    }
    gateway.stop().await;
}

async fn commits_out_of_the_order_of_ids_lose_nothing(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    match database.kind {
        Kind::Postgres | Kind::MariaDb => {
            the_second_commits_first(&database, &gateway.client).await;
        }
        Kind::Sqlite => the_second_waits_for_the_first(&database, &gateway.client).await,
    }
    gateway.stop().await;
}

async fn the_second_commits_first(database: &DatabaseUnderTest, client: &Client) {
    let (mut one, mut two) = (database.producer().await, database.producer().await);
    one.execute("BEGIN").await;
    one.execute(&insert("one", "1")).await;
    two.execute("BEGIN").await;
    two.execute(&insert("two", "2")).await;
    two.execute("COMMIT").await;

    let early = client.items(0, 1, SOON).await;
    assert_eq!(keys(&early), ["two"]);
    // Long enough that the floor of the fast scans has passed the first id.
    for round in 0..3 {
        let before = Instant::now();
        two.execute(&insert(&format!("filler-{round}"), "0")).await;
        client.items(0, 2 + round, SOON).await;
        while before.elapsed() < Duration::from_millis(300) {
            assert!(!keys(&client.pages(0, 10).await.0).contains(&"one".to_owned()));
        }
    }
    let (_, cursor) = client.pages(0, 100).await;
    one.execute("COMMIT").await;

    let late = client.items(cursor, 1, SOON).await;
    assert_eq!(keys(&late), ["one"]);
    let (all, _) = client.pages(0, 2).await;
    assert_eq!(
        keys(&all),
        ["two", "filler-0", "filler-1", "filler-2", "one"]
    );
    assert_dense(&all);
}

/// SQLite has one writer at a time, so ids and commits cannot cross. What can happen is that one writer
/// waits for the other, and that polls come in between.
async fn the_second_waits_for_the_first(database: &DatabaseUnderTest, client: &Client) {
    let (mut one, mut two) = (database.producer().await, database.producer().await);
    one.execute("BEGIN IMMEDIATE").await;
    one.execute(&insert("one", "1")).await;
    let second = tokio::spawn(async move {
        two.execute("BEGIN IMMEDIATE").await;
        two.execute(&insert("two", "2")).await;
        two.execute("COMMIT").await;
    });
    for _ in 0..20 {
        let page = client.page(0, 10).await;
        assert_eq!((page.items.len(), page.cursor), (0, 0));
    }
    assert!(!second.is_finished());
    one.execute("COMMIT").await;
    second.await.unwrap();
    let all = client.items(0, 2, SOON).await;
    assert_eq!(keys(&all), ["one", "two"]);
    assert_dense(&all);
}

async fn rolled_back_ids_leave_no_hole(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let mut producer = database.producer().await;
    for round in 0..30 {
        let end = if round % 3 == 0 { "COMMIT" } else { "ROLLBACK" };
        producer.execute("BEGIN").await;
        producer.execute(&insert(&format!("{round}"), "1")).await;
        producer.execute(end).await;
    }
    producer.execute(&insert("last", "1")).await;
    let all = gateway.client.items(0, 11, SOON).await;
    let expected = [
        "0", "3", "6", "9", "12", "15", "18", "21", "24", "27", "last",
    ];
    assert_eq!(keys(&all), expected);
    assert_dense(&all);
    gateway.stop().await;
}

/// On SQLite the idle writer keeps the others out, which is SQLite's way; the polls go on, and so does
/// everything else afterwards.
async fn an_idle_transaction_delays_nobody_else(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let (mut idle, mut busy) = (database.producer().await, database.producer().await);
    busy.execute(&insert("first", "1")).await;
    client.items(0, 1, SOON).await;
    idle.execute("BEGIN").await;
    idle.execute(&insert("idle", "1")).await;

    let began = Instant::now();
    let (mut written, mut slowest) = (1, Duration::ZERO);
    // Longer than a lease, and than several full scans.
    while began.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        if database.is_server() {
            busy.execute(&insert(&format!("busy-{written}"), "1")).await;
            written += 1;
            client.items(0, written, SOON).await;
        } else {
            assert_eq!(client.page(0, 10).await.items.len(), 1);
        }
        slowest = slowest.max(asked.elapsed());
    }
    println!("{written} written beside the idle one, the slowest took {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    idle.execute("COMMIT").await;
    busy.execute(&insert("after", "1")).await;
    let all = client.items(0, written + 2, SOON).await;
    assert_dense(&all);
    assert_eq!(all.len(), written + 2);
    assert!(keys(&all).contains(&"idle".to_owned()));
    gateway.stop().await;
}

/// The slow one has the lower ids by far when it commits, so that fast looks at the outbox no longer
/// reach down to them; the other one writes the same key at once after it.
async fn a_slow_writer_comes_before_the_one_that_waited_for_it(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a").set("sequencer.full_scan_ms", 600_000);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let (mut slow, mut quick) = (database.producer().await, database.producer().await);
    let mut written = 0;
    slow.execute("BEGIN").await;
    slow.execute(&insert("k", "1")).await;
    let began = Instant::now();
    // Several times as long as the floor lags behind.
    while began.elapsed() < Duration::from_secs(1) && database.is_server() {
        quick.execute(&insert("other", "0")).await;
        written += 1;
        client.items(0, written, SOON).await;
    }
    slow.execute("COMMIT").await;
    quick.execute(&insert("k", "2")).await;
    let all = client.items(0, written + 2, SOON).await;
    assert_dense(&all);
    let of_key: Vec<_> = all.iter().filter(|item| item["key"] == "k").collect();
    assert_eq!(
        (&of_key[0]["body"], &of_key[1]["body"]),
        (&1.into(), &2.into())
    );
    gateway.stop().await;
}

const WRITERS: u64 = 16;
const ROWS: u64 = 1_000;
const ENTITIES: u64 = 32;

async fn sixteen_writers_are_numbered_in_the_order_of_their_commits(database: DatabaseUnderTest) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    make_entities(&database).await;
    let total = usize::try_from(WRITERS * ROWS).unwrap();
    let reader = tokio::spawn(follow(gateway.client.clone(), total));
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let producer = database.producer().await;
        let chance = StdRng::seed_from_u64(seed ^ number);
        writers.push(tokio::spawn(write(database.kind, number, producer, chance)));
    }
    for writer in writers {
        within("a writer ends", Duration::from_mins(3), writer)
            .await
            .unwrap();
    }
    let last = "the client that polled all the time has as many changes as were committed";
    let followed = within(last, Duration::from_mins(1), reader).await.unwrap();
    let (all, _) = gateway.client.pages(0, 777).await;
    assert_eq!(all.len(), total);
    let differs = all.iter().zip(&followed).find(|(all, seen)| all != seen);
    assert_eq!(differs, None, "what it saw is what the log has");
    assert_dense(&all);
    assert_each_once(&all);
    assert_order_per_key(&all);
    gateway.stop().await;
}

async fn make_entities(database: &DatabaseUnderTest) {
    let mut producer = database.producer().await;
    producer
        .execute(
            "CREATE TABLE entity (entity_key VARCHAR(32) PRIMARY KEY, version INTEGER NOT NULL)",
        )
        .await;
    for entity in 0..ENTITIES {
        let row = format!("INSERT INTO entity VALUES ('e{entity}', 0)");
        producer.execute(&row).await;
    }
}

/// Locks its entity first, as a careful application does, and waits a little before it commits.
async fn write(kind: Kind, number: u64, mut producer: Producer, mut chance: StdRng) {
    let (begin, longest_ms) = match kind {
        Kind::Sqlite => ("BEGIN IMMEDIATE", 1),
        Kind::Postgres | Kind::MariaDb => ("BEGIN", 20),
    };
    let mut row = 0;
    while row < ROWS {
        let entity = chance.random_range(0..ENTITIES);
        let count = chance.random_range(1..=20).min(ROWS - row);
        producer.execute(begin).await;
        for row in row..row + count {
            let version = lock_and_raise(&mut producer, entity).await;
            let value = format!(r#"{{"version":{version},"writer":{number},"row":{row}}}"#);
            producer
                .execute(&insert(&format!("e{entity}"), &value))
                .await;
        }
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..=longest_ms))).await;
        if chance.random_range(0..20) == 0 {
            producer.execute("ROLLBACK").await;
            continue;
        }
        producer.execute("COMMIT").await;
        row += count;
    }
}

/// The new version of an entity, which stays locked until the end of the transaction.
async fn lock_and_raise(producer: &mut Producer, entity: u64) -> String {
    let which = format!("WHERE entity_key = 'e{entity}'");
    producer
        .execute(&format!("UPDATE entity SET version = version + 1 {which}"))
        .await;
    let version = format!("SELECT CAST(version AS TEXT) FROM entity {which}");
    producer.text(&version).await.unwrap()
}

/// A legacy client that polls all the time, from the beginning until it has `total` changes; exactly these, as
/// another poll shows. (The head in the database is no end to wait for: this replica may answer from before it.)
async fn follow(client: Client, total: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), 0);
    loop {
        let complete = items.len() == total;
        let page = client.page(cursor, 100).await;
        assert!(page.cursor >= cursor, "a cursor moved backward");
        let end = page
            .items
            .last()
            .map_or(cursor, |item| item["seq"].as_u64().unwrap());
        assert!(page.cursor >= end);
        items.extend(page.items);
        cursor = page.cursor;
        assert!(items.len() <= total, "more than was committed");
        if complete {
            return items;
        }
        tokio::task::yield_now().await;
    }
}

#[track_caller]
fn assert_each_once(items: &[Value]) {
    let row = |item: &Value| {
        let (writer, row) = (&item["body"]["writer"], &item["body"]["row"]);
        (writer.as_u64().unwrap(), row.as_u64().unwrap())
    };
    let rows: BTreeSet<_> = items.iter().map(row).collect();
    let expected: BTreeSet<_> = (0..WRITERS)
        .flat_map(|writer| (0..ROWS).map(move |row| (writer, row)))
        .collect();
    assert_eq!(rows, expected);
}

#[track_caller]
fn assert_order_per_key(items: &[Value]) {
    let mut versions = HashMap::<&str, u64>::new();
    for item in items {
        let key = item["key"].as_str().unwrap();
        let version = versions.entry(key).or_default();
        *version += 1;
        assert_eq!(item["body"]["version"], *version, "{key} is out of order");
    }
}
