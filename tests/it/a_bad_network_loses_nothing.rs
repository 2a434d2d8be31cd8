//! A bad network between the gateway and its broker, and between the broker and the terminals: connections that are cut or
//! reset, that stand while their packets are swallowed, that are late or slow. Every terminal ends with exactly the log, and no
//! more is repeated than was under way.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::{
    broker::Broker,
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{InProcess, Setup},
    load::{Load, Plan, orders_at},
    proxy::{Proxy, Way, Weather},
    reckoning::Reckoning,
    terminal::{MODULES, Terminal, flow, pair},
    witness::Witness,
};

const INFLIGHT: u64 = 200;
/// What Mosquitto has under way to a terminal.
const WINDOW: u64 = 1_000;
const ACK_TIMEOUT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_mins(1);
/// Times that the weather turns bad.
const SPELLS: u32 = 2;
/// Changes that are accepted meanwhile, at least.
const SPELL: u64 = 600;

/// On whose way the network is bad.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Gateway,
    Terminals,
}

impl Side {
    /// What the configuration promises, and the patience that a busy machine needs: the gateway has publishes under way, and the
    /// terminals have their keep-alive of 5 s.
    fn notices_within(self) -> Duration {
        let promised = match self {
            Self::Gateway => ACK_TIMEOUT,
            Self::Terminals => 2 * Duration::from_secs(5),
        };
        promised + Duration::from_secs(10)
    }
}

/// What a spell of bad weather is.
enum Trouble {
    /// Until the spell is over.
    Weather(Weather),
    /// Until whoever connects through it has given the connection up by itself.
    HalfOpen(Weather),
    /// Until the spell is over, and every connection is one that was opened in it.
    Storm(Weather),
    /// Five times in a spell.
    Blows(fn(&Proxy)),
}

const fn swallowing(to_server: Way, to_client: Way) -> Trouble {
    Trouble::HalfOpen(Weather {
        to_server,
        to_client,
        resets_after: None,
    })
}

const SWALLOWED: Trouble = swallowing(Way::Swallow, Way::Swallow);
const NO_ACKNOWLEDGEMENTS: Trouble = swallowing(Way::Pass, Way::Swallow);
const NO_PUBLISHES: Trouble = swallowing(Way::Swallow, Way::Pass);
/// Nobody reads: the sender's buffers fill up.
const HELD: Trouble = swallowing(Way::Hold, Way::Hold);
const LATE: Trouble = Trouble::Weather(Weather::both(Way::Delay(Duration::from_millis(500))));
const SLOW: Trouble = Trouble::Weather(Weather::both(Way::Slow(60_000)));
const CUT: Trouble = Trouble::Blows(Proxy::cut);
const RESET: Trouble = Trouble::Blows(Proxy::reset);

/// Every connection ends with a reset, after a while.
fn resets() -> Trouble {
    Trouble::Storm(Weather {
        resets_after: Some(1_000..50_000),
        ..Weather::FAIR
    })
}

macro_rules! on_both_ways {
    ($($name:ident $trouble:expr;)+) => {$(
        mod $name {
            use super::{Side, story};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn of_the_gateway() {
                story(Side::Gateway, $trouble).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn of_the_terminals() {
                story(Side::Terminals, $trouble).await;
            }
        }
    )+};
}

on_both_ways! {
    cuts super::CUT;
    resets super::RESET;
    resets_after_some_bytes super::resets();
    packets_are_swallowed super::SWALLOWED;
    what_the_broker_says_is_swallowed super::NO_ACKNOWLEDGEMENTS;
    what_is_said_to_the_broker_is_swallowed super::NO_PUBLISHES;
    nobody_reads super::HELD;
    half_a_second_late super::LATE;
    slow super::SLOW;
}

async fn story(side: Side, trouble: Trouble) {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let seed = rand::random();
    println!("seed {seed}");
    let broker = Broker::mosquitto();
    let witness = Witness::before(broker.port()).await;
    let of_gateway = Proxy::before(witness.port(), seed).await;
    let of_terminals = Proxy::before(broker.port(), seed).await;
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .target(&of_gateway.url())
        .set("mirror.inflight", INFLIGHT)
        .set("mirror.ack_timeout_ms", ACK_TIMEOUT.as_millis())
        .set("mirror.backoff_max_ms", 400)
        .set("verifier.enabled", false);
    let gateway = InProcess::start(&setup).await;
    let terminals = pair(&[&gateway.client.public], &of_terminals.url(), seed);
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&gateway.client.private)],
        producers: 4,
        changes: 10,
        batch: 10,
        pace: Duration::from_millis(100),
        seed,
    });
    let bad = match side {
        Side::Gateway => &of_gateway,
        Side::Terminals => &of_terminals,
    };
    for _ in 0..SPELLS {
        flow(&terminals, PATIENCE).await;
        spell(side, bad, &trouble, &load).await;
        bad.set(Weather::FAIR);
    }
    flow(&terminals, PATIENCE).await;
    let reckoning = Reckoning::of(&mut load, &witness, &terminals).await;
    gateway.stop().await;
    println!("on the way of the {side:?}: {}", bad.told());
    let most = match side {
        // Each connection but the last repeats at most what was under way on it.
        Side::Gateway => (reckoning.connections - 1) * INFLIGHT,
        Side::Terminals => 0,
    };
    reckoning
        .assert_exact(&database, &load, &terminals, most)
        .await;
    for terminal in &terminals {
        assert_repeats(terminal, &reckoning);
    }
}

