//! Modules with `last_value`: the log keeps the newest change of each key, and every reader goes over the
//! holes without a word, those that were there before it and those that come while it reads.

use std::time::Duration;

use changeover::config::mqtt::Protocol;
use serde_json::json;

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        eventually,
        follower::{Follower, Record},
        gateway::{Client, InProcess, START},
        mosquitto::Mosquitto,
        pruned::{compact, holds, ingest, numbered, poll, positions, retained_from, setup, wait},
        servers_are_skipped,
        targets::{begun, done},
    },
};

on_each_database!(
    a_row_that_was_updated_120_times_is_read_once,
    what_is_read_beside_compaction_ends_with_the_newest,
    compaction_waits_for_the_slowest_target,
    a_log_that_was_compacted_is_read_by_those_who_do_not_compact,
);

const LAST_VALUE: &str = "last_value = true";
const CURSOR: &str =
    "SELECT CAST(position AS CHAR(20)) FROM mirror_cursor WHERE module = 'commission'";

/// Updates of one key, each a transaction of its own or several together as they come.
async fn update(client: &Client, key: &str, times: u64) {
    let updates: Vec<_> = (0..times)
        .map(|n| json!({"key": key, "value": n}))
        .collect();
    client.ingest(&json!(updates)).await;
}

async fn a_row_that_was_updated_120_times_is_read_once(database: DatabaseUnderTest) {
    let setup = setup(&database, "gw-1", LAST_VALUE);
    let gateway = InProcess::start(&setup).await;
    update(&gateway.client, "hot", 120).await;
    holds(&database, &[120]).await;
    assert_eq!(retained_from(&database).await, 1, "nothing is too old");
    // The tail begins at 115, so a new client's poll is answered by the database.
    for cursor in [0, 1, 50, 114] {
        let page = poll(&gateway.client, &format!("since={cursor}")).await;
        assert_eq!((page.positions, page.cursor), (vec![120], 120), "{cursor}");
        assert!(!page.snapshot && !page.more);
    }
    update(&gateway.client, "other", 1).await;
    update(&gateway.client, "hot", 30).await;
    holds(&database, &[121, 151]).await;
    gateway.stop().await;

    // A tail that is filled from a log with holes, and goes on behind them.
    let gateway = InProcess::start(&setup).await;
    let page = poll(&gateway.client, "since=0").await;
    assert_eq!((page.positions, page.cursor), (vec![121, 151], 151));
    let page = poll(&gateway.client, "since=130").await;
    assert_eq!((page.positions, page.cursor), (vec![151], 151));
    let page = poll(&gateway.client, "since=0&size=1").await;
    assert_eq!(
        (page.positions, page.cursor, page.more),
        (vec![121], 121, true)
    );
    update(&gateway.client, "third", 1).await;
    numbered(&database, 152).await;
    let page = eventually("the change", START, async || {
        let page = poll(&gateway.client, "since=151").await;
        (!page.positions.is_empty()).then_some(page)
    })
    .await;
    assert_eq!(page.positions, [152]);
    assert_eq!(page.items[0]["previous"], 151, "{page:?}");
    gateway.stop().await;
}

/// A reader that polls in small pages while rows vanish under it.
async fn follow(client: Client, size: u64, last: u64) -> std::collections::BTreeMap<String, u64> {
    let mut held = std::collections::BTreeMap::new();
    let mut cursor = 0;
    while cursor < last {
        let page = poll(&client, &format!("since={cursor}&size={size}")).await;
        assert!(!page.snapshot, "nothing is too old: {page:?}");
        for item in &page.items {
            let position = item["seq"].as_u64().unwrap();
            assert!(position > cursor);
            held.insert(item["key"].as_str().unwrap().to_owned(), position);
        }
        assert!(page.cursor >= cursor);
        cursor = page.cursor;
    }
    held
}

/// Positions after 40 rounds.
const LAST: u64 = 40 * 25;

