//! Whole gateways under load, whose brokers and leaders are killed: every change has one outcome, and what nobody could see is
//! called unobserved instead of missing.

use std::time::{Duration, Instant};

use changeover::config::mqtt::Protocol;
use serde_json::{Value, json};

use crate::support::{
    broker::Broker,
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::{Follower, Record},
    gateway::{Client, InProcess, MODULE, Program, Setup, changeover},
    load::{Load, Plan},
    metrics::metric,
};

const PATIENCE: Duration = Duration::from_mins(1);
const KILLS: u64 = 4;

/// What the first target says of the module; `None` until it is verified.
async fn verified(client: &Client) -> Option<Value> {
    let module = client.module().await;
    let verified = &module["targets"][0]["verified"];
    verified.is_object().then(|| verified.clone())
}

async fn listens(client: &Client) {
    eventually("the verifier listens", PATIENCE, async || {
        (verified(client).await?["listening"] == true).then_some(())
    })
    .await;
}

fn outcome(verified: &Value, outcome: &str) -> u64 {
    verified["outcomes"][outcome].as_u64().unwrap()
}

/// Waits until so many changes have an outcome.
async fn settled(client: &Client, changes: u64) -> Value {
    let began = Instant::now();
    eventually("every change has an outcome", PATIENCE * 2, async || {
        let last = verified(client).await?;
        let settled = outcome(&last, "ok") + outcome(&last, "unobserved");
        assert_eq!(last["last_problem"], Value::Null, "{last}");
        assert!(settled <= changes, "{settled} of {changes}: {last}");
        assert!(began.elapsed() < PATIENCE, "{settled} of {changes}: {last}");
        (settled == changes).then_some(last)
    })
    .await
}

/// No machine is slow enough to make anything late, and no burst large enough to have a part of it compared.
fn setup(database: &DatabaseUnderTest, instance: &str) -> Setup {
    Setup::new(database, instance)
        .set("verifier.late_ms", 600_000)
        .set("verifier.missing_after_ms", 3_000)
        .set("verifier.rate", 1_000_000)
        .set("verifier.window", 100_000)
}

fn load(clients: &[&Client], seed: u64) -> Load {
    let ingest = |client: &&Client| format!("{}/v1/modules/{MODULE}/changes", client.private);
    Load::start(&Plan {
        ingest: clients.iter().map(ingest).collect(),
        producers: 4,
        changes: 0,
        batch: 20,
        pace: Duration::from_millis(40),
        seed,
    })
}

