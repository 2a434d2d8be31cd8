//! 20,000 changes while the broker is killed and restarted ten times: whatever it took along, the
//! mirror's cursor never passes what was not acknowledged, and what a subscriber gets keeps its order
//! after repeats are dropped.

use std::collections::{BTreeMap, BTreeSet};

use changeover::config::mqtt::Protocol;

use crate::support::{
    follower::{Event, Follower},
    mirror_rig::Rig,
    mosquitto::Mosquitto,
};

const CHANGES: u64 = 20_000;
const KILLS: u64 = 10;
const AUDIENCES: [&str; 3] = ["*", "u1", "u2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mosquitto_with_mqtt_5() {
    survive(Protocol::V5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mosquitto_with_mqtt_3_1_1() {
    survive(Protocol::V311).await;
}

async fn survive(protocol: Protocol) {
    let mut broker = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 0\n");
    let mut rig = Rig::new(&broker.url(), protocol, &["orders"]);
    let follower = Follower::start(
        &broker.url(),
        protocol,
        "follower",
        &["changeover/c/orders/+"],
    );
    follower.subscribed().await;
    let publisher = rig.start();
    let slice = CHANGES / (KILLS + 1);
    for kill in 1..=KILLS {
        append(&mut rig, slice);
        // In the middle of the slice, with publishes in flight.
        rig.acknowledged(&publisher, "orders", (kill - 1) * slice + slice / 3)
            .await;
        broker.kill();
        broker.restart();
    }
    append(&mut rig, CHANGES - KILLS * slice);
    rig.acknowledged(&publisher, "orders", CHANGES).await;
    follower
        .wait("the last change", |record| reaches(&record.events, CHANGES))
        .await;
    publisher.stop().await;

    let module = "orders".parse().unwrap();
    assert_eq!(
        rig.store.cursor(&module).unwrap().cursor.position.get(),
        CHANGES
    );
    let record = follower.record();
    let distinct: BTreeSet<_> = record.events.iter().map(|event| event.position).collect();
    let repeats = record.events.len() - distinct.len();
    println!(
        "{protocol:?}: {} of {CHANGES} came by MQTT, {repeats} twice, {} need a catch-up; sessions {:?}",
        distinct.len(),
        CHANGES - distinct.len() as u64,
        record.sessions,
    );
    assert_order(&record.events);
    // What the subscriber lacks can only be what a killed broker took along: it is below its inflight and queue.
    assert!(
        distinct.len() as u64 > CHANGES / 2,
        "only {} came",
        distinct.len()
    );
}

fn append(rig: &mut Rig, count: u64) {
    let audiences = (0..count).map(|n| AUDIENCES[usize::try_from(n).unwrap() % AUDIENCES.len()]);
    rig.append("orders", audiences);
}

fn reaches(events: &[Event], position: u64) -> bool {
    events.iter().rev().any(|event| event.position == position)
}

/// Per channel, what is above everything before it comes in order: a jump shows as `previous` above the last
/// one held, which a client answers by a catch-up.
fn assert_order(events: &[Event]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for event in events {
        let held = last.entry(&event.audience).or_default();
        if event.position <= *held {
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
