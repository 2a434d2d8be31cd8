//! The broker dies under clients on push: they are told to poll, by every way that they may ask, and why; over a restart too. When it is
//! back they hear it from the retained message, and once all has been well for a while they return, each at its own time. Who is on
//! another broker notices nothing.

use changeover::{config::mqtt::Protocol, cutover::guard::Spot, domain::BasisPoints};
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::Follower,
    gateway::{Client, InProcess, MODULE, Program},
    guarded::{
        PATIENCE, act, flag, guard, last_to_return, poll, ramp, session, setup, told, turns, until,
    },
    metrics::metric,
    servers_are_skipped,
    targets::{broker, target},
};

crate::on_each_database!(a_killed_broker_and_its_return);

const CLIENT: &str = "terminal";

async fn a_killed_broker_and_its_return(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let mut broker = broker();
    let setup = setup(&database, "a").add(&target("one", &broker, ""));
    // In a process of its own: the tests of this one share their gauges.
    let mut gateway = Program::start(&setup).await;
    let client = &gateway.client.clone();
    client.ingest(&json!([{"key": "k", "value": 1}])).await;
    client.items(0, 1, PATIENCE).await;
    ramp(client).await;
    act(client, &["module", "promote", MODULE, "--reason", "on"]).await;
    let end = ["module", "promote", MODULE, "--reason", "on", "--confirm"];
    act(client, &[&end[..], &[MODULE]].concat()).await;
    told(client, CLIENT, "push", "stage").await;
    assert_eq!(poll(client, CLIENT).await.0, 410);
    let quiet = until(client, "one", "watching", None).await;
    assert_eq!(
        (&quiet["since"], &quiet["pushed_percent"]),
        (&Value::Null, &json!(100.0))
    );

    broker.kill();
    told(client, CLIENT, "poll", "guard").await;
    let answered = (200, "mirror".to_owned(), "poll".to_owned());
    assert_eq!(poll(client, CLIENT).await, answered);
    assert_eq!(poll(client, "").await.0, 200, "whoever asks");
    is_told_why(client).await;

    // It is not forgotten.
    eventually("all have fallen back", PATIENCE, async || {
        (guard(client, "one").await["pushed_percent"] == 0.0).then_some(())
    })
    .await;
    assert_eq!(gateway.terminate().await.0, 0);
    let mut gateway = Program::start(&setup).await;
    let client = &gateway.client.clone();
    assert_eq!(
        poll(client, CLIENT).await,
        answered,
        "the first answer after a restart"
    );

    broker.restart();
    let topic = format!("changeover/m/{MODULE}");
    let follower = Follower::start(&broker.url(), Protocol::V5, "late", &[&topic]);
    let said = |mark: &Value, stage: &str, reason: &str| {
        mark["stage_effective"] == stage && mark["reason"] == reason
    };
    follower
        .wait("the retained message tells of it", |seen| {
            seen.bookmarks
                .iter()
                .any(|mark| said(mark, "mirror", "guard"))
        })
        .await;
    told(client, CLIENT, "push", "stage").await;
    follower
        .wait("and of its end", |seen| {
            let last = seen.bookmarks.last();
            last.is_some_and(|mark| said(mark, "retired", "stage"))
        })
        .await;
    let versions: Vec<_> = follower
        .record()
        .bookmarks
        .iter()
        .map(|mark| mark["version"].as_i64().unwrap())
        .collect();
    assert!(
        versions.is_sorted() && versions[0] < *versions.last().unwrap(),
        "{versions:?}"
    );
    until(client, "one", "watching", None).await;
    eventually("polls end again", PATIENCE, async || {
        (poll(client, CLIENT).await.0 == 410).then_some(())
    })
    .await;
    let turns = turns(client).await;
    let acts: Vec<_> = turns.iter().map(|(action, _)| &**action).collect();
    assert_eq!(acts, ["guard-trip", "guard-heal"], "{turns:?}");
    assert!(
        turns[0].1.contains("target one: no connection"),
        "{turns:?}"
    );
    assert_eq!(gateway.terminate().await.0, 0);
}

