//! A broker that takes a publish and leaves it without an answer holds up nothing for ever: the connection is given up in
//! time, the change is tried again, then sent as a pointer, then its module halts; other modules go on. Nobody is blamed for a
//! broker that answers nothing at all, or slowly.

use std::time::Duration;

use changeover::{
    config::mqtt::Protocol,
    domain::{JsonText, ModuleName},
};
use tokio::{task::block_in_place, time::Instant};

use crate::support::{
    broker::Broker,
    deaf::Deaf,
    eventually,
    follower::Follower,
    mirror_rig::{Rig, Running},
    mosquitto::Mosquitto,
    proxy::{Proxy, Way, Weather},
    rabbitmq::RabbitMq,
    servers_are_skipped,
};

const PATIENCE: Duration = Duration::from_mins(1);
const ACK_TIMEOUT_MS: u64 = 400;
const TRIES: u32 = 2;

/// A mirror that loses patience quickly.
fn impatient(url: &str, protocol: Protocol, modules: &[&str]) -> Rig {
    let mut rig = Rig::new(url, protocol, modules);
    rig.settings.ack_timeout_ms = ACK_TIMEOUT_MS;
    rig.settings.refusal_tries = TRIES;
    rig.settings.settle_ms = 50;
    rig
}

fn large() -> JsonText {
    JsonText::parse(&format!("\"{}\"", "x".repeat(20_000))).unwrap()
}

fn status(running: &Running, module: &str) -> changeover::mirror::ModuleStatus {
    let module: ModuleName = module.parse().unwrap();
    running.status.module(&module).unwrap()
}

async fn halted(running: &Running, module: &str) -> String {
    let module: ModuleName = module.parse().unwrap();
    eventually("the module halts", PATIENCE, async || {
        running.status.module(&module)?.halted
    })
    .await
}

/// RabbitMQ passes over a message above `max_message_size` without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_gets_a_pointer_for_what_is_above_its_size() {
    if servers_are_skipped() {
        return;
    }
    let rabbitmq = block_in_place(|| RabbitMq::start_with("max_message_size = 10000\n"));
    let url = format!("mqtt://127.0.0.1:{}", rabbitmq.port());
    let mut rig = impatient(&url, Protocol::V311, &["mixed", "small"]);
    // A busy machine may be slow to answer.
    rig.settings.ack_timeout_ms = 2_000;
    let filters = ["changeover/c/mixed/_all", "changeover/c/small/_all"];
    let follower = Follower::start(&url, Protocol::V311, "sizes", &filters);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.append("small", ["*"; 5]);
    rig.append("mixed", ["*"]);
    rig.append_values("mixed", [("*", large()), ("*", JsonText::null())]);
    rig.append("small", ["*"; 5]);
    rig.acknowledged(&publisher, "mixed", 3).await;
    rig.acknowledged(&publisher, "small", 10).await;
    follower
        .wait("all of both", |record| {
            let of = |module: &str| {
                let ours = record.events.iter().filter(|event| event.module == module);
                ours.map(|event| event.position).max().unwrap_or_default()
            };
            of("mixed") == 3 && of("small") == 10
        })
        .await;
    for module in ["mixed", "small"] {
        assert_eq!(status(&publisher, module).halted, None);
    }
    publisher.stop().await;
    follower.look(|record| {
        for event in &record.events {
            let pointed = (event.module.as_str(), event.position) == ("mixed", 2);
            assert_eq!(event.dataref.is_some(), pointed, "{event:?}");
        }
    });
}

/// The whole goes unheard, its pointer does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_answered_goes_as_a_pointer() {
    let broker = Mosquitto::start();
    let deaf = Deaf::before(broker.port(), |_, packet| packet.len() > 10_000).await;
    let mut rig = impatient(&deaf.url(), Protocol::V5, &["m1", "m2", "m3"]);
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.append("m1", ["*"; 50]);
    rig.append_values("m1", [("*", large())]);
    rig.append("m1", ["*"; 50]);
    for module in ["m2", "m3"] {
        rig.append(module, ["*"; 100]);
    }
    rig.acknowledged(&publisher, "m2", 100).await;
    rig.acknowledged(&publisher, "m3", 100).await;
    rig.acknowledged(&publisher, "m1", 101).await;
    for module in ["m1", "m2", "m3"] {
        assert_eq!(status(&publisher, module).halted, None);
    }
    publisher.stop().await;
    // Once among others, and then alone.
    assert_eq!(deaf.unheard(), u64::from(1 + TRIES));
    follower
        .wait("all of it", |record| record.distinct_of("m1") == 101)
        .await;
    follower.look(|record| {
        let pointers: Vec<_> = record
            .events
            .iter()
            .filter(|e| e.dataref.is_some())
            .collect();
        assert_eq!(pointers.len(), 1);
        assert_eq!(pointers[0].position, 51);
    });
    let repeats = follower.look(|record| {
        let of = |module| {
            record
                .events
                .iter()
                .filter(move |e| e.module == module)
                .count()
        };
        (of("m2") - 100, of("m3") - 100)
    });
    println!(
        "repeats of the others: {repeats:?}; {} connections",
        deaf.connections()
    );
}

