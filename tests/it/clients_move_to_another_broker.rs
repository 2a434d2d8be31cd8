//! `changeover module route`: a broker is replaced under load. Both are fed, the clients are told the new one in steps, and
//! each ends with exactly the log; then nobody is left on the old one, and only then it may go.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use changeover::domain;
use serde_json::{Value, json};

use crate::{
    on_each_database,
    support::{
        database::{DatabaseUnderTest, Kind},
        eventually,
        gateway::{Client, InProcess, changeover},
        load::{Load, Plan, orders_at},
        reckoning::all_hold_the_log,
        servers_are_skipped, session,
        targets::{broker, done, look, refused, setup, target, until},
        terminal::{MODULES, Terminal, flow, told_where},
    },
};

on_each_database!(in_steps_and_under_load);

const PATIENCE: Duration = Duration::from_mins(1);
const PRODUCERS: u64 = 2;
const CHANGES: u64 = 1_000;
const TERMINALS: u64 = 6;

/// `changeover module route orders …`.
async fn route(client: &Client, arguments: &[&str]) -> Value {
    let all = [
        &["module", "route", "orders", "--reason", "a new vendor"],
        arguments,
    ]
    .concat();
    let output = changeover(client, &all).await;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout).unwrap();
    }
    Value::String(String::from_utf8(output.stderr).unwrap())
}

async fn told(client: &Client, client_id: &str) -> String {
    let gateways = [client.public.clone()];
    session::ask(&gateways, client_id, "u1").await.target
}

/// Those of 300 clients that are told the new one.
async fn moved(client: &Client) -> BTreeSet<u32> {
    let mut moved = BTreeSet::new();
    for n in 0..300 {
        if told(client, &format!("terminal-{n:04}")).await == "new" {
            moved.insert(n);
        }
    }
    moved
}

