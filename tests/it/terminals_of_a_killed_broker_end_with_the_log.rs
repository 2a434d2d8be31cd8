//! 20,000 changes through a whole gateway while its broker is killed and restarted ten times (RabbitMQ and NATS, which start
//! slowly, fewer times). What the broker did not acknowledge is never passed over, and terminals that follow the client's rule
//! end with exactly the log: what a killed broker took along they get by the legacy poll.

use std::{sync::Arc, time::Duration};

use changeover::config::mqtt::Protocol;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinHandle;

use crate::support::{
    broker::Broker,
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, Setup},
    load::{Load, Plan, orders_at},
    logbook, servers_are_skipped,
    terminal::{MODULES, flow, pair_speaking},
    witness::{Testimony, Witness},
};

const KILLS: u64 = 10;
const CHANGES: u64 = 20_000;

/// Of brokers that keep sessions and messages on disk.
const SLOW_KILLS: u64 = 3;
const PRODUCERS: u64 = 4;
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_and_sqlite() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Sqlite).await {
        survive(database, Broker::mosquitto()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_and_postgres() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await {
        survive(database, Broker::mosquitto()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_with_3_1_1() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Sqlite).await {
        let story = Story {
            protocol: Protocol::V311,
            ..Story::FORGETFUL
        };
        survive_as(story, database, Broker::mosquitto()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_with_3_1_1() {
    if servers_are_skipped() {
        return;
    }
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Sqlite).await {
        survive_as(Story::KEEPING, database, Broker::rabbitmq()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_with_3_1_1() {
    if servers_are_skipped() {
        return;
    }
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Sqlite).await {
        survive_as(Story::KEEPING, database, Broker::nats()).await;
    }
}

#[cfg(feature = "embedded-broker")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_broker_with_3_1_1() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Sqlite).await {
        let story = Story {
            protocol: Protocol::V311,
            ..Story::FORGETFUL
        };
        survive_as(story, database, Broker::embedded("changeover-gw-1-1").await).await;
    }
}

#[cfg(feature = "embedded-broker")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_broker_and_sqlite() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Sqlite).await {
        survive(database, Broker::embedded("changeover-gw-1-1").await).await;
    }
}

#[cfg(feature = "embedded-broker")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_broker_and_postgres() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await {
        survive(database, Broker::embedded("changeover-gw-1-1").await).await;
    }
}

/// What is done to a broker, and what it is expected to remember.
struct Story {
    protocol: Protocol,
    kills: u64,
    /// Whether a kill takes the sessions along.
    forgets: bool,
}

impl Story {
    const FORGETFUL: Self = Self {
        protocol: Protocol::V5,
        kills: KILLS,
        forgets: true,
    };
    const KEEPING: Self = Self {
        protocol: Protocol::V311,
        kills: SLOW_KILLS,
        forgets: false,
    };
}

async fn survive(database: DatabaseUnderTest, broker: Broker) {
    survive_as(Story::FORGETFUL, database, broker).await;
}

async fn survive_as(story: Story, database: DatabaseUnderTest, mut broker: Broker) {
    let database = Arc::new(database);
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let witness = Arc::new(Witness::before(broker.port()).await);
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .add(&format!(
            "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"{}\"\nprotocol = \"{}\"\n",
            broker.gateway_url(witness.port()),
            story.protocol.as_str()
        ))
        .set("mirror.settle_ms", 200)
        .set("mirror.replay_on_reconnect", "500ms")
        .set("mirror.backoff_max_ms", 400);
    let gateway = InProcess::start(&setup).await;
    let terminals = pair_speaking(
        story.protocol,
        &[&gateway.client.public],
        &broker.url(),
        seed,
    );
    let auditor = audit(Arc::clone(&database), Arc::clone(&witness));
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&gateway.client.private)],
        producers: PRODUCERS,
        changes: CHANGES / PRODUCERS,
        batch: 20,
        // Slow enough to last longer than all kills, also on a machine that is busy: else nothing new would come after the last.
        pace: Duration::from_millis(150),
        seed,
    });

    let slice = CHANGES / (story.kills + 1);
    for _ in 0..story.kills {
        // New changes come by MQTT again: a kill hits a mirror at work, not one that still waits.
        flow(&terminals, PATIENCE).await;
        let part = rng.random_range(0..slice / 2);
        load.reaches(load.acknowledged() + part).await;
        broker.kill().await;
        load.reaches(load.acknowledged() + slice / 10).await;
        broker.restart().await;
    }
    flow(&terminals, PATIENCE).await;
    let (total, resent) = load.finish().await;
    witness.has_all(total, PATIENCE).await;
    for terminal in &terminals {
        terminal.reached(total, PATIENCE).await;
    }
    gateway.stop().await;
    assert!(!auditor.is_finished(), "the auditor broke down");
    auditor.abort();

    assert_eq!(
        database.text(logbook::MIRROR_CURSOR).await,
        Some(total.to_string())
    );
    let log = logbook::whole(&database).await;
    load.assert_is(&log);
    let log = logbook::held(&log);
    witness.look(|seen| {
        println!(
            "the mirror published {} of {total} changes on {} connections; {resent} ingests were sent again",
            seen.published, seen.connections
        );
    });
    for terminal in terminals {
        terminal.assert_holds(&log);
        terminal.look(|memory| {
            let lost = memory.counts.sessions_lost;
            let forgotten = if story.forgets { story.kills } else { 0 };
            assert_eq!(lost, forgotten + 1, "what a kill takes along");
        });
    }
}

/// Looks all the time whether the stored cursor has passed what the broker acknowledged.
fn audit(database: Arc<DatabaseUnderTest>, witness: Arc<Witness>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connection = database.producer().await;
        loop {
            let cursor = connection.text(logbook::MIRROR_CURSOR).await;
            let cursor: u64 = cursor.map_or(0, |text| text.parse().unwrap());
            let acknowledged = witness.look(Testimony::acknowledged);
            assert!(
                cursor <= acknowledged,
                "the stored cursor is {cursor}, the broker acknowledged {acknowledged}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}
