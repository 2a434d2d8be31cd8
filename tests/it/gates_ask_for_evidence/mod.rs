//! A step forward is taken on evidence: what gates say is the same on every replica, a refusal lists what is missing, and who goes
//! on all the same is remembered for it.

mod clients;
mod force;
mod replicas;
mod tools;

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Answer, Client, InProcess, MODULE, Setup, changeover},
    mosquitto::Mosquitto,
    targets,
};

const SOON: Duration = Duration::from_mins(1);

/// Gates that want little, and hear of things soon.
fn gated(database: &DatabaseUnderTest, instance: &str) -> Setup {
    targets::setup(database, instance)
        .unmoved()
        .set("mirror.settle_ms", 0)
        .set("gates.enforce", "true")
        .set("gates.facts_every_ms", 300)
        .set("gates.verified_messages", 5)
        .set("gates.verified_for", "1s")
        .set("gates.quiet_for", "0s")
}

async fn two(database: &DatabaseUnderTest, broker: &Mosquitto) -> [InProcess; 2] {
    let url = broker.url();
    let start = async |name| InProcess::start(&gated(database, name).target(&url)).await;
    [start("a").await, start("b").await]
}

async fn stop(replicas: [InProcess; 2]) {
    for replica in replicas {
        replica.stop().await;
    }
}

async fn act(client: &Client, act: &str, body: &Value) -> Answer {
    let path = format!("/admin/v1/modules/{MODULE}/{act}");
    client.post(&path, body).await
}

fn ramp() -> Value {
    json!({"percent": 10, "reason": "the pilot shop"})
}

fn forced() -> Value {
    json!({"percent": 10, "reason": "no time", "force": true})
}

async fn gate(client: &Client, body: &Value) -> Value {
    let answer = act(client, "gates", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

fn verdict<'a>(gate: &'a Value, name: &str) -> &'a str {
    let mut checks = gate["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no {name}: {gate}"))["verdict"]
        .as_str()
        .unwrap()
}

/// Waits until all replicas say this of a check.
async fn until(replicas: &[InProcess], name: &str, wanted: &str) {
    let what = format!("{name} is {wanted} everywhere");
    eventually(&what, SOON, async || {
        for replica in replicas {
            let gate = gate(&replica.client, &json!({"step": "ramp"})).await;
            if verdict(&gate, name) != wanted {
                return None;
            }
        }
        Some(())
    })
    .await;
}

async fn until_passed(client: &Client) {
    eventually("the gate passes", SOON, async || {
        let gate = gate(client, &json!({})).await;
        (gate["passed"] == true).then_some(())
    })
    .await;
}

async fn some_changes(client: &Client, count: usize) {
    let changes: Vec<_> = (0..count)
        .map(|n| json!({"key": format!("k{n}"), "value": n}))
        .collect();
    client.ingest(&json!(changes)).await;
}

async fn gates_command(client: &Client, more: &[&str]) -> (i32, String) {
    let arguments = [&["module", "gates", MODULE], more].concat();
    let output = changeover(client, &arguments).await;
    let table = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), table)
}
