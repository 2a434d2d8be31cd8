//! A broker that speaks MQTT 3.1.1 only, asked for 5: the reason says what to configure.

use std::time::Duration;

use changeover::{
    config::mqtt::Protocol,
    mirror::mqtt::{Endpoint, Link, LinkOptions, Signal},
};

use crate::support::{broker::Broker, eventually, servers_are_skipped, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_is_known_not_to_speak_5() {
    if !servers_are_skipped() {
        says_what_to_configure(Broker::shared_rabbitmq()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_known_not_to_speak_5() {
    if !servers_are_skipped() {
        says_what_to_configure(Broker::nats()).await;
    }
}

async fn says_what_to_configure(mut broker: Broker) {
    let patience = Duration::from_mins(1);
    let reason = eventually("the broker ends it", patience, async || {
        let reason = closed(&broker).await;
        // A busy broker that has not got to it yet says nothing about its versions.
        (!reason.to_lowercase().contains("timeout")).then_some(reason)
    })
    .await;
    assert!(
        reason.contains("`mqtt.targets.protocol` = \"3.1.1\""),
        "{reason}"
    );
    if let Broker::Nats(_) = broker {
        // A broker that is down says nothing about its versions.
        broker.kill().await;
        let reason = closed(&broker).await;
        assert!(!reason.contains("protocol"), "{reason}");
    }
}

/// Why a connection that asks for MQTT 5 ends.
async fn closed(broker: &Broker) -> String {
    let options = LinkOptions {
        endpoint: Endpoint::parse(&broker.url(), Protocol::V5).unwrap(),
        client_id: "versions".to_owned(),
        keep_alive: Duration::from_secs(30),
        inflight: 1,
        session: None,
        max_packet_bytes: 1024,
    };
    let mut link = Link::open(&options);
    let over = async {
        let signals = link.next().await.expect("it says why");
        let [Signal::Closed(reason)] = signals.as_slice() else {
            panic!("{signals:?}");
        };
        reason.clone()
    };
    within("the connection ends", Duration::from_secs(30), over).await
}
