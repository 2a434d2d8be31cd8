//! Three gateways on one database and one broker under load; whoever holds the lease is killed every three seconds and started
//! again. Nothing that was accepted is lost or stored twice, order holds, and terminals that follow the client's rule end with
//! exactly the log.
//!
//! `CHANGEOVER_TEST_KILL_SECONDS` says for how long.

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

const EVERY: Duration = Duration::from_secs(3);
const SECONDS: u64 = 15;
const PRODUCERS: u64 = 4;
const PATIENCE: Duration = Duration::from_mins(1);
const NAMES: [&str; 3] = ["gw-1", "gw-2", "gw-3"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await {
        kill_leaders(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::MariaDb).await {
        kill_leaders(database).await;
    }
}

fn span() -> Duration {
    let told = std::env::var("CHANGEOVER_TEST_KILL_SECONDS").ok();
    Duration::from_secs(told.map_or(SECONDS, |text| text.parse().unwrap()))
}

async fn start(database: &DatabaseUnderTest, name: &str, broker: &str) -> Program {
    let setup = Setup::new(database, name)
        .modules(MODULES)
        .target(broker)
        .lasting_ports();
    Program::start(&setup).await
}

/// Which of the replicas holds the lease.
async fn holder(database: &DatabaseUnderTest) -> Option<usize> {
    let name = database.text(logbook::LEASE_HOLDER).await?;
    NAMES.iter().position(|replica| *replica == name)
}

async fn kill_leaders(database: DatabaseUnderTest) {
    let seed = rand::random();
    println!("seed {seed}");
    let broker = Broker::mosquitto();
    let witness = Witness::before(broker.port()).await;
    let target = broker.gateway_url(witness.port());
    let mut replicas = Vec::new();
    for name in NAMES {
        replicas.push(start(&database, name, &target).await);
    }
    let stream = Follower::start(
        &broker.url(),
        Protocol::V5,
        "stream",
        &["changeover/c/orders/+"],
    );
    stream.subscribed().await;
    let public: Vec<_> = replicas
        .iter()
        .map(|one| one.client.public.as_str())
        .collect();
    let terminals = pair(&public, &broker.url(), seed);
    let ingest = |one: &Program| orders_at(&one.client.private);
    let mut load = Load::start(&Plan {
        ingest: replicas.iter().map(ingest).collect(),
        producers: PRODUCERS,
        changes: 1,
        batch: 10,
        pace: Duration::from_millis(60),
        seed,
    });

    flow(&terminals, PATIENCE).await;
    let (began, mut gaps) = (Instant::now(), Vec::new());
    while began.elapsed() < span() {
        let round = Instant::now();
        gaps.push(kill_one(&database, &mut replicas).await);
        // Another one may fall while this one comes back.
        tokio::time::sleep(EVERY.saturating_sub(round.elapsed())).await;
    }
    let elapsed = began.elapsed();
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
    let longest = gaps.iter().max().copied().unwrap_or_default();
    println!(
        "{:?}: {} leaders killed in {elapsed:.1?}, taken over after {longest:.2?} at most; {total} changes, {resent} ingests were sent again",
        database.kind,
        gaps.len()
    );
    witness.look(|seen| {
        println!(
            "{} published on {} connections; the stream held {repeats} changes twice",
            seen.published, seen.connections
        );
    });
    for terminal in terminals {
        terminal.assert_holds(&log);
    }
    for mut replica in replicas {
        let (code, _) = replica.terminate().await;
        assert_eq!(code, 0, "{}", replica.log());
    }
}

/// Kills whoever holds the lease, waits for the next holder, and starts the dead one again. Returns how long the lease was
/// without a living holder.
async fn kill_one(database: &DatabaseUnderTest, replicas: &mut [Program]) -> Duration {
    let dead = eventually("somebody holds the lease", PATIENCE, async || {
        holder(database).await
    })
    .await;
    replicas[dead].kill();
    let killed = Instant::now();
    let gap = eventually("another one takes over", PATIENCE, async || {
        let now = holder(database).await?;
        (now != dead).then(|| killed.elapsed())
    })
    .await;
    replicas[dead].restart().await;
    gap
}
