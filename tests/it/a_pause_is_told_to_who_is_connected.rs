//! Before the gateway leaves a target, it says so there: the retained message of each module gets a new version and the
//! target's standing. Who reads it asks for a session, and is told the same.

use std::{sync::Arc, time::Duration};

use changeover::config::mqtt::Protocol;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::Follower,
    gateway::{Client, InProcess, MODULE, Program, changeover},
    load::{Load, Plan, orders_at},
    mosquitto::Mosquitto,
    pruned::ingest,
    reckoning::all_hold_the_log,
    servers_are_skipped,
    targets::{acknowledged, begun, broker, done, look, refused, setup, target, until},
    terminal::{MODULES, Terminal, flow, told_where},
};

const PATIENCE: Duration = Duration::from_mins(1);

async fn follow(broker: &Mosquitto, client_id: &str) -> Follower {
    let filters = ["changeover/m/commission"];
    let follower = Follower::start(&broker.url(), Protocol::V5, client_id, &filters);
    follower.subscribed().await;
    follower
}

/// The newest retained message that says this of its target.
async fn says(follower: &Follower, standing: &str, above: i64) -> Value {
    let what = format!("{standing}, above version {above}");
    eventually(&what, PATIENCE, async || {
        let newest = follower.look(|record| record.bookmarks.last().cloned())?;
        let is_new = newest["version"].as_i64()? > above;
        (is_new && newest["standing"] == standing).then_some(newest)
    })
    .await
}

fn version(message: &Value) -> i64 {
    message["version"].as_i64().unwrap()
}

/// What a session says of `commission`.
async fn told(client: &Client) -> Value {
    let request = client.http.post(format!("{}/v1/session", client.public));
    let answer = client
        .send(request.json(&json!({"client_id": "terminal-1"})))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["modules"][MODULE].clone()
}

async fn left(client: &Client, name: &str) {
    until(client, name, "this replica has left it", |target| {
        target["connected"] == false
    })
    .await;
}

