//! Two brokers are fed. One of them is dead, or stands still, while changes are committed: ingest, polls and the other
//! broker have all of them, and what is held in memory for the dead one keeps within its bounds. Then it comes back, and
//! its subscriber ends with exactly the log, in its order. Counted, not timed.

use changeover::config::mqtt::Protocol;
use serde_json::Value;

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        follower::{Follower, Record},
        gateway::{Client, InProcess, START, assert_dense},
        metrics::metric,
        mosquitto::Mosquitto,
        pruned::ingest,
        servers_are_skipped,
        targets::{acknowledged, begun, broker, look, module, setup, target},
    },
};

on_each_database!(killed_and_started_again, stopped_and_continued);

const CHANGES: u64 = 3_000;
const AT_ONCE: u64 = 250;
const INFLIGHT: u32 = 20;

async fn killed_and_started_again(database: DatabaseUnderTest) {
    away(database, Mosquitto::kill, Mosquitto::restart).await;
}

async fn stopped_and_continued(database: DatabaseUnderTest) {
    away(database, |broker| broker.pause(), |broker| broker.resume()).await;
}

async fn away(
    database: DatabaseUnderTest,
    leave: impl FnOnce(&mut Mosquitto),
    come_back: impl FnOnce(&mut Mosquitto),
) {
    if servers_are_skipped() {
        return;
    }
    let (steady, mut other) = (broker(), broker());
    let setup = setup(&database, "gw-1")
        .set("mirror.inflight", INFLIGHT)
        .set("mirror.batch", 50)
        .set("tail.changes", 500)
        .add(&target("steady", &steady, ""))
        .add(&target(
            "other",
            &other,
            "protocol = \"3.1.1\"\ntopic_prefix = \"its/own\"",
        ));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    begun(client, "steady").await;
    begun(client, "other").await;
    let filter = "changeover/c/commission/+";
    let of_steady = Follower::start(&steady.url(), Protocol::V5, "follower", &[filter]);
    let filter = "its/own/c/commission/+";
    let of_other = Follower::start(&other.url(), Protocol::V311, "follower", &[filter]);
    of_steady.subscribed().await;
    of_other.subscribed().await;

    leave(&mut other);
    for batch in 0..CHANGES / AT_ONCE {
        ingest(client, &format!("k{batch}-"), AT_ONCE).await;
    }
    of_steady
        .wait("all changes", |record| record.distinct() == CHANGES)
        .await;
    // A busy machine may cost a lease, and then some come twice.
    of_steady.record().assert_whole();
    let polled = client
        .items(0, usize::try_from(CHANGES).unwrap(), START)
        .await;
    assert_dense(&polled);
    acknowledged(client, "steady", CHANGES).await;
    let behind = module(&look(client, "other").await)["behind"].as_u64();
    assert_eq!(behind, Some(CHANGES), "it cannot have got anything");
    assert_bounded(client).await;

    come_back(&mut other);
    of_other
        .wait("all changes", |record| record.distinct() == CHANGES)
        .await;
    let repeats = of_other.record().assert_whole();
    acknowledged(client, "other", CHANGES).await;
    println!("{:?}: {repeats} of {CHANGES} came twice", database.kind);
    same_events(&of_steady.record(), &of_other.record());
    gateway.stop().await;
}

/// What waits for the dead broker is in the log; of it only so much is in memory: the window, and what the client takes
/// of retained messages when leases come and go meanwhile.
async fn assert_bounded(client: &Client) {
    let name = "changeover_mirror_inflight";
    let inflight = metric(client, name, &[("target", "other")]).await;
    assert!(
        inflight <= f64::from(2 * INFLIGHT + 8),
        "{inflight} are under way"
    );
}

/// Apart from their topics.
fn same_events(one: &Record, other: &Record) {
    let whole = |record: &Record| -> Vec<(u64, String, Value)> {
        let mut events: Vec<_> = record.events.iter().collect();
        events.sort_by_key(|event| event.position);
        events.dedup_by_key(|event| event.position);
        let tell = |event: &&crate::support::follower::Event| {
            (event.position, event.key.clone(), event.data.clone())
        };
        events.iter().map(tell).collect()
    };
    assert_eq!(whole(one), whole(other));
}
