//! Everything that the tests of failure do, mixed, for as long as one likes: two gateways on one PostgreSQL and one Mosquitto, producers
//! behind a network that resets their requests, terminals behind another, one of them slow. At the end every terminal has exactly
//! the log, and memory and file handles of the gateway that was never started again are flat.
//!
//! Not part of the suite: `scripts/soak` runs it, and says how it is judged.

mod trouble;
mod vitals;

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use tokio::time::Instant;

use crate::support::{
    broker::Broker,
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Program, Setup},
    load::{Load, Plan, orders_at},
    proxy::{Proxy, Way, Weather},
    reckoning::Reckoning,
    terminal::{MODULES, Setup as TerminalSetup, Terminal},
    witness::{Testimony, Witness},
};
use trouble::{KINDS, Trouble};
use vitals::Vitals;

const INFLIGHT: u64 = 500;
const CURSOR_ACKS: u64 = 500;
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long everybody has to be up to date again after a trouble.
const RECOVERY: Duration = Duration::from_mins(2);

/// What the slow terminal takes in a second.
const SLOW_BYTES_PER_S: u32 = 20_000;

/// All that takes part.
struct Scene {
    database: DatabaseUnderTest,
    broker: Broker,
    witness: Witness,
    /// Of both gateways to the broker.
    of_gateways: Proxy,
    /// Of the terminals to the broker.
    of_terminals: Proxy,
    /// Is killed now and then.
    mortal: Program,
    /// Runs from the beginning to the end, and stands still now and then.
    lasting: Program,
    terminals: Vec<Terminal>,
    load: Load,
    rng: StdRng,
    /// Changes that may have been published again by now.
    may_repeat: u64,
    of_producers: [Proxy; 2],
    _of_slow: Proxy,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/soak runs it"]
async fn everything_mixed() {
    let lasts = std::env::var("SOAK_SECONDS").map_or(900, |text| text.parse().unwrap());
    let lasts = Duration::from_secs(lasts);
    let seed = std::env::var("SOAK_SEED").map_or_else(|_| rand::random(), |t| t.parse().unwrap());
    println!("seed {seed}, {lasts:?}");
    let mut scene = Scene::set(seed).await;
    let vitals = Vitals::of(scene.lasting.id());
    let began = Instant::now();
    let mut troubles = Vec::new();
    while began.elapsed() < lasts {
        let mut kinds = KINDS;
        kinds.shuffle(&mut scene.rng);
        for kind in kinds {
            if began.elapsed() < lasts {
                troubles.push((kind, scene.suffer(kind).await));
            }
        }
    }
    let vitals = vitals.end().await;
    let reckoning = Reckoning::of(&mut scene.load, &scene.witness, &scene.terminals).await;
    for gateway in [&mut scene.mortal, &mut scene.lasting] {
        let (code, _) = gateway.terminate().await;
        assert_eq!(code, 0, "{}", gateway.log());
    }
    trouble::print(&troubles);
    println!("refused: {:?}", scene.load.refusals());
    println!(
        "producers: {}, {}",
        scene.of_producers[0].told(),
        scene.of_producers[1].told()
    );
    println!("gateways: {}", scene.of_gateways.told());
    println!("terminals: {}", scene.of_terminals.told());
    reckoning
        .assert_exact(
            &scene.database,
            &scene.load,
            &scene.terminals,
            scene.may_repeat,
        )
        .await;
    vitals.print_and_judge();
}

impl Scene {
    async fn set(seed: u64) -> Self {
        let database = DatabaseUnderTest::private(Kind::Postgres).await;
        let database = database.expect("it needs its servers");
        let broker = Broker::mosquitto();
        let witness = Witness::before(broker.port()).await;
        let of_gateways = Proxy::before(witness.port(), seed).await;
        let of_terminals = Proxy::before(broker.port(), seed).await;
        let of_slow = Proxy::before(broker.port(), seed).await;
        of_slow.set(Weather {
            to_client: Way::Slow(SLOW_BYTES_PER_S),
            ..Weather::FAIR
        });
        let mortal = start(&database, "gw-1", &of_gateways).await;
        let lasting = start(&database, "gw-2", &of_gateways).await;
        let publics = [&mortal, &lasting].map(|gateway| gateway.client.public.clone());
        let terminal = |audience: &str, through: &Proxy| {
            Terminal::start(TerminalSetup {
                gateways: publics.to_vec(),
                broker: through.url(),
                protocol: changeover::config::mqtt::Protocol::V5,
                client_id: None,
                audience: audience.to_owned(),
                resync: Duration::from_secs(2),
                seed,
            })
        };
        let terminals = vec![
            terminal("u1", &of_terminals),
            terminal("u2", &of_terminals),
            terminal("slow", &of_slow),
        ];
        let of_producers = [
            producers_way(&mortal, seed).await,
            producers_way(&lasting, seed).await,
        ];
        let ingest = of_producers.each_ref().map(|proxy| {
            let port = proxy.port();
            orders_at(&format!("http://127.0.0.1:{port}"))
        });
        let load = Load::start(&Plan {
            ingest: ingest.to_vec(),
            producers: 4,
            changes: 10,
            batch: 10,
            pace: Duration::from_millis(80),
            seed,
        });
        Self {
            database,
            broker,
            witness,
            of_gateways,
            of_terminals,
            mortal,
            lasting,
            terminals,
            load,
            rng: StdRng::seed_from_u64(seed),
            may_repeat: 0,
            of_producers,
            _of_slow: of_slow,
        }
    }

