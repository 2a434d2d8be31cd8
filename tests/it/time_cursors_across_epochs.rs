//! Clients whose cursor is a time, over one new epoch after another: each reads all of the state once, in pages
//! that only go forward, and ends with what the database holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    gateway::{Client, InProcess, Setup},
};

const PATIENCE: Duration = Duration::from_mins(1);
const KINDS: [&str; 3] = ["timestamp-s", "timestamp-ms", "rfc3339"];
const KEYS: u32 = 35;

crate::on_each_database!(pages_of_state_go_forward_in_every_epoch);

fn module(kind: &str) -> String {
    format!(
        r#"
[[modules]]
name = "{kind}"
[modules.poll]
path   = "/{kind}"
cursor = {{ in = "query", name = "since", kind = "{kind}" }}
limit  = {{ in = "query", name = "size", default = 10, max = 10 }}
[modules.poll.response]
body = '{{"list":"$changes","since":"$cursor","more":"$has_more","state":"$snapshot"}}'
item = '{{"key":"$key","value":"$value"}}'
"#
    )
}

async fn store(gateway: &Client, kind: &str, keys: std::ops::Range<u32>, value: u32) {
    let changes: Vec<_> = keys
        .map(|n| json!({"key": format!("k{n}"), "value": value}))
        .collect();
    let path = format!("/v1/modules/{kind}/changes");
    let answer = gateway.post(&path, &json!(changes)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// A client that believes `$cursor`.
struct Poller {
    kind: &'static str,
    since: String,
    held: BTreeMap<String, u64>,
    states: u32,
}

impl Poller {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            since: String::new(),
            held: BTreeMap::new(),
            states: 0,
        }
    }

    /// Polls until it holds what is expected and hears that there is no more.
    async fn walk(&mut self, gateway: &Client, expected: &BTreeMap<String, u64>) {
        let deadline = Instant::now() + PATIENCE;
        let mut brought = BTreeSet::new();
        loop {
            let (kind, since) = (self.kind, &self.since);
            assert!(
                Instant::now() < deadline,
                "{kind}: {} keys",
                self.held.len()
            );
            let asked = since.clone();
            let body = gateway.get_public(&format!("/{kind}?since={since}")).await;
            let list = body["list"].as_array().unwrap();
            assert!(list.len() <= 10, "{} items", list.len());
            if !list.is_empty() {
                assert!(brought.insert(asked), "{kind}: {since} brought items twice");
            }
            for item in list {
                let key = item["key"].as_str().unwrap().to_owned();
                self.held.insert(key, item["value"].as_u64().unwrap());
            }
            self.states += u32::from(body["state"] == true && !list.is_empty());
            self.go_on(&body["since"]);
            if list.is_empty() && body["more"] == false && self.held == *expected {
                return;
            }
        }
    }

    fn go_on(&mut self, since: &Value) {
        let next = match since {
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        // As many digits each: times of this century.
        assert!(next >= self.since, "{} after {}", next, self.since);
        self.since = next;
    }
}

impl Client {
    async fn get_public(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.public));
        let answer = self.send(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

async fn pages_of_state_go_forward_in_every_epoch(database: DatabaseUnderTest) {
    let modules = KINDS.map(module).concat();
    let gateway = InProcess::start(&Setup::new(&database, "a").modules(&modules)).await;
    let client = &gateway.client;
    let mut expected: BTreeMap<_, _> = (0..KEYS).map(|n| (format!("k{n}"), 0)).collect();
    let mut pollers = KINDS.map(Poller::new);
    for poller in &mut pollers {
        store(client, poller.kind, 0..KEYS, 0).await;
        poller.walk(client, &expected).await;
        assert_eq!(poller.states, 0, "the log has it all");
    }
    // Twice without a change between, and with one.
    for (round, changed) in [(1, 0..7), (2, 0..0), (3, 0..0), (4, 20..25)] {
        for n in changed.clone() {
            expected.insert(format!("k{n}"), u64::from(round));
        }
        for poller in &mut pollers {
            let path = format!("/admin/v1/modules/{}/epoch", poller.kind);
            let answer = client.post(&path, &json!({"reason": "a drill"})).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            store(client, poller.kind, changed.clone(), round).await;
            poller.held.clear();
            poller.states = 0;
            poller.walk(client, &expected).await;
            assert!(poller.states > 0, "a state is told");
            Poller::new(poller.kind).walk(client, &expected).await;
        }
    }
    gateway.stop().await;
}