/// Neither the changes of a module nor their pointers are heard. The others go on, before and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_is_never_answered_halts_and_goes_on_when_it_is() {
    let broker = Mosquitto::start();
    let deaf = Deaf::before(broker.port(), |topic, _| topic.contains("/c/bad/")).await;
    let mut rig = impatient(&deaf.url(), Protocol::V5, &["bad", "good"]);
    rig.settings.halt_retry_ms = 1_000;
    let publisher = rig.start();
    rig.append("bad", ["*"; 20]);
    rig.append("good", ["*"; 20]);
    let reason = halted(&publisher, "bad").await;
    println!("{reason}");
    assert!(
        reason.starts_with("position 1: sent 2 times, and as a pointer, and never acknowledged"),
        "{reason}"
    );
    rig.append("good", ["*"; 20]);
    rig.acknowledged(&publisher, "good", 40).await;
    assert_eq!(status(&publisher, "good").halted, None);

    deaf.recovers();
    rig.acknowledged(&publisher, "bad", 20).await;
    eventually("the halt is forgotten", PATIENCE, async || {
        status(&publisher, "bad").halted.is_none().then_some(())
    })
    .await;
    publisher.stop().await;
}

/// It lets the mirror in, and then hears no publish at all, retained messages included: that is no change's fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_answers_nothing_halts_nobody() {
    let broker = Mosquitto::start();
    let deaf = Deaf::before(broker.port(), |_, _| true).await;
    let mut rig = impatient(&deaf.url(), Protocol::V5, &["m1", "m2"]);
    let publisher = rig.start();
    rig.append("m1", ["*"; 20]);
    rig.append("m2", ["*"; 20]);
    // More than it takes to halt a module that is to blame.
    let enough = u64::from(4 * TRIES + 4);
    eventually("many connections are given up", PATIENCE, async || {
        (deaf.connections() >= enough).then_some(())
    })
    .await;
    for module in ["m1", "m2"] {
        assert_eq!(status(&publisher, module).halted, None);
    }
    deaf.recovers();
    rig.acknowledged(&publisher, "m1", 20).await;
    rig.acknowledged(&publisher, "m2", 20).await;
    publisher.stop().await;
}

/// SIGSTOP again and again, each time for several deadlines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_for_a_while_halts_nobody() {
    let broker = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 0\n");
    let mut rig = impatient(&broker.url(), Protocol::V5, &["m1", "m2"]);
    rig.settings.refusal_tries = 1;
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    let publisher = rig.start();
    for round in 1..=3 {
        rig.append("m1", ["*"; 500]);
        rig.append("m2", ["*"; 500]);
        rig.acknowledged(&publisher, "m1", round * 1_000 - 700)
            .await;
        broker.pause();
        rig.append("m1", ["*"; 500]);
        rig.append("m2", ["*"; 500]);
        eventually("the connection is given up", PATIENCE, async || {
            (!publisher.status.connected()).then_some(())
        })
        .await;
        broker.resume();
        for module in ["m1", "m2"] {
            rig.acknowledged(&publisher, module, round * 1_000).await;
            assert_eq!(status(&publisher, module).halted, None);
        }
    }
    publisher.stop().await;
    follower
        .wait("all of both", |record| {
            record.distinct_of("m1") == 3_000 && record.distinct_of("m2") == 3_000
        })
        .await;
}

/// A window of a thousand takes far longer than the deadline, but something is acknowledged all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_broker_that_goes_on_answering_keeps_its_connection() {
    let broker = Broker::mosquitto();
    let proxy = Proxy::before(broker.port(), 0).await;
    proxy.set(Weather {
        to_server: Way::Slow(80_000),
        to_client: Way::Delay(Duration::from_millis(200)),
        resets_after: None,
    });
    let mut rig = impatient(&proxy.url(), Protocol::V5, &["m1"]);
    rig.settings.ack_timeout_ms = 1_500;
    let publisher = rig.start();
    rig.append("m1", ["*"; 1_000]);
    let began = Instant::now();
    rig.acknowledged(&publisher, "m1", 1_000).await;
    println!("took {:?}", began.elapsed());
    assert!(
        began.elapsed() > 2 * Duration::from_millis(1_500),
        "not slow"
    );
    publisher.stop().await;
    assert_eq!(proxy.opened(), 1);
}
