//! A broker dies and its clients are sent to another one. Its guard stays tripped and is nobody's trouble: no gauge, no list and no
//! script waits for it. Who is sent there again before it has healed is held by it at once.

use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, MODULE, Program, changeover},
    guarded::{PATIENCE, act, guard, ramp, session, setup, told, until},
    metrics::metric,
    servers_are_skipped,
    targets::{begun, broker, target},
};

const CLIENT: &str = "terminal";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_they_are_sent_there_again() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let (mut old, new) = (broker(), broker());
    let setup = setup(&database, "a")
        .add(&target("old", &old, ""))
        .add(&target("new", &new, ""));
    // In a process of its own: the tests of this one share their gauges.
    let mut gateway = Program::start(&setup).await;
    let client = &gateway.client.clone();
    begun(client, "new").await;
    ramp(client).await;
    told(client, CLIENT, "push", "cohort").await;
    assert_eq!(is_healthy(client, "1m").await, Some(0));

    old.kill();
    until(client, "old", "tripped", Some("disconnected")).await;
    told(client, CLIENT, "poll", "guard").await;
    gauge_is(client, 1.0).await;
    assert_eq!(is_healthy(client, "1s").await, Some(124));
    assert_eq!(listed(client).await, "tripped: disconnected");

    route(client, "new").await;
    let push = ("push".to_owned(), "cohort".to_owned());
    assert_eq!(session(client, CLIENT).await, push);
    gauge_is(client, 0.0).await;
    assert_eq!(listed(client).await, "watching");
    let left = guard(client, "old").await;
    assert_eq!(
        (&left["state"], &left["fed"], &left["has_clients"]),
        (&json!("tripped"), &json!(true), &json!(false))
    );
    on_old(client, "pause").await;
    assert_eq!(guard(client, "old").await["fed"], false);
    assert_eq!(is_healthy(client, "1m").await, Some(0));

    on_old(client, "resume").await;
    route(client, "old").await;
    let poll = ("poll".to_owned(), "guard".to_owned());
    assert_eq!(session(client, CLIENT).await, poll, "it still holds");
    gauge_is(client, 1.0).await;
    // Without clients it is as with them once more: nothing is sent there, and they are told the other one.
    on_old(client, "pause").await;
    told(client, CLIENT, "push", "cohort").await;
    gauge_is(client, 0.0).await;
    assert_eq!(is_healthy(client, "1m").await, Some(0));

    on_old(client, "resume").await;
    assert_eq!(session(client, CLIENT).await, poll);
    old.restart();
    told(client, CLIENT, "push", "cohort").await;
    gauge_is(client, 0.0).await;
    assert_eq!(gateway.terminate().await.0, 0);
}

async fn on_old(client: &Client, word: &str) {
    act(client, &["target", word, "old", "--reason", "a test"]).await;
}

async fn route(client: &Client, target: &str) {
    let arguments = ["module", "route", MODULE, "--target", target];
    act(client, &[&arguments[..], &["--reason", "a test"]].concat()).await;
}

/// The exit code of a wait.
async fn is_healthy(client: &Client, timeout: &str) -> Option<i32> {
    let wait = ["module", "get", MODULE, "--until", "healthy", "--timeout"];
    let output = changeover(client, &[&wait[..], &[timeout]].concat()).await;
    output.status.code()
}

/// What `module list` says in the column of guards.
async fn listed(client: &Client) -> String {
    let output = changeover(client, &["module", "list", "--output", "table"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let from = head.find("GUARD").unwrap();
    let row = rest.lines().find(|line| line.starts_with(MODULE)).unwrap();
    let cell = row[from..].split("  ").next().unwrap();
    cell.trim().to_owned()
}

async fn gauge_is(client: &Client, expected: f64) {
    let expected = expected.to_string();
    eventually(&format!("the gauge is {expected}"), PATIENCE, async || {
        let labels = [("module", MODULE)];
        let shown = metric(client, "changeover_guard_tripped", &labels).await;
        (shown.to_string() == expected).then_some(())
    })
    .await;
}
