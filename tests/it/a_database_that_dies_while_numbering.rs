//! The database server is killed with SIGKILL while the numbering transaction is open: when some of its rows are written and others are
//! not, and when it has been committed and nobody was told. After its recovery every accepted change is in the log once, and no position
//! that anybody was shown has become another change's.

use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::support::{
    broker::Broker,
    database::{DatabaseUnderTest, Kind, Producer},
    eventually,
    gateway::{InProcess, Setup},
    load::{Load, Plan, orders_at},
    reckoning::Reckoning,
    terminal::{MODULES, flow, pair},
    witness::Witness,
};

const PATIENCE: Duration = Duration::from_mins(1);
const DEATHS: u32 = 3;
const INFLIGHT: u64 = 100;
const CURSOR_ACKS: u64 = 100;

/// Where the transaction is when the server dies, and how it is held there.
struct Moment {
    kind: Kind,
    /// Holds it there, on a session of its own.
    hold: &'static [&'static str],
    /// Says something as soon as it is there.
    is_there: &'static str,
    /// Lets the next server go on, but not yet this one.
    release: &'static [&'static str],
    /// Lets this one go on.
    let_go: &'static [&'static str],
}

/// Rows of the one statement that writes a batch are written, those of the log wait for whoever has taken their positions.
const LOG_WAITS: Moment = Moment {
    kind: Kind::Postgres,
    hold: &[
        "BEGIN",
        "INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, previous, occurred_at, sequenced_at) \
         SELECT h.module, h.head + i, h.epoch, 'nobody', 'held', 'upsert', '1', 0, 0, 0 \
         FROM module_head AS h, generate_series(1, 5000) AS i ON CONFLICT DO NOTHING",
    ],
    is_there: "SELECT 'there' FROM pg_stat_activity \
        WHERE wait_event_type = 'Lock' AND wait_event = 'transactionid' AND query LIKE 'WITH numbered%' LIMIT 1",
    release: &[],
    let_go: &["ROLLBACK"],
};

/// Its commit is on disk, and waits for a standby that does not exist before anybody is told.
const COMMIT_IS_NOT_TOLD: Moment = Moment {
    kind: Kind::Postgres,
    hold: &[
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
        "SELECT pg_reload_conf()",
    ],
    is_there: "SELECT 'there' FROM pg_stat_activity AS a JOIN pg_locks AS l ON l.pid = a.pid \
        WHERE a.wait_event = 'SyncRep' \
        AND l.relation = 'change_log'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted LIMIT 1",
    release: &["ALTER SYSTEM RESET synchronous_standby_names"],
    let_go: &[
        "ALTER SYSTEM RESET synchronous_standby_names",
        "SELECT pg_reload_conf()",
    ],
};

/// MariaDB knows no weaker lock of a table that holds up its writers.
const STATE_WAITS_ON_MARIADB: Moment = Moment {
    kind: Kind::MariaDb,
    hold: &["LOCK TABLES entity_state READ"],
    is_there: "SELECT 'there' FROM information_schema.processlist \
        WHERE state LIKE 'Waiting for table%' AND info LIKE 'INSERT INTO entity_state%' LIMIT 1",
    release: &[],
    let_go: &["UNLOCK TABLES"],
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_while_a_batch_is_written() {
    story(LOG_WAITS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_between_commit_and_answer() {
    story(COMMIT_IS_NOT_TOLD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_between_log_and_state() {
    story(STATE_WAITS_ON_MARIADB).await;
}

async fn story(moment: Moment) {
    let Some(database) = DatabaseUnderTest::private(moment.kind).await else {
        return;
    };
    let seed = rand::random();
    println!("seed {seed}");
    let broker = Broker::mosquitto();
    let witness = Witness::before(broker.port()).await;
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .target(&broker.gateway_url(witness.port()))
        .set("mirror.inflight", INFLIGHT)
        .set("mirror.cursor_acks", CURSOR_ACKS);
    let gateway = InProcess::start(&setup).await;
    let terminals = pair(&[&gateway.client.public], &broker.url(), seed);
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&gateway.client.private)],
        producers: 4,
        changes: 10,
        batch: 10,
        pace: Duration::from_millis(50),
        seed,
    });
    let mut attempts = 0;
    for death in 1..=DEATHS {
        flow(&terminals, PATIENCE).await;
        let (tried, before, after) = moment.kill(&database).await;
        println!("death {death}, at attempt {tried}: the head was {before} and is {after}");
        attempts += tried;
    }
    flow(&terminals, PATIENCE).await;
    let reckoning = Reckoning::of(&mut load, &witness, &terminals).await;
    gateway.stop().await;
    println!("refused: {:?}", load.refusals());
    // Each attempt may cost the lease, while the transaction is held and when the server is gone. A lease that is taken anew
    // begins at the stored cursor.
    let most = 2 * attempts * (INFLIGHT + CURSOR_ACKS);
    reckoning
        .assert_exact(&database, &load, &terminals, most)
        .await;
    let epoch = "SELECT CAST(max(epoch) AS TEXT) FROM change_log";
    assert_eq!(database.text(epoch).await.as_deref(), Some("1"));
}

impl Moment {
    /// Waits for the moment, kills the server in it and starts it again. Returns how often that was tried, and
    /// the heads before and after.
    async fn kill(&self, database: &DatabaseUnderTest) -> (u64, u64, u64) {
        // Both are open before: a server that waits for a lock may take its time to let others in.
        let mut looking = database.producer().await;
        let mut holding = database.producer().await;
        let (mut attempts, before) = (0, head(&mut looking).await);
        eventually(
            "the transaction is where it shall end",
            PATIENCE,
            async || {
                attempts += 1;
                execute(&mut holding, self.hold).await;
                let there = self.comes(&mut looking).await;
                if !there {
                    // Everything else is held up as well, the renewal of the lease for instance.
                    execute(&mut holding, self.let_go).await;
                }
                there.then_some(())
            },
        )
        .await;
        execute(&mut looking, self.release).await;
        block_in_place(|| database.kill());
        drop((looking, holding));
        block_in_place(|| database.start());
        let after = head(&mut database.producer().await).await;
        (attempts, before, after)
    }

    /// Whether the transaction comes there before whoever writes loses patience.
    async fn comes(&self, looking: &mut Producer) -> bool {
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            if looking.text(self.is_there).await.is_some() {
                return true;
            }
        }
        false
    }
}

async fn execute(producer: &mut Producer, statements: &[&str]) {
    for statement in statements {
        producer.execute(statement).await;
    }
}

async fn head(producer: &mut Producer) -> u64 {
    let head = "SELECT CAST(head AS TEXT) FROM module_head WHERE module = 'orders'";
    producer.text(head).await.unwrap().parse().unwrap()
}
