//! A target with a rate gets no more than the rate and one burst, retained messages among it; and everything in
//! the end.

use std::time::{Duration, Instant};

use changeover::config::mqtt::Protocol;

use crate::support::{follower::Follower, mirror_rig::Rig, mosquitto::Mosquitto};

const RATE: u32 = 40;

/// What a tenth of a second brings.
const BURST: f64 = 4.0;

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn no_more_arrives_than_the_rate_and_one_burst() {
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = Mosquitto::start();
        let mut rig = Rig::new(&broker.url(), protocol, &["m1", "m2", "m3"]);
        rig.target.limits.publishes_per_s = Some(RATE);
        rig.settings.bookmark_ms = 300;
        rig.append("m1", std::iter::repeat_n("*", 60));
        rig.append("m2", std::iter::repeat_n("u1", 20));
        let follower = Follower::start(&broker.url(), protocol, "f", &["changeover/#"]);
        follower.subscribed().await;
        let began = Instant::now();
        let publisher = rig.start();
        loop {
            let (count, changes, bookmarks) = follower.look(|record| {
                let (changes, bookmarks) = (record.events.len(), record.bookmarks.len());
                (changes + bookmarks, changes, bookmarks)
            });
            // The clock is read after the count: what has come by then may only be less.
            let allowed = f64::from(RATE) * began.elapsed().as_secs_f64() + BURST;
            assert!(
                f64::from(u32::try_from(count).unwrap()) <= allowed,
                "{changes} changes and {bookmarks} bookmarks where {allowed:.1} may have come"
            );
            if changes >= 80 && bookmarks >= 6 {
                break;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{changes} changes, {bookmarks} bookmarks"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        rig.acknowledged(&publisher, "m1", 60).await;
        rig.acknowledged(&publisher, "m2", 20).await;
        publisher.stop().await;
    }
}
