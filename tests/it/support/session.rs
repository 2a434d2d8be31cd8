//! A client that asks `POST /v1/session` where to connect.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

/// Where a client of `orders` is to connect, and what it subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub target: String,
    pub url: String,
    pub mqtt_client_id: String,
    pub topics: Vec<String>,
}

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks one replica after the other until one answers.
pub async fn ask(gateways: &[String], client_id: &str, audience: &str) -> Place {
    let http = reqwest::Client::new();
    for gateway in gateways.iter().cycle() {
        if let Some(answer) = ask_one(&http, gateway, client_id, audience).await {
            return place(&answer);
        }
        sleep(PAUSE).await;
    }
    unreachable!("there is a replica")
}

async fn ask_one(
    http: &reqwest::Client,
    gateway: &str,
    client_id: &str,
    audience: &str,
) -> Option<Value> {
    let body = json!({"client_id": client_id, "audience": audience, "modules": ["orders"]});
    let sent = http
        .post(format!("{gateway}/v1/session"))
        .json(&body)
        .send();
    let answer = sent.await.ok()?.error_for_status().ok()?;
    answer.json().await.ok()
}

fn place(answer: &Value) -> Place {
    let module = &answer["modules"]["orders"];
    let target = module["target"].as_str().unwrap();
    let connection = &answer["targets"][target];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let topics = module["topics"].as_array().unwrap();
    Place {
        target: target.to_owned(),
        url: text(&connection["url"]),
        mqtt_client_id: text(&connection["client_id"]),
        topics: topics.iter().map(text).collect(),
    }
}
