//! Producers that send changes over HTTP at an even pace, and send again whatever was not
//! acknowledged, under the same change ids.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use changeover::domain::Change;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::token::ByAdmin;

/// What is sent, and where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The ingest of each replica, as [`orders_at`] says.
    pub ingest: Vec<String>,
    pub producers: u64,
    /// Changes of each producer at least; it goes on until [`Load::finish`].
    pub changes: u64,
    /// Changes in one request.
    pub batch: u64,
    /// Between two requests of a producer.
    pub pace: Duration,
    pub seed: u64,
}

/// Where the changes of `orders` are taken by who listens privately at this URL.
pub fn orders_at(private: &str) -> String {
    format!("{private}/v1/modules/orders/changes")
}

/// Producers at work.
pub struct Load {
    tasks: JoinSet<()>,
    enough: CancellationToken,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    retries: AtomicU64,
    /// What those who refused said, and how often.
    refusals: Mutex<BTreeMap<String, u64>>,
}

pub const AUDIENCES: [&str; 3] = ["*", "u1", "u2"];

/// Keys of one producer.
const KEYS: u64 = 40;

/// Before a request that failed is sent again.
const PAUSE: Duration = Duration::from_millis(10);

impl Load {
    pub fn start(plan: &Plan) -> Self {
        let counts = Arc::<Counts>::default();
        let enough = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for number in 0..plan.producers {
            let producer = Producer {
                number,
                plan: plan.clone(),
                rng: StdRng::seed_from_u64(plan.seed ^ number),
                http: reqwest::Client::builder()
                    .timeout(Duration::from_secs(5))
                    .build()
                    .unwrap(),
                enough: enough.clone(),
                counts: Arc::clone(&counts),
            };
            tasks.spawn(producer.run());
        }
        Self {
            tasks,
            enough,
            counts,
        }
    }

    /// Changes that were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.counts.acknowledged.load(Relaxed)
    }

    /// What those who refused a request said, and how often.
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.counts.refusals.lock().unwrap().clone()
    }

    /// Waits until so many are acknowledged.
    pub async fn reaches(&self, changes: u64) {
        let what = format!("{changes} changes acknowledged");
        super::eventually(&what, Duration::from_mins(1), async || {
            (self.acknowledged() >= changes).then_some(())
        })
        .await;
    }

    /// Ends the load and waits until everything was acknowledged. Returns the number of changes, and
    /// how many requests were sent again.
    pub async fn finish(&mut self) -> (u64, u64) {
        self.enough.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        (self.acknowledged(), self.counts.retries.load(Relaxed))
    }

    /// Asserts that the log holds each change once, each producer's in the order in which it sent them.
    pub fn assert_is(&self, log: &[Arc<Change>]) {
        let mut next = HashMap::<u64, u64>::new();
        for change in log {
            let id = change.change_id.as_deref().unwrap();
            let (producer, number) = id.split_once('-').unwrap();
            let expected = next.entry(producer.parse().unwrap()).or_default();
            assert_eq!(number.parse::<u64>().unwrap(), *expected, "{change:?}");
            *expected += 1;
        }
        assert_eq!(
            log.len() as u64,
            self.acknowledged(),
            "lost or stored twice"
        );
    }
}

struct Producer {
    number: u64,
    plan: Plan,
    rng: StdRng,
    http: reqwest::Client,
    enough: CancellationToken,
    counts: Arc<Counts>,
}

impl Producer {
    async fn run(mut self) {
        let mut pace = interval(self.plan.pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sent = 0;
        while sent < self.plan.changes || !self.enough.is_cancelled() {
            pace.tick().await;
            let count = self.plan.batch;
            let body = self.body(sent..sent + count);
            self.send(body).await;
            sent += count;
            self.counts.acknowledged.fetch_add(count, Relaxed);
        }
    }

    fn body(&mut self, numbers: std::ops::Range<u64>) -> String {
        let changes: Vec<_> = numbers
            .map(|number| {
                let key = format!("p{}-{}", self.number, number % KEYS);
                let audience = AUDIENCES[self.rng.random_range(0..AUDIENCES.len())];
                json!({
                    "key": key,
                    "audience": audience,
                    "change_id": format!("{}-{number}", self.number),
                    "value": {"number": number, "noise": self.rng.random::<u32>()},
                })
            })
            .collect();
        serde_json::to_string(&changes).unwrap()
    }

    /// Until some replica says 202.
    async fn send(&self, body: String) {
        let first = usize::try_from(self.number).unwrap() % self.plan.ingest.len();
        for url in self.plan.ingest.iter().cycle().skip(first) {
            let request = self
                .http
                .post(url)
                .by_admin()
                .header("content-type", "application/json");
            match request.body(body.clone()).send().await {
                Ok(answer) if answer.status() == 202 => return,
                Ok(answer) => {
                    let passing = [429, 503].contains(&answer.status().as_u16());
                    assert!(passing, "{answer:?}");
                    let later = answer.headers().contains_key("retry-after");
                    assert!(later, "nobody says when to come again: {answer:?}");
                    self.note_refusal(answer).await;
                }
                // Nobody knows whether it was stored.
                Err(_lost) => {}
            }
            self.counts.retries.fetch_add(1, Relaxed);
            sleep(PAUSE).await;
        }
    }

    async fn note_refusal(&self, answer: reqwest::Response) {
        if let Ok(problem) = answer.json::<serde_json::Value>().await {
            let detail = problem["detail"].as_str().unwrap().to_owned();
            let mut refusals = self.counts.refusals.lock().unwrap();
            *refusals.entry(detail).or_default() += 1;
        }
    }
}