/// The flag and the admin API name the guard, and so does the metric.
async fn is_told_why(client: &Client) {
    let told_flag = flag(client, CLIENT).await;
    assert_eq!(
        (&told_flag["value"], &told_flag["reason"]),
        (&json!("poll"), &json!("DISABLED"))
    );
    let metadata = &told_flag["metadata"];
    assert_eq!(
        (
            &metadata["stage"],
            &metadata["stage_requested"],
            &metadata["reason"]
        ),
        (&json!("mirror"), &json!("retired"), &json!("guard"))
    );
    let tripped = until(client, "one", "tripped", Some("disconnected")).await;
    assert!(tripped["since"].is_string(), "{tripped}");
    let module = client.module().await;
    assert_eq!(
        (
            &module["stage_requested"],
            &module["stage_effective"],
            &module["effective_reason"]
        ),
        (&json!("retired"), &json!("mirror"), &json!("guard"))
    );
    let labels = [("module", MODULE)];
    assert!(metric(client, "changeover_guard_tripped", &labels).await > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_another_target_notice_nothing() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let (old, mut new) = (broker(), broker());
    let setup = setup(&database, "a")
        .add(&target("old", &old, ""))
        .add(&target("new", &new, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    ramp(client).await;
    let half = [
        "module",
        "route",
        MODULE,
        "--target",
        "new",
        "--percent",
        "50",
        "--reason",
        "halfway",
    ];
    act(client, &half).await;
    let (on_old, on_new) = (on(client, "old").await, on(client, "new").await);
    let topic = format!("changeover/m/{MODULE}");
    let follower = Follower::start(&old.url(), Protocol::V5, "follower", &[&topic]);
    follower
        .wait("the route", |seen| {
            let last = seen.bookmarks.last();
            last.is_some_and(|mark| mark["version"] == 2)
        })
        .await;

    new.kill();
    told(client, &on_new, "poll", "guard").await;
    until(client, "new", "tripped", Some("disconnected")).await;
    assert_eq!(guard(client, "old").await["state"], "watching");
    let push = ("push".to_owned(), "cohort".to_owned());
    assert_eq!(session(client, &on_old).await, push);
    let pushed = flag(client, &on_old).await;
    assert_eq!(
        (&pushed["value"], &pushed["metadata"]["stage"]),
        (&json!("push"), &json!("ramp"))
    );
    client.ingest(&json!([{"key": "k", "value": 1}])).await;
    follower
        .wait("the broker goes on", |seen| {
            seen.bookmarks.last().is_some_and(|mark| mark["head"] == 1)
        })
        .await;
    let marks = follower.record().bookmarks;
    let last = marks.last().unwrap();
    assert_eq!(
        (&last["stage_effective"], &last["version"]),
        (&json!("ramp"), &json!(2))
    );

    // What is paused is nobody's trouble, and its clients are told the other one.
    act(client, &["target", "pause", "new", "--reason", "repair"]).await;
    told(client, &on_new, "push", "cohort").await;
    assert_eq!(client.module().await["stage_effective"], "ramp");
    gateway.stop().await;
}

/// A client that is told this target.
async fn on(client: &Client, target: &str) -> String {
    for n in 0..1_000 {
        let id = format!("terminal-{n}");
        if flag(client, &id).await["metadata"]["target"] == target {
            return id;
        }
    }
    panic!("nobody is told {target}");
}

/// While clients return, each is told what its place in the order says, and nobody is sent back and forth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_return_in_their_order() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let mut broker = broker();
    let setup = setup(&database, "a")
        .set("guard.return_over", "20s")
        .add(&target("one", &broker, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    ramp(client).await;
    broker.kill();
    told(client, &last_to_return(), "poll", "guard").await;
    broker.restart();
    until(client, "one", "returning", None).await;
    let module = MODULE.parse().unwrap();
    let ids: Vec<_> = (0..40).map(|n| format!("terminal-{n}")).collect();
    let mut returned = vec![false; ids.len()];
    let mut shares = Vec::new();
    while returned.iter().any(|returned| !returned) {
        for (id, returned) in ids.iter().zip(&mut returned) {
            let before = pushed(&guard(client, "one").await);
            let (transport, reason) = session(client, id).await;
            let after = pushed(&guard(client, "one").await);
            let spot = Spot::of(&module, id);
            match &*transport {
                "push" => assert!(spot.is_in(after), "{id} is too early: {after}"),
                _ => assert!(!spot.is_in(before), "{id} is too late: {before}"),
            }
            assert_eq!(
                reason,
                if transport == "push" {
                    "cohort"
                } else {
                    "guard"
                }
            );
            assert!(transport == "push" || !*returned, "{id} was sent back");
            *returned = transport == "push";
            shares.push(after);
        }
    }
    assert!(shares.is_sorted());
    assert!(
        shares[0] < BasisPoints::new(9_000).unwrap(),
        "{}",
        shares[0]
    );
    gateway.stop().await;
}

fn pushed(guard: &Value) -> BasisPoints {
    let percent = guard["pushed_percent"].as_f64().unwrap();
    format!("{percent:.2}").parse().unwrap()
}
