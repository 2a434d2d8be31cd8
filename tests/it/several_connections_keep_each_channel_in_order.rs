//! A target is fed over four connections while single ones are cut and the broker is killed, under load. Every channel
//! stays on its connection and in its order, through every reconnect; the cursor never passes what the broker has not
//! acknowledged; nothing is skipped.

use std::collections::{BTreeMap, BTreeSet};

use changeover::config::mqtt::Protocol;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::support::{
    channel_witness::ChannelWitness,
    follower::{Follower, Record},
    mirror_rig::{Rig, Running},
    mosquitto::Mosquitto,
};

const CONNECTIONS: usize = 4;
const ROUNDS: u64 = 24;
const SLICE: u64 = 1_500;
/// A slice in each round, and one that nothing disturbs.
const CHANGES: u64 = (ROUNDS + 1) * SLICE;
const CHANNELS: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_connections_are_cut() {
    let (record, repeats) = survive(Protocol::V5, false).await;
    // The broker kept the sessions of all, so its subscriber has everything, in order.
    assert_eq!(record.assert_whole() as u64, repeats);
    assert_eq!(record.distinct(), CHANGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_killed_too_with_mqtt_5() {
    let (record, _) = survive(Protocol::V5, true).await;
    assert_order(&record);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_killed_too_with_mqtt_3_1_1() {
    let (record, _) = survive(Protocol::V311, true).await;
    assert_order(&record);
}

async fn survive(protocol: Protocol, kills: bool) -> (Record, u64) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let lines = "allow_anonymous true\nmax_queued_messages 0\n";
    let mut broker = Mosquitto::start_with(lines);
    let witness = ChannelWitness::before(broker.port()).await;
    let mut rig = Rig::new(&witness.url(), protocol, &["orders"]);
    rig.target.connections = CONNECTIONS;
    let filters = ["changeover/c/orders/+"];
    let follower = Follower::start(&broker.url(), protocol, "follower", &filters);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.acknowledged(&publisher, "orders", 0).await;

    let mut killed = 0;
    for round in 0..ROUNDS {
        append(&mut rig, &mut rng);
        // In the middle of the slice, with publishes in flight.
        let from = round * SLICE + rng.random_range(1..SLICE);
        rig.acknowledged(&publisher, "orders", from).await;
        assert_cursor(&rig, &publisher, &witness);
        if kills && rng.random_bool(0.3) {
            broker.kill();
            broker.restart();
            killed += 1;
        } else if let Some(line) = witness.standing().choose(&mut rng) {
            witness.cut(line);
        }
    }
    // Every line carries some of these, so none of them has yet to come back from the last kill and be set back by it.
    append(&mut rig, &mut rng);
    rig.acknowledged(&publisher, "orders", CHANGES).await;
    follower
        .wait("the last change", |record| {
            let mut newest = record.events.iter().rev();
            newest.any(|event| event.position == CHANGES)
        })
        .await;
    if !kills {
        // On several connections the last one of the log need not be the last to come.
        let whole = |record: &Record| record.distinct() == CHANGES;
        follower.wait("every change", whole).await;
    }
    publisher.stop().await;

    let record = follower.record();
    let repeats = record.events.len() as u64 - record.distinct();
    witness.look(|seen| {
        println!(
            "{protocol:?}: {} cuts, {killed} kills, connections {:?}, channels {:?}: {} changes published {} times, {} came by MQTT, {repeats} twice",
            seen.cuts, seen.connections, seen.spread(), CHANGES, seen.published, record.distinct()
        );
        assert_eq!(seen.acknowledged(), CHANGES);
        assert_eq!(seen.spread().len(), CONNECTIONS, "all lines carry something");
        // A cut repeats no more than what was under way on its line; a kill also what is sent again on purpose.
        if !kills {
            let bound = CHANGES + seen.cuts * 20;
            assert!(seen.published <= bound, "{} were published", seen.published);
        }
    });
    let module = "orders".parse().unwrap();
    let cursor = rig.store.cursor(&module).unwrap().cursor;
    assert_eq!(cursor.position.get(), CHANGES);
    (record, repeats)
}

fn append(rig: &mut Rig, rng: &mut StdRng) {
    let audiences: Vec<_> = (0..SLICE)
        .map(|_| format!("u{}", rng.random_range(0..CHANNELS)))
        .collect();
    rig.append("orders", audiences.iter().map(String::as_str));
}

/// The witness hears of an acknowledgement before the mirror does.
fn assert_cursor(rig: &Rig, publisher: &Running, witness: &ChannelWitness) {
    let module = "orders".parse().unwrap();
    let stored = rig
        .store
        .cursor(&module)
        .map_or(0, |row| row.cursor.position.get());
    let told = publisher.status.module(&module);
    let told = told.map_or(0, |status| status.acknowledged.position.get());
    witness.look(|seen| {
        let acknowledged = seen.acknowledged();
        assert!(
            stored <= acknowledged && told <= acknowledged,
            "{stored}, {told}: {acknowledged}"
        );
    });
}

/// Per channel, what is above everything before it comes in order, or with a gap that shows.
fn assert_order(record: &Record) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for event in &record.events {
        let fresh = seen.insert(event.position);
        let held = last.entry(&event.audience).or_default();
        if event.position <= *held {
            assert!(!fresh || event.position < *held, "{event:?}");
            continue;
        }
        assert!(
            event.previous >= *held,
            "{event:?} claims to follow {}, but {held} came before",
            event.previous
        );
        *held = event.position;
    }
}
