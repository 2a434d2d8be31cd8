//! What the mirror does while nobody kills anything, and when leases, brokers and databases come and go.

use std::time::{Duration, Instant};

use changeover::{
    config::{mqtt::Protocol, tail},
    domain::{ModuleName, Stage},
    mirror::mqtt::{Link, LinkOptions, Signal},
};

use crate::support::{
    eventually,
    follower::Follower,
    mirror_rig::{Rig, Running},
    mosquitto::Mosquitto,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn positions(follower: &Follower) -> Vec<u64> {
    follower.look(|record| record.events.iter().map(|event| event.position).collect())
}

async fn halted(running: &Running, module: &str) -> String {
    let module: ModuleName = module.parse().unwrap();
    eventually("the module halts", PATIENCE, async || {
        running.status.module(&module)?.halted
    })
    .await
}

async fn both(test: impl AsyncFn(Protocol)) {
    test(Protocol::V5).await;
    test(Protocol::V311).await;
}

#[tokio::test]
async fn changes_arrive_in_order_with_their_predecessors() {
    both(async |protocol| {
        let broker = Mosquitto::start();
        let mut rig = Rig::new(&broker.url(), protocol, &["m1"]);
        let follower = Follower::start(&broker.url(), protocol, "f", &["changeover/#"]);
        follower.subscribed().await;
        let publisher = rig.start();
        rig.append("m1", ["*", "u1", "*", "a/b"]);
        follower
            .wait("four events", |record| record.events.len() == 4)
            .await;
        let record = follower.record();
        let seen: Vec<_> = record
            .events
            .iter()
            .map(|e| (e.topic.as_str(), e.position, e.previous))
            .collect();
        assert_eq!(
            seen,
            [
                ("changeover/c/m1/_all", 1, 0),
                ("changeover/c/m1/u1", 2, 0),
                ("changeover/c/m1/_all", 3, 1),
                ("changeover/c/m1/a=2Fb", 4, 0),
            ]
        );
        follower
            .wait("a bookmark at 4", |record| {
                record.bookmarks.iter().any(|b| b["head"] == 4)
            })
            .await;
        publisher.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_flip_is_told_within_a_second_and_retained() {
    let broker = Mosquitto::start();
    let rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    let publisher = rig.start();
    let early = Follower::start(&broker.url(), Protocol::V5, "early", &["changeover/m/m1"]);
    early
        .wait("the first bookmark", |record| !record.bookmarks.is_empty())
        .await;
    let mut record = (*rig.flags.record(&"m1".parse().unwrap()).unwrap()).clone();
    record.stage = Stage::Ramp;
    record.version = 7;
    let asked = Instant::now();
    rig.flags.adopt(&[record]);
    early
        .wait("the flip", |record| {
            record.bookmarks.last().unwrap()["version"] == 7
        })
        .await;
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    let late = Follower::start(&broker.url(), Protocol::V5, "late", &["changeover/m/m1"]);
    late.wait("the retained message", |record| {
        !record.bookmarks.is_empty()
    })
    .await;
    let shown = late.record().bookmarks[0].clone();
    assert_eq!(shown["stage_requested"], "ramp");
    assert_eq!(shown["generation"], 0);
    publisher.stop().await;
}

#[tokio::test]
async fn a_crash_repeats_and_never_skips() {
    let broker = Mosquitto::start();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    for round in 1..=5_u64 {
        let publisher = rig.start();
        rig.append("m1", std::iter::repeat_n("*", 500));
        rig.acknowledged(&publisher, "m1", round * 500 - 250).await;
        publisher.crash().await;
    }
    let publisher = rig.start();
    rig.acknowledged(&publisher, "m1", 2_500).await;
    publisher.stop().await;
    follower
        .wait("the last", |record| {
            record.events.iter().any(|e| e.position == 2_500)
        })
        .await;
    let mut seen = positions(&follower);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (1..=2_500).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_the_tail_has_forgotten_comes_from_the_database() {
    let broker = Mosquitto::start();
    let bounds = tail::Tail {
        changes: 10,
        ..tail::Tail::default()
    };
    let mut rig = Rig::with_tail(&broker.url(), Protocol::V5, &["m1", "m2"], &bounds);
    rig.settings.batch = 700;
    rig.append("m1", std::iter::repeat_n("*", 600));
    rig.append("m2", std::iter::repeat_n("*", 650));
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/m1/+"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.acknowledged(&publisher, "m1", 600).await;
    rig.acknowledged(&publisher, "m2", 650).await;
    follower
        .wait("all of m1", |record| record.events.len() == 600)
        .await;
    assert_eq!(positions(&follower), (1..=600).collect::<Vec<_>>());
    publisher.stop().await;
}

#[tokio::test]
async fn a_new_target_of_an_old_log_begins_at_its_head() {
    let broker = Mosquitto::start();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    rig.settings.batch = 100;
    rig.append("m1", std::iter::repeat_n("*", 101));
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.acknowledged(&publisher, "m1", 101).await;
    rig.append("m1", ["*"]);
    follower
        .wait("the new change", |record| !record.events.is_empty())
        .await;
    assert_eq!(positions(&follower), [102]);
    publisher.stop().await;
}

#[tokio::test]
async fn a_lost_lease_stops_its_module_and_no_other() {
    let broker = Mosquitto::start();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1", "m2"]);
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/c/m1/+"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.append("m1", ["*", "*"]);
    rig.acknowledged(&publisher, "m1", 2).await;
    rig.unlead("m1", 1);
    let m1: ModuleName = "m1".parse().unwrap();
    eventually("the lane closes", PATIENCE, async || {
        publisher.status.module(&m1).is_none().then_some(())
    })
    .await;
    rig.append("m1", ["*"]);
    rig.append("m2", ["*"]);
    rig.acknowledged(&publisher, "m2", 1).await;
    assert_eq!(positions(&follower), [1, 2]);
    rig.lead("m1", 2);
    rig.acknowledged(&publisher, "m1", 3).await;
    follower
        .wait("the third", |record| {
            record.events.iter().any(|e| e.position == 3)
        })
        .await;
    publisher.stop().await;
}

#[tokio::test]
async fn a_stolen_lease_is_noticed_at_the_cursor() {
    let broker = Mosquitto::start();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    let publisher = rig.start();
    rig.append("m1", ["*"]);
    rig.acknowledged(&publisher, "m1", 1).await;
    let m1: ModuleName = "m1".parse().unwrap();
    eventually("the row", PATIENCE, async || {
        rig.store
            .cursor(&m1)
            .filter(|c| c.cursor.position.get() == 1)
    })
    .await;
    // The database has given the lease away; this replica does not know it yet.
    rig.store.take_over(&m1, 9);
    rig.append("m1", ["*"]);
    eventually("the lane closes", PATIENCE, async || {
        publisher.status.module(&m1).is_none().then_some(())
    })
    .await;
    assert_eq!(rig.store.cursor(&m1).unwrap().cursor.position.get(), 1);
    publisher.stop().await;
}

#[tokio::test]
async fn a_database_that_is_away_does_not_stop_the_tail() {
    let broker = Mosquitto::start();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    let publisher = rig.start();
    rig.append("m1", ["*"]);
    rig.acknowledged(&publisher, "m1", 1).await;
    rig.store.set_down(true);
    rig.append("m1", std::iter::repeat_n("*", 100));
    rig.acknowledged(&publisher, "m1", 101).await;
    rig.store.set_down(false);
    let m1: ModuleName = "m1".parse().unwrap();
    eventually("the row", PATIENCE, async || {
        rig.store
            .cursor(&m1)
            .filter(|c| c.cursor.position.get() == 101)
    })
    .await;
    publisher.stop().await;
}

#[tokio::test]
async fn a_refused_module_halts_with_its_reason_and_the_others_go_on() {
    let acl = "topic write changeover/c/good/#\ntopic readwrite changeover/m/#\ntopic read #\n";
    let broker = Mosquitto::start_with_files(
        "allow_anonymous true\nacl_file {dir}/acl\n",
        &[("acl", acl)],
    );
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["bad", "good"]);
    let publisher = rig.start();
    rig.append("bad", ["*"]);
    rig.append("good", ["*", "*"]);
    let reason = halted(&publisher, "bad").await;
    assert!(
        reason.contains("position 1") && reason.contains("NotAuthorized"),
        "{reason}"
    );
    rig.append("good", ["*"]);
    rig.acknowledged(&publisher, "good", 3).await;
    let bad = publisher.status.module(&"bad".parse().unwrap()).unwrap();
    assert_eq!((bad.acknowledged.position.get(), bad.behind), (0, 1));
    publisher.stop().await;
}

#[tokio::test]
async fn a_module_far_behind_does_not_starve_another() {
    let broker = Mosquitto::start();
    let mut rig = Rig::new(&broker.url(), Protocol::V311, &["big", "small"]);
    rig.settings.batch = 10_000;
    rig.settings.inflight = 100;
    rig.append("big", std::iter::repeat_n("*", 9_999));
    let follower = Follower::start(&broker.url(), Protocol::V311, "f", &["changeover/c/#"]);
    follower.subscribed().await;
    rig.append("small", ["*"]);
    let publisher = rig.start();
    rig.acknowledged(&publisher, "small", 1).await;
    let before = follower
        .record()
        .events
        .iter()
        .take_while(|event| event.module == "big")
        .count();
    assert!(
        before < 1_000,
        "{before} changes of the other module came first"
    );
    rig.acknowledged(&publisher, "big", 9_999).await;
    publisher.stop().await;
}

#[tokio::test]
async fn a_broker_that_lost_its_state_gets_the_last_moments_again() {
    both(async |protocol| {
        let mut broker = Mosquitto::start();
        let mut rig = Rig::new(&broker.url(), protocol, &["m1"]);
        let publisher = rig.start();
        rig.append("m1", std::iter::repeat_n("*", 20));
        rig.acknowledged(&publisher, "m1", 20).await;
        broker.kill();
        broker.restart();
        let follower = Follower::start(&broker.url(), protocol, "f", &["changeover/#"]);
        follower
            .wait("the repeats", |record| {
                record.events.iter().any(|e| e.position == 20)
            })
            .await;
        assert_eq!(positions(&follower).first(), Some(&1));
        follower
            .wait("the generation", |record| {
                record.bookmarks.iter().any(|b| b["generation"] == 1)
            })
            .await;
        let m1: ModuleName = "m1".parse().unwrap();
        eventually("it is stored", PATIENCE, async || {
            rig.store
                .cursor(&m1)
                .filter(|c| c.generation == 1 && c.cursor.position.get() == 20)
        })
        .await;
        publisher.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_restarted_gateway_tells_a_broker_that_kept_its_state_from_one_that_did_not() {
    let mut broker = Mosquitto::start();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    let publisher = rig.start();
    rig.append("m1", std::iter::repeat_n("*", 20));
    rig.acknowledged(&publisher, "m1", 20).await;
    publisher.stop().await;
    let m1: ModuleName = "m1".parse().unwrap();

    let publisher = rig.start();
    rig.append("m1", ["*"]);
    rig.acknowledged(&publisher, "m1", 21).await;
    publisher.stop().await;
    assert_eq!(
        rig.store.cursor(&m1).unwrap().generation,
        0,
        "the broker has lost nothing"
    );

    broker.stop();
    broker.restart();
    let publisher = rig.start();
    eventually("the loss is seen", PATIENCE, async || {
        rig.store.cursor(&m1).filter(|c| c.generation == 1)
    })
    .await;
    publisher.stop().await;
}

#[tokio::test]
async fn a_broker_that_stands_still_is_left_and_found_again() {
    let broker = Mosquitto::start();
    let mut rig = Rig::new(&broker.url(), Protocol::V5, &["m1"]);
    rig.settings.keep_alive_s = 5;
    let publisher = rig.start();
    rig.append("m1", ["*"]);
    rig.acknowledged(&publisher, "m1", 1).await;
    broker.pause();
    rig.append("m1", ["*"]);
    eventually("the broker is left", PATIENCE, async || {
        (!publisher.status.connected()).then_some(())
    })
    .await;
    broker.resume();
    rig.acknowledged(&publisher, "m1", 2).await;
    publisher.stop().await;
}

/// Not a proof of anything on a busy machine: run it alone, `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn how_fast_it_is() {
    const CHANGES: u32 = 100_000;
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = Mosquitto::start();
        let bounds = tail::Tail {
            changes: 200_000,
            bytes: 1 << 30,
            ..tail::Tail::default()
        };
        let mut rig = Rig::with_tail(&broker.url(), protocol, &["m1"], &bounds);
        let publisher = rig.start();
        rig.append("m1", ["*"]);
        rig.acknowledged(&publisher, "m1", 1).await;
        rig.append("m1", std::iter::repeat_n("u1", CHANGES as usize));
        let began = Instant::now();
        rig.acknowledged(&publisher, "m1", 1 + u64::from(CHANGES))
            .await;
        let rate = f64::from(CHANGES) / began.elapsed().as_secs_f64();
        println!("{protocol:?}: {rate:.0} changes/s from the tail to PUBACK");
        publisher.stop().await;
    }
}

/// Another client under our id makes the broker throw us out, in the middle of everything. The broker
/// loses nothing by it, so a subscriber must get every single change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_skips_nothing() {
    const CHANGES: u64 = 20_000;
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 0\n");
        let bounds = tail::Tail {
            changes: 30_000,
            ..tail::Tail::default()
        };
        let mut rig = Rig::with_tail(&broker.url(), protocol, &["m1"], &bounds);
        let follower = Follower::start(&broker.url(), protocol, "f", &["changeover/c/#"]);
        follower.subscribed().await;
        let publisher = rig.start();
        rig.acknowledged(&publisher, "m1", 0).await;
        rig.append("m1", std::iter::repeat_n("*", 20_000));
        let mut cuts = 0;
        for position in (1..=8).map(|slice| slice * CHANGES / 10) {
            rig.acknowledged(&publisher, "m1", position).await;
            cut(&rig).await;
            cuts += u64::from(follower.look(|record| record.events.len() as u64) < CHANGES);
        }
        rig.acknowledged(&publisher, "m1", CHANGES).await;
        publisher.stop().await;
        follower
            .wait("the last", |record| {
                record.events.iter().any(|e| e.position == CHANGES)
            })
            .await;
        let mut seen = positions(&follower);
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        println!("{protocol:?}: {cuts} cuts, {} came twice", all - seen.len());
        assert!(cuts > 0, "it was too fast to be cut");
        assert_eq!(seen, (1..=CHANGES).collect::<Vec<_>>());
        let m1: ModuleName = "m1".parse().unwrap();
        assert_eq!(rig.store.cursor(&m1).unwrap().generation, 0);
    }
}

/// Connects under the publisher's client id and leaves again.
async fn cut(rig: &Rig) {
    let mut thief = Link::open(&LinkOptions {
        endpoint: rig.target.endpoint.clone(),
        client_id: rig.target.client_id.clone(),
        keep_alive: Duration::from_secs(5),
        inflight: 1,
        session: Some(Duration::from_hours(1)),
        max_packet_bytes: 1024 * 1024,
    });
    let signals = thief.next().await.unwrap();
    assert!(
        matches!(signals[0], Signal::Connected { .. }),
        "{signals:?}"
    );
}
