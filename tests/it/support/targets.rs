//! Several targets of one gateway, and hands to act on them.

use std::process::Output;

use serde_json::Value;

use super::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Client, MODULE, START, Setup, changeover},
    mosquitto::Mosquitto,
};

/// A Mosquitto that drops nothing while it runs.
pub fn broker() -> Mosquitto {
    Mosquitto::start_with(
        "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n",
    )
}

/// A target's table, with these lines more.
pub fn target(name: &str, broker: &Mosquitto, more: &str) -> String {
    let url = broker.url();
    format!("\n[[mqtt.targets]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}\n")
}

/// A gateway that looks often for its brokers, and waits a moment for their subscribers.
pub fn setup(database: &DatabaseUnderTest, instance: &str) -> Setup {
    Setup::new(database, instance)
        .set("mirror.backoff_min_ms", 20)
        .set("mirror.backoff_max_ms", 200)
        .set("mirror.settle_ms", 3_000)
}

/// What the admin API says of a target.
pub async fn look(client: &Client, name: &str) -> Value {
    let answer = client.get("/admin/v1/targets").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let targets = answer.json();
    let mut targets = targets["targets"].as_array().unwrap().iter();
    let found = targets.find(|target| target["target"] == name);
    found
        .unwrap_or_else(|| panic!("no {name}: {answer:?}"))
        .clone()
}

/// What it says of `commission` on a target.
pub fn module(target: &Value) -> &Value {
    let mut modules = target["modules"].as_array().unwrap().iter();
    modules.find(|module| module["module"] == MODULE).unwrap()
}

/// Waits until what the admin API says of a target satisfies `enough`.
pub async fn until(
    client: &Client,
    name: &str,
    what: &str,
    enough: impl Fn(&Value) -> bool,
) -> Value {
    eventually(&format!("{name}: {what}"), START, async || {
        let target = look(client, name).await;
        enough(&target).then_some(target)
    })
    .await
}

/// Waits until a target has begun with `commission`.
pub async fn begun(client: &Client, name: &str) {
    until(client, name, "it has begun", |target| {
        target["connected"] == true && !module(target)["cursor"].is_null()
    })
    .await;
}

/// Waits until a target has acknowledged `commission` up to a position.
pub async fn acknowledged(client: &Client, name: &str, position: u64) {
    let cursor = format!("00000001_{position:016x}");
    until(client, name, &format!("it is at {position}"), |target| {
        module(target)["cursor"] == cursor
    })
    .await;
}

/// `changeover target …` with a reason and an actor.
pub async fn act(client: &Client, arguments: &[&str]) -> Output {
    let all = [
        &["target"],
        arguments,
        &["--reason", "a test", "--actor", "ann"],
    ]
    .concat();
    changeover(client, &all).await
}

/// Tells all clients to connect to a target.
pub async fn route_all(client: &Client, name: &str) {
    for module in [MODULE, "notices"] {
        let arguments = ["module", "route", module, "--target", name];
        let output = changeover(client, &[&arguments[..], &["--reason", "a test"]].concat()).await;
        assert!(output.status.success(), "{output:?}");
    }
}

/// [`act`], which must be done.
pub async fn done(client: &Client, arguments: &[&str]) -> Value {
    let output = act(client, arguments).await;
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same; it must be refused. Returns why.
pub async fn refused(client: &Client, arguments: &[&str]) -> String {
    let output = act(client, arguments).await;
    assert!(matches!(output.status.code(), Some(2 | 4)), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}
