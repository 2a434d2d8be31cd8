//! The database goes away and comes back under load. Polls go on from memory all the time, ingest is
//! refused in a bounded time, everything goes on by itself, and what was acknowledged is there, once.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use http::StatusCode;
use nix::unistd::geteuid;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually, folder,
    gateway::{Client, InProcess, Program, Setup, assert_dense},
};

const SOON: Duration = Duration::from_mins(1);
/// The longest that a producer may wait for a refusal: the bounds of the database's calls, and a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_stops_and_starts() {
    if let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await {
        stops_and_starts(database).await;
    }
}

/// With SIGKILL, in the middle of whatever is being numbered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_is_killed_and_starts() {
    if let Some(database) = DatabaseUnderTest::private(Kind::MariaDb).await {
        stops_and_starts(database).await;
    }
}

async fn stops_and_starts(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let load = Load::start(client);
    load.until("changes are accepted", |count| &count.accepted, 50)
        .await;

    tokio::task::block_in_place(|| database.stop());
    load.until("changes are refused", |count| &count.refused, 4)
        .await;
    load.until("polls are answered", |count| &count.polls, 200)
        .await;
    let (status, ready) = eventually("it says that it is degraded", SOON, async || {
        client
            .ready()
            .await
            .filter(|(_, body)| body["degraded"] == true)
    })
    .await;
    assert_eq!(
        (status, &ready["status"]),
        (StatusCode::OK, &json!("ready"))
    );
    let admin = client.get("/admin/v1/targets").await;
    assert_eq!(admin.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!admin.header("retry-after").is_empty());

    tokio::task::block_in_place(|| database.start());
    load.until("changes are accepted again", |count| &count.accepted, 50)
        .await;
    degraded(client, false).await;
    load.assert_kept(client).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_else_holds_the_write_lock_of_sqlite() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let load = Load::start(client);
    load.until("changes are accepted", |count| &count.accepted, 50)
        .await;

    let mut other = database.producer().await;
    other.execute("BEGIN EXCLUSIVE").await;
    let locked = Instant::now();
    degraded(client, true).await;
    while locked.elapsed() < Duration::from_secs(30) {
        load.until("changes are refused", |count| &count.refused, 1)
            .await;
        load.until("polls are answered", |count| &count.polls, 100)
            .await;
        let (status, _) = client.ready().await.unwrap();
        assert_eq!(status, StatusCode::OK);
    }
    other.execute("ROLLBACK").await;
    load.until("changes are accepted again", |count| &count.accepted, 50)
        .await;
    degraded(client, false).await;
    load.assert_kept(client).await;
    gateway.stop().await;
}

/// A file system of a few megabytes, mounted in a name space that ends with the gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_under_sqlite_is_full() {
    const MOUNT: &str = r#"mount -t tmpfs -o size=12m none "$0" && exec "$@""#;

    let mut database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let small = folder::fresh("small");
    let small = small.to_str().unwrap();
    database.config.url = format!("sqlite://{small}/changeover.db");
    let space = if geteuid().is_root() { "-m" } else { "-Urm" };
    let setup = Setup::new(&database, "a").through(&["unshare", space, "sh", "-c", MOUNT, small]);
    let gateway = Program::start(&setup).await;
    let client = &gateway.client;
    let load = Load::start(client);
    load.until("changes are accepted", |count| &count.accepted, 50)
        .await;

    let filler = PathBuf::from(format!("/proc/{}/root{small}/filler", gateway.id()));
    fill(&filler);
    load.until("changes are refused", |count| &count.refused, 10)
        .await;
    degraded(client, true).await;
    load.until("polls are answered", |count| &count.polls, 200)
        .await;
    let (status, _) = client.ready().await.unwrap();
    assert_eq!(status, StatusCode::OK);

    std::fs::remove_file(&filler).unwrap();
    load.until("changes are accepted again", |count| &count.accepted, 50)
        .await;
    load.assert_kept(client).await;
}

/// Waits until `readyz` says whether the database is missed. It stays ready all the time.
async fn degraded(client: &Client, so: bool) {
    let (status, ready) = eventually("readyz knows how the database is", SOON, async || {
        let answer = client.ready().await;
        answer.filter(|(_, body)| body["degraded"] == so)
    })
    .await;
    assert_eq!(
        (status, &ready["status"]),
        (StatusCode::OK, &json!("ready"))
    );
}