async fn module(client: &Client, arguments: &[&str]) -> Value {
    let all = [&["module"], arguments, &["--reason", "a test"]].concat();
    let output = changeover(client, &all).await;
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_connected_learns_that_a_target_is_left_and_that_it_is_back() {
    let (old, new) = (broker(), broker());
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(&database, "gw-1")
        .add(&target("old", &old, ""))
        .add(&target("new", &new, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    begun(client, "old").await;
    begun(client, "new").await;
    ingest(client, "a", 10).await;
    acknowledged(client, "old", 10).await;
    let (at_old, at_new) = (follow(&old, "at-old").await, follow(&new, "at-new").await);
    let before = says(&at_old, "active", -1).await;
    let session = told(client).await;
    assert_eq!(session["target"], "old", "{session}");
    assert_eq!(session["version"], before["version"], "{session} {before}");

    done(client, &["pause", "old"]).await;
    let paused = says(&at_old, "paused", version(&before)).await;
    assert_eq!(paused["head"], 10, "{paused}");
    let session = told(client).await;
    assert_eq!(session["target"], "new", "{session}");
    assert_eq!(session["version"], paused["version"], "{session} {paused}");
    let there = says(&at_new, "active", version(&before)).await;
    assert_eq!(there["version"], paused["version"], "{there}");
    left(client, "old").await;
    // Who connects now finds it.
    let late = follow(&old, "late").await;
    assert_eq!(says(&late, "paused", -1).await, paused);

    done(client, &["resume", "old"]).await;
    let back = says(&at_old, "active", version(&paused)).await;
    let there = says(&at_new, "active", version(&paused)).await;
    let session = told(client).await;
    assert_eq!(session["target"], "old", "{session}");
    for message in [&back, &there] {
        assert_eq!(session["version"], message["version"], "{session}");
    }

    module(client, &["route", MODULE, "--target", "new"]).await;
    module(client, &["route", "notices", "--target", "new"]).await;
    done(client, &["retire", "old"]).await;
    let retired = says(&at_old, "retired", version(&back)).await;
    assert_eq!(retired["reason"], "stage", "{retired}");
    left(client, "old").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_another_target_clients_are_told_to_poll() {
    let broker = broker();
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(&database, "gw-1").add(&target("only", &broker, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    begun(client, "only").await;
    let follower = follow(&broker, "follower").await;
    module(client, &["ramp", MODULE, "--percent", "100"]).await;
    let pushed = says(&follower, "active", 0).await;
    assert_eq!(pushed["stage_effective"], "ramp", "{pushed}");

    let why = refused(client, &["retire", "only"]).await;
    assert!(
        why.contains("the last target") && why.contains(MODULE) && !why.contains("notices"),
        "{why}"
    );
    let why = refused(client, &["retire", "only", "--dry-run"]).await;
    assert!(why.contains("the last target"), "{why}");
    done(client, &["pause", "only"]).await;
    let paused = says(&follower, "paused", version(&pushed)).await;
    let session = told(client).await;
    for said in [&paused, &session] {
        assert_eq!(said["reason"], "no-target", "{said}");
    }
    assert_eq!(paused["stage_requested"], "ramp", "{paused}");
    assert_eq!(paused["stage_effective"], "mirror", "{paused}");
    assert_eq!(session["transport"], "poll", "{session}");

    done(client, &["resume", "only"]).await;
    let back = says(&follower, "active", version(&paused)).await;
    assert_eq!(back["stage_effective"], "ramp", "{back}");
    module(client, &["rollback", MODULE]).await;
    done(client, &["retire", "only"]).await;
    says(&follower, "retired", version(&back)).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_does_not_answer_is_left_in_time_and_named() {
    let (deaf, other) = (broker(), broker());
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    // Within the time that an unanswered publish may take, the connection stands.
    let setup = setup(&database, "gw-1")
        .set("mirror.drain_ms", 300)
        .set("mirror.ack_timeout_ms", 600_000)
        .set("mirror.keep_alive_s", 600)
        .add(&target("deaf", &deaf, ""))
        .add(&target("other", &other, ""));
    let program = Program::start(&setup).await;
    let client = &program.client;
    begun(client, "deaf").await;
    ingest(client, "a", 10).await;
    acknowledged(client, "deaf", 10).await;
    deaf.pause();
    done(client, &["pause", "deaf"]).await;
    left(client, "deaf").await;
    deaf.resume();
    let warned = program.log();
    let warned = warned
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.contains("may not have been told")
        });
    let warned = warned.unwrap_or_else(|| panic!("{}", program.log()));
    assert_eq!(
        (&warned["broker"], &warned["modules"], &warned["level"]),
        (
            &json!("deaf"),
            &json!("commission, notices"),
            &json!("WARN")
        ),
        "{warned}"
    );

    // A target that can be told is not complained of.
    done(client, &["pause", "other"]).await;
    left(client, "other").await;
    let log = program.log();
    let complaints = log.matches("may not have been told").count();
    assert_eq!(complaints, 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminals_go_elsewhere_and_come_back() {
    if servers_are_skipped() {
        return;
    }
    let database = Arc::new(DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap());
    let seed = rand::random();
    println!("seed {seed}");
    let (old, new) = (broker(), broker());
    let setup = setup(&database, "gw-1")
        .modules(MODULES)
        .add(&target("old", &old, ""))
        .add(&target("new", &new, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let terminals = told_where(&client.public, 4, PATIENCE, seed);
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&client.private)],
        producers: 2,
        changes: 500,
        batch: 5,
        pace: Duration::from_millis(20),
        seed,
    });
    flow(&terminals, PATIENCE).await;
    for (act, moves) in [("pause", 1), ("resume", 2)] {
        done(client, &[act, "old"]).await;
        eventually(&format!("all have followed: {act}"), PATIENCE, async || {
            let followed =
                |terminal: &Terminal| terminal.look(|memory| memory.counts.moves % 2 == moves % 2);
            terminals.iter().all(followed).then_some(())
        })
        .await;
        flow(&terminals, PATIENCE).await;
    }
    let (total, _) = load.finish().await;
    for terminal in &terminals {
        terminal.reached(total, PATIENCE).await;
    }
    assert_eq!(look(client, "old").await["standing"], "active");
    gateway.stop().await;
    all_hold_the_log(&database, &load, &terminals).await;
}