fn hashed(percent: u32) -> BTreeSet<u32> {
    let taken = |n: &u32| domain::hash("route", &format!("terminal-{n:04}")) % 100 < percent;
    (0..300).filter(taken).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_told_the_other_target() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let (old, new) = (broker(), broker());
    let setup = setup(&database, "gw-1")
        .modules(MODULES)
        .add(&target("old", &old, ""))
        .add(&target("new", &new, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    assert_eq!(moved(client).await, BTreeSet::new());

    let dry = route(client, &["--target", "new", "--percent", "5", "--dry-run"]).await;
    let shares = json!([{"target": "old", "percent": 95.0}, {"target": "new", "percent": 5.0}]);
    assert_eq!(dry["after"]["routes"], shares, "{dry}");
    assert_eq!(moved(client).await, BTreeSet::new());
    for percent in [5, 20, 5] {
        let part = percent.to_string();
        route(client, &["--target", "new", "--percent", &part]).await;
        assert_eq!(moved(client).await, hashed(percent));
    }
    let why = route(client, &["--target", "old", "--percent", "50"]).await;
    assert!(why.as_str().unwrap().contains("told anyway"), "{why}");
    let why = route(client, &["--target", "odl"]).await;
    assert!(why.as_str().unwrap().contains("old, new"), "{why}");
    let why = refused(client, &["retire", "new"]).await;
    assert!(why.contains("clients of orders"), "{why}");
    for act in ["route", "ramp"] {
        let body = json!({"reason": "a slip", "target": "new", "percent": null});
        let path = format!("/admin/v1/modules/orders/{act}");
        let answer = client.post(&path, &body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("percent: invalid type: null"), "{detail}");
    }
    assert_eq!(moved(client).await, hashed(5));

    done(client, &["pause", "new"]).await;
    assert_eq!(
        moved(client).await,
        BTreeSet::new(),
        "nothing is sent to the new one"
    );
    let why = route(client, &["--target", "new", "--percent", "30"]).await;
    assert!(why.as_str().unwrap().contains("resume it first"), "{why}");
    done(client, &["resume", "new"]).await;
    route(client, &["--target", "new"]).await;
    assert_eq!(moved(client).await.len(), 300);
    let shown = changeover(
        client,
        &["module", "history", "orders", "--output", "table"],
    );
    let shown = String::from_utf8(shown.await.stdout).unwrap();
    assert!(
        shown.contains("mirror at 0 %, old, 5 % new -> mirror at 0 %, new"),
        "{shown}"
    );
    gateway.stop().await;

    // What was said is kept.
    let gateway = InProcess::start(&setup).await;
    assert_eq!(moved(&gateway.client).await.len(), 300);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_to_a_target_that_is_away_is_warned_of() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let (old, mut new) = (broker(), broker());
    let setup = setup(&database, "gw-1")
        .modules(MODULES)
        .add(&target("old", &old, ""))
        .add(&target("new", &new, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let connected = async |name: &str, wanted: bool| {
        until(client, name, "connected, or not", |target| {
            target["connected"] == wanted
        })
        .await;
    };
    connected("new", true).await;
    let fed = async || {
        let target = look(client, "new").await;
        (!target["modules"][0]["cursor"].is_null()).then_some(())
    };
    eventually("it has begun", PATIENCE, fed).await;
    let done = route(client, &["--target", "new", "--percent", "5"]).await;
    assert_eq!(done["warnings"], json!([]), "{done}");

    new.kill();
    connected("new", false).await;
    let dry = route(client, &["--target", "new", "--percent", "6", "--dry-run"]).await;
    let warned = dry["warnings"][0].as_str().unwrap_or_default();
    let said = "target new is not connected to this replica: ";
    assert!(warned.starts_with(said), "{dry}");
    let table = ["--target", "new", "--percent", "6", "--output", "table"];
    let arguments = ["module", "route", "orders", "--reason", "x"];
    let shown = changeover(client, &[&arguments[..], &table].concat()).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("\nwarning: target new is not"), "{shown}");
    // The way back is no trouble.
    let back = route(client, &["--target", "new", "--percent", "0"]).await;
    assert_eq!(back["warnings"], json!([]), "{back}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_says_what_a_client_needs() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&setup(&database, "gw-1").modules(MODULES)).await;
    let client = &gateway.client;
    let ask = async |body: Value| {
        let request = client
            .http
            .post(format!("{}/v1/session", client.public))
            .json(&body);
        client.send(request).await
    };
    let answer = ask(json!({"client_id": "t 1", "audience": "a/b", "agent": "x/1"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let session = answer.json();
    let orders = &session["modules"]["orders"];
    let topics = json!([
        "changeover/m/orders",
        "changeover/c/orders/_all",
        "changeover/c/orders/a=2Fb"
    ]);
    assert_eq!(
        (&orders["transport"], &orders["reason"], &orders["topics"]),
        (&json!("poll"), &json!("stage"), &topics)
    );
    assert_eq!(orders["next_poll_ms"], 5_000, "{session}");
    assert_eq!(session["mqtt"], session["targets"]["local"]);
    let url = session["mqtt"]["url"].as_str().unwrap();
    assert!(url.starts_with("mqtt://127.0.0.1:"), "{url}");
    assert!(session["mqtt"]["password"].is_null());
    assert!(session["resync_ms"].as_u64().unwrap() <= 300_000);

    let other = ask(json!({"client_id": "t 1", "audience": "b"}))
        .await
        .json();
    assert_ne!(other["mqtt"]["client_id"], session["mqtt"]["client_id"]);
    for (body, said) in [
        (json!({"client_id": ""}), "client_id: must not be empty"),
        (json!({"client_id": "a\nb"}), "client_id: must not contain"),
        (json!({"client_id": "x".repeat(129)}), "client_id: has 129"),
        (
            json!({"client_id": "x", "modules": ["order"]}),
            "modules: there is no module `order`",
        ),
        (
            json!({"client_id": "x", "audience": ""}),
            "audience: must not be empty",
        ),
        (
            json!({"client_id": "x", "audiance": "y"}),
            "unknown field `audiance`",
        ),
        (json!({}), "client_id"),
        (json!(["x"]), "expected a JSON object"),
    ] {
        let refused = ask(body).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(said), "{detail}");
    }
    let large = ask(json!({"client_id": "x", "agent": "y".repeat(70_000)})).await;
    assert_eq!(large.status, 413, "{large:?}");
    gateway.stop().await;
}

async fn in_steps_and_under_load(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let database = Arc::new(database);
    let seed = rand::random();
    println!("seed {seed}");
    let (old, new) = (broker(), broker());
    let setup = setup(&database, "gw-1")
        .modules(MODULES)
        .add(&target("old", &old, ""))
        .add(&target("new", &new, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let terminals = told_where(&client.public, TERMINALS, PATIENCE, seed);
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&client.private)],
        producers: PRODUCERS,
        changes: CHANGES,
        batch: 5,
        pace: Duration::from_millis(20),
        seed,
    });
    flow(&terminals, PATIENCE).await;
    for percent in ["30", "70", "10", "100"] {
        route(client, &["--target", "new", "--percent", percent]).await;
        load.reaches(load.acknowledged() + 100).await;
        flow(&terminals, PATIENCE).await;
    }
    eventually("all have moved", PATIENCE, async || {
        let moved = |terminal: &Terminal| terminal.look(|memory| memory.counts.moves % 2 == 1);
        terminals.iter().all(moved).then_some(())
    })
    .await;
    done(client, &["retire", "old"]).await;
    until(client, "old", "it is left", |target| {
        target["connected"] == false
    })
    .await;
    flow(&terminals, PATIENCE).await;
    let (total, _) = load.finish().await;
    for terminal in &terminals {
        terminal.reached(total, PATIENCE).await;
    }
    gateway.stop().await;
    all_hold_the_log(&database, &load, &terminals).await;
}