    /// A trouble, and everybody's way out of it. Returns how long both took.
    async fn suffer(&mut self, kind: Trouble) -> Duration {
        let began = Instant::now();
        let look = |scene: &Self| {
            scene
                .witness
                .look(|seen| (seen.acknowledged(), seen.connections, seen.lately()))
        };
        let before = look(self);
        self.make(kind).await;
        self.of_gateways.set(Weather::FAIR);
        self.of_terminals.set(Weather::FAIR);
        let accepted = self.load.acknowledged();
        eventually("the broker has what was accepted", RECOVERY, async || {
            let acknowledged = self.witness.look(Testimony::acknowledged);
            (acknowledged >= accepted).then_some(())
        })
        .await;
        for terminal in &self.terminals {
            terminal.reached(accepted, RECOVERY).await;
        }
        let after = look(self);
        // A connection that ends repeats what was under way on it.
        self.may_repeat += (after.1 - before.1) * INFLIGHT;
        // Once a broker's loss of state and once a lease that moved go further back: to a moment before the trouble, and to a
        // cursor that was stored then, or, while nobody can store one, to the beginning of the trouble.
        let unstored = match kind {
            Trouble::DatabaseKilled => after.0 - before.0,
            _ => 0,
        };
        self.may_repeat += 2 * (before.2 + CURSOR_ACKS + INFLIGHT + unstored);
        println!(
            "{:>4} s: {kind:?}: {:.1?} until all had {accepted}",
            vitals::since_start().as_secs(),
            began.elapsed()
        );
        began.elapsed()
    }
}

async fn start(database: &DatabaseUnderTest, name: &str, way: &Proxy) -> Program {
    let setup = Setup::new(database, name)
        .modules(MODULES)
        .target(&way.url())
        .lasting_ports()
        .set("mirror.inflight", INFLIGHT)
        .set("mirror.cursor_acks", CURSOR_ACKS)
        .set("mirror.ack_timeout_ms", ACK_TIMEOUT.as_millis())
        .set("mirror.settle_ms", 200)
        .set("mirror.replay_on_reconnect", "500ms")
        .set("mirror.backoff_max_ms", 400);
    Program::start(&setup).await
}

/// About one request of a hundred is reset.
async fn producers_way(gateway: &Program, seed: u64) -> Proxy {
    let port = gateway.client.private.rsplit(':').next().unwrap();
    let way = Proxy::before(port.parse().unwrap(), seed).await;
    way.set(Weather {
        resets_after: Some(1_000..300_000),
        ..Weather::FAIR
    });
    way
}
