//! TLS and WebSocket change nothing of the mirror's promise: whatever a killed broker took along, the cursor never
//! passes what was not acknowledged, and what a subscriber gets keeps its order; a broker that stands still is left;
//! a clean stop takes leave.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use changeover::{
    config::{mqtt::Protocol, tail, target_link::TlsFiles},
    mirror::mqtt::Endpoint,
};

use crate::support::{
    eventually,
    follower::{Event, Follower},
    lasting_port,
    links::{Files, HERE, tls_broker},
    mirror_rig::Rig,
    mosquitto::Mosquitto,
    pki::Authority,
};

const CHANGES: u64 = 10_000;
const KILLS: u64 = 5;
const AUDIENCES: [&str; 3] = ["*", "u1", "u2"];

/// A broker that the gateway reaches in one way, and subscribers by plain MQTT.
struct Reached {
    broker: Mosquitto,
    endpoint: Endpoint,
    plain: String,
    _files: Files,
}

impl Reached {
    fn by(scheme: &str, protocol: Protocol) -> Self {
        let port = lasting_port();
        let ours = Authority::new("ours");
        let files = Files::new();
        let ca = files.write("ca.pem", &ours.certificate());
        let websocket = scheme.starts_with("ws");
        let lines = format!(
            "allow_anonymous true\n{}listener {port} 127.0.0.1\n",
            if websocket {
                "protocol websockets\n"
            } else {
                ""
            }
        );
        let tls = matches!(scheme, "mqtts" | "wss");
        let broker = if tls {
            tls_broker(&ours, &ours.server(&HERE), &lines)
        } else {
            let more = "max_queued_messages 0\nmax_inflight_messages 1000\n";
            Mosquitto::start_with(&format!("{more}{lines}"))
        };
        let url = format!("{scheme}://localhost:{}", broker.port());
        let mut endpoint = Endpoint::parse(&url, protocol).unwrap();
        endpoint.tls = endpoint.tls.map(|_| TlsFiles {
            ca: Some(ca),
            client: None,
        });
        Self {
            broker,
            endpoint,
            plain: format!("mqtt://127.0.0.1:{port}"),
            _files: files,
        }
    }

    fn rig(&self, module: &str) -> Rig {
        let bounds = tail::Tail {
            changes: 200_000,
            bytes: 1 << 30,
            ..tail::Tail::default()
        };
        let protocol = self.endpoint.protocol;
        let mut rig = Rig::with_tail(&self.plain, protocol, &[module], &bounds);
        rig.target.endpoint = self.endpoint.clone();
        rig
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_mqtt_5() {
    survive("mqtts", Protocol::V5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_mqtt_3_1_1() {
    survive("mqtts", Protocol::V311).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_websocket_with_mqtt_3_1_1() {
    survive("ws", Protocol::V311).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_websocket_and_tls_with_mqtt_5() {
    survive("wss", Protocol::V5).await;
}

async fn survive(scheme: &str, protocol: Protocol) {
    let mut reached = Reached::by(scheme, protocol);
    let mut rig = reached.rig("orders");
    let filter = ["changeover/c/orders/+"];
    let follower = Follower::start(&reached.plain, protocol, "follower", &filter);
    follower.subscribed().await;
    let publisher = rig.start();
    let slice = CHANGES / (KILLS + 1);
    for kill in 1..=KILLS {
        append(&mut rig, slice);
        let middle = (kill - 1) * slice + slice / 3;
        rig.acknowledged(&publisher, "orders", middle).await;
        reached.broker.kill();
        reached.broker.restart();
    }
    append(&mut rig, CHANGES - KILLS * slice);
    rig.acknowledged(&publisher, "orders", CHANGES).await;
    let last = |event: &Event| event.position == CHANGES;
    follower
        .wait("the last change", |record| record.events.iter().any(last))
        .await;
    publisher.stop().await;

    let stored = rig.store.cursor(&"orders".parse().unwrap()).unwrap();
    assert_eq!(stored.cursor.position.get(), CHANGES);
    let record = follower.record();
    let distinct = record.distinct();
    println!(
        "{scheme}, {protocol:?}: {distinct} of {CHANGES} came by MQTT, {} twice",
        record.events.len() as u64 - distinct
    );
    assert_order(&record.events);
    assert!(distinct > CHANGES / 2, "only {distinct} came");
}

fn append(rig: &mut Rig, count: u64) {
    let audiences = (0..count).map(|n| AUDIENCES[usize::try_from(n).unwrap() % AUDIENCES.len()]);
    rig.append("orders", audiences);
}

/// Above what a channel has, nothing jumps over what came before.
fn assert_order(events: &[Event]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for event in events {
        let held = last.entry(&event.audience).or_default();
        if event.position > *held {
            assert!(event.previous >= *held, "{event:?} comes after {held}");
            *held = event.position;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_is_left_and_found_again() {
    let reached = Reached::by("wss", Protocol::V5);
    let mut rig = reached.rig("orders");
    rig.settings.keep_alive_s = 5;
    let publisher = rig.start();
    append(&mut rig, 1);
    rig.acknowledged(&publisher, "orders", 1).await;
    reached.broker.pause();
    // More than all buffers on the way hold: nothing of it may be taken for sent.
    append(&mut rig, 20_000);
    eventually("the broker is left", Duration::from_mins(1), async || {
        (!publisher.status.connected()).then_some(())
    })
    .await;
    reached.broker.resume();
    rig.acknowledged(&publisher, "orders", 20_001).await;
    publisher.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_takes_leave_of_the_broker() {
    for scheme in ["mqtts", "ws", "wss"] {
        let reached = Reached::by(scheme, Protocol::V5);
        let mut rig = reached.rig("orders");
        let publisher = rig.start();
        append(&mut rig, 10);
        rig.acknowledged(&publisher, "orders", 10).await;
        publisher.stop().await;
        let what = format!("the broker got a DISCONNECT over {scheme}");
        eventually(&what, Duration::from_secs(30), async || {
            let log = reached.broker.log();
            let left =
                |line: &str| line.contains("changeover-test-1") && line.ends_with("disconnected.");
            log.lines().any(left).then_some(())
        })
        .await;
    }
}

/// Not a proof of anything on a busy machine: run it alone, `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn how_fast_they_are() {
    const CHANGES: u32 = 100_000;
    for scheme in ["mqtt", "mqtts", "ws", "wss"] {
        let reached = Reached::by(scheme, Protocol::V5);
        let mut rig = reached.rig("orders");
        let publisher = rig.start();
        append(&mut rig, 1);
        rig.acknowledged(&publisher, "orders", 1).await;
        append(&mut rig, CHANGES.into());
        let began = Instant::now();
        rig.acknowledged(&publisher, "orders", 1 + u64::from(CHANGES))
            .await;
        let rate = f64::from(CHANGES) / began.elapsed().as_secs_f64();
        println!("{scheme}: {rate:.0} changes/s from the tail to PUBACK");
        publisher.stop().await;
    }
}
