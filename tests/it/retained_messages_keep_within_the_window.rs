//! Many modules flip at once: their retained messages keep within what may be outstanding, like changes do, and neither
//! they nor the changes are held up for ever by the others.

use std::{collections::BTreeSet, time::Duration};

use changeover::config::mqtt::Protocol;

use crate::support::{
    channel_witness::ChannelWitness, follower::Follower, mirror_rig::Rig, mosquitto::Mosquitto,
};

const MODULES: usize = 60;
const INFLIGHT: u16 = 4;
const CHANGES: u64 = 40_000;

#[tokio::test]
async fn beside_a_busy_module() {
    let broker = Mosquitto::start();
    let witness = ChannelWitness::before(broker.port()).await;
    let names: Vec<_> = (0..MODULES).map(|n| format!("m{n}")).collect();
    let modules: Vec<_> = names.iter().map(String::as_str).collect();
    let mut rig = Rig::new(&witness.url(), Protocol::V5, &modules);
    rig.settings.inflight = INFLIGHT;
    rig.settings.bookmark_ms = 100;
    let follower = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/m/+"]);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.acknowledged(&publisher, "m0", 0).await;
    rig.append(
        "m0",
        std::iter::repeat_n("*", usize::try_from(CHANGES).unwrap()),
    );
    // Twice, because the first round may be out before the changes.
    for round in 1..=2 {
        let before = follower.look(|record| record.bookmarks.len());
        follower
            .wait("a message of each module", |record| {
                let told = record.bookmarks[before..].iter();
                let told: BTreeSet<_> = told.map(|told| told["module"].to_string()).collect();
                told.len() == MODULES
            })
            .await;
        let busy = publisher.status.module(&"m0".parse().unwrap()).unwrap();
        println!("round {round}: {} changes wait", busy.behind);
        assert!(
            busy.behind > 0,
            "they came only when nothing else was to be sent"
        );
    }
    rig.acknowledged(&publisher, "m0", CHANGES).await;
    crate::support::within("a stop", Duration::from_secs(30), publisher.stop()).await;
    let most = witness.look(|seen| seen.most_outstanding);
    println!("at most {most} were outstanding");
    assert!(most <= usize::from(INFLIGHT), "{most}");
}
