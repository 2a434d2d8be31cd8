//! A value that is larger than a broker takes goes as a pointer: nothing halts, nothing is left out, and who
//! takes the pointer for a gap ends with exactly the log.

use std::time::Duration;

use changeover::{
    config::{mqtt::Protocol, targets::Encoding},
    domain::JsonText,
};
use serde_json::{Value, json};

use crate::support::{
    client_rule::Held,
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::{Event, Follower},
    gateway::{Client, Program, Setup},
    logbook,
    metrics::metric,
    mirror_rig::Rig,
    mosquitto::Mosquitto,
    terminal::{MODULES, pair},
};

const PATIENCE: Duration = Duration::from_mins(1);

fn large(bytes: usize) -> JsonText {
    JsonText::parse(&format!("\"{}\"", "x".repeat(bytes))).unwrap()
}

/// Position and whether it is a pointer.
fn seen(follower: &Follower) -> Vec<(u64, bool)> {
    let form = |event: &Event| (event.position, event.dataref.is_some());
    follower.look(|record| record.events.iter().map(form).collect())
}

/// What the broker announces is kept to from the beginning: no connection is lost over it.
#[tokio::test]
async fn a_limit_that_the_broker_announces() {
    let broker = Mosquitto::start_with("allow_anonymous true\nmax_packet_size 20000\n");
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.append("m1", ["*"]);
    rig.append_values("m1", [("u1", large(30_000)), ("*", large(10_000))]);
    rig.acknowledged(&publisher, "m1", 3).await;
    follower
        .wait("three events", |record| record.events.len() == 3)
        .await;
    publisher.stop().await;
    assert_eq!(seen(&follower), [(1, false), (2, true), (3, false)]);
    let pointer = follower.record().events[1].clone();
    assert_eq!((pointer.previous, pointer.data), (0, Value::Null));
    assert_eq!(
        pointer.dataref.as_deref(),
        Some("/v1/streams/m1?offset=00000001_0000000000000001&audience=u1")
    );
}

/// In binary mode the rest of the event stands beside the payload, and counts: what fits without it may not fit with it.
#[tokio::test]
async fn a_limit_counts_what_stands_beside_the_value() {
    const MOST: usize = 2_000;
    let lines = format!("allow_anonymous true\nmax_packet_size {MOST}\n");
    let broker = Mosquitto::start_with(&lines);
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    rig.target.encoding = Encoding::Binary;
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.append("m1", ["*"]);
    // With topic and frame the value alone is well below the limit.
    rig.append_values("m1", [("*", large(1_700)), ("*", large(1_000))]);
    rig.acknowledged(&publisher, "m1", 3).await;
    follower
        .wait("three events", |record| record.events.len() == 3)
        .await;
    let connections = publisher.status.connections();
    publisher.stop().await;
    assert_eq!(seen(&follower), [(1, false), (2, true), (3, false)]);
    assert_eq!(connections, 1, "it was found out beforehand");
}

/// On MQTT 3.1.1 it announces nothing, and ends the connection over what is too large. What does so is found, and
/// goes as a pointer.
#[tokio::test]
async fn a_limit_that_is_found_out() {
    let broker = Mosquitto::start_with("allow_anonymous true\nmax_packet_size 20000\n");
    let mut rig = Rig::new(&broker.url(), Protocol::V311, &["m1", "m2"]);
    let follower = Follower::start(&broker.url(), Protocol::V311, "f", &["changeover/c/m1/#"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.append("m1", ["*"]);
    rig.append_values("m1", [("*", large(30_000)), ("*", JsonText::null())]);
    rig.append("m2", std::iter::repeat_n("*", 50));
    rig.acknowledged(&publisher, "m1", 3).await;
    rig.acknowledged(&publisher, "m2", 50).await;
    follower
        .wait("the third", |record| {
            record.events.iter().any(|e| e.position == 3)
        })
        .await;
    publisher.stop().await;
    let seen = seen(&follower);
    for expected in [(1, false), (2, true), (3, false)] {
        assert!(seen.contains(&expected), "{expected:?} in {seen:?}");
    }
    assert!(!seen.contains(&(2, false)), "{seen:?}");
}

/// To a client of 3.1.1 this Mosquitto acknowledges what it drops: only who knows the limit loses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminals_of_mosquitto_end_with_the_log() {
    let broker = Mosquitto::start_with(
        "allow_anonymous true\nmessage_size_limit 2000\nmax_queued_messages 0\n",
    );
    let target = format!(
        "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"{}\"\nprotocol = \"3.1.1\"\nlimits = {{ payload_bytes = 2000 }}\n",
        broker.url()
    );
    end_with_the_log(|setup| setup.add(&target), |_| broker.url()).await;
}

#[cfg(feature = "embedded-broker")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminals_of_the_embedded_broker_end_with_the_log() {
    for protocol in ["5", "3.1.1"] {
        let target = format!(
            "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"embedded://127.0.0.1:0\"\nprotocol = \"{protocol}\"\n"
        );
        end_with_the_log(
            |setup| setup.add(&target).set("broker.packet_bytes", 2_000),
            |program| program.mqtt.clone().unwrap(),
        )
        .await;
    }
}

