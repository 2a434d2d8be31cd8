//! Two gateways on one database, and the one that judges is stopped by SIGSTOP: just before a guard's turn, with the turn half
//! written, and after it. The other one takes the lease, trips if nobody has, and goes on. Woken up, the first one writes no second trip and undoes
//! nothing, and clients of both are told the same.
//!
//! How it is caught in the middle: the test holds the guard's row, which the turn writes after its fence. When the database says that
//! somebody waits for it, who holds the lease is stopped, and then the row is let go. Who waits has locked the module's row, so the
//! lease cannot move meanwhile; it may only have given up the wait just before it is stopped. Then all is set right, and tried again.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{
    database::{DatabaseUnderTest, Kind, Producer},
    eventually,
    gateway::Program,
    guarded::{PATIENCE, ramp, session, setup, told, turns, until},
    mosquitto::Mosquitto,
    servers_are_skipped,
    targets::{broker, target},
};

const CLIENT: &str = "terminal";
/// `sequencer.lease_ms`: so long that nobody loses one because the machine is busy.
const LEASE: Duration = Duration::from_secs(6);

const ROW: &str = "SELECT 1 FROM guard WHERE module = 'commission' AND target = 'one' FOR UPDATE";
/// How many turns the guard has taken.
const TURNS: &str =
    "SELECT CAST(turns AS TEXT) FROM guard WHERE module = 'commission' AND target = 'one'";
/// The same, and under whose lease the last write was: 0 is the present holder's.
const WRITTEN: &str = "SELECT g.turns || ' under ' || (g.token - h.lease_token) FROM guard g \
     JOIN module_head h ON h.module = g.module WHERE g.module = 'commission' AND g.target = 'one'";
/// Who holds the lease while a turn waits for the row.
const WAITING: &str = "SELECT lease_holder FROM module_head WHERE module = 'commission' \
     AND EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
     AND wait_event_type = 'Lock' AND query LIKE 'UPDATE guard%')";
/// Who holds the lease while a turn is written and not committed.
const IDLE: &str = "SELECT lease_holder FROM module_head WHERE module = 'commission' \
     AND EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
     AND state = 'idle in transaction' AND query LIKE 'UPDATE guard%')";

/// Two replicas, and a connection that looks on: one made for each look would come too late on a busy machine.
struct Scene {
    replicas: [Program; 2],
    broker: Mosquitto,
    observer: Producer,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_it_in_the_middle_of_it_and_after_it() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    if servers_are_skipped() {
        return;
    }
    let mut scene = Scene::start(&database).await;

    let turns = scene.turns().await;
    scene.broker.kill();
    let judge = scene.holder().await;
    scene.replicas[judge].signal(Signal::SIGSTOP);
    scene.other_trips_alone(judge, turns + 1).await;
    scene.broker.restart();
    scene.return_to_push().await;

    let mut producer = database.producer().await;
    let (judge, turns) = loop {
        let turns = scene.turns().await;
        producer.execute("BEGIN").await;
        producer.execute(ROW).await;
        scene.broker.kill();
        if let Some(judge) = scene.stop_inside(&mut producer).await {
            break (judge, turns);
        }
        println!("nobody was inside: once more");
        scene.broker.restart();
        scene.return_to_push().await;
    };
    scene.other_trips_alone(judge, turns + 1).await;

    // And once more after it: who takes the lease goes on with what stands there.
    let judge = scene.holder().await;
    scene.replicas[judge].signal(Signal::SIGSTOP);
    let other = 1 - judge;
    scene.leads(other).await;
    let client = &scene.replicas[other].client;
    told(client, CLIENT, "poll", "guard").await;
    scene.broker.restart();
    told(client, CLIENT, "push", "cohort").await;
    scene.replicas[judge].signal(Signal::SIGCONT);
    scene.return_to_push().await;

    scene.each_trip_was_healed_once().await;
    for program in &mut scene.replicas {
        assert_eq!(program.terminate().await.0, 0, "{}", program.log());
    }
}

const NAMES: [&str; 2] = ["a", "b"];

