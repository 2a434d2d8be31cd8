//! A replica joins another one under load and gets its share: the module under load moves, and because the mirror is given the
//! time to settle, nothing is sent twice. With a broker that has stopped answering it moves all the same.

use std::time::{Duration, Instant};

use changeover::config::mqtt::Protocol;

use crate::support::{
    broker::Broker,
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::{Follower, Record},
    gateway::{Program, Setup},
    load::{Load, Plan, orders_at},
    logbook,
    terminal::{MODULES, flow, pair},
    witness::Witness,
};

const PATIENCE: Duration = Duration::from_mins(1);
/// Who joins asks for one of two, the first by name.
const SECOND: &str = "\n[[modules]]\nname = \"quiet\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await {
        hand_over(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::MariaDb).await {
        hand_over(database).await;
    }
}

fn setup(database: &DatabaseUnderTest, name: &str, target: &str) -> Setup {
    Setup::new(database, name)
        .modules(MODULES)
        .add(SECOND)
        .target(target)
        .set("sequencer.even_out_after_ms", 100)
        // A busy machine may settle late, and keep its lease all the same.
        .set("sequencer.lease_ms", 20_000)
}

async fn hand_over(database: DatabaseUnderTest) {
    let seed = rand::random();
    println!("seed {seed}");
    let broker = Broker::mosquitto();
    let witness = Witness::before(broker.port()).await;
    let target = broker.gateway_url(witness.port());
    let setup = |name| setup(&database, name, &target).set("sequencer.hand_over_ms", 30_000);
    let one = Program::start(&setup("gw-1")).await;
    let stream = Follower::start(
        &broker.url(),
        Protocol::V5,
        "stream",
        &["changeover/c/orders/+"],
    );
    stream.subscribed().await;
    let terminals = pair(&[&one.client.public], &broker.url(), seed);
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&one.client.private)],
        producers: 4,
        changes: 100,
        batch: 10,
        pace: Duration::from_millis(40),
        seed,
    });
    flow(&terminals, PATIENCE).await;
    let two = Program::start(&setup("gw-2")).await;
    held_by(&database, "gw-2").await;
    flow(&terminals, PATIENCE).await;
    load.reaches(load.acknowledged() + 200).await;
    let (total, _) = load.finish().await;
    witness.has_all(total, PATIENCE).await;
    for terminal in &terminals {
        terminal.reached(total, PATIENCE).await;
    }
    let whole = |record: &Record| record.distinct() == total;
    stream.wait("every change in the stream", whole).await;
    let log = logbook::whole(&database).await;
    load.assert_is(&log);
    let log = logbook::held(&log);
    let published = witness.look(|seen| seen.published);
    let repeats = stream.look(Record::assert_whole);
    println!(
        "{:?}: {total} changes, {published} published, {repeats} came twice",
        database.kind
    );
    assert_eq!((published, repeats), (total, 0), "nothing is sent again");
    for terminal in terminals {
        terminal.assert_holds(&log);
    }
    for mut replica in [one, two] {
        assert_eq!(replica.terminate().await.0, 0, "{}", replica.log());
    }
}

async fn held_by(database: &DatabaseUnderTest, name: &str) {
    eventually("the module has moved", PATIENCE, async || {
        let holder = database.text(logbook::LEASE_HOLDER).await?;
        (holder == name).then_some(())
    })
    .await;
}

/// What was sent is not acknowledged, and the lease is far from its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_a_broker_that_does_not_answer() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    let broker = Broker::mosquitto();
    let witness = Witness::before(broker.port()).await;
    let target = broker.gateway_url(witness.port());
    let one = Program::start(&setup(&database, "gw-1", &target)).await;
    let send = async |key: &str| {
        let path = "/v1/modules/orders/changes";
        let change = serde_json::json!({"key": key, "value": 1});
        assert_eq!(one.client.post(path, &change).await.status, 202);
    };
    send("before").await;
    eventually("it is mirrored", PATIENCE, async || {
        witness.look(|seen| (seen.acknowledged() == 1).then_some(()))
    })
    .await;
    witness.swallow_acknowledgements();
    send("unanswered").await;
    eventually("it is sent", PATIENCE, async || {
        witness.look(|seen| (seen.published == 2).then_some(()))
    })
    .await;
    let began = Instant::now();
    let two = Program::start(&setup(&database, "gw-2", &target)).await;
    held_by(&database, "gw-2").await;
    println!("moved {:?} after the other began", began.elapsed());
    let cursor = database.text(logbook::MIRROR_CURSOR).await;
    assert_eq!(cursor.as_deref(), Some("1"), "only what was acknowledged");
    send("after").await;
    eventually(
        "the successor sends again and goes on",
        PATIENCE,
        async || witness.look(|seen| (seen.published >= 4).then_some(())),
    )
    .await;
    drop((one, two));
}
