//! `changeover target pause | resume | retire | replay`: in force on every replica, over restarts, and in the audit.

use changeover::config::mqtt::Protocol;
use serde_json::{Value, json};

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        eventually,
        follower::Follower,
        gateway::{Client, InProcess, MODULE, START},
        mosquitto::Mosquitto,
        pruned::{compact, ingest, numbered, retained_from, wait},
        servers_are_skipped,
        targets::{
            acknowledged, act, begun, broker, done, look, module, refused, setup, target, until,
        },
    },
};

on_each_database!(
    a_pause_holds_on_every_replica_and_over_a_restart,
    a_retired_target_holds_nothing_and_says_where_it_begins,
    a_replay_sends_again_and_its_mirror_follows,
);

const FILTERS: [&str; 2] = ["changeover/c/commission/+", "changeover/m/commission"];

async fn follow(broker: &Mosquitto) -> Follower {
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &FILTERS);
    follower.subscribed().await;
    follower
}

async fn left(client: &Client, name: &str) {
    until(client, name, "this replica has left it", |target| {
        target["connected"] == false
    })
    .await;
}

/// Waits until the verifiers of the two targets listen, or do not.
async fn read_back(client: &Client, expected: Value) {
    eventually(&format!("listening: {expected}"), START, async || {
        let shown = client.module().await;
        let targets = shown["targets"].as_array().unwrap().iter();
        let listening: Vec<_> = targets.map(|t| &t["verified"]["listening"]).collect();
        (json!(listening) == expected).then_some(())
    })
    .await;
}

/// The newest entry of the module's history.
async fn newest(client: &Client) -> Value {
    let path = format!("/admin/v1/modules/{MODULE}/history?limit=1");
    client.get(&path).await.json()["entries"][0].clone()
}

async fn a_pause_holds_on_every_replica_and_over_a_restart(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let (one, two) = (broker(), broker());
    let both = |instance| {
        setup(&database, instance)
            .add(&target("one", &one, ""))
            .add(&target("two", &two, ""))
    };
    let holder = InProcess::start(&both("gw-1")).await;
    begun(&holder.client, "one").await;
    begun(&holder.client, "two").await;
    let other = InProcess::start(&both("gw-2")).await;
    let follower = follow(&two).await;
    ingest(&holder.client, "a", 10).await;
    acknowledged(&holder.client, "two", 10).await;
    read_back(&holder.client, json!([true, true])).await;

    let tried = done(&other.client, &["pause", "two", "--dry-run"]).await;
    assert_eq!(tried["after"]["standing"], "paused");
    assert_eq!(look(&other.client, "two").await["version"], 0);
    // Asked of a replica that does not hold the module.
    let answer = done(&other.client, &["pause", "two"]).await;
    assert_eq!(answer["before"]["standing"], "active", "{answer}");
    assert_eq!(answer["after"]["changed_by"], "admin (for ann)", "{answer}");
    left(&holder.client, "two").await;
    read_back(&holder.client, json!([true, false])).await;
    ingest(&holder.client, "b", 20).await;
    acknowledged(&holder.client, "one", 30).await;
    other.stop().await;
    holder.stop().await;

    let again = InProcess::start(&both("gw-1")).await;
    ingest(&again.client, "c", 30).await;
    acknowledged(&again.client, "one", 60).await;
    let paused = look(&again.client, "two").await;
    assert_eq!(
        (&paused["standing"], &paused["connected"]),
        (&json!("paused"), &json!(false))
    );
    assert_eq!(module(&paused)["behind"], 50, "{paused}");
    assert_eq!(
        follower.look(|record| record.events.len()),
        10,
        "it was paused"
    );

    done(&again.client, &["resume", "two"]).await;
    follower
        .wait("the rest", |record| record.distinct() == 60)
        .await;
    follower.record().assert_whole();
    acknowledged(&again.client, "two", 60).await;
    let audit = "SELECT CAST(count(*) AS TEXT) FROM audit WHERE action = 'target-pause' AND actor = 'admin (for ann)'";
    wait(&database, audit, 1, "one pause in the audit").await;
    again.stop().await;
}

