//! Clients that subscribe and drop leave sessions behind: there are never more than configured, and
//! neither the gateway nor those who were there before feel it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use changeover::{
    broker::{Addresses, EmbeddedBroker, GatewayLogin},
    config::{broker::Broker, mqtt::Protocol},
    cutover::Census,
    mirror::mqtt::{Endpoint, Link, LinkOptions, Signal},
};
use tokio_util::sync::CancellationToken;

use crate::support::{eventually, follower::Follower, mirror_rig::Rig, within};

const PATIENCE: Duration = Duration::from_secs(20);
const CLIENT_ID: &str = "changeover-test-1";
const BOUND: usize = 4;
const VERSIONS: [Protocol; 2] = [Protocol::V5, Protocol::V311];

/// Connects, subscribes to everything and drops. `session_present`, or `None` if refused.
async fn come_and_go(url: &str, protocol: Protocol, id: &str, kept: Option<u64>) -> Option<bool> {
    let mut link = Link::open(&LinkOptions {
        endpoint: Endpoint::parse(url, protocol).unwrap(),
        client_id: id.to_owned(),
        keep_alive: Duration::from_secs(5),
        inflight: 10,
        session: kept.map(Duration::from_secs),
        max_packet_bytes: 1024 * 1024,
    });
    within("an answer", PATIENCE, async {
        let mut present = None;
        while let Some(signals) = link.next().await {
            for signal in signals {
                match signal {
                    Signal::Connected {
                        session_present, ..
                    } => {
                        present = Some(session_present);
                        link.subscribe(&["#".to_owned()], true).unwrap();
                    }
                    Signal::Subscribed(granted) => {
                        assert!(granted.is_granted());
                        return present;
                    }
                    Signal::Closed(_) => return None,
                    _ => {}
                }
            }
        }
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_and_goes_takes_no_more_than_the_bound() {
    let bounds = Broker {
        max_sessions: BOUND,
        ..Broker::default()
    };
    let login = GatewayLogin::random(CLIENT_ID);
    let addresses = Addresses {
        mqtt: SocketAddr::from(([127, 0, 0, 1], 0)),
        websocket: None,
    };
    let broker = EmbeddedBroker::bind(
        &bounds,
        addresses,
        &login,
        None,
        Arc::new(Census::nobodys()),
    )
    .unwrap();
    let url = format!("mqtt://{}", broker.addresses().mqtt);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(broker.serve(stop.clone()));

    let follower = Follower::start(&url, Protocol::V5, "good", &["changeover/c/m1/+"]);
    follower.subscribed().await;

    // One place is taken for good. Sessions that end with their connection give theirs back.
    for n in 0..2 * BOUND {
        let version = VERSIONS[n % 2];
        eventually("a place that was given back", PATIENCE, async || {
            come_and_go(&url, version, &format!("brief-{n}"), None).await
        })
        .await;
    }
    // The brief ones have all left before the last places are given away.
    for n in 1..BOUND {
        eventually("a place", PATIENCE, async || {
            let id = format!("kept-{n}");
            come_and_go(&url, VERSIONS[n % 2], &id, Some(u64::from(u32::MAX))).await
        })
        .await;
    }
    for n in BOUND..4 * BOUND {
        let id = format!("kept-{n}");
        let answer = come_and_go(&url, VERSIONS[n % 2], &id, Some(u64::from(u32::MAX))).await;
        assert_eq!(answer, None, "{id} is one too many");
        let answer = come_and_go(&url, VERSIONS[n % 2], &id, None).await;
        assert_eq!(answer, None, "{id} is one too many, however brief");
    }
    // Who has a session comes back to it.
    for n in 1..BOUND {
        let id = format!("kept-{n}");
        let answer = come_and_go(&url, VERSIONS[n % 2], &id, Some(u64::from(u32::MAX))).await;
        assert_eq!(answer, Some(true), "{id}");
    }

    // The gateway comes last, when everything is full.
    let mut rig = Rig::new(&url, Protocol::V5, &["m1"]);
    let (user, password) = login.credentials();
    rig.target.endpoint = rig.target.endpoint.with_login(user, password);
    let publisher = rig.start();
    rig.append("m1", std::iter::repeat_n("*", 50));
    rig.acknowledged(&publisher, "m1", 50).await;
    follower
        .wait("everything", |record| record.distinct() == 50)
        .await;
    follower.record().assert_whole();

    // A session that is given up makes room.
    let freed = come_and_go(&url, Protocol::V5, "kept-2", None).await;
    assert_eq!(freed, Some(false));
    eventually("the place of kept-2", PATIENCE, async || {
        come_and_go(&url, Protocol::V5, "newcomer", None).await
    })
    .await;

    publisher.stop().await;
    drop(follower);
    stop.cancel();
    within("the broker stops", PATIENCE, serving).await.unwrap();
}
