//! Clients whose cursor is a time, while writers put many changes into each tick: every client ends with exactly
//! the log, no tick is split, pages are bounded, and an idle client gets nothing twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use changeover::{
    domain::{Change, Position, Tick},
    telemetry::Purpose,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        eventually,
        gateway::{Program, Setup},
        token::ByAdmin,
    },
};

const PATIENCE: Duration = Duration::from_mins(1);
const KINDS: [&str; 3] = ["timestamp-s", "timestamp-ms", "rfc3339"];
/// `limit.max` of the modules: most changes of one tick, and of a page.
const MOST: usize = 40;

on_each_database!(
    every_client_ends_with_the_log,
    a_holder_killed_in_the_middle_costs_nothing,
    a_lone_change_is_served_soon_on_every_replica,
    what_retention_took_comes_as_state,
);

fn modules() -> String {
    KINDS.map(module).concat()
}

fn module(kind: &str) -> String {
    format!(
        r#"
[[modules]]
name = "{kind}"
[modules.poll]
path     = "/{kind}"
cursor   = {{ in = "query", name = "since", kind = "{kind}" }}
audience = {{ in = "query", name = "uid" }}
limit    = {{ in = "query", name = "size", default = {MOST}, max = {MOST} }}
[modules.poll.response]
body  = '{{"list":"$changes","since":"$cursor","more":"$has_more","state":"$snapshot","time":"$server_time_ms"}}'
item  = '{{"key":"$key","audience":"$audience","position":"$position","at":"$sequenced_at_ms","value":"$value"}}'
"#
    )
}

fn setup(database: &DatabaseUnderTest, name: &str) -> Setup {
    Setup::new(database, name)
        .modules(&modules())
        .among_others()
        .lasting_ports()
}

/// Sends changes of a module in bursts, some far over the limit of a tick, to whichever replica takes them.
async fn write(replicas: Vec<String>, module: &'static str, writer: u64, bursts: u64, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed ^ (writer << 8));
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5));
    let http = http.build().unwrap();
    let mut number = 0;
    for burst in 0..bursts {
        let count = if burst % 10 == 7 {
            150
        } else {
            rng.random_range(1..12)
        };
        let changes: Vec<_> = (0..count)
            .map(|_| {
                number += 1;
                let audience = ["*", "u1", "u2"][rng.random_range(0..3)];
                let id = format!("{module}-{writer}-{number}");
                json!({"key": format!("w{writer}-{}-{audience}", number % 30), "audience": audience,
                       "change_id": id, "value": number})
            })
            .collect();
        for at in 0.. {
            let private = &replicas[at % replicas.len()];
            let request = http.post(format!("{private}/v1/modules/{module}/changes"));
            match request.by_admin().json(&changes).send().await {
                Ok(answer) if answer.status() == 202 => break,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(1..40))).await;
    }
}

/// What a client holds, and the promises that each answer keeps.
struct Client {
    http: reqwest::Client,
    kind: &'static str,
    audience: &'static str,
    size: usize,
    since: Value,
    positions: Vec<u64>,
    last_tick: i64,
    polls: u64,
}

impl Client {
    fn new(kind: &'static str, audience: &'static str, size: usize) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            kind,
            audience,
            size,
            since: Value::Null,
            positions: Vec::new(),
            last_tick: -1,
            polls: 0,
        }
    }

    fn tick(&self, item: &Value) -> i64 {
        let at = item["at"].as_i64().unwrap();
        if self.kind == "timestamp-s" {
            at / 1_000
        } else {
            at
        }
    }

    /// One poll. Returns how many changes it brought; nothing if nobody answered.
    async fn poll(&mut self, public: &str) -> Option<usize> {
        let since = match &self.since {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        let (kind, audience, size) = (self.kind, self.audience, self.size);
        let url = format!("{public}/{kind}?since={since}&uid={audience}&size={size}");
        let answer = self.http.get(url).send().await.ok()?;
        assert_eq!(answer.status(), 200);
        let body: Value = serde_json::from_str(&answer.text().await.ok()?).unwrap();
        self.take(&body);
        Some(body["list"].as_array().unwrap().len())
    }

    fn take(&mut self, body: &Value) {
        self.polls += 1;
        let list = body["list"].as_array().unwrap();
        let ticks: Vec<i64> = list.iter().map(|item| self.tick(item)).collect();
        assert_eq!(body["state"], false);
        assert!(list.len() <= MOST, "{} changes", list.len());
        let one = ticks.first() == ticks.last();
        assert!(
            list.len() <= self.size || one,
            "over the limit, and not one tick"
        );
        assert!(ticks.is_sorted());
        if let (Some(first), Some(last)) = (ticks.first(), ticks.last()) {
            assert!(*first > self.last_tick, "a tick on two pages");
            self.last_tick = *last;
        }
        self.positions
            .extend(list.iter().map(|item| item["position"].as_u64().unwrap()));
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let forward = match (&self.since, &body["since"]) {
            (Value::String(before), Value::String(after)) => before <= after,
            (before, after) => number(before) <= number(after),
        };
        assert!(forward, "{} after {}", body["since"], self.since);
        assert!(body["time"].as_i64().unwrap() >= 0);
        self.since = body["since"].clone();
    }
}

