//! Two gateways of different databases feed one broker under the same prefix, by mistake: one of them goes on, the other keeps off and says
//! so, and neither takes what it sees for a restored copy of its own database. Whoever starts over with an empty database goes on by itself.

use std::{collections::BTreeSet, time::Duration};

use changeover::{
    config::mqtt::Protocol,
    mirror::mqtt::{Endpoint, Link, LinkOptions, Signal},
};
use serde_json::Value;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::{Follower, Record},
    gateway::{MODULE, Program, START, Setup},
    guarded,
    metrics::metric,
    mosquitto::Mosquitto,
    pruned::{ingest, number, numbered},
    targets::{acknowledged, broker, module, setup, target, until},
};

/// Rare enough that a busy machine is not taken for a dead gateway.
const BOOKMARK_MS: u64 = 2_000;

struct Fed {
    database: DatabaseUnderTest,
    setup: Setup,
}

impl Fed {
    async fn new(broker: &Mosquitto, instance: &str) -> Self {
        let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
        let setup = setup(&database, instance)
            .add(&target("t", broker, ""))
            .set("mqtt.client_id_prefix", instance)
            .set("mirror.settle_ms", 500)
            .set("guard.fall_back_over", "1s")
            .set("mirror.bookmark_ms", BOOKMARK_MS);
        Self { database, setup }
    }

    /// How many epochs of `commission` have begun by themselves.
    async fn epochs(&self) -> u64 {
        let sql = format!(
            "SELECT CAST(count(*) AS CHAR(20)) FROM audit WHERE module = '{MODULE}' AND action = 'epoch'"
        );
        number(&self.database, &sql).await
    }
}

/// Why the gateway does not publish `commission`, if so.
fn halted(target: &Value) -> &str {
    module(target)["halted"].as_str().unwrap_or_default()
}

/// The logs whose retained messages of `commission` have come, in order.
fn logs(record: &Record) -> Vec<String> {
    let ours = record.bookmarks.iter().filter(|b| b["module"] == MODULE);
    let log = |bookmark: &Value| bookmark["log"].as_str().unwrap_or_default().to_owned();
    ours.map(log).collect()
}

