//! A target is fed over four connections, and the verifier sees all of it over one: every change has one outcome, and neither cut
//! connections nor killed brokers are called a fault, though changes of other channels come far out of the log's order then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use changeover::{
    config::{mqtt::Protocol, tail, verifier},
    mirror::{ModuleVerification, Outcome},
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::support::{
    channel_witness::{Account, ChannelWitness},
    deaf::Deaf,
    eventually,
    follower::Follower,
    mirror_rig::{Rig, Running},
    mosquitto::Mosquitto,
    verifying::{Verifying, settled},
};

const CONNECTIONS: usize = 4;
const ROUNDS: u64 = 12;
const SLICE: u64 = 1_500;
const CHANNELS: u32 = 200;
const PATIENCE: Duration = Duration::from_mins(1);
const MODULE: &str = "orders";

/// Nothing is late, and all of it is compared.
fn settings() -> verifier::Verifier {
    verifier::Verifier {
        late_ms: 600_000,
        missing_after_ms: 3_000,
        window: 100_000,
        rate: 1_000_000,
        ..verifier::Verifier::default()
    }
}

/// All of it stays in memory, where the verifier reads it.
fn large_tail() -> tail::Tail {
    tail::Tail {
        changes: 100_000,
        ..tail::Tail::default()
    }
}

struct Scene {
    broker: Mosquitto,
    witness: ChannelWitness,
    rig: Rig,
    running: Running,
    verifying: Verifying,
    rng: StdRng,
}

impl Scene {
    async fn set(protocol: Protocol) -> Self {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let lines = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n";
        let broker = Mosquitto::start_with(lines);
        let witness = ChannelWitness::before(broker.port()).await;
        let mut rig = Rig::with_tail(&witness.url(), protocol, &[MODULE], &large_tail());
        rig.target.connections = CONNECTIONS;
        let running = rig.start();
        rig.acknowledged(&running, MODULE, 0).await;
        let verifying = rig.verify(&running, &settings(), &[MODULE]).await;
        Self {
            broker,
            witness,
            rig,
            running,
            verifying,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// In each round something happens in the middle of a slice, with publishes in flight. Returns what was found.
    async fn goes(mut self, mut happen: impl FnMut(&mut Self)) -> ModuleVerification {
        for round in 0..ROUNDS {
            self.verifying.listens().await;
            let channel = |rng: &mut StdRng| format!("u{}", rng.random_range(0..CHANNELS));
            let audiences: Vec<_> = (0..SLICE).map(|_| channel(&mut self.rng)).collect();
            let audiences = audiences.iter().map(String::as_str);
            self.rig.append(MODULE, audiences);
            let from = round * SLICE + self.rng.random_range(1..SLICE);
            eventually("the middle of the slice", PATIENCE, async || {
                let acknowledged = self.witness.look(Account::acknowledged);
                (acknowledged >= from).then_some(())
            })
            .await;
            happen(&mut self);
        }
        let all = ROUNDS * SLICE;
        self.rig.acknowledged(&self.running, MODULE, all).await;
        let found = self.verifying.settles(MODULE, all).await;
        self.witness.look(|seen| {
            assert_eq!(
                seen.spread().len(),
                CONNECTIONS,
                "all lines carry something"
            );
            println!(
                "{} cuts, connections {:?}, {} published: {:?}",
                seen.cuts, seen.connections, seen.published, found.counts
            );
        });
        self.running.stop().await;
        self.verifying.stop().await;
        assert_eq!(found.last_problem, None);
        assert_eq!(settled(&found), all);
        let fine = found.count(Outcome::Ok) + found.count(Outcome::Unobserved);
        assert_eq!(fine, all, "{found:?}");
        found
    }

    /// Cuts one of the connections, at the verifier's or the mirror's.
    fn cut(&mut self, of_mirror: bool) {
        let carry = self.witness.look(|seen| {
            seen.spread()
                .into_keys()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        let mut standing = self.witness.standing();
        standing.retain(|client| carry.contains(client) == of_mirror);
        if let Some(one) = standing.choose(&mut self.rng) {
            self.witness.cut(one);
        }
    }
}

async fn while_connections_are_cut(protocol: Protocol) {
    let found = Scene::set(protocol)
        .await
        .goes(|scene| scene.cut(true))
        .await;
    // Its own connection stood all the time.
    assert_eq!(found.count(Outcome::Ok), ROUNDS * SLICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_connections_are_cut_with_mqtt_5() {
    while_connections_are_cut(Protocol::V5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_connections_are_cut_with_mqtt_3_1_1() {
    while_connections_are_cut(Protocol::V311).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_its_own_connection_is_cut() {
    let found = Scene::set(Protocol::V5)
        .await
        .goes(|scene| scene.cut(false))
        .await;
    assert!(found.count(Outcome::Ok) > 0, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_killed() {
    let killed = |scene: &mut Scene| {
        if scene.rng.random_bool(0.4) {
            scene.broker.kill();
            scene.broker.restart();
        } else {
            scene.cut(true);
        }
    };
    let found = Scene::set(Protocol::V5).await.goes(killed).await;
    assert!(found.count(Outcome::Ok) > 0, "{found:?}");
}

/// One connection stands still while the others are far ahead, and then the verifier begins to listen: what it hears first is
/// far behind of what it can no longer hear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_others_sent_before_it_listened_is_not_missing() {
    const AHEAD: u64 = 4_000;
    let lines = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n";
    let broker = Mosquitto::start_with(lines);
    let hears_first = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&hears_first);
    let unheard = move |topic: &str, _: &[u8]| {
        topic.ends_with("/second") || topic.ends_with("/first") && !heard.load(Relaxed)
    };
    let deaf = Deaf::before(broker.port(), unheard).await;
    let mut rig = Rig::with_tail(&deaf.url(), Protocol::V5, &[MODULE], &large_tail());
    rig.target.connections = CONNECTIONS;
    rig.settings.ack_timeout_ms = 1_000;
    rig.settings.refusal_tries = 1_000;
    let filters = ["changeover/c/orders/+"];
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &filters);
    follower.subscribed().await;
    let running = rig.start();
    rig.acknowledged(&running, MODULE, 0).await;
    let others: Vec<_> = (0..AHEAD).map(|n| format!("u{n}")).collect();
    rig.append(MODULE, ["first", "second"]);
    rig.append(MODULE, others.iter().map(String::as_str));
    // What shares the connection waits there too.
    follower
        .wait("many of the others", |record| {
            record.events.len() as u64 >= AHEAD / 2
        })
        .await;

    let verifying = rig.verify(&running, &settings(), &[MODULE]).await;
    hears_first.store(true, Relaxed);
    follower
        .wait("the first", |record| {
            record.events.iter().any(|event| event.position == 1)
        })
        .await;
    deaf.recovers();
    rig.acknowledged(&running, MODULE, AHEAD + 2).await;
    rig.append(MODULE, ["first", "u1", "u2"]);
    let found = verifying.settles(MODULE, AHEAD + 5).await;
    println!("{:?}", found.counts);
    running.stop().await;
    verifying.stop().await;
    assert_eq!(found.last_problem, None);
    let fine = found.count(Outcome::Ok) + found.count(Outcome::Unobserved);
    assert_eq!(fine, AHEAD + 5, "{found:?}");
    assert!(found.count(Outcome::Ok) >= 3, "{found:?}");
}