/// Prints how many changes reached a subscriber without a session that lives through it all by MQTT alone.
async fn survive_a_killed_broker(kind: Kind, replay: bool) {
    let Some(database) = DatabaseUnderTest::fresh(kind).await else {
        return;
    };
    let mut broker = Broker::mosquitto();
    // On a machine too busy to renew a lease in time the changes between two leases would be nobody's.
    let mut setup = setup(&database, "gw")
        .set("sequencer.lease_ms", 20_000)
        .target(&broker.url());
    if !replay {
        let off = setup.set("mirror.settle_ms", 0);
        setup = off.set("mirror.replay_on_reconnect", "0s");
    }
    let gateway = InProcess::start(&setup).await;
    let client = gateway.client.clone();
    listens(&client).await;
    let channels = ["changeover/c/#"];
    let live = Follower::start(&broker.url(), Protocol::V5, "live", &channels);
    live.subscribed().await;
    let mut load = load(&[&client], 41);
    for _ in 0..KILLS {
        load.reaches(load.acknowledged() + 1_000).await;
        broker.kill().await;
        broker.restart().await;
        listens(&client).await;
    }
    let (changes, _) = load.finish().await;
    let found = settled(&client, changes).await;
    live.wait("the last change", |record| {
        let mut latest = record.events.iter().rev();
        latest.any(|event| event.position == changes)
    })
    .await;
    let came = live.look(Record::distinct);
    println!(
        "{kind:?}, seed 41, settle and replay {replay}: {KILLS} kills, {changes} changes, {came} reached a subscriber by MQTT, {} did not: {found}",
        changes - came
    );
    assert!(outcome(&found, "ok") > 0, "{found}");
    // And it has eyes again.
    let more: Vec<_> = (0..100)
        .map(|n| json!({"key": format!("after-{n}"), "value": n}))
        .collect();
    client.ingest(&Value::Array(more)).await;
    let after = settled(&client, changes + 100).await;
    assert_eq!(outcome(&after, "ok"), outcome(&found, "ok") + 100);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_is_no_fault_on_sqlite() {
    survive_a_killed_broker(Kind::Sqlite, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_broker_takes_along_is_unobserved() {
    survive_a_killed_broker(Kind::Sqlite, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_is_no_fault_on_postgres() {
    survive_a_killed_broker(Kind::Postgres, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_no_fault() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    let broker = Broker::mosquitto();
    let mut first = Program::start(&setup(&database, "gw-1").target(&broker.url())).await;
    listens(&first.client).await;
    let second = Program::start(&setup(&database, "gw-2").target(&broker.url())).await;
    let mut load = load(&[&first.client, &second.client], 42);
    load.reaches(1_000).await;
    let before = verified(&first.client).await.unwrap();
    assert_eq!(before["last_problem"], Value::Null, "{before}");
    assert_eq!(verified(&second.client).await, None, "it has no lease");
    first.kill();
    listens(&second.client).await;
    load.reaches(load.acknowledged() + 1_000).await;
    let (changes, _) = load.finish().await;
    let found = eventually("the last change is acknowledged", PATIENCE, async || {
        let module = second.client.module().await;
        let all = module["targets"][0]["position"] == changes;
        let verified = verified(&second.client).await?;
        (all && outcome(&verified, "ok") > 0).then_some(verified)
    })
    .await;
    println!("seed 42: {changes} changes; the first saw {before}, the second {found}");
    assert_eq!(found["last_problem"], Value::Null, "{found}");
    for bad in ["missing", "reordered", "previous", "late", "foreign"] {
        assert_eq!(outcome(&found, bad), 0, "{found}");
    }
}

#[cfg(feature = "embedded-broker")]
#[tokio::test]
async fn the_figures_are_the_changes() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(&database, "gw").set("sequencer.lease_ms", 20_000);
    let mut program = Program::start(&setup).await;
    let client = program.client.clone();
    listens(&client).await;
    let changes: Vec<_> = (0..500)
        .map(|n| json!({"key": format!("k{n}"), "value": n}))
        .collect();
    client.ingest(&Value::Array(changes)).await;
    let found = settled(&client, 500).await;
    assert_eq!(outcome(&found, "ok"), 500, "{found}");
    assert_eq!(found["share"], 1.0);
    let name = "changeover_verified_total";
    let labels = [("target", "local"), ("module", MODULE), ("outcome", "ok")];
    assert!((metric(&client, name, &labels).await - 500.0).abs() < 0.5);
    assert!((metric(&client, name, &labels[..2]).await - 500.0).abs() < 0.5);
    let name = "changeover_delivery_seconds_count";
    assert!((metric(&client, name, &[("target", "local")]).await - 500.0).abs() < 0.5);
    let shown = changeover(&client, &["module", "get", MODULE, "--output", "table"]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = shown
        .lines()
        .find(|line| line.starts_with("local") && line.contains("500  "));
    assert!(line.is_some() && shown.contains("UNOBSERVED"), "{shown}");
    let (code, _) = program.terminate().await;
    assert_eq!(code, 0, "{}", program.log());
}

#[cfg(feature = "embedded-broker")]
#[tokio::test]
async fn it_can_be_switched_off() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(&database, "gw").set("verifier.enabled", false);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    client.ingest(&json!({"key": "k", "value": 1})).await;
    eventually("the change is acknowledged", PATIENCE, async || {
        let module = client.module().await;
        (module["targets"][0]["position"] == 1).then_some(())
    })
    .await;
    assert_eq!(verified(client).await, None);
    gateway.stop().await;
}
