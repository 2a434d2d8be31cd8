//! The lease holder is stopped by SIGSTOP inside its numbering transaction, with its locks held. Its successor goes on within
//! the lease; woken up, it can neither number nor move the mirror's cursor, and holds up nobody.
//!
//! How it is caught there: the test holds the row of a key in `entity_state`, which the transaction must write after its fence. When
//! the database says that somebody waits for it, the process is stopped, and then the row is let go.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{
    broker::Broker,
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{MODULE, Program, Setup, assert_dense},
    witness::{Testimony, Witness},
};

const SOON: Duration = Duration::from_mins(1);
/// The default of `sequencer.lease_ms`.
const LEASE: Duration = Duration::from_millis(1_500);
/// Servers end a transaction that idles for half a lease; MariaDB counts whole seconds.
const IDLE: Duration = Duration::from_secs(1);
/// For a machine that does other things as well.
const SLACK: Duration = Duration::from_secs(4);

const CURSOR: &str =
    "SELECT CAST(position AS CHAR(20)) FROM mirror_cursor WHERE module = 'commission'";
/// Whose token moved the mirror's cursor last, and whose it is to number.
const TOKENS: &str = "SELECT CAST(c.lease_token - h.lease_token AS CHAR(20)) FROM mirror_cursor c \
     JOIN module_head h ON h.module = c.module WHERE c.module = 'commission'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await {
        stop_twice(Arc::new(database)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::MariaDb).await {
        stop_twice(Arc::new(database)).await;
    }
}

async fn stop_twice(database: Arc<DatabaseUnderTest>) {
    let broker = Broker::mosquitto();
    let witness = Arc::new(Witness::of(MODULE, broker.port()).await);
    let target = broker.gateway_url(witness.port());
    let start = async |name| {
        let setup = Setup::new(&database, name)
            .target(&target)
            // Nobody but the test says who holds what.
            .set("sequencer.even_out_after_ms", 3_600_000);
        Program::start(&setup).await
    };
    let a = start("a").await;
    a.client.ingest(&json!({"key": "locked", "value": 0})).await;
    mirrored(&database, &witness, 1).await;
    let b = start("b").await;
    let auditor = audit(Arc::clone(&database), Arc::clone(&witness));

    let mut total = 1;
    for (zombie, other, successor) in [(&a, &b, "b"), (&b, &a, "a")] {
        total = stop_inside(&database, zombie, total).await;
        let stopped = Instant::now();
        other
            .client
            .ingest(&json!({"key": "after", "value": 1}))
            .await;
        total += 1;
        other.client.items(0, total, SOON).await;
        let took = stopped.elapsed();
        println!(
            "{:?}: numbered by the other {took:?} after SIGSTOP inside the transaction",
            database.kind
        );
        assert!(took < LEASE + IDLE + SLACK, "{took:?}");
        assert_eq!(other.client.module().await["lease_holder"], successor);
        mirrored(&database, &witness, total).await;

        zombie.signal(Signal::SIGCONT);
        let changes: Vec<_> = (0..50)
            .map(|number| json!({"key": format!("k{number}"), "value": number}))
            .collect();
        other.client.ingest(&json!(changes)).await;
        total += changes.len();
        eventually("the woken one mirrors nothing", SOON, async || {
            let module = zombie.client.module().await;
            let targets = module["targets"].as_array().unwrap();
            targets.is_empty().then_some(())
        })
        .await;
        mirrored(&database, &witness, total).await;
        assert_eq!(other.client.module().await["lease_holder"], successor);
        let token = database.text(TOKENS).await.unwrap();
        assert_eq!(token.trim(), "0", "the successor's token moved the cursor");
    }
    assert!(!auditor.is_finished(), "the auditor broke down");
    auditor.abort();
    let seen = a.client.items(0, total, SOON).await;
    assert_eq!(seen.len(), total);
    assert_dense(&seen);
    assert_eq!(b.client.items(0, total, SOON).await, seen);
    for mut program in [a, b] {
        assert_eq!(program.terminate().await.0, 0, "{}", program.log());
    }
}

/// Stops the lease holder inside its numbering transaction. Returns how many changes there are then, all but the last
/// of them numbered for certain.
async fn stop_inside(database: &DatabaseUnderTest, holder: &Program, mut total: usize) -> usize {
    loop {
        let mut locker = database.producer().await;
        let lock = "SELECT position FROM entity_state \
             WHERE module = 'commission' AND entity_key = 'locked' FOR UPDATE";
        locker.execute("BEGIN").await;
        locker.execute(lock).await;
        holder
            .client
            .ingest(&json!({"key": "locked", "value": total}))
            .await;
        total += 1;
        eventually("the transaction waits for the row", SOON, async || {
            is_one(database, waiting(database.kind)).await.then_some(())
        })
        .await;
        holder.signal(Signal::SIGSTOP);
        locker.execute("ROLLBACK").await;
        let stopped = Instant::now();
        while stopped.elapsed() < LEASE / 3 {
            if is_one(database, idle(database.kind)).await {
                return total;
            }
            // MariaDB shows transactions as they were when they were looked at last, unless that is longer ago than 100 ms.
            tokio::time::sleep(Duration::from_millis(110)).await;
        }
        // The wait for the row was given up just before the signal.
        println!("it was not inside: once more");
        holder.signal(Signal::SIGCONT);
        holder.client.items(0, total, SOON).await;
    }
}

async fn is_one(database: &DatabaseUnderTest, count: &str) -> bool {
    database.text(count).await.unwrap().trim() != "0"
}

/// Counts sessions that wait for the row.
const fn waiting(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => {
            "SELECT CAST(count(*) AS TEXT) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%entity_state%'"
        }
        _ => {
            "SELECT CAST(count(*) AS CHAR(9)) FROM information_schema.processlist \
             WHERE db = database() AND info LIKE 'INSERT INTO entity_state%' AND time_ms > 50"
        }
    }
}

/// Counts sessions that do nothing inside a transaction that has written.
const fn idle(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => {
            "SELECT CAST(count(*) AS TEXT) FROM pg_stat_activity \
             WHERE datname = current_database() AND state = 'idle in transaction' AND backend_xid IS NOT NULL"
        }
        _ => {
            "SELECT CAST(count(*) AS CHAR(9)) FROM information_schema.innodb_trx t \
             JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
             WHERE p.db = database() AND p.command = 'Sleep' AND t.trx_rows_modified > 0"
        }
    }
}

async fn mirrored(database: &DatabaseUnderTest, witness: &Witness, total: usize) {
    eventually(
        "everything is mirrored and written down",
        SOON,
        async || {
            let acknowledged = witness.look(Testimony::acknowledged) == total as u64;
            let cursor = database.text(CURSOR).await.unwrap_or_default();
            (acknowledged && cursor.trim() == total.to_string()).then_some(())
        },
    )
    .await;
}

/// Looks all the time whether the stored cursor has passed what the broker acknowledged, or has gone back.
fn audit(database: Arc<DatabaseUnderTest>, witness: Arc<Witness>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connection = database.producer().await;
        let mut before = 0;
        loop {
            let cursor = connection.text(CURSOR).await;
            let cursor: u64 = cursor.map_or(0, |text| text.trim().parse().unwrap());
            let acknowledged = witness.look(Testimony::acknowledged);
            assert!(
                before <= cursor && cursor <= acknowledged,
                "{before} {cursor}"
            );
            before = cursor;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
}
