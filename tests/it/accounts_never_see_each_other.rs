//! Accounts under load for a minute, over every way out of a gateway at once: each gets all of its own changes and everyone's, and
//! never one of another's, however alike their names are. What was sent and what arrived is counted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use changeover::{
    config::mqtt::Protocol,
    identity::passes::Issued,
    mirror::mqtt::{Grant, Signal},
};
use http::StatusCode;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    callers::{self, Credential},
    gateway::{Client, InProcess, Setup},
    passes::Entering,
    streams::sqlite,
};

/// Names that begin with each other's, or look like them.
const ACCOUNTS: [&str; 5] = ["u", "u1", "u10", "U1", "u1 "];

const LOAD: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_mins(1);
/// Changes of one request of the producer.
const AT_ONCE: usize = 50;
/// So many of those that are wrong are told.
const SHOWN: usize = 5;
/// Longer than the test.
const TOKEN_S: i64 = 600;

/// What arrived at one account by one way: each change once, with its audience.
type Arrived = BTreeMap<u64, String>;

struct Fleet {
    client: Client,
    /// Changes that were sent, all audiences together.
    sent: AtomicU64,
    over: AtomicBool,
    refusals: AtomicU64,
}

impl Fleet {
    /// Whether a reader that has come to this position has everything.
    fn is_done(&self, position: u64) -> bool {
        self.over.load(Relaxed) && position >= self.sent.load(Relaxed)
    }
}

fn token(account: &str) -> Credential {
    Credential::until(account, TOKEN_S)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_for_a_minute() {
    let database = sqlite().await;
    let gateway = InProcess::start(&Setup::new(&database, "a").add(&callers::auth())).await;
    let fleet = Arc::new(Fleet {
        client: gateway.client.clone(),
        sent: AtomicU64::new(0),
        over: AtomicBool::new(false),
        refusals: AtomicU64::new(0),
    });
    let mut readers = JoinSet::new();
    for account in ACCOUNTS {
        readers.spawn(by_legacy_polls(Arc::clone(&fleet), account));
        readers.spawn(by_a_stream(Arc::clone(&fleet), account));
        readers.spawn(by_mqtt(Arc::clone(&fleet), account));
    }
    let mut intruders = JoinSet::new();
    for account in ACCOUNTS {
        intruders.spawn(intrude(Arc::clone(&fleet), account));
    }
    let sent = load(&fleet).await;
    while let Some(read) = readers.join_next().await {
        let (account, way, arrived) = read.unwrap();
        let expected = sent.iter().filter(|(_, to)| *to == account || *to == "*");
        let expected: Arrived = expected.map(|(at, to)| (*at, to.clone())).collect();
        println!("{account:?} by {way}: {} of {}", arrived.len(), sent.len());
        let others = arrived.iter().filter(|(at, _)| !expected.contains_key(at));
        let others: Vec<_> = others.take(SHOWN).collect();
        assert!(others.is_empty(), "{account:?} by {way} sees {others:?}");
        let missing = expected.iter().filter(|(at, _)| !arrived.contains_key(at));
        let missing: Vec<_> = missing.take(SHOWN).collect();
        assert!(missing.is_empty(), "{account:?} by {way} lacks {missing:?}");
        assert!(arrived == expected, "{account:?} by {way} has other values");
    }
    while let Some(intruder) = intruders.join_next().await {
        intruder.unwrap();
    }
    println!("{} refusals", fleet.refusals.load(Relaxed));
    gateway.stop().await;
}

/// Sends changes to accounts at random and to everyone. The audiences of all positions.
async fn load(fleet: &Fleet) -> Arrived {
    let seed = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let began = Instant::now();
    let mut sent = Arrived::new();
    while began.elapsed() < LOAD {
        let changes: Vec<_> = (0..AT_ONCE)
            .map(|n| {
                let to = chance.random_range(0..=ACCOUNTS.len());
                let to = ACCOUNTS.get(to).copied().unwrap_or("*");
                sent.insert(sent.len() as u64 + 1, to.to_owned());
                json!({"key": format!("k{n}"), "audience": to, "value": {"to": to}})
            })
            .collect();
        fleet.client.ingest(&Value::Array(changes)).await;
        fleet.sent.store(sent.len() as u64, Relaxed);
    }
    fleet.over.store(true, Relaxed);
    sent
}

fn note(arrived: &mut Arrived, position: u64, value: &Value) {
    let to = value["to"].as_str().unwrap().to_owned();
    arrived.insert(position, to);
}

/// Asks until it gets an answer that is not "come back later".
async fn get(fleet: Arc<Fleet>, account: &'static str, path: String) -> Value {
    let url = format!("{}{path}", fleet.client.public);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = token(account).on(fleet.client.http.get(&url));
        let answer = fleet.client.send(request).await;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE && Instant::now() < deadline {
            continue;
        }
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        let head = |name| answer.header(name).to_owned();
        let (next, is_last) = (head("stream-next-offset"), head("stream-up-to-date"));
        return json!({"next": next, "is_last": is_last == "true", "body": answer.json()});
    }
}

