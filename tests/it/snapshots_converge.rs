//! `GET /v1/modules/{module}/snapshot`: position first, then state. Whoever applies its pages and then the changes after
//! its cursor holds what the database holds, whatever was written meanwhile.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use changeover::{
    domain::{Audience, Op, Position},
    store::ChannelRead,
    telemetry::Purpose,
};
use http::StatusCode;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        gateway::{Client, InProcess, MODULE, Setup, insert},
        native::{cursor, numbered, pages},
    },
};

on_each_database!(
    a_snapshot_and_the_changes_after_it_are_the_state,
    a_snapshot_is_refused_with_its_reason,
);

const KEYS: u64 = 300;
const ROUNDS: u64 = 12;

/// What a client holds: by audience and key, the position and the value; `None` for a key that is gone.
type Held = BTreeMap<(String, String), (u64, Option<Value>)>;

fn apply(held: &mut Held, audience: &Value, key: &Value, position: u64, value: Option<Value>) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entry = held.entry((text(audience), text(key))).or_default();
    if position > entry.0 {
        *entry = (position, value);
    }
}

async fn snapshot(client: &Client, url: &str) -> Value {
    let answer = client
        .send(client.http.get(format!("{}{url}", client.public)))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

/// All pages. Returns the cursor, which each page repeats, and how many pages there were.
async fn whole(client: &Client, held: &mut Held) -> (String, u64) {
    let mut page = snapshot(client, "/v1/modules/commission/snapshot?audience=u1").await;
    let (cursor, mut count, mut last) = (page["cursor"].clone(), 0, 0);
    loop {
        count += 1;
        assert_eq!(page["cursor"], cursor, "the first page's");
        for item in page["items"].as_array().unwrap() {
            let position = item["position"].as_u64().unwrap();
            assert!(position > last, "by position");
            last = position;
            apply(
                held,
                &item["audience"],
                &item["key"],
                position,
                Some(item["value"].clone()),
            );
        }
        let Some(next) = page["next"].as_str() else {
            return (cursor.as_str().unwrap().to_owned(), count);
        };
        assert!(!page["items"].as_array().unwrap().is_empty());
        page = snapshot(client, next).await;
    }
}

async fn a_snapshot_and_the_changes_after_it_are_the_state(database: DatabaseUnderTest) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let setup = Setup::new(&database, "a")
        .set("native.page_changes", 20)
        .set("tail.changes", 100);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    // Everything that there is at first, so that there is a state to page through.
    let first: Vec<_> = (0..KEYS)
        .map(|n| {
            let audience = if n % 2 == 0 { "*" } else { "u1" };
            json!({"key": format!("k{n}"), "audience": audience, "value": 0})
        })
        .collect();
    client.ingest(&json!(first)).await;
    numbered(client, MODULE, KEYS).await;

    let write = async |writer: u64| {
        let mut rng = StdRng::seed_from_u64(seed ^ writer);
        while !stop.load(SeqCst) {
            let changes: Vec<_> = (0..rng.random_range(1..8))
                .map(|_| {
                    let key = format!("k{}", rng.random_range(0..KEYS));
                    let audience = ["*", "u1", "u2"][rng.random_range(0..3)];
                    let value = rng.random::<u32>();
                    let op = if rng.random_bool(0.3) {
                        "delete"
                    } else {
                        "upsert"
                    };
                    json!({"key": key, "audience": audience, "op": op, "value": value})
                })
                .collect();
            client.ingest(&json!(changes)).await;
            written.fetch_add(changes.len() as u64, SeqCst);
        }
    };
    let read = async || {
        let mut read = Vec::new();
        for _ in 0..ROUNDS {
            let mut held = Held::new();
            let began = written.load(SeqCst);
            let (cursor, pages) = whole(client, &mut held).await;
            assert!(pages > 3, "the state takes several pages");
            read.push((held, cursor, written.load(SeqCst) - began));
        }
        stop.store(true, SeqCst);
        read
    };
    let (snapshots, (), ()) = tokio::join!(read(), write(1), write(2));
    let total = KEYS + written.load(SeqCst);
    numbered(client, MODULE, total).await;

    let wanted = state(&database, total).await;
    let mut meanwhile = 0;
    for (mut held, cursor, during) in snapshots {
        meanwhile += during;
        let (changes, end) = pages(client, &cursor, "&audience=u1").await;
        assert_eq!(end, crate::support::native::cursor(total));
        for change in &changes {
            let position = change["sequence"].as_str().unwrap().parse().unwrap();
            let value = (change["type"] == "changeover.upsert").then(|| change["data"].clone());
            apply(
                &mut held,
                &change["audience"],
                &change["subject"],
                position,
                value,
            );
        }
        held.retain(|_, (_, value)| value.is_some());
        assert_eq!(held, wanted);
    }
    assert!(
        meanwhile > 0,
        "something was written while the pages were read"
    );
    println!("{ROUNDS} snapshots, {meanwhile} of {total} changes while they were read");
    gateway.stop().await;
}