/// Polls until told to stop, at any of the replicas.
async fn follow(mut client: Client, publics: Vec<String>, stop: Arc<AtomicBool>) -> Client {
    let mut turn = 0;
    while !stop.load(SeqCst) {
        turn += 1;
        let found = client.poll(&publics[turn % publics.len()]).await;
        if found.unwrap_or_default() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    client
}

fn clients() -> Vec<Client> {
    let mut clients = Vec::new();
    for kind in KINDS {
        for (audience, size) in [("u1", 7), ("u2", MOST), ("nobody", 3)] {
            clients.push(Client::new(kind, audience, size));
        }
    }
    clients
}

async fn log_of(database: &DatabaseUnderTest, module: &str) -> Vec<Arc<Change>> {
    let store = database.open().await;
    let mut log: Vec<Arc<Change>> = Vec::new();
    loop {
        let after = log.last().map_or(Position::ZERO, |change| change.position);
        let from = [(module.parse().unwrap(), after)];
        let rows = store.rows_after(&from, 1_000, Purpose::Tail).await.unwrap();
        if rows.is_empty() {
            break;
        }
        log.extend(rows.into_iter().map(|(_, change)| change));
    }
    store.close().await;
    log
}

/// The log itself: ticks are bounded and times ascend.
fn assert_paced(log: &[Arc<Change>], kind: &str) {
    let tick = if kind == "timestamp-s" {
        Tick::SECOND
    } else {
        Tick::MILLISECOND
    };
    let mut ticks = BTreeMap::<_, usize>::new();
    for change in log {
        *ticks.entry(tick.begin(change.sequenced_at)).or_default() += 1;
    }
    assert!(log.is_sorted_by_key(|change| change.sequenced_at));
    let most = ticks.values().max().copied().unwrap_or_default();
    assert!(most <= MOST, "{most} changes in one tick of {kind}");
}

/// Waits until each client has all of its log, polls on for a while, and compares.
async fn assert_whole(database: &DatabaseUnderTest, clients: Vec<Client>, publics: &[String]) {
    let outbox = "SELECT CAST(count(*) AS TEXT) FROM outbox";
    eventually("everything is numbered", PATIENCE, async || {
        (database.text(outbox).await? == "0").then_some(())
    })
    .await;
    for mut client in clients {
        let log = log_of(database, client.kind).await;
        assert_paced(&log, client.kind);
        let expected: Vec<u64> = log
            .iter()
            .filter(|change| ["*", client.audience].contains(&change.audience.as_str()))
            .map(|change| change.position.get())
            .collect();
        let deadline = Instant::now() + PATIENCE;
        while client.positions.len() < expected.len() {
            assert!(
                Instant::now() < deadline,
                "{} of {}",
                client.positions.len(),
                expected.len()
            );
            client.poll(&publics[0]).await;
        }
        for idle in 0..30 {
            let found = client.poll(&publics[idle % publics.len()]).await;
            assert_eq!(found, Some(0), "an idle client gets nothing");
        }
        assert_eq!(
            client.positions, expected,
            "{} {}",
            client.kind, client.audience
        );
    }
}

async fn every_client_ends_with_the_log(database: DatabaseUnderTest) {
    const BURSTS: u64 = 40;
    let seed = rand::random();
    println!("seed {seed}");
    // A small tail, so that clients which lag read the database.
    let gateway = Program::start(&setup(&database, "gw-1").set("tail.changes", 300)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publics = vec![gateway.client.public.clone()];
    let mut followers = JoinSet::new();
    for client in clients() {
        followers.spawn(follow(client, publics.clone(), Arc::clone(&stop)));
    }
    let mut writers = JoinSet::new();
    for (n, module) in (0..).zip(KINDS) {
        for writer in 0..2 {
            let private = vec![gateway.client.private.clone()];
            writers.spawn(write(private, module, 2 * n + writer, BURSTS, seed));
        }
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    stop.store(true, SeqCst);
    let mut clients: Vec<_> = followers.join_all().await;
    // One that begins only now.
    clients.extend(KINDS.map(|kind| Client::new(kind, "u1", 5)));
    assert_whole(&database, clients, &publics).await;
}

async fn a_holder_killed_in_the_middle_costs_nothing(database: DatabaseUnderTest) {
    const BURSTS: u64 = 60;
    let seed = rand::random();
    println!("seed {seed}");
    let mut replicas = [
        Program::start(&setup(&database, "gw-1")).await,
        Program::start(&setup(&database, "gw-2")).await,
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let publics = replicas
        .each_ref()
        .map(|replica| replica.client.public.clone());
    let privates = replicas
        .each_ref()
        .map(|replica| replica.client.private.clone());
    let mut followers = JoinSet::new();
    for client in clients() {
        followers.spawn(follow(client, publics.to_vec(), Arc::clone(&stop)));
    }
    let mut writers = JoinSet::new();
    for (n, module) in (0..).zip(KINDS) {
        writers.spawn(write(privates.to_vec(), module, n, BURSTS, seed));
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let holder = "SELECT lease_holder FROM module_head WHERE module = 'timestamp-s'";
        let name = eventually("somebody holds the lease", PATIENCE, async || {
            database.text(holder).await
        })
        .await;
        let dead = usize::from(name == "gw-2");
        replicas[dead].kill();
        eventually("the other takes over", PATIENCE, async || {
            database.text(holder).await.filter(|now| *now != name)
        })
        .await;
        replicas[dead].restart().await;
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    stop.store(true, SeqCst);
    let clients = followers.join_all().await;
    assert_whole(&database, clients, &publics).await;
}

async fn a_lone_change_is_served_soon_on_every_replica(database: DatabaseUnderTest) {
    let replicas = [
        Program::start(&setup(&database, "gw-1")).await,
        Program::start(&setup(&database, "gw-2")).await,
    ];
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for kind in KINDS {
        let mut clients = [0, 1].map(|_| Client::new(kind, "u1", 5));
        for round in 1..=3 {
            let path = format!("{}/v1/modules/{kind}/changes", replicas[0].client.private);
            let change = json!({"key": "k", "value": round});
            let sent = Instant::now();
            let answer = http
                .post(path)
                .by_admin()
                .json(&change)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 202);
            for (client, replica) in clients.iter_mut().zip(&replicas) {
                let name = if replica.client.public == replicas[0].client.public {
                    "holder"
                } else {
                    "other"
                };
                eventually("the change is served", PATIENCE, async || {
                    client
                        .poll(&replica.client.public)
                        .await
                        .filter(|found| *found == 1)
                })
                .await;
                println!("{:?} {kind}, {name}: {:?}", database.kind, sent.elapsed());
                for _ in 0..20 {
                    assert_eq!(client.poll(&replica.client.public).await, Some(0));
                }
            }
        }
    }
}

async fn what_retention_took_comes_as_state(database: DatabaseUnderTest) {
    const BURSTS: u64 = 12;
    let mut gateway = Program::start(&setup(&database, "gw-1").set("tail.changes", 30)).await;
    let private = vec![gateway.client.private.clone()];
    for module in KINDS {
        write(private.clone(), module, 1, BURSTS, 7).await;
    }
    let stored = "SELECT CAST(count(*) AS TEXT) FROM outbox";
    eventually("the outbox is empty", PATIENCE, async || {
        (database.text(stored).await?.as_str() == "0").then_some(())
    })
    .await;
    gateway.kill();
    for kind in KINDS {
        let log = log_of(&database, kind).await;
        let from = log[log.len() / 2].position;
        database
            .execute(&format!(
                "UPDATE module_head SET retained_from = {from} WHERE module = '{kind}'"
            ))
            .await;
        database
            .execute(&format!(
                "DELETE FROM change_log WHERE module = '{kind}' AND position < {from}"
            ))
            .await;
    }
    gateway.restart().await;
    let public = &gateway.client.public;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for kind in KINDS {
        let sql = "SELECT CAST(count(*) AS TEXT) FROM entity_state WHERE audience IN ('*', 'u1') AND module = ";
        let keys = database.text(&format!("{sql}'{kind}'")).await.unwrap();
        let mut held = BTreeMap::new();
        let (mut since, mut states) = (String::new(), 0);
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{} of {keys} keys", held.len());
            let url = format!("{public}/{kind}?since={since}&uid=u1&size=9");
            let body: Value =
                serde_json::from_str(&http.get(url).send().await.unwrap().text().await.unwrap())
                    .unwrap();
            let list = body["list"].as_array().unwrap();
            assert!(list.len() <= MOST);
            states += u32::from(body["state"] == true);
            if list.is_empty() && held.len().to_string() == keys {
                assert_eq!(body["state"], false, "an idle client gets no state");
                break;
            }
            for item in list {
                let key = item["key"].as_str().unwrap().to_owned();
                let position = item["position"].as_u64().unwrap();
                let before = held.insert(key, (position, item["value"].clone()));
                assert!(before.is_none_or(|before| before.0 <= position), "{item}");
            }
            since = body["since"]
                .as_str()
                .map_or_else(|| body["since"].to_string(), str::to_owned);
        }
        assert!(states > 0, "{kind}");
        let positions = "SELECT CAST(sum(position) AS TEXT) FROM entity_state WHERE audience IN ('*', 'u1') AND module = ";
        let sum = database
            .text(&format!("{positions}'{kind}'"))
            .await
            .unwrap();
        assert_eq!(
            held.values()
                .map(|(position, _)| position)
                .sum::<u64>()
                .to_string(),
            sum
        );
    }
}
