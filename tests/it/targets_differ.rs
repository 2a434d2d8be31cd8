//! Two targets on one broker: topics, modules and the form of the events are each one's own. `mosquitto_sub`, which knows
//! nothing of us, shows what an event in binary mode is made of.

use std::time::Duration;

use changeover::config::mqtt::Protocol;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    follower::Follower,
    gateway::{InProcess, changeover},
    servers_are_skipped,
    targets::{acknowledged, begun, broker, look, setup, target, until},
    within,
};

#[tokio::test(flavor = "multi_thread")]
async fn in_topics_modules_and_form() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let broker = broker();
    let own = "topic_prefix = \"next/one\"\nencoding = \"binary\"\nmodules = [\"commission\"]";
    let setup = setup(&database, "gw-1")
        .add(&target("all", &broker, ""))
        .add(&target("some", &broker, own));
    let gateway = InProcess::start(&setup).await;
    begun(&gateway.client, "all").await;
    begun(&gateway.client, "some").await;
    let follower = Follower::start(
        &broker.url(),
        Protocol::V5,
        "follower",
        &["changeover/c/#", "next/one/c/#"],
    );
    follower.subscribed().await;
    let port = broker.port().to_string();
    // A line at a time, although it writes into a pipe.
    let mut shown = tokio::process::Command::new("stdbuf")
        .args([
            "-oL",
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-V",
            "5",
            "-q",
            "1",
            "-C",
            "1",
            "-v",
        ])
        .args(["-t", "next/one/c/#", "-F", "%t|%C|%P|%p", "-d"])
        .kill_on_drop(true)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (subscribed, line) = shown_line(&mut shown);
    within("mosquitto_sub has subscribed", PATIENCE, subscribed)
        .await
        .unwrap();

    let change = json!({"key": "k 1", "audience": "u1", "value": {"n": 1}, "occurred_at_ms": 0});
    gateway.client.ingest(&json!([change])).await;
    let notice = json!({"key": "n", "value": 2});
    let answer = gateway
        .client
        .post("/v1/modules/notices/changes", &notice)
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    acknowledged(&gateway.client, "all", 1).await;
    acknowledged(&gateway.client, "some", 1).await;
    until(&gateway.client, "all", "it has the notice", |target| {
        target["modules"][1]["behind"] == 0 && !target["modules"][1]["cursor"].is_null()
    })
    .await;
    follower
        .wait("three events", |record| record.events.len() == 3)
        .await;
    let mut topics = follower.look(|record| {
        let topics = record.events.iter().map(|event| event.topic.clone());
        topics.collect::<Vec<_>>()
    });
    topics.sort();
    let expected = [
        "changeover/c/commission/u1",
        "changeover/c/notices/_all",
        "next/one/c/commission/u1",
    ];
    assert_eq!(topics, expected);
    let some = look(&gateway.client, "some").await;
    assert_eq!(some["modules"].as_array().unwrap().len(), 1, "{some}");

    let line = within("the event in binary mode", PATIENCE, line)
        .await
        .unwrap();
    let time = "time:1970-01-01T00:00:00.000000Z";
    let expected = format!(
        "next/one/c/commission/u1|application/json|specversion:1.0 id:commission/1/1 \
         source:/changeover/commission type:changeover.upsert subject:k 1 {time} \
         sequence:00000000000000000001 previous:00000000000000000000 epoch:1 audience:u1|{{\"n\":1}}"
    );
    assert_eq!(line, expected);
    let listed = changeover(&gateway.client, &["target", "list", "--output", "table"]).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    let words = ["TARGET", "all", "some", "00000001_0000000000000001"];
    assert!(words.iter().all(|word| listed.contains(word)), "{listed}");
    gateway.stop().await;
}

const PATIENCE: Duration = Duration::from_mins(1);

/// Tells when the subscription stands, and the first line that is a message.
fn shown_line(
    process: &mut tokio::process::Child,
) -> (
    tokio::sync::oneshot::Receiver<()>,
    tokio::sync::oneshot::Receiver<String>,
) {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let out = process.stdout.take().unwrap();
    let (subscribed, on_subscribed) = tokio::sync::oneshot::channel();
    let (line, on_line) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(out).lines();
        let (mut subscribed, mut line) = (Some(subscribed), Some(line));
        while let Some(text) = lines.next_line().await.unwrap() {
            if text.contains("received SUBACK") {
                let _ = subscribed.take().unwrap().send(());
            } else if text.starts_with("next/one/") {
                let _ = line.take().unwrap().send(text);
                return;
            }
        }
    });
    (on_subscribed, on_line)
}
