//! A gateway whose guards are quick, and what it tells a client by every way that there is.

use std::time::Duration;

use changeover::cutover::guard::Spot;
use serde_json::{Value, json};

use super::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Client, MODULE, Setup, changeover},
    metrics::metric,
    targets,
};

/// Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A replica whose guards trip and heal within seconds. Not yet with a target.
pub fn setup(database: &DatabaseUnderTest, instance: &str) -> Setup {
    targets::setup(database, instance)
        .set("mirror.settle_ms", 100)
        .set("guard.away", "1s")
        .set("guard.lag", "1s")
        .set("guard.missing", 0)
        .set("guard.missing_within", "3s")
        .set("guard.leaderless_after", "1s")
        .set("guard.fall_back_over", "1s")
        .set("guard.heal_after", "2s")
        .set("guard.return_over", "1s")
}

/// Transport and reason, by the session.
pub async fn session(client: &Client, id: &str) -> (String, String) {
    let url = format!("{}/v1/session", client.public);
    let request = client.http.post(url).json(&json!({"client_id": id}));
    let answer = client.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json()["modules"][MODULE].clone();
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    (text("transport"), text("reason"))
}

/// The status of a poll, and stage and transport by its headers.
pub async fn poll(client: &Client, id: &str) -> (u16, String, String) {
    let url = format!("{}/api/commission/list?since=0", client.public);
    let request = client.http.get(url).header("X-Terminal", id);
    let answer = client.send(request).await;
    let header = |name| answer.header(name).to_owned();
    let status = answer.status.as_u16();
    (
        status,
        header("changeover-stage"),
        header("changeover-transport"),
    )
}

/// The flag.
pub async fn flag(client: &Client, id: &str) -> Value {
    let url = format!("{}/ofrep/v1/evaluate/flags/module.{MODULE}", client.public);
    let context = json!({"context": {"targetingKey": id}});
    let answer = client.send(client.http.post(url).json(&context)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until a client is told this transport for this reason, by its session.
pub async fn told(client: &Client, id: &str, transport: &str, reason: &str) {
    let what = format!("{id} is told {transport}, {reason}");
    eventually(&what, PATIENCE, async || {
        let told = session(client, id).await;
        (told == (transport.to_owned(), reason.to_owned())).then_some(())
    })
    .await;
}

/// The guard of `commission` on a target.
pub async fn guard(client: &Client, target: &str) -> Value {
    let module = client.module().await;
    let mut guards = module["guard"].as_array().unwrap().iter();
    let found = guards.find(|guard| guard["target"] == target);
    found
        .unwrap_or_else(|| panic!("no {target}: {module}"))
        .clone()
}

/// Waits until it is in this state for this cause.
pub async fn until(client: &Client, target: &str, state: &str, cause: Option<&str>) -> Value {
    let what = format!("{target}: {state}, {cause:?}");
    eventually(&what, PATIENCE, async || {
        let guard = guard(client, target).await;
        let is_it = guard["state"] == state && guard["cause"].as_str() == cause;
        is_it.then_some(guard)
    })
    .await
}

/// Runs a command, which must succeed.
pub async fn act(client: &Client, arguments: &[&str]) {
    let output = changeover(client, arguments).await;
    assert!(output.status.success(), "{output:?}");
}

/// Everybody is told to push.
pub async fn ramp(client: &Client) {
    let all = [
        "module",
        "ramp",
        MODULE,
        "--percent",
        "100",
        "--reason",
        "all",
    ];
    act(client, &all).await;
}

/// The acts of guards in the audit, the first first.
pub async fn turns(client: &Client) -> Vec<(String, String)> {
    let answer = client
        .get(&format!("/admin/v1/modules/{MODULE}/history"))
        .await;
    let entries = answer.json()["entries"].as_array().unwrap().clone();
    let ours = entries
        .iter()
        .rev()
        .filter(|entry| entry["actor"] == "guard");
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    ours.map(|entry| (text(entry, "action"), text(entry, "reason")))
        .collect()
}

/// How many statements were made for somebody who asks.
pub async fn statements(client: &Client) -> String {
    let mut sum = 0.0;
    for purpose in ["poll", "catchup", "snapshot", "state"] {
        let labels = [("purpose", purpose)];
        sum += metric(client, "changeover_database_queries_total", &labels).await;
    }
    sum.to_string()
}

/// A client that leaves the push among the first and returns among the last.
pub fn last_to_return() -> String {
    let module = MODULE.parse().unwrap();
    let share = changeover::domain::BasisPoints::new(9_900).unwrap();
    let mut ids = (0..).map(|n| format!("terminal-{n}"));
    ids.find(|id| !Spot::of(&module, id).is_in(share)).unwrap()
}