impl Scene {
    async fn start(database: &DatabaseUnderTest) -> Self {
        let broker = broker();
        let start = async |name| {
            let setup = setup(database, name)
                .unmoved()
                .set("sequencer.lease_ms", 6_000)
                .set("guard.leaderless_after", "1m");
            Program::start(&setup.add(&target("one", &broker, ""))).await
        };
        let replicas = [start(NAMES[0]).await, start(NAMES[1]).await];
        ramp(&replicas[0].client).await;
        let observer = database.producer().await;
        let mut scene = Self {
            replicas,
            broker,
            observer,
        };
        scene.return_to_push().await;
        scene
    }

    /// Who of the two holds the lease.
    async fn holder(&mut self) -> usize {
        let sql = "SELECT lease_holder FROM module_head WHERE module = 'commission'";
        eventually("somebody leads", PATIENCE, async || {
            number(self.observer.text(sql).await)
        })
        .await
    }

    async fn turns(&mut self) -> u32 {
        let turns = self.observer.text(TURNS).await;
        turns.map_or(0, |turns| turns.parse().unwrap())
    }

    async fn leads(&self, one: usize) {
        eventually("it leads", PATIENCE, async || {
            let module = self.replicas[one].client.module().await;
            (module["lease_holder"] == NAMES[one]).then_some(())
        })
        .await;
    }

    async fn return_to_push(&mut self) {
        for replica in &self.replicas {
            told(&replica.client, CLIENT, "push", "cohort").await;
        }
        for replica in &self.replicas {
            until(&replica.client, "one", "watching", None).await;
        }
    }

    /// One takes the lease of a stopped one and trips; the stopped one is woken up, tells the same, and has written nothing.
    async fn other_trips_alone(&mut self, stopped: usize, turns: u32) {
        let other = 1 - stopped;
        self.leads(other).await;
        let client = &self.replicas[other].client;
        until(client, "one", "tripped", Some("disconnected")).await;
        told(client, CLIENT, "poll", "guard").await;
        let written = format!("{turns} under 0");
        let found = self.observer.text(WRITTEN).await;
        assert_eq!(found.as_ref(), Some(&written));
        let woken = &self.replicas[stopped];
        woken.signal(Signal::SIGCONT);
        told(&woken.client, CLIENT, "poll", "guard").await;
        until(&woken.client, "one", "tripped", Some("disconnected")).await;
        // It has looked at its leases, and at the guards several times since.
        let since = Instant::now();
        eventually("it goes on", PATIENCE, async || {
            for replica in &self.replicas {
                let poll = ("poll".to_owned(), "guard".to_owned());
                assert_eq!(session(&replica.client, CLIENT).await, poll);
            }
            let module = woken.client.module().await;
            let knows = module["lease_holder"] == NAMES[other]
                && module["targets"] == serde_json::json!([]);
            (knows && since.elapsed() > 2 * LEASE).then_some(())
        })
        .await;
        assert_eq!(self.observer.text(WRITTEN).await, Some(written));
    }

    /// Stops the one whose turn waits for the row, and lets it go, so that the turn is written and not committed. Nobody is
    /// stopped if the wait had been given up.
    async fn stop_inside(&mut self, row: &mut Producer) -> Option<usize> {
        let judge = eventually("a turn waits for the row", PATIENCE, async || {
            number(self.observer.text(WAITING).await)
        })
        .await;
        self.replicas[judge].signal(Signal::SIGSTOP);
        row.execute("ROLLBACK").await;
        let stopped = Instant::now();
        while stopped.elapsed() < LEASE / 3 {
            if number(self.observer.text(IDLE).await) == Some(judge) {
                return Some(judge);
            }
            tokio::task::yield_now().await;
        }
        self.replicas[judge].signal(Signal::SIGCONT);
        None
    }

    /// The audit has as many acts as the guard has taken turns: a trip, and its heal.
    async fn each_trip_was_healed_once(&mut self) {
        let taken = self.turns().await as usize;
        assert!(taken >= 4, "{taken}");
        for replica in &self.replicas {
            let turns = turns(&replica.client).await;
            let acts: Vec<_> = turns.iter().map(|(action, _)| &**action).collect();
            assert_eq!(acts, ["guard-trip", "guard-heal"].repeat(taken / 2));
            assert_eq!(acts.len(), taken, "{turns:?}");
        }
    }
}

fn number(holder: Option<String>) -> Option<usize> {
    let holder = holder?;
    NAMES.iter().position(|name| *name == holder.trim())
}
