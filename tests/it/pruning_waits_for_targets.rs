//! A broker that is away holds back what it has not got, until that is too old to wait; then it is said, and
//! who listens to it finds out.

use changeover::config::mqtt::Protocol;
use serde_json::json;

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        eventually,
        follower::Follower,
        gateway::{InProcess, START},
        mosquitto::Mosquitto,
        pruned::{compact, holds, ingest, numbered, setup, wait},
        servers_are_skipped,
    },
};

on_each_database!(
    that_are_away_until_their_time_is_up,
    that_are_new,
    but_not_for_those_that_do_not_get_the_module,
);

const KEPT: &str = "retention = { changes = 10 }";
const CURSOR: &str =
    "SELECT CAST(position AS CHAR(20)) FROM mirror_cursor WHERE module = 'commission'";

async fn that_are_away_until_their_time_is_up(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let mut broker = Mosquitto::start();
    let target = format!(
        "\n[[mqtt.targets]]\nname = \"away-{}\"\nurl = \"{}\"\n",
        broker.port(),
        broker.url()
    );
    let name = format!("away-{}", broker.port());
    // Time for the subscriber to come back before the mirror goes on.
    let waiting = setup(&database, "gw-1", KEPT)
        .add(&target)
        .set("mirror.settle_ms", 5_000);
    let gateway = InProcess::start(&waiting).await;
    ingest(&gateway.client, "k", 20).await;
    wait(&database, CURSOR, 20, "the broker has 20").await;
    broker.kill();
    ingest(&gateway.client, "l", 80).await;
    numbered(&database, 100).await;
    holds(&database, &(21..=100).collect::<Vec<_>>()).await;
    let would = compact(&gateway.client, true).await;
    let held = &would["held_back"];
    assert_eq!(
        (&held["target"], &held["position"], &held["behind"]),
        (&json!(name), &json!(20), &json!(80)),
        "{would}"
    );
    gateway.stop().await;

    let forcing = waiting.set("retention.force_after", "1s");
    let gateway = InProcess::start(&forcing).await;
    holds(&database, &(91..=100).collect::<Vec<_>>()).await;
    let metrics = gateway.client.get("/metrics").await.text;
    let counted =
        format!("changeover_retention_forced_total{{module=\"commission\",target=\"{name}\"}} 70");
    assert!(metrics.contains(&counted), "{metrics}");

    broker.restart();
    let follower = Follower::start(
        &broker.url(),
        Protocol::V5,
        "follower",
        &["changeover/c/commission/+", "changeover/m/commission"],
    );
    follower.subscribed().await;
    wait(&database, CURSOR, 100, "the mirror goes on").await;
    let events = "the changes that are left, and a new generation";
    follower
        .wait(events, |record| {
            let last = record
                .events
                .last()
                .is_some_and(|last| last.position == 100);
            let generation = |bookmark: &serde_json::Value| bookmark["generation"].as_u64();
            last && record.bookmarks.iter().filter_map(generation).max() > Some(0)
        })
        .await;
    let first = follower.look(|record| record.events.iter().map(|event| event.position).min());
    assert_eq!(first, Some(91));
    let module = eventually("it is said", START, async || {
        let module = gateway.client.module().await;
        module["targets"][0]["skipped"]
            .is_string()
            .then_some(module)
    })
    .await;
    let skipped = module["targets"][0]["skipped"].as_str().unwrap();
    assert!(skipped.contains("between 20 and 91"), "{skipped}");
    gateway.stop().await;
}

async fn that_are_new(database: DatabaseUnderTest) {
    let everything = setup(&database, "gw-1", "retention = {}");
    let gateway = InProcess::start(&everything).await;
    ingest(&gateway.client, "k", 50).await;
    wait(&database, CURSOR, 50, "the first target has all").await;
    gateway.stop().await;
    let second = "\n[[mqtt.targets]]\nname = \"second\"\nurl = \"mqtt://127.0.0.1:1\"\n";
    let replaced = setup(&database, "gw-1", KEPT).add(second);
    let gateway = InProcess::start(&replaced).await;
    // Its broker never answers. Where it begins was settled at once, and that is what is waited for.
    let cursor = "SELECT CAST(position AS CHAR(20)) FROM mirror_cursor \
                  WHERE module = 'commission' AND target = 'second'";
    wait(&database, cursor, 50, "a further target begins at the head").await;
    ingest(&gateway.client, "l", 30).await;
    numbered(&database, 80).await;
    holds(&database, &(51..=80).collect::<Vec<_>>()).await;
    let would = compact(&gateway.client, true).await;
    assert_eq!(would["rows"], 0, "{would}");
    assert_eq!(would["held_back"]["target"], "second", "{would}");
    gateway.stop().await;
}

async fn but_not_for_those_that_do_not_get_the_module(database: DatabaseUnderTest) {
    let dead = "\n[[modules]]\nname = \"stock\"\n[[mqtt.targets]]\nname = \"local\"\n\
                url = \"embedded://127.0.0.1:0\"\n[[mqtt.targets]]\nname = \"dead\"\n\
                url = \"mqtt://127.0.0.1:1\"\nmodules = [\"stock\"]\n";
    let gateway = InProcess::start(&setup(&database, "gw-1", KEPT).add(dead)).await;
    ingest(&gateway.client, "k", 30).await;
    numbered(&database, 30).await;
    holds(&database, &(21..=30).collect::<Vec<_>>()).await;
    gateway.stop().await;
}