/// The keys that are there, as the database holds them.
async fn state(database: &DatabaseUnderTest, through: u64) -> Held {
    let store = database.open().await;
    let read = ChannelRead {
        module: &MODULE.parse().unwrap(),
        audiences: &[Audience::everyone(), Audience::stored("u1")],
        after: Position::ZERO,
        through: Position::new(through),
        limit: 100_000,
    };
    let items = store
        .read_state(read, true, Purpose::Snapshot)
        .await
        .unwrap();
    store.close().await;
    let there = items.iter().filter(|item| item.op == Op::Upsert);
    let held = |item: &changeover::store::StateItem| {
        let value = serde_json::from_str(item.value.as_str()).unwrap();
        let name = (item.audience.as_str().to_owned(), item.key.to_string());
        (name, (item.position.get(), Some(value)))
    };
    there.map(held).collect()
}

async fn a_snapshot_is_refused_with_its_reason(database: DatabaseUnderTest) {
    const STATELESS: &str = "\n[[modules]]\nname = \"stateless\"\nstate = false\n";
    let setup = Setup::new(&database, "a")
        .set("native.page_changes", 1)
        .add(STATELESS);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let get = async |path: &str| {
        let url = format!("{}/v1/modules/{path}", client.public);
        client.send(client.http.get(url)).await
    };
    let empty = get("commission/snapshot").await;
    assert_eq!(
        empty.text,
        r#"{"cursor":"00000001_0000000000000000","items":[],"next":null}"#
    );
    database.execute(&insert("a", "1.10")).await;
    numbered(client, MODULE, 1).await;
    database.execute(&insert("b", "{ \"x\" : 1e3 }")).await;
    numbered(client, MODULE, 2).await;
    let first = get("commission/snapshot").await;
    let next = "/v1/modules/commission/snapshot?page=00000001_0000000000000002_0000000000000001";
    let shown = format!(
        r#"{{"cursor":"{}","items":[{{"key":"a","audience":"*","position":1,"value":1.10}}],"next":"{next}"}}"#,
        cursor(2)
    );
    assert_eq!(first.text, shown);
    let last = client
        .send(client.http.get(format!("{}{next}", client.public)))
        .await;
    assert!(
        last.text
            .contains(r#""value":{ "x" : 1e3 }}],"next":null}"#),
        "{last:?}"
    );

    for (path, status) in [
        ("nothing/snapshot", StatusCode::NOT_FOUND),
        ("stateless/snapshot", StatusCode::NOT_FOUND),
        ("commission/snapshot?page=7", StatusCode::BAD_REQUEST),
        ("commission/snapshot?audience=", StatusCode::BAD_REQUEST),
        // Of another epoch, or of a log that had more than this one.
        (
            "commission/snapshot?page=00000002_0000000000000002_0000000000000001",
            StatusCode::GONE,
        ),
        (
            "commission/snapshot?page=00000001_0000000000000009_0000000000000001",
            StatusCode::GONE,
        ),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        if status == StatusCode::GONE {
            assert_eq!(answer.header("location"), "/v1/modules/commission/snapshot");
        }
    }
    // Retention has passed its cursor: to go on would end with a hole.
    database.execute(&insert("c", "3")).await;
    database.execute(&insert("d", "4")).await;
    numbered(client, MODULE, 4).await;
    database
        .execute("UPDATE module_head SET retained_from = 4 WHERE module = 'commission'")
        .await;
    // A read of the head brings the news to this replica.
    let _fresh = get("commission/snapshot").await;
    let late = client
        .send(client.http.get(format!("{}{next}", client.public)))
        .await;
    assert_eq!(late.status, StatusCode::GONE, "{late:?}");
    gateway.stop().await;
}
