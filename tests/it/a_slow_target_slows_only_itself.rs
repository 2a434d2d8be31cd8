//! A broker reads nothing while many changes are committed: ingest, polls and the other broker go on, and the memory of the
//! gateway stays flat, because what the slow one has not got waits in the log. Then it reads again and catches up, over its
//! four connections, each channel in its order. `CHANGEOVER_TEST_SLOW_CHANGES` says how many changes; figures are printed,
//! only the memory is judged, and generously.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use changeover::config::mqtt::Protocol;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::Follower,
    gateway::{Client, Program},
    metrics::metric,
    servers_are_skipped,
    targets::{begun, broker, look, module, setup, target},
};

const CHANGES: u64 = 30_000;
const WARM: u64 = 5_000;
const AT_ONCE: u64 = 1_000;
const CHANNELS: u64 = 500;
/// What the process may grow by: what the allocator keeps, and the windows.
const GROWTH_MB: u64 = 128;
const PATIENCE: Duration = Duration::from_mins(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_catches_up() {
    if servers_are_skipped() {
        return;
    }
    let asked = std::env::var("CHANGEOVER_TEST_SLOW_CHANGES").ok();
    let changes = asked.map_or(CHANGES, |asked| asked.parse().unwrap());
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let (steady, slow) = (broker(), broker());
    let setup = setup(&database, "gw-1")
        .set("tail.changes", 10_000)
        .add(&target("steady", &steady, ""))
        .add(&target("slow", &slow, "connections = 4"));
    let gateway = Program::start(&setup).await;
    let client = &gateway.client;
    begun(client, "steady").await;
    begun(client, "slow").await;
    let filters = ["changeover/c/commission/+"];
    let of_slow = Follower::start(&slow.url(), Protocol::V5, "follower", &filters);
    of_slow.subscribed().await;
    ingest(client, 0, WARM).await;
    acknowledged(client, "steady", WARM).await;
    acknowledged(client, "slow", WARM).await;
    let memory = Memory::new(&gateway);

    slow.pause();
    let polls = Polls::start(client);
    let started = Instant::now();
    let mut refused = 0;
    for batch in 1..=changes / AT_ONCE {
        refused += ingest(client, batch, AT_ONCE).await;
        memory.look();
    }
    let took_in = started.elapsed();
    acknowledged(client, "steady", WARM + changes).await;
    let fed_steady = started.elapsed();
    let behind = module(&look(client, "slow").await)["behind"].as_u64();
    let inflight = metric(client, "changeover_mirror_inflight", &[("target", "slow")]).await;
    println!(
        "{changes} changes: taken in {took_in:.1?}, {refused} requests refused for a while, the other broker had them after {fed_steady:.1?}; {} polls meanwhile, the longest {:?}; the slow one is {behind:?} behind with {inflight} under way; {}",
        polls.count(),
        polls.longest(),
        memory.tell()
    );
    assert!(behind >= Some(changes - 2_000), "{behind:?}: it read on");
    assert!(inflight <= 1_000.0, "{inflight}");

    slow.resume();
    let resumed = Instant::now();
    eventually("the slow one has caught up", PATIENCE, async || {
        memory.look();
        (position(client, "slow").await >= WARM + changes).then_some(())
    })
    .await;
    println!(
        "caught up after {:.1?}; {} polls, the longest {:?}; {}",
        resumed.elapsed(),
        polls.count(),
        polls.longest(),
        memory.tell()
    );
    eventually("its subscriber has all", PATIENCE, async || {
        of_slow
            .look(|record| {
                record.events.len() as u64 >= WARM + changes && record.distinct() == WARM + changes
            })
            .then_some(())
    })
    .await;
    let repeats = of_slow.record().assert_whole();
    println!("{repeats} of them came twice");
    assert!(polls.count() > 0);
    let grown = memory.grown();
    assert!(grown < GROWTH_MB, "the process has grown by {grown} MB");
}

/// Changes of a few hundred bytes in many channels, a thousand keys in all. As a producer does, it comes again with the same
/// ids if the disk was too slow; returns how often.
async fn ingest(client: &Client, batch: u64, count: u64) -> u64 {
    let change = |n: u64| {
        json!({"key": format!("k{}", n % 1_000), "audience": format!("u{}", (n + batch) % CHANNELS),
            "change_id": format!("{batch}-{n}"), "value": {"n": n, "batch": batch, "text": "x".repeat(150)}})
    };
    let changes = Value::from((0..count).map(change).collect::<Vec<_>>());
    let mut refused = 0;
    loop {
        let answer = client.try_ingest(&changes).await.unwrap();
        if answer.status == StatusCode::ACCEPTED {
            return refused;
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        refused += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn position(client: &Client, name: &str) -> u64 {
    let target = look(client, name).await;
    let cursor = module(&target)["cursor"]
        .as_str()
        .unwrap_or("0_0")
        .to_owned();
    let (_, position) = cursor.split_once('_').unwrap();
    u64::from_str_radix(position, 16).unwrap()
}

async fn acknowledged(client: &Client, name: &str, wanted: u64) {
    eventually(&format!("{name} is at {wanted}"), PATIENCE, async || {
        (position(client, name).await >= wanted).then_some(())
    })
    .await;
}

/// The resident memory of the gateway's process.
struct Memory {
    id: i32,
    before: u64,
    most: AtomicU64,
}

impl Memory {
    fn new(gateway: &Program) -> Self {
        let id = gateway.id();
        let most = AtomicU64::new(0);
        Self {
            id,
            before: resident_mb(id),
            most,
        }
    }

    fn look(&self) {
        self.most.fetch_max(resident_mb(self.id), Relaxed);
    }

    fn grown(&self) -> u64 {
        self.most.load(Relaxed).saturating_sub(self.before)
    }

    fn tell(&self) -> String {
        format!(
            "memory {} MB before, at most {} MB, {} MB now",
            self.before,
            self.most.load(Relaxed),
            resident_mb(self.id)
        )
    }
}

fn resident_mb(id: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kb / 1_024
}

/// A client that polls all the time.
struct Polls {
    counts: Arc<(AtomicU64, AtomicU64)>,
    task: JoinHandle<()>,
}

impl Polls {
    fn start(client: &Client) -> Self {
        let counts = Arc::<(AtomicU64, AtomicU64)>::default();
        let (client, counted) = (client.clone(), Arc::clone(&counts));
        let task = tokio::spawn(async move {
            let mut since = 0;
            loop {
                let asked = Instant::now();
                since = client.page(since, 100).await.cursor;
                let took = u64::try_from(asked.elapsed().as_micros()).unwrap();
                counted.0.fetch_add(1, Relaxed);
                counted.1.fetch_max(took, Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { counts, task }
    }

    fn count(&self) -> u64 {
        assert!(!self.task.is_finished(), "a poll failed");
        self.counts.0.load(Relaxed)
    }

    fn longest(&self) -> Duration {
        Duration::from_micros(self.counts.1.load(Relaxed))
    }
}

impl Drop for Polls {
    fn drop(&mut self) {
        self.task.abort();
    }
}