async fn spell(side: Side, bad: &Proxy, trouble: &Trouble, load: &Load) {
    match trouble {
        Trouble::Weather(weather) => {
            bad.set(weather.clone());
            load.reaches(load.acknowledged() + SPELL).await;
        }
        Trouble::Storm(weather) => {
            bad.set(weather.clone());
            bad.cut();
            load.reaches(load.acknowledged() + SPELL).await;
        }
        Trouble::HalfOpen(weather) => {
            let (opened, before) = (bad.opened(), bad.standing());
            let began = Instant::now();
            bad.set(weather.clone());
            // Who gives one up tries another.
            eventually("the silence is noticed", PATIENCE, async || {
                (bad.opened() >= opened + before).then_some(())
            })
            .await;
            let noticed = began.elapsed();
            println!("the silence on the way of the {side:?} was noticed after {noticed:?}");
            assert!(noticed < side.notices_within(), "{noticed:?}");
            load.reaches(load.acknowledged() + SPELL / 3).await;
        }
        Trouble::Blows(blow) => {
            for _ in 0..5 {
                load.reaches(load.acknowledged() + SPELL / 5).await;
                blow(bad);
            }
        }
    }
}

/// A terminal is given a change at most as often as it was published, and once more what was under way to it when a connection
/// ended.
fn assert_repeats(terminal: &Terminal, reckoning: &Reckoning) {
    terminal.look(|memory| {
        let counts = &memory.counts;
        let came = counts.by_mqtt + counts.twice;
        let most = reckoning.published + counts.connections * WINDOW;
        assert!(came <= most, "{came} came, of at most {most}: {counts:?}");
        assert_eq!(counts.sessions_lost, 1, "the broker kept the session");
    });
}

/// Nothing is sent but pings. The bound is the keep-alive's: a ping may be that far away, and its answer is missed as long after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_noticed_without_traffic() {
    const KEEP_ALIVE: Duration = Duration::from_secs(5);
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let broker = Broker::mosquitto();
    let proxy = Proxy::before(broker.port(), 0).await;
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .target(&proxy.url())
        .set("mirror.keep_alive_s", KEEP_ALIVE.as_secs())
        // Else the retained message of each module is traffic.
        .set("mirror.bookmark_ms", 3_600_000)
        .set("verifier.enabled", false);
    let gateway = InProcess::start(&setup).await;
    connected(&gateway, true).await;
    proxy.set(Weather::both(Way::Swallow));
    let began = Instant::now();
    connected(&gateway, false).await;
    let noticed = began.elapsed();
    println!("noticed after {noticed:?}");
    assert!(
        noticed < 2 * KEEP_ALIVE + Duration::from_secs(5),
        "{noticed:?}"
    );
    proxy.set(Weather::FAIR);
    connected(&gateway, true).await;
    gateway.stop().await;
}

/// About one request of a hundred ends with a reset, of producers and of polls: whether it was answered is unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_reset_are_sent_again_and_stored_once() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let seed = rand::random();
    println!("seed {seed}");
    let broker = Broker::mosquitto();
    let witness = Witness::before(broker.port()).await;
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .target(&broker.gateway_url(witness.port()));
    let gateway = InProcess::start(&setup).await;
    let [public, private] = [&gateway.client.public, &gateway.client.private]
        .map(|url| url.rsplit(':').next().unwrap().parse().unwrap());
    let (of_polls, of_producers) = (
        Proxy::before(public, seed).await,
        Proxy::before(private, seed).await,
    );
    // A request of ten changes and its answer are about 1,500 bytes; the answer of a poll is up to 100,000.
    for (proxy, bytes) in [(&of_producers, 300_000), (&of_polls, 600_000)] {
        proxy.set(Weather {
            resets_after: Some(1_000..bytes),
            ..Weather::FAIR
        });
    }
    let polls = format!("http://127.0.0.1:{}", of_polls.port());
    let terminals = pair(&[&polls], &broker.url(), seed);
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&format!(
            "http://127.0.0.1:{}",
            of_producers.port()
        ))],
        producers: 4,
        changes: 2_000,
        batch: 10,
        pace: Duration::from_millis(20),
        seed,
    });
    eventually("some are reset", PATIENCE, async || {
        (of_producers.resets() >= 5 && of_polls.resets() >= 1).then_some(())
    })
    .await;
    let reckoning = Reckoning::of(&mut load, &witness, &terminals).await;
    gateway.stop().await;
    println!(
        "producers: {}; polls: {}",
        of_producers.told(),
        of_polls.told()
    );
    assert!(reckoning.resent >= 5, "{reckoning:?}");
    reckoning
        .assert_exact(&database, &load, &terminals, 0)
        .await;
}

/// Waits until the admin API says whether the target is connected.
async fn connected(gateway: &InProcess, so: bool) {
    eventually(
        "the admin API tells of the connection",
        PATIENCE,
        async || {
            let module: Value = gateway.client.get("/admin/v1/modules/orders").await.json();
            (module["targets"][0]["connected"] == so).then_some(())
        },
    )
    .await;
}
