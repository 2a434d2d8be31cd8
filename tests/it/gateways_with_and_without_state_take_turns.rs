//! A rolling restart in which one replica keeps a module's state and the other does not: they number in turn, and the
//! one with state never shows a state that lacks a change. It says 503 until it has taken the lease over and made the
//! state whole.

use std::collections::BTreeMap;

use changeover::store::Mended;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Answer, Client, InProcess, Setup},
    native::{PATIENCE, cursor, numbered, pages},
};

crate::on_each_database!(nothing_is_missing_without_a_word, a_lost_state_is_not_shown);

const TURNS: u64 = 3;

const WITH_STATE: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path = "/api/commission/list"
cursor = { kind = "none" }
[modules.poll.response]
body = '{"list":"$changes"}'
item = '{"key":"$key","body":"$value"}'
"#;

const WITHOUT_STATE: &str = r#"
[[modules]]
name = "commission"
state = false
[modules.poll]
path = "/api/commission/list"
cursor = { in = "query", name = "since", kind = "position" }
limit = { in = "query", name = "size", default = 1000, max = 20000 }
[modules.poll.response]
body = '{"list":"$changes","since":"$cursor","more":"$has_more"}'
item = '{"key":"$key","seq":"$position","op":"$op"}'
"#;

/// Only who stops gives a lease up here, however busy the machine is.
const LEASE_MS: u32 = 60_000;

async fn with_state(database: &DatabaseUnderTest) -> InProcess {
    InProcess::start(&setup(database, "with", WITH_STATE)).await
}

async fn without_state(database: &DatabaseUnderTest) -> InProcess {
    InProcess::start(&setup(database, "without", WITHOUT_STATE)).await
}

fn setup(database: &DatabaseUnderTest, name: &str, modules: &str) -> Setup {
    let setup = Setup::new(database, name).modules(modules).among_others();
    setup.set("sequencer.lease_ms", LEASE_MS)
}

/// What was written so far: the last value of each key.
#[derive(Default)]
struct Written {
    changes: u64,
    state: BTreeMap<String, u64>,
}

impl Written {
    /// Two changes: of a key of its own, and of one that comes again and again.
    async fn more(&mut self, through: &Client) {
        let number = self.changes;
        let keys = [format!("k{number}"), "again".to_owned()];
        let changes = keys.clone().map(|key| json!({"key": key, "value": number}));
        through.ingest(&json!(changes)).await;
        self.changes += 2;
        self.state.extend(keys.map(|key| (key, number)));
        numbered(through, "commission", self.changes).await;
    }

    /// Whether the answer shows the state. The only other answer is 503.
    fn is_shown(&self, answer: &Answer, list: &str, value: &str) -> bool {
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            return false;
        }
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let item = |item: &Value| {
            let key = item["key"].as_str().unwrap().to_owned();
            (key, item[value].as_u64().unwrap())
        };
        let body = answer.json();
        let items = body[list].as_array().unwrap();
        let shown: BTreeMap<_, _> = items.iter().map(item).collect();
        assert_eq!(shown, self.state, "{answer:?}");
        true
    }

    /// Whether both reads of the state show it.
    async fn are_shown(&self, client: &Client) -> [bool; 2] {
        let get = async |path: &str| {
            let url = format!("{}{path}", client.public);
            client.send(client.http.get(url)).await
        };
        let snapshot = get("/v1/modules/commission/snapshot").await;
        // A replica that follows may be late. This brings it to the end of the log.
        pages(client, &cursor(self.changes), "").await;
        let poll = get("/api/commission/list").await;
        [
            self.is_shown(&snapshot, "items", "value"),
            self.is_shown(&poll, "list", "body"),
        ]
    }

    async fn become_shown(&self, client: &Client) {
        eventually("the state is whole", PATIENCE, async || {
            (self.are_shown(client).await == [true; 2]).then_some(())
        })
        .await;
    }
}

async fn nothing_is_missing_without_a_word(database: DatabaseUnderTest) {
    let mut written = Written::default();
    let mut without = without_state(&database).await;
    written.more(&without.client).await;
    for _ in 0..TURNS {
        // It makes whole what the other one has written, which goes on writing.
        let with = with_state(&database).await;
        assert_eq!(written.are_shown(&with.client).await, [true; 2]);
        written.more(&without.client).await;
        let [snapshot, poll] = written.are_shown(&with.client).await;
        assert!(!snapshot, "it has seen that the state lacks something");
        assert!(poll, "memory has what the state lacks");

        // The other one ends, so it takes over, and numbers before or after the state is whole.
        without.stop().await;
        written.more(&with.client).await;
        written.become_shown(&with.client).await;
        assert_holder(&with.client, "with").await;

        // The other one comes back and takes over in its turn.
        without = without_state(&database).await;
        with.stop().await;
        written.more(&without.client).await;
    }
    without.stop().await;
}

async fn assert_holder(client: &Client, name: &str) {
    let module = client.module().await;
    assert_eq!(module["lease_holder"], name, "{module}");
}

/// The log was pruned while the replica with state looked on: the changes are gone for the state.
async fn a_lost_state_is_not_shown(database: DatabaseUnderTest) {
    let mut written = Written::default();
    let without = without_state(&database).await;
    written.more(&without.client).await;
    let with = with_state(&database).await;
    assert_eq!(written.are_shown(&with.client).await, [true; 2]);
    written.more(&without.client).await;
    let prune = "UPDATE module_head SET retained_from = 4";
    database.execute(prune).await;
    without.stop().await;
    written.more(&with.client).await;
    assert_holder(&with.client, "with").await;
    let store = database.store().await;
    let module = "commission".parse().unwrap();
    assert_eq!(store.mend_state(&module).await.unwrap(), Mended::Lost);
    let [snapshot, poll] = written.are_shown(&with.client).await;
    assert!(!snapshot, "it is lost");
    assert!(poll, "memory has what the state lacks");
    with.stop().await;
    let refused = InProcess::refused(&setup(&database, "with", WITH_STATE)).await;
    assert!(refused.contains("set `state = false`"), "{refused}");
}
