//! `mosquitto_sub`, paho-mqtt and MQTT.js, on both versions of MQTT, over TCP and WebSocket, receive every event of their topics at
//! QoS 1 and in order, and the SDKs of `CloudEvents` accept each of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{
    clients::{self, Script},
    database::{DatabaseUnderTest, Kind},
    gateway::{MODULE, Program, Setup},
    native::{PATIENCE, events, numbered},
    servers_are_skipped,
};

const TARGET: &str = "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"embedded://127.0.0.1:0\"\nwebsocket = \"127.0.0.1:0\"\n";
const TOPICS: [&str; 3] = [
    "changeover/m/commission",
    "changeover/c/commission/_all",
    "changeover/c/commission/u1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_gets_all_of_it() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = Program::start(&Setup::new(&database, "a").add(TARGET)).await;
    let ready = gateway.said("ready").unwrap();
    let at = |listener: &str| ready[listener].as_str().unwrap().to_owned();
    let scripts = start(&at("mqtt"), &at("websocket")).await;
    for (name, script) in &scripts {
        let what = format!("{name} has subscribed");
        script
            .until(&what, PATIENCE, |lines| !lines.is_empty())
            .await;
    }
    let changes = changes();
    gateway.client.ingest(&changes).await;
    let count = changes.as_array().unwrap().len() as u64;
    numbered(&gateway.client, MODULE, count).await;
    let wanted: Vec<Value> = events(&database, MODULE, &["*", "u1"])
        .await
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    assert_eq!(wanted.len(), 8);
    for (name, script) in &scripts {
        let what = format!("{name} has all events");
        let whole = |lines: &[Value]| messages(lines, "/c/").count() >= wanted.len();
        script.until(&what, PATIENCE, whole).await;
        let what = format!("{name} has the bookmark");
        let told = |lines: &[Value]| messages(lines, "/m/").any(|line| said(line)["head"] == count);
        script.until(&what, PATIENCE, told).await;
        assert_received(name, &script.lines(), &wanted);
    }
}

/// One of everything that an event can hold.
fn changes() -> Value {
    let change = |key: &str, audience: &str, value: Value| json!({"key": key, "audience": audience, "value": value});
    json!([
        change("order 1", "*", json!({"number": 1, "price": 1.5, "open": true, "of": null})),
        change("½ \"quoted\" \\ 🦀", "u1", json!({"text": "½ \"quoted\" \\ \n 🦀", "list": [1, [2, {"3": []}]]})),
        change("text", "*", json!("just text")),
        change("number", "u1", json!(-12.25)),
        change("truth", "*", json!(false)),
        change("nobody here", "u2", json!({})),
        {"key": "order 1", "audience": "*", "op": "delete"},
        change("empty", "u1", json!([])),
        change("large", "u1", json!("x".repeat(100_000))),
    ])
}

async fn start(mqtt: &str, websocket: &str) -> BTreeMap<&'static str, Script> {
    let (host, port) = mqtt.split_once(':').unwrap();
    let (tcp, ws) = (format!("mqtt://{mqtt}"), format!("ws://{websocket}/mqtt"));
    let with = |first: &[&str]| {
        [first, &TOPICS]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let python: [(_, Vec<String>); 2] = [
        ("paho-mqtt, 3.1.1", with(&[host, port, "3.1.1", "paho-4"])),
        ("paho-mqtt, 5", with(&[host, port, "5", "paho-5"])),
    ];
    let node: [(_, Vec<String>); 4] = [
        ("MQTT.js, TCP, 3.1.1", with(&[&tcp, "3.1.1", "js-tcp-4"])),
        ("MQTT.js, TCP, 5", with(&[&tcp, "5", "js-tcp-5"])),
        (
            "MQTT.js, WebSocket, 3.1.1",
            with(&[&ws, "3.1.1", "js-ws-4"]),
        ),
        ("MQTT.js, WebSocket, 5", with(&[&ws, "5", "js-ws-5"])),
    ];
    let mut scripts = BTreeMap::new();
    for (name, arguments) in python {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        scripts.insert(name, clients::python("mqtt.py", &arguments).await);
    }
    for (name, arguments) in node {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        scripts.insert(name, clients::node("mqtt.mjs", &arguments).await);
    }
    for (name, version) in [
        ("mosquitto_sub, 3.1.1", "mqttv311"),
        ("mosquitto_sub, 5", "mqttv5"),
    ] {
        scripts.insert(name, mosquitto_sub(host, port, version));
    }
    scripts
}

/// Prints each message as JSON.
fn mosquitto_sub(host: &str, port: &str, version: &str) -> Script {
    let [bookmark, all, own] = TOPICS;
    let command = [
        "-oL",
        "mosquitto_sub",
        "-h",
        host,
        "-p",
        port,
        "-V",
        version,
    ];
    // The bookmark is there already: when it comes, all three stand.
    let topics = ["-t", all, "-t", own, "-t", bookmark];
    let arguments = [command.as_slice(), &["-q", "1", "-F", "%J"], &topics].concat();
    Script::of_program("stdbuf", &arguments)
}

/// The messages of topics with this part. `mosquitto_sub` calls things by other names.
fn messages<'a>(lines: &'a [Value], part: &'a str) -> impl Iterator<Item = &'a Value> {
    let topic = move |line: &&Value| {
        line["topic"]
            .as_str()
            .is_some_and(|topic| topic.contains(part))
    };
    lines.iter().filter(topic)
}

fn said(line: &Value) -> &Value {
    line.get("said").unwrap_or(&line["payload"])
}

fn assert_received(name: &str, lines: &[Value], wanted: &[Value]) {
    let received: Vec<_> = messages(lines, "/c/").collect();
    assert_eq!(received.len(), wanted.len(), "{name}");
    for (line, event) in received.iter().zip(wanted) {
        assert_eq!(said(line), event, "{name}");
        assert_eq!(line["qos"], 1, "{name}");
        assert!(
            [json!(0), json!(false)].contains(&line["retain"]),
            "{name}: {line}"
        );
        if name.ends_with(" 5") {
            let own = line.get("contentType");
            let given = own.unwrap_or(&line["properties"]["content-type"]);
            assert_eq!(
                given, "application/cloudevents+json; charset=utf-8",
                "{name}"
            );
        }
        if !name.starts_with("mosquitto_sub") {
            assert_accepted(name, &line["sdk"], event);
        }
    }
}

/// What the SDK made of an event: the same attributes and data, and none of its own in place of one that it misses.
fn assert_accepted(name: &str, sdk: &Value, event: &Value) {
    let names = |event: &Value| {
        event
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(names(sdk), names(event), "{name}");
    for (attribute, value) in event.as_object().unwrap() {
        if attribute == "time" {
            assert!(sdk["time"].as_f64().unwrap() > 1.6e9, "{name}: {sdk}");
        } else {
            assert_eq!(sdk[attribute], *value, "{name}: {attribute}");
        }
    }
}