const BASE: &str = "https://gateway.example.com/push";
const ROUNDS: u64 = 30;
const BATCH: u64 = 10;

async fn end_with_the_log(
    configure: impl FnOnce(Setup) -> Setup,
    broker: impl FnOnce(&Program) -> String,
) {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .argument("--set")
        .argument(&format!("server.public_url={BASE}"));
    let mut program = Program::start(&configure(setup)).await;
    let broker = broker(&program);
    let seed = rand::random();
    println!("seed {seed}");
    let client = program.client.clone();
    let terminals = pair(&[&client.public], &broker, seed);
    let follower = Follower::start(&broker, Protocol::V5, "f", &["changeover/c/orders/+"]);
    follower.subscribed().await;
    for terminal in &terminals {
        terminal.reached(0, PATIENCE).await;
    }

    for round in 0..ROUNDS {
        let answer = client
            .post("/v1/modules/orders/changes", &batch(round))
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let total = ROUNDS * BATCH;
    for terminal in &terminals {
        terminal.reached(total, PATIENCE).await;
    }
    follower
        .wait("all of it", |record| record.distinct() == total)
        .await;
    let pointers = follower.record().events;
    let pointers = pointers.iter().filter(|event| event.dataref.is_some());
    let pointers: Vec<_> = pointers.cloned().collect();
    let labels = [
        ("target", "local"),
        ("module", "orders"),
        ("reason", "too_large"),
    ];
    let counted = metric(&client, "changeover_mirror_pointers_total", &labels).await;
    let (code, _) = follow_and_stop(&mut program, &client, &pointers).await;
    assert_eq!(code, 0);

    // Two of each batch.
    assert!(pointers.len() as u64 >= 2 * ROUNDS, "{}", pointers.len());
    let pointed = f64::from(u32::try_from(pointers.len()).unwrap());
    assert!(counted >= pointed, "{counted}");
    let log = logbook::held(&logbook::whole(&database).await);
    assert_eq!(log.len() as u64, total);
    assert_oversize_only(&pointers, &log);
    for terminal in terminals {
        terminal.assert_holds(&log);
    }
}

/// Ten changes for three audiences, two of them larger than the broker takes.
fn batch(round: u64) -> Value {
    let change = |n: u64| {
        let audience = ["*", "u1", "u2"][usize::try_from((round + n) % 3).unwrap()];
        let text = if n % 5 == 2 {
            "y".repeat(5_000)
        } else {
            "small".to_owned()
        };
        json!({"key": format!("k{n}"), "audience": audience, "value": {"round": round, "text": text}})
    };
    (0..BATCH).map(change).collect()
}

/// Reads at each pointer's address before the gateway is stopped.
async fn follow_and_stop(
    program: &mut Program,
    client: &Client,
    pointers: &[Event],
) -> (i32, Duration) {
    for pointer in pointers {
        let dataref = pointer.dataref.as_deref().unwrap();
        let path = dataref.strip_prefix(BASE).unwrap();
        let page = client
            .send(client.http.get(format!("{}{path}", client.public)))
            .await;
        let first = page.json()[0].clone();
        assert_eq!(first["sequence"], format!("{:020}", pointer.position));
        assert_eq!(first["data"]["text"].as_str().unwrap().len(), 5_000);
    }
    program.terminate().await
}

#[track_caller]
fn assert_oversize_only(pointers: &[Event], log: &[Held]) {
    for pointer in pointers {
        let held = log.iter().find(|held| held.position == pointer.position);
        let held = held.unwrap();
        assert!(held.value.len() > 2_000, "{held:?}");
        assert_eq!((held.previous, &held.key), (pointer.previous, &pointer.key));
    }
}

/// The long name of an audience becomes a hash, on the topic that the rule says, and nobody else's.
#[tokio::test]
async fn a_topic_that_is_too_long_has_a_hash() {
    let broker = Mosquitto::start();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    rig.target.limits.topic_bytes = 64;
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    let publisher = rig.start();
    let audience = "a".repeat(60);
    rig.append("m1", ["u1", &audience]);
    rig.acknowledged(&publisher, "m1", 2).await;
    eventually("both", PATIENCE, async || {
        follower.look(|record| (record.events.len() == 2).then_some(()))
    })
    .await;
    publisher.stop().await;
    let events = follower.record().events;
    assert_eq!(events[0].topic, "changeover/c/m1/u1");
    assert_eq!(
        events[1].topic,
        "changeover/c/m1/=hCHXDSEQRYYSWIYFW5U3VSV723W"
    );
    assert_eq!(events[1].audience, audience);
}