async fn what_is_read_beside_compaction_ends_with_the_newest(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let broker = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 0\n");
    let setup = |instance| setup(&database, instance, LAST_VALUE).target(&broker.url());
    let one = InProcess::start(&setup("gw-1")).await;
    // It only follows, over holes that the other makes.
    let other = InProcess::start(&setup("gw-2").set("tail.tick_ms", 500)).await;
    let follower = Follower::start(
        &broker.url(),
        Protocol::V5,
        "follower",
        &["changeover/c/commission/+"],
    );
    follower.subscribed().await;
    let readers = [(&one, 3), (&other, 3), (&other, 1_000)]
        .map(|(gateway, size)| tokio::spawn(follow(gateway.client.clone(), size, LAST)));
    for round in 1..=40 {
        ingest(&one.client, "k", 20).await;
        update(&one.client, "hot", 5).await;
        numbered(&database, round * 25).await;
    }
    let newest: Vec<_> = (976..=995).chain([1_000]).collect();
    holds(&database, &newest).await;
    for reader in readers {
        let held = tokio::time::timeout(START, reader).await.unwrap().unwrap();
        let mut positions: Vec<_> = held.into_values().collect();
        positions.sort_unstable();
        assert_eq!(positions, newest);
    }
    let whole = |record: &Record| record.distinct() == LAST;
    follower
        .wait("the mirror, which nothing passes, has all", whole)
        .await;
    follower.look(Record::assert_whole);
    one.stop().await;
    update(&other.client, "hot", 5).await;
    let mut newest: Vec<_> = (976..=995).collect();
    newest.push(1_005);
    holds(&database, &newest).await;
    other.stop().await;
}

async fn compaction_waits_for_the_slowest_target(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let mut broker = Mosquitto::start();
    let setup = setup(&database, "gw-1", LAST_VALUE)
        .target(&broker.url())
        .set("retention.force_after", "1s");
    let gateway = InProcess::start(&setup).await;
    update(&gateway.client, "hot", 20).await;
    holds(&database, &[20]).await;
    wait(&database, CURSOR, 20, "the broker has it").await;
    broker.kill();
    update(&gateway.client, "hot", 20).await;
    numbered(&database, 40).await;
    // Nothing new was acknowledged, so nothing goes.
    compact(&gateway.client, false).await;
    assert_eq!(positions(&database).await, (20..=40).collect::<Vec<_>>());
    let held = compact(&gateway.client, true).await["held_back"].clone();
    assert_eq!(
        (&held["target"], &held["position"]),
        (&json!("local"), &json!(20))
    );
    broker.restart();
    holds(&database, &[40]).await;
    gateway.stop().await;
    // A target that is sent the log again gets what is left of it.
    let second = Mosquitto::start();
    let follower = Follower::start(
        &second.url(),
        Protocol::V5,
        "follower",
        &["changeover/c/commission/+"],
    );
    follower.subscribed().await;
    let other = format!(
        "\n[[mqtt.targets]]\nname = \"second\"\nurl = \"{}\"\n",
        second.url()
    );
    let setup = crate::support::pruned::setup(&database, "gw-1", LAST_VALUE).add(&other);
    let gateway = InProcess::start(&setup).await;
    begun(&gateway.client, "second").await;
    let all = ["replay", "second", "--module", "commission", "--from", "0"];
    done(&gateway.client, &all).await;
    let got = |record: &Record| record.events.iter().any(|event| event.position == 40);
    follower.wait("the newest change", got).await;
    assert_eq!(follower.look(Record::distinct), 1);
    let module = gateway.client.module().await;
    assert!(module["targets"][0]["skipped"].is_null(), "{module}");
    gateway.stop().await;
}

async fn a_log_that_was_compacted_is_read_by_those_who_do_not_compact(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&setup(&database, "gw-1", LAST_VALUE)).await;
    for key in ["a", "b", "c"] {
        update(&gateway.client, key, 20).await;
    }
    holds(&database, &[20, 40, 60]).await;
    gateway.stop().await;
    // With a tail that reaches back over all holes.
    let keeps_all = setup(&database, "gw-1", "retention = {}").set("tail.changes", 1_000);
    let gateway = InProcess::start(&keeps_all).await;
    for (cursor, wanted) in [(0, &[20, 40, 60][..]), (25, &[40, 60]), (59, &[60])] {
        let page = poll(&gateway.client, &format!("since={cursor}")).await;
        assert_eq!(page.positions, wanted);
    }
    update(&gateway.client, "a", 3).await;
    numbered(&database, 63).await;
    tokio::time::timeout(
        Duration::from_mins(1),
        holds(&database, &[20, 40, 60, 61, 62, 63]),
    )
    .await
    .unwrap();
    assert_eq!(positions(&database).await.len(), 6);
    gateway.stop().await;
}
