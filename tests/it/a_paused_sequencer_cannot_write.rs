//! The lease holder stands still past its lease, somebody else takes over, and the old one wakes up: it
//! writes nothing any more. A dead one is replaced within the lease, one that goes in order at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Program, Setup, assert_dense, insert},
};

const SOON: Duration = Duration::from_mins(1);
/// The default of `sequencer.lease_ms`.
const LEASE: Duration = Duration::from_millis(1_500);

crate::on_each_database!(
    a_woken_process_writes_nothing_any_more,
    a_dead_one_is_replaced_within_the_lease,
    an_orderly_end_hands_over_at_once,
);

async fn a_woken_process_writes_nothing_any_more(database: DatabaseUnderTest) {
    let (a, b) = two(&database).await;
    let (mut holder, mut other) = (&a, &b);
    let (done, writer) = write_all_the_time(&database).await;
    for round in 1..=2 {
        let before = other.client.module().await["head"].as_u64().unwrap();
        holder.pause(&database).await;
        eventually("the other one takes over", SOON, async || {
            (holder_of(other).await == name(other, &a)).then_some(())
        })
        .await;
        eventually("the other one numbers", SOON, async || {
            let head = other.client.module().await["head"].as_u64().unwrap();
            (head > before + 20).then_some(())
        })
        .await;
        holder.signal(Signal::SIGCONT);
        eventually("the woken one knows", SOON, async || {
            (holder_of(holder).await == name(other, &a)).then_some(())
        })
        .await;
        println!("round {round}: {} took over", name(other, &a));
        (holder, other) = (other, holder);
    }
    done.store(true, SeqCst);
    let written = writer.await.unwrap();
    let seen = a.client.items(0, written, SOON).await;
    assert_eq!(seen.len(), written);
    assert_dense(&seen);
    for (number, item) in seen.iter().enumerate() {
        assert_eq!(item["key"], format!("k{number}"), "one writer, one order");
    }
    assert_eq!(b.client.items(0, written, SOON).await, seen);
    let rows = "SELECT CAST(count(*) AS TEXT) FROM change_log";
    assert_eq!(database.text(rows).await, Some(written.to_string()));
}

async fn a_dead_one_is_replaced_within_the_lease(database: DatabaseUnderTest) {
    let (mut a, b) = two(&database).await;
    a.client.ingest(&json!({"key": "before", "value": 1})).await;
    b.client.items(0, 1, SOON).await;
    assert_eq!(
        (holder_of(&a).await, holder_of(&b).await),
        ("a".into(), "a".into())
    );
    assert!(
        !b.log().contains("this replica numbers"),
        "only one numbers"
    );

    let killed = Instant::now();
    a.kill();
    b.client.ingest(&json!({"key": "after", "value": 1})).await;
    let all = b.client.items(0, 2, SOON).await;
    let took = killed.elapsed();
    println!(
        "{:?}: numbered by the other {took:?} after SIGKILL",
        database.kind
    );
    assert_dense(&all);
    assert_eq!(holder_of(&b).await, "b");
    // The lease, the attempts, and a machine that does other things as well.
    let bound = LEASE + Duration::from_millis(500) + Duration::from_secs(1);
    assert!(took < bound, "{took:?}");
}

async fn an_orderly_end_hands_over_at_once(database: DatabaseUnderTest) {
    let (mut a, b) = two(&database).await;
    a.client.ingest(&json!({"key": "before", "value": 1})).await;
    b.client.items(0, 1, SOON).await;
    let (code, _) = a.terminate().await;
    let ended = Instant::now();
    assert_eq!(code, 0);
    b.client.ingest(&json!({"key": "after", "value": 1})).await;
    b.client.items(0, 2, SOON).await;
    let took = ended.elapsed();
    println!(
        "{:?}: numbered by the other {took:?} after a clean end",
        database.kind
    );
    assert_eq!(holder_of(&b).await, "b");
    assert!(took < Duration::from_millis(900), "not by expiry: {took:?}");
}

