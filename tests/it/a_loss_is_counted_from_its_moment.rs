//! A broker that was away for longer than `mirror.replay_on_reconnect` and has lost its state gets again what it had acknowledged
//! before it went, not before it came back: by its word about the session, or because the retained message is gone. So it does
//! when connections come and end before that is found. Its changes are older than what memory holds, so that only the history
//! of acknowledgements knows.

use std::time::{Duration, Instant};

use changeover::{
    config::{mqtt::Protocol, span::Span, tail},
    mirror::mqtt::{Endpoint, Link, LinkOptions, Signal},
};
use tokio::time::sleep_until;

use crate::support::{
    eventually,
    follower::Follower,
    mirror_rig::{Rig, Running},
    mosquitto::Mosquitto,
    proxy::{Proxy, Way, Weather},
    within,
    witness::Witness,
};

const PATIENCE: Duration = Duration::from_secs(30);
const CHANGES: u64 = 50;
const IN_MEMORY: usize = 5;
/// So long a connection waits for the retained message: one that is cut at once ends before.
const SETTLE_MS: u64 = 3_000;
/// All that the broker acknowledges before it goes fits into it, on a busy machine too.
const SPAN: Span = Span::from_secs(5);

struct Scene {
    broker: Mosquitto,
    witness: Witness,
    way: Proxy,
    publisher: Running,
    _rig: Rig,
}

impl Scene {
    /// The broker has acknowledged everything, and shows it.
    async fn set() -> Self {
        let broker = Mosquitto::start();
        let witness = Witness::of("m1", broker.port()).await;
        let way = Proxy::before(witness.port(), 1).await;
        let bounds = tail::Tail {
            changes: IN_MEMORY,
            ..tail::Tail::default()
        };
        let mut rig = Rig::with_tail(&way.url(), Protocol::V5, &["m1"], &bounds);
        rig.settings.replay_on_reconnect = SPAN;
        rig.settings.settle_ms = SETTLE_MS;
        let publisher = rig.start();
        rig.acknowledged(&publisher, "m1", 0).await;
        let reader = Follower::start(&broker.url(), Protocol::V5, "f", &["changeover/m/m1"]);
        // One is published after the acknowledgement of the one before, so the first of these two is known to be there.
        for head in [1, CHANGES] {
            let count = usize::try_from(head.min(CHANGES - 1)).unwrap();
            rig.append("m1", std::iter::repeat_n("*", count));
            rig.acknowledged(&publisher, "m1", head).await;
            reader
                .wait("the retained message", |record| {
                    record.bookmarks.iter().any(|b| b["head"] == head)
                })
                .await;
        }
        assert_eq!(witness.look(|seen| seen.published), CHANGES);
        Self {
            broker,
            witness,
            way,
            publisher,
            _rig: rig,
        }
    }

    /// The broker loses its retained message while nobody reaches it, for a while.
    async fn lose_the_retained_message(&self) {
        self.way.set(Weather::both(Way::Hold));
        self.way.cut();
        clear(&self.broker, "changeover/m/m1").await;
        a_while().await;
        assert!(!self.publisher.status.connected());
        self.way.set(Weather::FAIR);
    }

    /// The broker lets the mirror in, and the connection ends before anything more can be known.
    async fn come_and_go(&self) {
        let status = &self.publisher.status;
        let before = status.connections();
        let standing = || status.connected() && status.connections() > before;
        eventually("the mirror is let in", PATIENCE, async || {
            standing().then_some(())
        })
        .await;
        self.way.cut();
        eventually("the connection has ended", PATIENCE, async || {
            (!standing() || status.connections() > before + 1).then_some(())
        })
        .await;
        let module = "m1".parse().unwrap();
        assert_eq!(status.module(&module).unwrap().generation, 0);
        assert_eq!(self.witness.look(|seen| seen.published), CHANGES);
    }

    /// Everything comes again.
    async fn sends_all_again(self) {
        eventually("all is sent again", PATIENCE, async || {
            self.witness
                .look(|seen| (seen.published == 2 * CHANGES).then_some(()))
        })
        .await;
        self.publisher.stop().await;
    }
}

/// Longer than the history reaches back.
async fn a_while() {
    sleep_until((Instant::now() + SPAN.get() + Duration::from_secs(1)).into()).await;
}

#[tokio::test]
async fn when_the_session_is_gone() {
    let mut scene = Scene::set().await;
    scene.broker.kill();
    a_while().await;
    scene.broker.restart();
    scene.sends_all_again().await;
}

#[tokio::test]
async fn when_the_retained_message_is_gone() {
    let scene = Scene::set().await;
    scene.lose_the_retained_message().await;
    scene.sends_all_again().await;
}

#[tokio::test]
async fn when_that_is_found_on_the_second_connection_only() {
    let scene = Scene::set().await;
    scene.lose_the_retained_message().await;
    scene.come_and_go().await;
    scene.sends_all_again().await;
}

/// Takes a retained message away.
async fn clear(broker: &Mosquitto, topic: &str) {
    let mut link = Link::open(&LinkOptions {
        endpoint: Endpoint::parse(&broker.url(), Protocol::V5).unwrap(),
        client_id: "cleaner".to_owned(),
        keep_alive: Duration::from_secs(5),
        inflight: 1,
        session: None,
        max_packet_bytes: 1024,
    });
    link.publish(topic, bytes::Bytes::new(), true, "").unwrap();
    let acknowledged = async {
        let of = |signal: &Signal| matches!(signal, Signal::Acknowledged(_));
        while !link.next().await.unwrap().iter().any(of) {}
    };
    within("it is cleared", PATIENCE, acknowledged).await;
}