async fn a_retired_target_holds_nothing_and_says_where_it_begins(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let (one, two) = (broker(), broker());
    let keeping_ten = "[[modules]]\nname = \"commission\"\nretention = { changes = 10 }\n";
    let setup = setup(&database, "gw-1")
        .modules(keeping_ten)
        .set("retention.tick_ms", 20)
        .add(&target("one", &one, ""))
        .add(&target("two", &two, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    begun(client, "one").await;
    begun(client, "two").await;
    let follower = follow(&two).await;
    ingest(client, "a", 5).await;
    acknowledged(client, "two", 5).await;

    done(client, &["pause", "two"]).await;
    left(client, "two").await;
    ingest(client, "b", 45).await;
    acknowledged(client, "one", 50).await;
    // What a paused target has not got stays.
    let would = compact(client, true).await;
    assert_eq!(would["held_back"]["target"], "two", "{would}");
    assert!(retained_from(&database).await <= 6);
    let retired = done(client, &["retire", "two"]).await;
    assert_eq!(retired["after"]["standing"], "retired", "{retired}");
    let bound = "SELECT CAST(retained_from AS TEXT) FROM module_head WHERE module = 'commission'";
    wait(&database, bound, 41, "nothing is kept for it any more").await;
    let said = look(client, "two").await;
    assert!(
        said["note"].as_str().unwrap().contains("still configured"),
        "{said}"
    );
    assert_eq!(module(&said)["retired"], true, "{said}");

    let why = refused(client, &["resume", "two"]).await;
    assert!(
        why.contains("commission") && why.contains("at_head"),
        "{why}"
    );
    let why = refused(client, &["pause", "two"]).await;
    assert!(why.contains("retired"), "{why}");
    let why = refused(
        client,
        &["replay", "two", "--module", MODULE, "--from", "20"],
    )
    .await;
    assert!(why.contains("position 41"), "{why}");
    done(client, &["resume", "two", "--at-head"]).await;
    acknowledged(client, "two", 50).await;
    ingest(client, "c", 5).await;
    acknowledged(client, "two", 55).await;
    let events = "what came after the head, in a new generation";
    follower
        .wait(events, |record| {
            let generation = |bookmark: &Value| bookmark["generation"].as_u64();
            record.distinct() == 10
                && record.bookmarks.iter().filter_map(generation).max() > Some(0)
        })
        .await;
    let positions = follower.look(|record| {
        let positions = record.events.iter().map(|event| event.position);
        positions.collect::<Vec<_>>()
    });
    assert_eq!(positions, [1, 2, 3, 4, 5, 51, 52, 53, 54, 55]);
    gateway.stop().await;
}

async fn a_replay_sends_again_and_its_mirror_follows(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let broker = broker();
    let both = |instance| setup(&database, instance).add(&target("one", &broker, ""));
    let holder = InProcess::start(&both("gw-1")).await;
    begun(&holder.client, "one").await;
    let other = InProcess::start(&both("gw-2")).await;
    let follower = follow(&broker).await;
    ingest(&holder.client, "a", 20).await;
    acknowledged(&holder.client, "one", 20).await;
    follower
        .wait("all", |record| record.events.len() == 20)
        .await;

    let replay = ["replay", "one", "--module", MODULE, "--from"];
    let from = |from| [&replay[..], &[from]].concat();
    let client = &other.client;
    let why = refused(client, &from("21")).await;
    assert!(why.contains("ends at position 20"), "{why}");
    let why = refused(client, &from("00000002_0000000000000005")).await;
    assert!(why.contains("epoch"), "{why}");
    let why = refused(client, &from("latest")).await;
    assert!(why.contains("from: must be a cursor"), "{why}");
    let why = refused(
        client,
        &["replay", "one", "--module", "stock", "--from", "1"],
    )
    .await;
    assert!(why.contains("stock"), "{why}");
    let tried = act(client, &[&from("12")[..], &["--dry-run"]].concat()).await;
    assert!(tried.status.success(), "{tried:?}");
    acknowledged(client, "one", 20).await;

    // The mirror is idle: nothing that it writes would tell it.
    let answer = done(client, &from("00000001_000000000000000c")).await;
    let cursor = |side: &str| answer[side]["cursors"][0]["cursor"].clone();
    assert_eq!(cursor("before"), "00000001_0000000000000014", "{answer}");
    assert_eq!(cursor("after"), "00000001_000000000000000c", "{answer}");
    follower
        .wait("eight again", |record| record.events.len() >= 28)
        .await;
    let events = follower.record().events;
    let again: Vec<_> = events[20..].iter().map(|event| event.position).collect();
    assert_eq!(again, (13..=20).collect::<Vec<_>>());
    acknowledged(client, "one", 20).await;
    let generation = |bookmark: &Value| bookmark["generation"].as_u64();
    follower
        .wait("a new generation", |record| {
            record.bookmarks.iter().filter_map(generation).max() == Some(1)
        })
        .await;
    let entry = newest(client).await;
    let told = [&entry["action"], &entry["actor"], &entry["reason"]];
    assert_eq!(
        told,
        ["target-replay", "admin (for ann)", "a test"],
        "{entry}"
    );
    assert_eq!(entry["after"]["cursors"], answer["after"]["cursors"]);

    // It goes on as if nothing had been.
    ingest(&holder.client, "b", 5).await;
    numbered(&database, 25).await;
    follower
        .wait("what is new", |record| record.distinct() == 25)
        .await;
    acknowledged(client, "one", 25).await;
    other.stop().await;
    holder.stop().await;
}