/// Writes zeros until there is no room for one more.
fn fill(path: &std::path::Path) {
    use std::io::Write;

    let mut file = std::fs::File::create(path).unwrap();
    for size in [64 * 1024, 1] {
        let zeros = vec![0; size];
        while file.write(&zeros).is_ok_and(|written| written > 0) {}
    }
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    refused: AtomicUsize,
    polls: AtomicUsize,
}

/// Producers and a client that do not stop.
struct Load {
    counts: Arc<Counts>,
    done: Arc<AtomicBool>,
    producers: Vec<JoinHandle<Vec<String>>>,
    client: JoinHandle<()>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (counts, done) = (Arc::<Counts>::default(), Arc::new(AtomicBool::new(false)));
        let producer = |name| produce(name, client.clone(), Arc::clone(&counts), Arc::clone(&done));
        let producers = ["a", "b", "c"].map(|name| tokio::spawn(producer(name)));
        let poll = poll(client.clone(), Arc::clone(&counts), Arc::clone(&done));
        Self {
            producers: producers.into(),
            client: tokio::spawn(poll),
            counts,
            done,
        }
    }

    /// Waits until something was counted `more` times from now on.
    async fn until(&self, what: &str, counter: impl Fn(&Counts) -> &AtomicUsize, more: usize) {
        let goal = counter(&self.counts).load(SeqCst) + more;
        eventually(what, SOON, async || {
            assert!(!self.client.is_finished(), "the polling client failed");
            assert!(
                !self.producers.iter().any(JoinHandle::is_finished),
                "a producer failed"
            );
            (counter(&self.counts).load(SeqCst) >= goal).then_some(())
        })
        .await;
    }

    /// Ends the load. Every acknowledged change is in the log once; one whose outcome was not known at most once.
    async fn assert_kept(self, client: &Client) {
        self.done.store(true, SeqCst);
        let mut accepted = Vec::new();
        for producer in self.producers {
            accepted.extend(producer.await.unwrap());
        }
        self.client.await.unwrap();
        let log = eventually("the log holds what was accepted", SOON, async || {
            let (log, _) = client.pages(0, 5_000).await;
            let found = count_keys(&log);
            accepted
                .iter()
                .all(|key| found.contains_key(key))
                .then_some(log)
        })
        .await;
        assert_dense(&log);
        let twice: Vec<_> = count_keys(&log)
            .into_iter()
            .filter(|(_, n)| *n > 1)
            .collect();
        assert!(twice.is_empty(), "{twice:?}");
        let [refused, polls] = [&self.counts.refused, &self.counts.polls].map(|n| n.load(SeqCst));
        println!(
            "{} accepted, {refused} refused, {} in the log, {polls} polls",
            accepted.len(),
            log.len()
        );
    }
}

fn count_keys(log: &[Value]) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    for item in log {
        *found
            .entry(item["key"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    found
}

/// Hands in one change after the other and returns the keys of those that were accepted. Every answer comes in time,
/// and a refusal says when to come back.
async fn produce(
    name: &'static str,
    client: Client,
    counts: Arc<Counts>,
    done: Arc<AtomicBool>,
) -> Vec<String> {
    let mut accepted = Vec::new();
    for number in 0.. {
        if done.load(SeqCst) {
            break;
        }
        let key = format!("{name}{number}");
        let asked = Instant::now();
        let change = json!({"key": key, "change_id": key, "value": "x".repeat(500)});
        let answer = client.try_ingest(&change).await.unwrap();
        assert!(asked.elapsed() < REFUSED_WITHIN, "{:?}", asked.elapsed());
        if answer.status == StatusCode::ACCEPTED {
            accepted.push(key);
            counts.accepted.fetch_add(1, SeqCst);
        } else {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
            assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
            assert_eq!(answer.header("content-type"), "application/problem+json");
            counts.refused.fetch_add(1, SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    accepted
}

/// Polls from the tail. Every answer is a good one, and quick.
async fn poll(client: Client, counts: Arc<Counts>, done: Arc<AtomicBool>) {
    let (mut cursor, mut slowest) = (0, Duration::ZERO);
    while !done.load(SeqCst) {
        let asked = Instant::now();
        let page = client.page(cursor, 1_000).await;
        assert!(page.cursor >= cursor);
        cursor = page.cursor;
        slowest = slowest.max(asked.elapsed());
        counts.polls.fetch_add(1, SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("the slowest poll took {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