async fn by_legacy_polls(
    fleet: Arc<Fleet>,
    account: &'static str,
) -> (&'static str, &'static str, Arrived) {
    let (mut arrived, mut since) = (Arrived::new(), 0);
    while !fleet.is_done(since) {
        let uid = encoded(account);
        let path = format!("/api/commission/list?since={since}&uid={uid}");
        let page = get(Arc::clone(&fleet), account, path).await;
        for item in page["body"]["list"].as_array().unwrap() {
            note(&mut arrived, item["seq"].as_u64().unwrap(), &item["body"]);
        }
        since = page["body"]["since"].as_u64().unwrap();
    }
    (account, "polls", arrived)
}

/// Names no audience: its own are those of its credential.
async fn by_a_stream(
    fleet: Arc<Fleet>,
    account: &'static str,
) -> (&'static str, &'static str, Arrived) {
    let (mut arrived, mut offset) = (Arrived::new(), "-1".to_owned());
    while !fleet.is_done(position_of(&offset)) {
        let path = format!("/v1/streams/commission?offset={offset}");
        let page = get(Arc::clone(&fleet), account, path).await;
        for event in page["body"].as_array().unwrap() {
            note(&mut arrived, sequence(event), &event["data"]);
        }
        page["next"].as_str().unwrap().clone_into(&mut offset);
    }
    (account, "a stream", arrived)
}

/// With the pass of its session. What was sent before it had subscribed it reads from the stream.
async fn by_mqtt(
    fleet: Arc<Fleet>,
    account: &'static str,
) -> (&'static str, &'static str, Arrived) {
    let url = format!("{}/v1/session", fleet.client.public);
    let body = json!({"modules": ["commission"]});
    let request = token(account).on(fleet.client.http.post(url).json(&body));
    let session = fleet.client.send(request).await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let login = &session["mqtt"];
    let pass = Issued {
        username: text(&login["username"]),
        password: text(&login["password"]),
    };
    let url = text(&login["url"]);
    let mut link = Entering::open(&url, Protocol::V5, &text(&login["client_id"]), Some(&pass));
    assert_eq!(link.is_let_in().await, Some(false), "{account:?}");
    let topics = session["modules"]["commission"]["topics"]
        .as_array()
        .unwrap();
    let topics: Vec<_> = topics.iter().map(|topic| topic.as_str().unwrap()).collect();
    assert_eq!(link.subscribe(&topics).await, Some(Grant::AtLeastOnce));
    let (mut arrived, mut offset, mut is_last) = (Arrived::new(), "-1".to_owned(), false);
    while !is_last {
        let path = format!("/v1/streams/commission?offset={offset}");
        let page = get(Arc::clone(&fleet), account, path).await;
        for event in page["body"].as_array().unwrap() {
            note(&mut arrived, sequence(event), &event["data"]);
        }
        offset = text(&page["next"]);
        is_last = page["is_last"] == true;
    }
    let mut head = 0;
    while !fleet.is_done(head) {
        match link.next().await {
            Signal::Message { topic, payload, .. } if topic.ends_with("/m/commission") => {
                let told: Value = serde_json::from_slice(&payload).unwrap();
                head = told["head"].as_u64().unwrap_or(head);
            }
            Signal::Message { payload, .. } => {
                let event: Value = serde_json::from_slice(&payload).unwrap();
                note(&mut arrived, sequence(&event), &event["data"]);
            }
            Signal::Closed(why) => panic!("{account:?}: {why}"),
            _ => {}
        }
    }
    link.close().await;
    (account, "MQTT", arrived)
}

/// Asks for what is others' all the time, by every way.
async fn intrude(fleet: Arc<Fleet>, account: &'static str) {
    let others = || ACCOUNTS.into_iter().filter(move |other| *other != account);
    for other in others().cycle() {
        if fleet.over.load(Relaxed) {
            return;
        }
        let named = encoded(other);
        for path in [
            format!("/api/commission/list?since=0&uid={named}"),
            format!("/v1/streams/commission?offset=-1&audience={named}"),
            format!("/v1/modules/commission/snapshot?audience={named}"),
        ] {
            let url = format!("{}{path}", fleet.client.public);
            let request = token(account).on(fleet.client.http.get(url));
            let answer = fleet.client.send(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {answer:?}");
            fleet.refusals.fetch_add(1, Relaxed);
        }
    }
}

fn encoded(account: &str) -> String {
    url::form_urlencoded::byte_serialize(account.as_bytes()).collect()
}

fn sequence(event: &Value) -> u64 {
    event["sequence"].as_str().unwrap().parse().unwrap()
}

/// The position in a cursor.
fn position_of(cursor: &str) -> u64 {
    let hex = cursor.split_once('_').map_or("0", |(_, position)| position);
    u64::from_str_radix(hex, 16).unwrap()
}