const LIVES: &str = "another gateway publishes its own log";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_keeps_off_until_it_has_a_prefix_of_its_own() {
    let broker = broker();
    let filters = ["changeover/#", "other/#"];
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &filters);
    follower.subscribed().await;
    let (one, two) = (
        Fed::new(&broker, "one").await,
        Fed::new(&broker, "two").await,
    );
    let first = Program::start(&one.setup).await;
    ingest(&first.client, "a", 5).await;
    acknowledged(&first.client, "t", 5).await;

    let mut second = Program::start(&two.setup).await;
    guarded::ramp(&second.client).await;
    ingest(&second.client, "b", 3).await;
    numbered(&two.database, 3).await;
    until(&second.client, "t", "another lives", |target| {
        halted(target).contains(LIVES)
    })
    .await;
    guarded::until(&second.client, "t", "tripped", Some("halted")).await;
    guarded::told(&second.client, "c1", "poll", "guard").await;
    let labels = [("target", "t"), ("module", MODULE)];
    let kept_off = metric(&second.client, "changeover_mirror_kept_off", &labels).await;
    assert!((kept_off - 1.0).abs() < f64::EPSILON);

    // The first goes on for a while, and nobody else is heard.
    let from = follower.look(|record| logs(record).len());
    follower
        .wait("six retained messages more", |record| {
            logs(record).len() >= from + 6
        })
        .await;
    ingest(&first.client, "more", 2).await;
    acknowledged(&first.client, "t", 7).await;
    let record = follower.record();
    let mut seen = logs(&record);
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(
        record
            .events
            .iter()
            .all(|event| !event.key.starts_with('b'))
    );
    assert_eq!((one.epochs().await, two.epochs().await), (0, 0));
    assert!(first.said("this module is kept off this target").is_none());

    assert_eq!(second.terminate().await.0, 0);
    let apart = two.setup.clone().set("mqtt.topic_prefix", "other");
    let second = Program::start(&apart).await;
    acknowledged(&second.client, "t", 3).await;
    follower
        .wait("everything of the second came", |record| {
            let theirs = record.events.iter();
            let theirs = theirs.filter(|event| event.topic.starts_with("other/"));
            let positions: BTreeSet<_> = theirs.map(|event| event.position).collect();
            positions == BTreeSet::from([1, 2, 3])
        })
        .await;
    assert_eq!((one.epochs().await, two.epochs().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_start_at_once_one_is_left() {
    let broker = broker();
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &["changeover/m/+"]);
    follower.subscribed().await;
    let (one, two) = (
        Fed::new(&broker, "one").await,
        Fed::new(&broker, "two").await,
    );
    let (first, second) = tokio::join!(Program::start(&one.setup), Program::start(&two.setup));
    for (program, count) in [(&first, 9), (&second, 4)] {
        ingest(&program.client, "a", count).await;
    }
    // One that has listened at its start only says so until it hears the other once more.
    let is_off = async |program: &Program| {
        let target = until(&program.client, "t", "it is connected", |target| {
            target["connected"] == true
        });
        halted(&target.await).contains(LIVES)
    };
    let first_is_off = eventually("one keeps off", START, async || {
        let off = (is_off(&first).await, is_off(&second).await);
        (off.0 != off.1).then_some(off.0)
    })
    .await;
    let left = if first_is_off { &second } else { &first };
    let from = follower.look(|record| logs(record).len());
    follower
        .wait("five retained messages more", |record| {
            logs(record).len() >= from + 5
        })
        .await;
    let behind = until(&left.client, "t", "it has published everything", |target| {
        module(target)["behind"] == 0 && halted(target).is_empty()
    });
    behind.await;
    let record = follower.record();
    let mut since = logs(&record).split_off(from);
    since.dedup();
    assert_eq!(since.len(), 1, "{since:?}");
    assert!(one.epochs().await <= 1 && two.epochs().await <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_over_with_an_empty_database_goes_on_by_itself() {
    let broker = broker();
    let (one, two) = (
        Fed::new(&broker, "one").await,
        Fed::new(&broker, "two").await,
    );
    let mut first = Program::start(&one.setup).await;
    ingest(&first.client, "a", 5).await;
    acknowledged(&first.client, "t", 5).await;
    assert_eq!(first.terminate().await.0, 0);

    let second = Program::start(&two.setup).await;
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &["changeover/#"]);
    let taken = "nobody publishes the other log there any more: taking its topics over";
    eventually("it takes over", START, async || second.said(taken)).await;
    let epoch = async || (two.epochs().await == 1).then_some(());
    eventually("the new epoch", START, epoch).await;
    ingest(&second.client, "b", 3).await;
    follower
        .wait("what is new comes, in a higher epoch", |record| {
            let new = record.events.iter().filter(|event| event.epoch == 2);
            new.filter(|event| event.key.starts_with('b')).count() >= 3
        })
        .await;
    until(&second.client, "t", "it goes on", |target| {
        halted(target).is_empty() && module(target)["behind"] == 0
    })
    .await;
    assert_eq!(two.epochs().await, 1);
}

/// Another gateway, as far as its retained messages of `commission` go: the members behind the module's name, or nothing to take it away.
async fn speaker(broker: &str, mut words: tokio::sync::mpsc::Receiver<String>) {
    let options = LinkOptions {
        endpoint: Endpoint::parse(broker, Protocol::V5).unwrap(),
        client_id: "another".to_owned(),
        keep_alive: Duration::from_secs(5),
        inflight: 10,
        session: None,
        max_packet_bytes: 1024,
    };
    let mut link = Link::open(&options);
    loop {
        tokio::select! {
            said = words.recv() => {
                let Some(said) = said else { return };
                let text = match &*said {
                    "" => String::new(),
                    said => format!("{{\"module\":\"{MODULE}\",{said}}}"),
                };
                link.publish(&format!("changeover/m/{MODULE}"), text.into(), true, "application/json").unwrap();
            }
            signals = link.next() => {
                let closed = |signal: &Signal| matches!(signal, Signal::Closed(_));
                assert!(!signals.unwrap().iter().any(closed));
            }
        }
    }
}

/// What a gateway of an older release says, which does not say its log and is always beyond what it sees, in a higher epoch.
fn older(epoch: u32) -> String {
    format!(r#""epoch":{epoch},"head":900,"generation":0,"version":{epoch}"#)
}

/// Operators who do not want to wait: the docs say how.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_message_of_the_dead_is_taken_away_the_new_epoch_begins_at_once() {
    let broker = broker();
    let (say, words) = tokio::sync::mpsc::channel(4);
    let url = broker.url();
    let publisher = tokio::spawn(async move { speaker(&url, words).await });
    let log = "0".repeat(31) + "1";
    say.send(format!(
        r#""epoch":3,"head":8,"generation":0,"version":1,"log":"{log}""#
    ))
    .await
    .unwrap();
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &["changeover/#"]);
    follower
        .wait("it stands there", |record| !logs(record).is_empty())
        .await;
    let fed = Fed::new(&broker, "one").await;
    // It would wait for six minutes.
    let setup = fed.setup.clone().set("mirror.bookmark_ms", 120_000);
    let program = Program::start(&setup).await;
    ingest(&program.client, "a", 3).await;
    until(&program.client, "t", "it listens", |target| {
        halted(target).contains("listening whether a gateway publishes it")
    })
    .await;
    say.send(String::new()).await.unwrap();
    let epoch = async || (fed.epochs().await == 1).then_some(());
    eventually("the new epoch", START, epoch).await;
    ingest(&program.client, "b", 3).await;
    follower
        .wait("what is new comes, in a higher epoch", |record| {
            let new = record.events.iter().filter(|event| event.epoch == 4);
            new.filter(|event| event.key.starts_with('b')).count() >= 3
        })
        .await;
    assert_eq!(fed.epochs().await, 1);
    drop(say);
    publisher.await.unwrap();
}

/// One that must yield has published beside us until it heard us: clients have what it sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_who_published_beside_us_has_ended_clients_hear_of_it() {
    let broker = broker();
    let fed = Fed::new(&broker, "one").await;
    let program = Program::start(&fed.setup).await;
    ingest(&program.client, "a", 3).await;
    acknowledged(&program.client, "t", 3).await;
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &["changeover/m/+"]);
    follower.subscribed().await;
    let (say, words) = tokio::sync::mpsc::channel(4);
    let url = broker.url();
    let publisher = tokio::spawn(async move { speaker(&url, words).await });
    let greatest = "f".repeat(32);
    for head in [8, 9] {
        say.send(format!(
            r#""epoch":4,"head":{head},"generation":0,"version":1,"log":"{greatest}","every_ms":100"#
        ))
        .await
        .unwrap();
    }
    let yields = "another gateway publishes its own log there as well, and has to keep off, as its log has the greater identity: give each gateway its own `mqtt.topic_prefix`";
    eventually("it is told of", START, async || program.said(yields)).await;
    ingest(&program.client, "b", 2).await;
    follower
        .wait("ours goes on in an epoch above both", |record| {
            let mut all = record.bookmarks.iter();
            all.any(|b| b["module"] == MODULE && b["epoch"] == 5 && b["log"] != *greatest)
        })
        .await;
    until(&program.client, "t", "all is there", |target| {
        module(target)["behind"] == 0 && halted(target).is_empty()
    })
    .await;
    assert_eq!(fed.epochs().await, 1);
    drop(say);
    publisher.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_does_not_say_its_log_begins_one_epoch_and_no_more() {
    let broker = broker();
    let fed = Fed::new(&broker, "one").await;
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &["changeover/m/+"]);
    follower.subscribed().await;
    let (say, words) = tokio::sync::mpsc::channel(4);
    let url = broker.url();
    let publisher = tokio::spawn(async move { speaker(&url, words).await });
    say.send(older(1)).await.unwrap();
    follower
        .wait("it stands there", |record| !logs(record).is_empty())
        .await;

    // As after a restore with a gateway of before.
    let program = Program::start(&fed.setup).await;
    ingest(&program.client, "a", 3).await;
    let epoch = async || (fed.epochs().await == 1).then_some(());
    eventually("the new epoch", START, epoch).await;
    follower
        .wait("it publishes in the new epoch", |record| {
            let mut all = record.bookmarks.iter();
            all.any(|b| b["module"] == MODULE && b["epoch"] == 2 && b["log"].is_string())
        })
        .await;
    // The other one answers as such a gateway does.
    for epoch in 3..6 {
        say.send(older(epoch)).await.unwrap();
        follower
            .wait("it was published", |record| {
                record.bookmarks.iter().any(|b| b["epoch"] == epoch)
            })
            .await;
        until(&program.client, "t", "it keeps off", |target| {
            !halted(target).is_empty()
        })
        .await;
    }
    let from = follower.look(|record| logs(record).len());
    say.send(older(6)).await.unwrap();
    follower
        .wait("it was published", |record| logs(record).len() > from)
        .await;
    until(&program.client, "t", "it says why", |target| {
        halted(target).contains("topic_prefix")
    })
    .await;
    assert_eq!(fed.epochs().await, 1);
    drop(say);
    publisher.await.unwrap();
}
