//! The gateway killed with SIGKILL ten times in the middle of ingest and mirroring, and started
//! again each time: what it acknowledged is in the log once, on the legacy poll, and reaches the
//! terminals, by MQTT or by catch-up.

use std::time::Duration;

use changeover::config::mqtt::Protocol;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    on_each_database,
    support::{
        broker::Broker,
        database::DatabaseUnderTest,
        follower::{Follower, Record},
        gateway::{Program, Setup},
        load::{Load, Plan, orders_at},
        logbook,
        terminal::{MODULES, flow, pair, part_of, read_whole},
        witness::Witness,
    },
};

const KILLS: u64 = 10;
const CHANGES: u64 = 8_800;
const PRODUCERS: u64 = 4;
const PATIENCE: Duration = Duration::from_mins(1);

on_each_database!(ten_kills);

async fn ten_kills(database: DatabaseUnderTest) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let broker = Broker::mosquitto();
    let witness = Witness::before(broker.port()).await;
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .target(&broker.gateway_url(witness.port()))
        .lasting_ports();
    let mut gateway = Program::start(&setup).await;
    let channels = &["changeover/c/orders/+"];
    // Its session lives through every kill: at least once is what it can demand.
    let stream = Follower::start(&broker.url(), Protocol::V5, "stream", channels);
    stream.subscribed().await;
    let terminals = pair(&[&gateway.client.public], &broker.url(), seed);
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&gateway.client.private)],
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
        gateway.kill();
        gateway.restart().await;
    }
    flow(&terminals, PATIENCE).await;
    let (total, resent) = load.finish().await;
    witness.has_all(total, PATIENCE).await;
    for terminal in &terminals {
        terminal.reached(total, PATIENCE).await;
    }
    let whole = |record: &Record| record.distinct() == total;
    stream.wait("every change in the stream", whole).await;
    let mut polled = Vec::new();
    for terminal in &terminals {
        polled.push(read_whole(&gateway.client.public, &terminal.audience).await);
    }
    let (code, _) = gateway.terminate().await;
    assert_eq!(code, 0, "{}", gateway.log());

    let cursor = database.text(logbook::MIRROR_CURSOR).await;
    assert_eq!(cursor, Some(total.to_string()));
    let log = logbook::whole(&database).await;
    load.assert_is(&log);
    let log = logbook::held(&log);
    let repeats = stream.look(Record::assert_whole);
    println!(
        "{total} changes, {resent} ingests were sent again; the stream held {repeats} changes twice"
    );
    for (terminal, polled) in terminals.iter().zip(polled) {
        assert!(
            part_of(&log, &terminal.audience).eq(&polled),
            "the legacy poll"
        );
        terminal.assert_holds(&log);
    }
}
