//! While a log is pruned as fast as it grows, no reader misses a change without being told: not one that
//! polls in small pages and falls behind, and not one that listens to the mirror.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use changeover::config::mqtt::Protocol;

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        follower::{Follower, Record},
        gateway::{Client, InProcess},
        mosquitto::Mosquitto,
        pruned::{holds, ingest, numbered, poll, setup},
        servers_are_skipped, within,
    },
};

on_each_database!(are_told_what_they_miss);

const ROUNDS: u64 = 60;
const ROUND: u64 = 50;
const CHANGES: u64 = ROUNDS * ROUND;
const PATIENCE: Duration = Duration::from_mins(2);

/// What a polling client went through.
#[derive(Debug, Default)]
struct Journey {
    changes: u64,
    told: u64,
}

async fn are_told_what_they_miss(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let lines = "allow_anonymous true\nmax_queued_messages 0\n";
    let broker = Mosquitto::start_with(lines);
    let setup = setup(&database, "gw-1", "retention = { changes = 40 }")
        .target(&broker.url())
        .set("retention.tick_ms", 10);
    let gateway = InProcess::start(&setup).await;
    let follower = Follower::start(
        &broker.url(),
        Protocol::V5,
        "follower",
        &["changeover/c/commission/+"],
    );
    follower.subscribed().await;
    let over = Arc::new(AtomicBool::new(false));
    let travel = |size, pause| {
        let (client, over) = (gateway.client.clone(), Arc::clone(&over));
        tokio::spawn(travel(client, size, pause, over))
    };
    let travellers = [
        travel(7, Duration::from_millis(30)),
        travel(40, Duration::from_millis(5)),
        travel(1_000, Duration::from_millis(80)),
    ];
    for round in 1..=ROUNDS {
        ingest(&gateway.client, &format!("r{round}-"), ROUND).await;
        numbered(&database, round * ROUND).await;
    }
    over.store(true, Ordering::SeqCst);
    for traveller in travellers {
        let journey = within("a traveller arrives", PATIENCE, traveller).await;
        println!("{:?}: {journey:?}", database.kind);
        assert!(journey.unwrap().changes > 0);
    }
    let whole = |record: &Record| record.distinct() == CHANGES;
    follower.wait("every change in the stream", whole).await;
    let repeats = follower.look(Record::assert_whole);
    println!("{repeats} repeats in the stream");
    holds(&database, &(CHANGES - 39..=CHANGES).collect::<Vec<_>>()).await;
    assert!(poll(&gateway.client, "since=1").await.snapshot);
    gateway.stop().await;
}

/// Polls from the beginning to the end. What comes must join on to the cursor, or say that it does not.
async fn travel(client: Client, size: u64, pause: Duration, over: Arc<AtomicBool>) -> Journey {
    let mut cursor = 0;
    let mut journey = Journey::default();
    loop {
        let last_round = over.load(Ordering::SeqCst);
        let page = poll(&client, &format!("since={cursor}&size={size}")).await;
        if page.snapshot {
            journey.told += 1;
            assert!(page.positions.is_sorted());
        } else {
            let joined: Vec<_> = (cursor + 1..).take(page.positions.len()).collect();
            assert_eq!(page.positions, joined, "a hole after {cursor}");
            assert_eq!(page.cursor, cursor + page.positions.len() as u64);
            journey.changes += page.positions.len() as u64;
        }
        assert!(page.cursor >= cursor);
        cursor = page.cursor;
        if cursor == CHANGES && last_round {
            return journey;
        }
        if !last_round {
            // The pace of a client that falls behind, not a wait for anything.
            tokio::time::sleep(pause).await;
        }
    }
}
