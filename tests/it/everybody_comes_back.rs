//! The way back: everybody is on push, and everybody is told to poll at once. They all come, without an error, no faster than what
//! is configured makes them come, and what they ask is answered from memory.

use std::{collections::BTreeMap, time::Duration};

use changeover::{client::Way, config::mqtt::Protocol};
use serde_json::{Value, json};

use crate::support::{
    crowd::{Crowd, Door, assert_no_crowd},
    database::{DatabaseUnderTest, Kind},
    follower::Follower,
    gateway::{MODULE, Program, Setup, changeover},
};

const SEED: u64 = 20_261_124;
const CLIENTS: u64 = 5_000;
/// `next_poll_ms` of the module.
const INTERVAL: Duration = Duration::from_secs(5);
/// `panic.spread`. So long that the time that the test itself takes is no part of it that matters.
const SPREAD: Duration = Duration::from_hours(1);
const STEP: Duration = Duration::from_millis(100);

/// Everybody is on push, at `sunset`.
struct Everybody {
    _database: DatabaseUnderTest,
    gateway: Program,
    crowd: Crowd,
    /// Hears the retained message of the module, as each of them would.
    ear: Follower,
    heard: i64,
}

impl Everybody {
    async fn on_push(clients: u64) -> Self {
        println!("seed {SEED}");
        let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
        let setup = Setup::new(&database, "a").set("panic.spread", "1h");
        let gateway = Program::start(&setup).await;
        for number in 0..10 {
            let change = json!({"key": format!("k{number}"), "value": number});
            gateway.client.ingest(&change).await;
        }
        gateway.client.items(0, 10, Duration::from_secs(30)).await;
        let ear = Follower::start(
            gateway.mqtt.as_deref().unwrap(),
            Protocol::V5,
            "ear",
            &[&format!("changeover/m/{MODULE}")],
        );
        let crowd = Crowd::new(&gateway.client.public, MODULE, clients, SEED);
        let mut all = Self {
            _database: database,
            gateway,
            crowd,
            ear,
            heard: -1,
        };
        all.act(&["module", "ramp", MODULE, "--percent", "100"])
            .await;
        all.act(&["module", "promote", MODULE]).await;
        all.crowd.live(Duration::from_secs(5), STEP).await;
        assert_eq!(all.crowd.on(Way::Live), all.crowd.len());
        all
    }

    async fn act(&mut self, arguments: &[&str]) {
        let arguments = [arguments, &["--reason", "r"]].concat();
        let output = changeover(&self.gateway.client, &arguments).await;
        assert!(output.status.success(), "{output:?}");
    }

    /// The retained message after an act.
    async fn news(&mut self) -> Value {
        let before = self.heard;
        let version = |message: &Value| message["version"].as_i64().unwrap();
        self.ear
            .wait("the news", |seen| {
                seen.bookmarks
                    .last()
                    .is_some_and(|last| version(last) > before)
            })
            .await;
        let last = self.ear.record().bookmarks.last().unwrap().clone();
        self.heard = version(&last);
        last
    }

    /// Polls that were answered, and SQL that they caused.
    async fn counted(&self) -> BTreeMap<String, u64> {
        let text = self.gateway.client.get("/metrics").await.text;
        let sql = "changeover_database_queries_total";
        let ours = text.lines().filter_map(|line| line.rsplit_once(' '));
        let ours = ours.filter(|(name, _)| {
            let reads = ["poll", "catchup", "snapshot", "state"];
            let reads = reads.map(|purpose| format!("{sql}{{purpose=\"{purpose}\"}}"));
            reads.iter().any(|read| read == name)
        });
        ours.map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
            .collect()
    }

    /// All come back within `over`, in spans of which none sees many more than its part.
    async fn come_back(&mut self, over: Duration, span: Duration) {
        let sql = self.counted().await;
        let (news, began) = (self.news().await, self.crowd.now);
        self.crowd.hear(&news).await;
        assert_eq!(
            self.crowd.on(Way::Polling),
            self.crowd.len(),
            "each has left the push"
        );
        self.crowd.live(over, STEP.max(span / 10)).await;
        assert_even(&self.crowd.arrivals(began, span), over, span);
        assert_eq!(self.counted().await, sql, "answered from memory");
    }
}

/// That no span sees many more than its part of all.
#[track_caller]
fn assert_even(arrivals: &[usize], over: Duration, span: Duration) {
    let count = f64::from(u32::try_from(arrivals.iter().sum::<usize>()).unwrap());
    let part = count * span.as_secs_f64() / over.as_secs_f64();
    assert_no_crowd(&format!("polls in each {span:?}"), arrivals, part);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_rollback_within_an_interval() {
    let mut all = Everybody::on_push(CLIENTS).await;
    all.act(&["module", "rollback", MODULE, "--to", "mirror"])
        .await;
    all.come_back(INTERVAL, INTERVAL / 10).await;
    assert_eq!(all.gateway.terminate().await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_panic_within_its_spread() {
    let mut all = Everybody::on_push(CLIENTS).await;
    all.act(&["panic"]).await;
    all.come_back(SPREAD + INTERVAL, SPREAD / 60).await;
    all.act(&["panic", "--lift"]).await;
    assert_eq!(all.gateway.terminate().await.0, 0);
}

/// A broker that goes away takes all its clients with it; until they are told anything, they poll at the pace of polls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_broker_is_gone_within_an_interval() {
    let mut all = Everybody::on_push(CLIENTS / 5).await;
    let (sql, began) = (all.counted().await, all.crowd.now);
    all.crowd.lose_the_broker(Door::Closed).await;
    all.crowd.live(INTERVAL, STEP).await;
    let span = INTERVAL / 10;
    assert_even(&all.crowd.arrivals(began, span), INTERVAL, span);
    assert_eq!(all.counted().await, sql, "answered from memory");
    assert_eq!(all.gateway.terminate().await.0, 0);
}
