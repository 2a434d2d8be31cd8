//! Two gateways on one database and one broker. The one that holds the lease is killed three times:
//! the other goes on, nothing is skipped, and order holds through each take-over.

use std::time::Duration;

use changeover::config::mqtt::Protocol;
use rand::{RngExt, SeedableRng, rngs::StdRng};

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

const KILLS: u64 = 3;
const CHANGES: u64 = 8_000;
const PRODUCERS: u64 = 4;
const PATIENCE: Duration = Duration::from_mins(1);

async fn start(database: &DatabaseUnderTest, name: &str, broker: &str) -> Program {
    let setup = Setup::new(database, name)
        .modules(MODULES)
        .target(broker)
        .lasting_ports();
    Program::start(&setup).await
}

/// Which of the two holds the lease.
async fn holder(database: &DatabaseUnderTest) -> Option<usize> {
    let name = database.text(logbook::LEASE_HOLDER).await?;
    ["gw-1", "gw-2"].iter().position(|replica| *replica == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_times_on_postgresql() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await {
        three_times(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_times_on_mariadb() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::MariaDb).await {
        three_times(database).await;
    }
}

async fn three_times(database: DatabaseUnderTest) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let broker = Broker::mosquitto();
    let witness = Witness::before(broker.port()).await;
    let target = broker.gateway_url(witness.port());
    let mut replicas = [
        start(&database, "gw-1", &target).await,
        start(&database, "gw-2", &target).await,
    ];
    let stream = Follower::start(
        &broker.url(),
        Protocol::V5,
        "stream",
        &["changeover/c/orders/+"],
    );
    stream.subscribed().await;
    let [one, two] = &replicas;
    let terminals = pair(
        &[&one.client.public, &two.client.public],
        &broker.url(),
        seed,
    );
    let ingest = |replica: &Program| orders_at(&replica.client.private);
    let mut load = Load::start(&Plan {
        ingest: vec![ingest(one), ingest(two)],
        producers: PRODUCERS,
        changes: CHANGES / PRODUCERS,
        batch: 10,
        pace: Duration::from_millis(60),
        seed,
    });

    let slice = CHANGES / (KILLS + 1);
    for _ in 0..KILLS {
        flow(&terminals, PATIENCE).await;
        let part = rng.random_range(0..slice / 2);
        load.reaches(load.acknowledged() + part).await;
        let dead = eventually("somebody holds the lease", PATIENCE, async || {
            holder(&database).await
        })
        .await;
        replicas[dead].kill();
        eventually("the other takes over", PATIENCE, async || {
            holder(&database).await.filter(|now| *now != dead)
        })
        .await;
        flow(&terminals, PATIENCE).await;
        replicas[dead].restart().await;
    }
    let (total, resent) = load.finish().await;
    witness.has_all(total, PATIENCE).await;
    for terminal in &terminals {
        terminal.reached(total, PATIENCE).await;
    }
    let whole = |record: &Record| record.distinct() == total;
    stream.wait("every change in the stream", whole).await;

    let log = logbook::whole(&database).await;
    load.assert_is(&log);
    let log = logbook::held(&log);
    let repeats = stream.look(Record::assert_whole);
    println!(
        "{total} changes, {resent} ingests were sent again; the stream held {repeats} changes twice"
    );
    for terminal in terminals {
        terminal.assert_holds(&log);
    }
    for mut replica in replicas {
        let (code, _) = replica.terminate().await;
        assert_eq!(code, 0, "{}", replica.log());
    }
}
