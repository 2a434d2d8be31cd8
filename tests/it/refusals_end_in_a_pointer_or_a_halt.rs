//! What a broker refuses is tried again, then sent as a pointer; if that is refused too, its module halts there
//! and goes on by itself when the cause is gone. Nothing is left out.

use std::{collections::BTreeSet, time::Duration};

use changeover::{
    config::mqtt::Protocol,
    domain::{JsonText, ModuleName},
};

use crate::support::{
    eventually,
    follower::Follower,
    mirror_rig::{Rig, Running},
    mosquitto::Mosquitto,
};

const PATIENCE: Duration = Duration::from_mins(1);

/// Only `good` may be published.
const STRICT: &str =
    "topic write changeover/c/good/#\ntopic readwrite changeover/m/#\ntopic read #\n";

fn strict_broker() -> Mosquitto {
    let lines = "allow_anonymous true\nacl_file {dir}/acl\n";
    Mosquitto::start_with_files(lines, &[("acl", STRICT)])
}

async fn halted(running: &Running, module: &str) -> String {
    let module: ModuleName = module.parse().unwrap();
    eventually("the module halts", PATIENCE, async || {
        running.status.module(&module)?.halted
    })
    .await
}

/// Several at once, so that each has its tries although all of them are refused on each connection.
#[tokio::test]
async fn a_module_of_which_everything_is_refused_halts_and_goes_on_when_it_may() {
    let broker = strict_broker();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["bad", "good"]);
    rig.settings.halt_retry_ms = 500;
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.append("bad", std::iter::repeat_n("*", 20));
    rig.append("good", ["*"]);
    let reason = halted(&publisher, "bad").await;
    assert!(
        reason.starts_with("position 1: refused 5 times, and as a pointer: NotAuthorized"),
        "{reason}"
    );
    rig.append("good", ["*"]);
    rig.acknowledged(&publisher, "good", 2).await;
    assert!(follower.look(|record| record.events.iter().all(|e| e.module == "good")));

    broker.reload("acl", "topic readwrite #\n");
    rig.acknowledged(&publisher, "bad", 20).await;
    let bad: ModuleName = "bad".parse().unwrap();
    eventually("the halt is forgotten", PATIENCE, async || {
        let status = publisher.status.module(&bad)?;
        status.halted.is_none().then_some(())
    })
    .await;
    follower
        .wait("everything of it", |record| {
            let ours = record.events.iter().filter(|event| event.module == "bad");
            let positions: BTreeSet<_> = ours.map(|event| event.position).collect();
            positions == (1..=20).collect()
        })
        .await;
    publisher.stop().await;
    assert_eq!(rig.store.cursor(&bad).unwrap().cursor.position.get(), 20);
}

/// A module that rests makes no noise: other modules keep their connection.
#[tokio::test]
async fn a_halted_module_leaves_the_others_alone() {
    let broker = strict_broker();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["bad", "good"]);
    rig.settings.halt_retry_ms = 86_400_000;
    let publisher = rig.start();
    rig.append("bad", ["*", "*"]);
    halted(&publisher, "bad").await;
    rig.append("good", ["*"]);
    rig.acknowledged(&publisher, "good", 1).await;
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    for position in 2..=200 {
        rig.append("good", ["*"]);
        rig.acknowledged(&publisher, "good", position).await;
    }
    follower
        .wait("all of them", |record| record.events.len() >= 199)
        .await;
    publisher.stop().await;
    let positions: Vec<_> = follower
        .record()
        .events
        .iter()
        .map(|e| e.position)
        .collect();
    assert_eq!(
        positions,
        (2..=200).collect::<Vec<_>>(),
        "a connection was lost"
    );
}

/// `message_size_limit` is never announced. On MQTT 5 Mosquitto refuses with 0x95, which no PUBACK should have: our
/// client ends the connection over it. The pointer is small enough.
#[tokio::test]
async fn what_is_refused_for_its_size_goes_as_a_pointer() {
    let broker = Mosquitto::start_with("allow_anonymous true\nmessage_size_limit 5000\n");
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.append("m1", ["*"]);
    let large = JsonText::parse(&format!("\"{}\"", "x".repeat(10_000))).unwrap();
    rig.append_values(
        "m1",
        [("*", large.clone()), ("*", JsonText::null()), ("*", large)],
    );
    rig.acknowledged(&publisher, "m1", 4).await;
    follower
        .wait("the last", |record| {
            record.events.iter().any(|e| e.position == 4)
        })
        .await;
    publisher.stop().await;
    let events = follower.record().events;
    let forms: BTreeSet<_> = events
        .iter()
        .map(|e| (e.position, e.dataref.is_some()))
        .collect();
    let expected = BTreeSet::from([(1, false), (2, true), (3, false), (4, true)]);
    assert_eq!(forms, expected);
}
