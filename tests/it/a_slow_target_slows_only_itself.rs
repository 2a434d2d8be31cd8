//! A broker reads nothing, or slowly, while many changes are committed: ingest, polls and the other broker go on, and the memory of
//! the gateway stays flat, because what the slow one has not got waits in the log. Then it reads as fast as it can and catches up, over
//! its four connections, each channel in its order. `CHANGEOVER_TEST_SLOW_CHANGES` says how many changes,
//! `CHANGEOVER_TEST_SLOW_SECONDS` over how long they are spread: the trouble lasts as long. Before it comes a tenth of both
//! with both brokers well. Figures are printed, only the memory is judged, and generously.

use std::{
    collections::BTreeSet,
    fs,
    ops::Range,
    sync::{
        Arc, Mutex,
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
    follower::{Follower, Record},
    gateway::{Client, Program},
    metrics::metric,
    mosquitto::Mosquitto,
    proxy::{Proxy, Way, Weather},
    servers_are_skipped,
    targets::{begun, broker, look, module, setup, target},
};

const CHANGES: u64 = 30_000;
const AT_ONCE: u64 = 1_000;
const CHANNELS: u64 = 500;
/// What a slow broker reads of each of the four connections: some 20 changes.
const SLOW_BYTES_PER_S: u32 = 10_000;
/// What the process may grow by: what the allocator keeps, and the windows.
const GROWTH_MB: u64 = 128;
const PATIENCE: Duration = Duration::from_mins(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_it_reads_nothing() {
    if servers_are_skipped() {
        return;
    }
    let slow = broker();
    let url = slow.url();
    // What it had taken before it stood still may still be acknowledged.
    let behind = |changes| changes - 2_000;
    falls_behind_and_catches_up(&url, &slow, behind, |stands| {
        if stands {
            slow.pause();
        } else {
            slow.resume();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_it_reads_slowly() {
    if servers_are_skipped() {
        return;
    }
    let slow = broker();
    let way = Proxy::before(slow.port(), 1).await;
    let opened = AtomicU64::new(0);
    let behind = |changes| changes / 2;
    falls_behind_and_catches_up(&way.url(), &slow, behind, |slowly| {
        if slowly {
            opened.store(way.opened(), Relaxed);
            way.set(Weather {
                to_server: Way::Slow(SLOW_BYTES_PER_S),
                ..Weather::FAIR
            });
        } else {
            let given_up = way.opened() - opened.load(Relaxed);
            way.set(Weather::FAIR);
            println!("{given_up} connections to the slow one were opened again");
        }
    })
    .await;
}

/// `make` begins the trouble of the slow broker, which the gateway finds at `url`, and ends it. `behind` of so many changes
/// it must lack in the end.
async fn falls_behind_and_catches_up(
    url: &str,
    slow: &Mosquitto,
    behind: impl Fn(u64) -> u64,
    make: impl Fn(bool),
) {
    let asked = |name| Some(std::env::var(name).ok()?.parse().unwrap());
    let changes = asked("CHANGEOVER_TEST_SLOW_CHANGES").unwrap_or(CHANGES);
    let lasts = Duration::from_secs(asked("CHANGEOVER_TEST_SLOW_SECONDS").unwrap_or(0));
    let (before, batches) = (changes / AT_ONCE / 10, changes / AT_ONCE);
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let steady = broker();
    let setup = setup(&database, "gw-1")
        .set("tail.changes", 10_000)
        .add(&target("steady", &steady, ""))
        .add(&format!(
            "\n[[mqtt.targets]]\nname = \"slow\"\nurl = \"{url}\"\nconnections = 4\n"
        ));
    let gateway = Program::start(&setup).await;
    let client = &gateway.client;
    begun(client, "steady").await;
    begun(client, "slow").await;
    let filters = ["changeover/c/commission/+"];
    let of_slow = Follower::start(&slow.url(), Protocol::V5, "follower", &filters);
    of_slow.subscribed().await;
    let memory = Memory::new(&gateway);
    let polls = Polls::start(client);
    let every = lasts / u32::try_from(batches).unwrap();
    let first = Round {
        batches: 0..before,
        every,
    };
    first.goes(client, &polls, &memory, "before").await;
    let had = before * AT_ONCE;
    acknowledged(client, "slow", had).await;
    memory.look();
    memory.begins_anew();

    make(true);
    let round = Round {
        batches: before..before + batches,
        every,
    };
    round.goes(client, &polls, &memory, "meanwhile").await;
    let changes = batches * AT_ONCE;
    let lacks = module(&look(client, "slow").await)["behind"].as_u64();
    let inflight = metric(client, "changeover_mirror_inflight", &[("target", "slow")]).await;
    println!(
        "the slow one is {lacks:?} behind with {inflight} under way; {}",
        memory.tell()
    );
    assert!(lacks >= Some(behind(changes)), "{lacks:?}: it read on");
    assert!(inflight <= 1_000.0, "{inflight}");

    let reached = position(client, "slow").await;
    make(false);
    let resumed = Instant::now();
    eventually("the slow one has caught up", PATIENCE, async || {
        memory.look();
        (position(client, "slow").await >= had + changes).then_some(())
    })
    .await;
    println!(
        "caught up after {:.1?}, {:.0} changes/s; {}; {}",
        resumed.elapsed(),
        per_s(had + changes - reached, resumed.elapsed()),
        polls.tell(resumed.elapsed()),
        memory.tell()
    );
    let (mut distinct, mut read) = (BTreeSet::new(), 0);
    eventually("its subscriber has all", PATIENCE, async || {
        of_slow.look(|record| {
            let fresh = record.events.iter().skip(read);
            distinct.extend(fresh.map(|event| event.position));
            read = record.events.len();
            (distinct.len() as u64 == had + changes).then_some(())
        })
    })
    .await;
    let repeats = of_slow.look(Record::assert_whole);
    println!(
        "its subscriber had all after {:.1?}; {repeats} of them came twice",
        resumed.elapsed()
    );
    let grown = memory.grown();
    assert!(grown < GROWTH_MB, "the process has grown by {grown} MB");
}

/// Changes that are committed for a while.
struct Round {
    batches: Range<u64>,
    /// One begins so long after the one before, or as soon as that is accepted.
    every: Duration,
}

impl Round {
    /// Commits them, waits until the steady broker has them, and prints how fast everything was.
    async fn goes(self, client: &Client, polls: &Polls, memory: &Memory, name: &str) {
        polls.tell(Duration::ZERO);
        let delivered = delivered_by_steady(client).await;
        let (started, mut refused, mut took) = (Instant::now(), 0, Vec::new());
        let mut due = tokio::time::interval(self.every.max(Duration::from_nanos(1)));
        for batch in self.batches.clone() {
            due.tick().await;
            let began = Instant::now();
            refused += ingest(client, batch, AT_ONCE).await;
            took.push(began.elapsed());
            memory.look();
        }
        let changes = (self.batches.end - self.batches.start) * AT_ONCE;
        let taken_in = started.elapsed();
        acknowledged(client, "steady", self.batches.end * AT_ONCE).await;
        let fed = started.elapsed();
        let (sum, count) = delivered_by_steady(client).await;
        println!(
            "{name}: {changes} changes in {taken_in:.1?}, {:.0}/s, {refused} requests refused for a while, of the others {}; {}; the other broker had all {:.2?} later, \
             and its verifier each after {:.1} ms in the mean; {}",
            per_s(changes, taken_in),
            spread(took),
            polls.tell(fed),
            fed.checked_sub(taken_in).unwrap(),
            (sum - delivered.0) / (count - delivered.1) * 1_000.0,
            memory.tell(),
        );
    }
}

/// Seconds from its number to a subscriber, of all changes together, and how many those are.
async fn delivered_by_steady(client: &Client) -> (f64, f64) {
    let labels = [("target", "steady")];
    let sum = metric(client, "changeover_delivery_seconds_sum", &labels).await;
    let count = metric(client, "changeover_delivery_seconds_count", &labels).await;
    (sum, count)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn per_s(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Median, the slowest hundredth and the longest.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let Some(&longest) = times.last() else {
        return "none".to_owned();
    };
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!(
        "median {:.1?}, p99 {:.1?}, longest {longest:.1?}",
        at(50),
        at(99)
    )
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
    before: AtomicU64,
    most: AtomicU64,
}

impl Memory {
    fn new(gateway: &Program) -> Self {
        let id = gateway.id();
        let memory = Self {
            id,
            before: AtomicU64::new(0),
            most: AtomicU64::new(0),
        };
        memory.begins_anew();
        memory
    }

    /// What it is now is what it was before.
    fn begins_anew(&self) {
        self.before.store(resident_mb(self.id), Relaxed);
        self.most.store(0, Relaxed);
    }

    fn look(&self) {
        self.most.fetch_max(resident_mb(self.id), Relaxed);
    }

    fn grown(&self) -> u64 {
        let before = self.before.load(Relaxed);
        self.most.load(Relaxed).saturating_sub(before)
    }

    fn tell(&self) -> String {
        format!(
            "memory {} MB before, at most {} MB, {} MB now",
            self.before.load(Relaxed),
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
    took: Arc<Mutex<Vec<Duration>>>,
    task: JoinHandle<()>,
}

impl Polls {
    fn start(client: &Client) -> Self {
        let took = Arc::<Mutex<Vec<Duration>>>::default();
        let (client, noted) = (client.clone(), Arc::clone(&took));
        let task = tokio::spawn(async move {
            let mut since = 0;
            loop {
                let asked = Instant::now();
                since = client.page(since, 100).await.cursor;
                noted.lock().unwrap().push(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { took, task }
    }

    /// What became of those since this was asked last, in `time`.
    fn tell(&self, time: Duration) -> String {
        assert!(!self.task.is_finished(), "a poll failed");
        let took = std::mem::take(&mut *self.took.lock().unwrap());
        let count = took.len() as u64;
        format!(
            "{count} polls, {:.1}/s, {}",
            per_s(count, time),
            spread(took)
        )
    }
}

impl Drop for Polls {
    fn drop(&mut self) {
        self.task.abort();
    }
}
