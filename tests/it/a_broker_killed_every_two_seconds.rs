//! Mosquitto killed with SIGKILL every two seconds under 2,000 changes a second, on PostgreSQL. It forgets sessions, queues and
//! retained messages each time. Terminals that follow the client's rule end with exactly the log.
//!
//! `CHANGEOVER_TEST_SECONDS=60` makes it last a minute.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::support::{
    broker::Broker,
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, Setup},
    load::{Load, Plan, orders_at},
    reckoning::Reckoning,
    terminal::{MODULES, flow, pair},
    trouble_lasts,
    witness::Witness,
};

const EVERY: Duration = Duration::from_secs(2);
const INFLIGHT: u64 = 1_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// 2,000 changes a second are offered.
const PRODUCERS: u64 = 8;
const BATCH: u64 = 25;
const PACE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_nothing() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    let database = Arc::new(database);
    let seed = rand::random();
    println!("seed {seed}");
    let mut broker = Broker::mosquitto();
    let witness = Witness::before(broker.port()).await;
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .target(&broker.gateway_url(witness.port()))
        .set("mirror.inflight", INFLIGHT)
        .set("mirror.settle_ms", 200)
        .set("mirror.replay_on_reconnect", "500ms")
        .set("mirror.backoff_max_ms", 400);
    let gateway = InProcess::start(&setup).await;
    let terminals = pair(&[&gateway.client.public], &broker.url(), seed);
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&gateway.client.private)],
        producers: PRODUCERS,
        changes: BATCH,
        batch: BATCH,
        pace: PACE,
        seed,
    });
    flow(&terminals, PATIENCE).await;

    let began = Instant::now();
    let mut kills = 0;
    let mut next = interval_at(began + EVERY, EVERY);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while began.elapsed() < trouble_lasts() {
        next.tick().await;
        broker.kill().await;
        broker.restart().await;
        kills += 1;
    }
    let offered = PRODUCERS * BATCH * 10;
    let rate = load.acknowledged() / began.elapsed().as_secs();
    flow(&terminals, PATIENCE).await;
    let reckoning = Reckoning::of(&mut load, &witness, &terminals).await;
    gateway.stop().await;
    println!("{kills} kills; {rate} changes a second of {offered} offered");
    // Each end of a connection repeats what was under way, and what the broker took in its last moments.
    let most = reckoning.connections * INFLIGHT + reckoning.acknowledged_lately;
    reckoning
        .assert_exact(&database, &load, &terminals, most)
        .await;
    for terminal in &terminals {
        terminal.look(|memory| {
            let counts = &memory.counts;
            assert!(counts.by_mqtt > 0 && counts.by_catch_up > 0, "{counts:?}");
            // At QoS 1 without a session that outlives a kill, nothing comes more often than it was published.
            assert!(counts.by_mqtt + counts.twice <= reckoning.published);
        });
    }
}
