//! What trips a guard besides a broker that is away: one that takes nothing, one that refuses, one that loses what it has
//! acknowledged. Each is told by its name, and heals when it is over.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    deaf::Deaf,
    eventually,
    gateway::{Client, InProcess},
    guarded::{PATIENCE, act, ramp, setup, told, turns, until},
    mosquitto::Mosquitto,
    pruned::ingest,
    servers_are_skipped,
    targets::target,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_nothing_is_late() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let broker = Mosquitto::start();
    let is_deaf = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_deaf);
    let deaf = Deaf::before(broker.port(), move |topic, _| {
        switch.load(Relaxed) && topic.contains("/c/")
    })
    .await;
    let url = format!(
        "\n[[mqtt.targets]]\nname = \"one\"\nurl = \"{}\"\n",
        deaf.url()
    );
    let setup = setup(&database, "a")
        .set("mirror.ack_timeout_ms", 600_000)
        .add(&url);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    ramp(client).await;
    ingest(client, "a", 3).await;
    acknowledged(client, 3).await;
    is_deaf.store(true, Relaxed);
    ingest(client, "b", 3).await;
    until(client, "one", "tripped", Some("lag")).await;
    told(client, "t", "poll", "guard").await;
    assert!(
        turns(client).await[0].1.contains("behind"),
        "{:?}",
        turns(client).await
    );
    gateway.stop().await;
}

async fn acknowledged(client: &Client, position: u64) {
    eventually("it is acknowledged", PATIENCE, async || {
        let module = client.module().await;
        (module["targets"][0]["position"] == position).then_some(())
    })
    .await;
}

/// The gateway may write its retained messages, but no change.
const STRICT: &str = "topic readwrite changeover/m/#\ntopic read #\n";
/// It may write changes, which nobody gets: on MQTT 3.1.1 what is forbidden is acknowledged.
const OPEN: &str = "topic readwrite #\n";

async fn before_a_list(list: &str, lines: &str) -> Option<(Mosquitto, InProcess)> {
    if servers_are_skipped() {
        return None;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let access = "allow_anonymous true\nacl_file {dir}/acl\n";
    let broker = Mosquitto::start_with_files(access, &[("acl", list)]);
    let setup = setup(&database, "a")
        .set("mirror.refusal_tries", 2)
        .set("mirror.halt_retry_ms", 86_400_000)
        .set("verifier.missing_after_ms", 500)
        .add(&target("one", &broker, lines));
    let gateway = InProcess::start(&setup).await;
    ramp(&gateway.client).await;
    Some((broker, gateway))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_has_stopped_is_told_as_that() {
    let Some((broker, gateway)) = before_a_list(STRICT, "").await else {
        return;
    };
    let client = &gateway.client;
    ingest(client, "a", 3).await;
    until(client, "one", "tripped", Some("halted")).await;
    told(client, "t", "poll", "guard").await;
    broker.reload("acl", OPEN);
    act(client, &["target", "retry", "one", "--reason", "repaired"]).await;
    told(client, "t", "push", "cohort").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_subscribers_miss_trips() {
    let Some((broker, gateway)) = before_a_list(STRICT, "protocol = \"3.1.1\"").await else {
        return;
    };
    let client = &gateway.client;
    eventually("the verifier listens", PATIENCE, async || {
        let module = client.module().await;
        let verified = &module["targets"][0]["verified"];
        (verified["listening"] == true).then_some(())
    })
    .await;
    ingest(client, "a", 3).await;
    acknowledged(client, 3).await;
    until(client, "one", "tripped", Some("loss")).await;
    told(client, "t", "poll", "guard").await;
    broker.reload("acl", OPEN);
    told(client, "t", "push", "cohort").await;
    let turns = turns(client).await;
    assert!(turns[0].1.contains("missed"), "{turns:?}");
    gateway.stop().await;
}
