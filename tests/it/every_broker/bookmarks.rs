//! The retained message of a module is there for who comes late, and for the gateway itself: a connection that was only cut
//! is not taken for a broker that has lost its state.

use std::time::Duration;

use changeover::mirror::mqtt::{Link, LinkOptions, Signal};

use super::{Case, on_each_broker};
use crate::support::{eventually, follower::Follower, within};

const PATIENCE: Duration = Duration::from_secs(30);

on_each_broker!(who_comes_late_sees_how_far_it_is);
on_each_broker!(a_cut_connection_repeats_nothing);

async fn who_comes_late_sees_how_far_it_is(case: Case) {
    let mut rig = case.rig(&["bkm"]);
    let publisher = rig.start();
    rig.append("bkm", ["*", "u1", "*"]);
    rig.acknowledged(&publisher, "bkm", 3).await;
    // At a clean stop it says how far it got.
    publisher.stop().await;
    let late = Follower::start(
        &case.broker.url(),
        case.protocol,
        "bkm-late",
        &["changeover/m/bkm"],
    );
    late.wait("the retained message", |record| {
        !record.bookmarks.is_empty()
    })
    .await;
    let shown = late.record().bookmarks[0].clone();
    assert_eq!(
        (&shown["module"], &shown["head"]),
        (&"bkm".into(), &3.into())
    );
}

async fn a_cut_connection_repeats_nothing(case: Case) {
    let mut rig = case.rig(&["cut"]);
    let follower = Follower::start(
        &case.broker.url(),
        case.protocol,
        "cut-follower",
        &["changeover/c/cut/+"],
    );
    follower.subscribed().await;
    let publisher = rig.start();
    let cut = "cut".parse().unwrap();
    for round in 1..=3_u64 {
        rig.append("cut", std::iter::repeat_n("*", 10));
        rig.acknowledged(&publisher, "cut", round * 10).await;
        let bookmark = Follower::start(
            &case.broker.url(),
            case.protocol,
            "cut-bookmark",
            &["changeover/m/cut"],
        );
        bookmark
            .wait("the bookmark", |record| {
                record.bookmarks.iter().any(|b| b["head"] == round * 10)
            })
            .await;
        drop(bookmark);
        throw_out(&case).await;
        eventually("the connection is lost", PATIENCE, async || {
            (!publisher.status.connected()).then_some(())
        })
        .await;
    }
    rig.append("cut", ["*"]);
    rig.acknowledged(&publisher, "cut", 31).await;
    follower
        .wait("the last", |record| {
            record.events.iter().any(|event| event.position == 31)
        })
        .await;
    let status = publisher.status.module(&cut).unwrap();
    assert_eq!(status.generation, 0, "the broker has lost nothing");
    let record = follower.record();
    assert_eq!(record.events.len(), 31, "{:?}", record.events.len());
    publisher.stop().await;
}

/// Connects with the gateway's client id, which ends its connection and not its session, and goes.
async fn throw_out(case: &Case) {
    let options = LinkOptions {
        endpoint: case.endpoint(),
        client_id: case.client_id.clone(),
        keep_alive: Duration::from_secs(30),
        inflight: 1,
        session: Some(Duration::from_hours(1)),
        max_packet_bytes: 1024 * 1024,
    };
    let mut link = Link::open(&options);
    let admitted = async {
        loop {
            let signals = link.next().await.expect("it is let in");
            if signals
                .iter()
                .any(|signal| matches!(signal, Signal::Connected { .. }))
            {
                return;
            }
        }
    };
    within("the other is let in", PATIENCE, admitted).await;
}