/// Two replicas; `a` holds the lease.
async fn two(database: &DatabaseUnderTest) -> (Program, Program) {
    let a = Program::start(&Setup::new(database, "a").among_others()).await;
    eventually("a holds the lease", SOON, async || {
        (holder_of(&a).await == "a").then_some(())
    })
    .await;
    let b = Program::start(&Setup::new(database, "b").among_others()).await;
    assert_eq!(holder_of(&b).await, "a");
    (a, b)
}

fn name(program: &Program, a: &Program) -> &'static str {
    if std::ptr::eq(program, a) { "a" } else { "b" }
}

async fn holder_of(program: &Program) -> String {
    let module = program.client.module().await;
    module["lease_holder"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// A producer that inserts until told to end. Returns how many rows it wrote.
async fn write_all_the_time(database: &DatabaseUnderTest) -> (Arc<AtomicBool>, JoinHandle<usize>) {
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&done);
    let mut producer = database.producer().await;
    let writer = tokio::spawn(async move {
        let mut written = 0;
        while !told.load(SeqCst) {
            let row = insert(&format!("k{written}"), "1");
            if producer.try_execute(&row).await.is_ok() {
                written += 1;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        written
    });
    (done, writer)
}

/// Two handles on one database: the first one has read, is paused inside its transaction past the lease, and
/// comes back with numbers of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_older_than_its_lease_is_worth_nothing() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        if let Some(database) = DatabaseUnderTest::fresh(kind).await {
            an_older_transaction_is_worth_nothing(database).await;
        }
    }
}

async fn an_older_transaction_is_worth_nothing(database: DatabaseUnderTest) {
    use crate::store_conformance::changes::{change, module, number, waiting};
    use changeover::{
        domain::{Change, Epoch, Position},
        store::{Batch, Error, HeadUpdate, NumberedRow, Share},
        telemetry::Purpose,
    };

    let (old, new) = (database.store().await, database.open().await);
    let name = module("paused");
    let names = [name.clone()];
    old.ensure_modules(&names).await.unwrap();
    let late = old.acquire(&names, "old", LEASE, Share::ALL).await.unwrap();
    old.append(&[change(&name, "*", "k", "1")]).await.unwrap();
    let rows = waiting(&old, &names).await;
    let mut zombie = old.begin_numbering(&late).await.unwrap();
    let now = zombie.now();

    let lease = eventually("the lease expires", SOON, async || {
        let taken = new.acquire(&names, "new", LEASE, Share::ALL).await.ok()?;
        taken.into_iter().next()
    })
    .await;
    number(&new, &lease).await.unwrap();

    let first = Change {
        epoch: Epoch::new(1),
        position: Position::new(1),
        previous: Position::ZERO,
        audience: changeover::domain::Audience::stored("*"),
        key: "zombie".into(),
        op: changeover::domain::Op::Upsert,
        value: changeover::domain::JsonText::parse("1").unwrap(),
        change_id: None,
        occurred_at: now,
        sequenced_at: now,
    };
    let batch = Batch {
        rows: vec![NumberedRow {
            module: name.clone(),
            change: Arc::new(first),
            state: true,
        }],
        delete: rows.iter().map(|row| row.id).collect(),
        heads: vec![HeadUpdate {
            lease: late[0].clone(),
            head: Position::new(1),
            sequenced_through: now,
            stateless_from: None,
        }],
        ..Batch::default()
    };
    let written = zombie.write(&batch, LEASE).await;
    assert!(written.is_err(), "the database had ended the transaction");
    drop(zombie);
    assert!(matches!(
        number(&old, &late[0]).await,
        Err(Error::LeaseLost { .. })
    ));
    let log = new
        .rows_after(&[(name, Position::ZERO)], 10, Purpose::Tail)
        .await
        .unwrap();
    let keys: Vec<_> = log.iter().map(|(_, change)| &*change.key).collect();
    assert_eq!(keys, ["k"]);
}
