//! How numbering fares while a million rows are pruned. It measures and asserts nothing about time:
//! `cargo test --release --test it a_million_rows -- --ignored --nocapture`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, InProcess, Setup},
    pruned::{number, wait},
};

const ROWS: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and measures; run by hand"]
async fn on_sqlite() {
    measure(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and measures; run by hand"]
async fn on_postgres() {
    measure(Kind::Postgres).await;
}

async fn measure(kind: Kind) {
    let Some(database) = DatabaseUnderTest::fresh(kind).await else {
        return;
    };
    fill(&database).await;
    let setup = |kept: &str| {
        let module = format!("[[modules]]\nname = \"commission\"\nretention = {kept}\n");
        Setup::new(&database, "gw-1")
            .modules(&module)
            .set("retention.tick_ms", 200)
    };
    let gateway = InProcess::start(&setup("{}")).await;
    wait(&database, CURSOR, ROWS, "the target begins at the head").await;
    report(
        kind,
        "beside nothing",
        &produce(&gateway.client, &database, Duration::from_secs(10)).await,
    );
    gateway.stop().await;
    let gateway = InProcess::start(&setup("{ changes = 1000 }")).await;
    let oldest = "SELECT CAST(min(position) AS CHAR(20)) FROM change_log";
    eventually("pruning has begun", PATIENCE, async || {
        (number(&database, oldest).await > 1).then_some(())
    })
    .await;
    let began = Instant::now();
    let latencies = produce(&gateway.client, &database, Duration::from_secs(10)).await;
    report(kind, "beside pruning", &latencies);
    let gone = number(&database, oldest).await - 1;
    println!("{kind:?}: {gone} rows had gone after {:?}", began.elapsed());
    eventually("all of it is pruned", PATIENCE, async || {
        (number(&database, oldest).await >= ROWS).then_some(())
    })
    .await;
    println!("{kind:?}: {ROWS} rows were pruned in {:?}", began.elapsed());
    gateway.stop().await;
}

const CURSOR: &str =
    "SELECT CAST(position AS CHAR(20)) FROM mirror_cursor WHERE module = 'commission'";

async fn fill(database: &DatabaseUnderTest) {
    let store = database.store().await;
    store
        .ensure_modules(&["commission".parse().unwrap()])
        .await
        .unwrap();
    let numbers = match database.kind {
        Kind::Sqlite => format!(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS})"
        ),
        _ => format!("WITH s(n) AS (SELECT generate_series(1, {ROWS}))"),
    };
    let columns = "module, position, epoch, audience, entity_key, op, value, previous, occurred_at, sequenced_at";
    let rows = format!(
        "{numbers} INSERT INTO change_log ({columns}) \
         SELECT 'commission', n, 1, '*', 'k' || n, 'upsert', '{{\"text\":\"two hundred bytes would be more\"}}', n - 1, n, n FROM s"
    );
    let rows = match database.kind {
        Kind::Sqlite => rows.replacen(&numbers, "", 1).replacen(
            "SELECT 'commission'",
            &format!("{numbers} SELECT 'commission'"),
            1,
        ),
        _ => rows,
    };
    database.execute(&rows).await;
    database
        .execute(&format!(
            "UPDATE module_head SET head = {ROWS}; \
             INSERT INTO entity_state (module, audience, entity_key, op, position, value) \
             VALUES ('commission', '*', 'k{ROWS}', 'upsert', {ROWS}, '1')"
        ))
        .await;
}

/// Hands over a change each 10 ms, and returns how long each one took to its number, sorted.
async fn produce(client: &Client, database: &DatabaseUnderTest, span: Duration) -> Vec<u64> {
    let before = number(database, HEAD).await;
    let end = Instant::now() + span;
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut count = 0;
    while Instant::now() < end {
        pace.tick().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = u64::try_from(now.as_millis()).unwrap();
        client
            .ingest(&json!({"key": format!("p{count}"), "value": 1, "occurred_at_ms": now}))
            .await;
        count += 1;
    }
    wait(database, HEAD, before + count, "all is numbered").await;
    let mut latencies = Vec::new();
    let mut producer = database.producer().await;
    for position in before + 1..=before + count {
        let sql = format!(
            "SELECT CAST(sequenced_at - occurred_at AS CHAR(20)) FROM change_log \
             WHERE module = 'commission' AND position = {position}"
        );
        let micros = producer.text(&sql).await;
        latencies.extend(micros.and_then(|text| text.trim().parse::<u64>().ok()));
    }
    latencies.sort_unstable();
    latencies
}

const HEAD: &str = "SELECT CAST(head AS CHAR(20)) FROM module_head WHERE module = 'commission'";

fn report(kind: Kind, when: &str, latencies: &[u64]) {
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100] / 1_000;
    println!(
        "{kind:?} {when}: {} changes, from the request to the number: median {} ms, p99 {} ms, longest {} ms",
        latencies.len(),
        at(50),
        at(99),
        at(100)
    );
}
