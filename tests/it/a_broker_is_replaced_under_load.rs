//! Under a producer that never pauses: a second broker is added, both are fed, the first one is retired and then taken
//! out of the configuration. Who listens to the old one until the new one is fed, and then to the new one, has every
//! change in its order.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use changeover::config::mqtt::Protocol;
use tokio::task::JoinHandle;

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        eventually,
        follower::Follower,
        gateway::{InProcess, START, insert},
        mosquitto::Mosquitto,
        servers_are_skipped,
        targets::{acknowledged, begun, broker, done, module, route_all, setup, target, until},
    },
};

on_each_database!(without_losing_a_change);

/// Inserts one change after the other until it is told to stop; returns how many.
fn produce(database: Arc<DatabaseUnderTest>, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut producer = database.producer().await;
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            producer.execute(&insert(&format!("k{count}"), "1")).await;
            count += 1;
        }
        count
    })
}

async fn follow(broker: &Mosquitto) -> Follower {
    let filter = "changeover/c/commission/+";
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &[filter]);
    follower.subscribed().await;
    follower
}

/// The positions that came, repeats dropped: without a hole from the first to the last.
fn whole(follower: &Follower) -> (u64, u64) {
    let record = follower.record();
    let (events, sessions) = (&record.events, &record.sessions);
    let first = events[0].position;
    let mut last = first - 1;
    for event in events {
        if event.position > last {
            assert_eq!(
                event.position,
                last + 1,
                "something before {event:?} is missing; sessions {sessions:?}"
            );
            last = event.position;
        }
    }
    (first, last)
}

async fn without_losing_a_change(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let database = Arc::new(database);
    let (old, new) = (broker(), broker());
    let of_old = target("old", &old, "");
    let of_new = target("new", &new, "");
    let only_old = setup(&database, "gw-1").add(&of_old);
    let gateway = InProcess::start(&only_old).await;
    begun(&gateway.client, "old").await;
    let (at_old, at_new) = (follow(&old).await, follow(&new).await);
    let stop = Arc::new(AtomicBool::new(false));
    let producing = produce(Arc::clone(&database), Arc::clone(&stop));
    at_old
        .wait("some changes", |record| record.distinct() > 200)
        .await;
    // A target without a stored cursor would be the module's first, which begins with the log.
    let stored = "SELECT target FROM mirror_cursor WHERE target = 'old' AND position > 0";
    eventually("its cursor is stored", START, async || {
        database.text(stored).await
    })
    .await;
    gateway.stop().await;

    // Both are fed. The new one begins at the head.
    let both = setup(&database, "gw-1").add(&of_old).add(&of_new);
    let gateway = InProcess::start(&both).await;
    begun(&gateway.client, "new").await;
    at_new
        .wait("some changes", |record| record.distinct() > 200)
        .await;
    // From where the new one began, the old one has everything too.
    let (began, _) = whole(&at_new);
    let reaches = |position: u64| {
        move |record: &crate::support::follower::Record| {
            record
                .events
                .last()
                .is_some_and(|last| last.position >= position)
        }
    };
    at_old
        .wait("what the new one began with", reaches(began))
        .await;
    route_all(&gateway.client, "new").await;
    done(&gateway.client, &["retire", "old"]).await;
    until(&gateway.client, "old", "it is left", |target| {
        target["connected"] == false
    })
    .await;
    gateway.stop().await;

    let only_new = setup(&database, "gw-1").add(&of_new);
    let gateway = InProcess::start(&only_new).await;
    let (_, so_far) = whole(&at_new);
    at_new.wait("more changes", reaches(so_far + 200)).await;
    stop.store(true, Ordering::Relaxed);
    let count = producing.await.unwrap();
    acknowledged(&gateway.client, "new", count).await;
    at_new.wait("the last change", reaches(count)).await;

    let ((first, last_of_old), (first_of_new, last)) = (whole(&at_old), whole(&at_new));
    println!(
        "{:?}: {count} changes, the old broker had {first}..={last_of_old}, the new one {first_of_new}..={last}",
        database.kind
    );
    assert_eq!((first, last), (1, count));
    assert!(first_of_new > 200, "a further target begins at the head");
    assert!(first_of_new <= last_of_old, "nothing lies between them");
    let gone = crate::support::targets::look(&gateway.client, "new").await;
    assert_eq!(module(&gone)["behind"], 0, "{gone}");
    gateway.stop().await;
}
