//! Two gateways on one database, and the one that judges is stopped by SIGSTOP: just before a guard's turn, with the turn half
//! written, and after it. The other one takes the lease, trips if nobody has, and goes on. Woken up, the first one writes no second trip and undoes
//! nothing, and clients of both are told the same.
//!
//! How it is caught in the middle: the test holds the guard's row, which the turn writes after its fence. When the database says that
//! somebody waits for it, the process is stopped, and then the row is let go.

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
/// How many turns the guard has taken, and under whose lease the last write was.
const TURNS: &str = "SELECT g.turns || ' under ' || (g.token - h.lease_token) FROM guard g \
     JOIN module_head h ON h.module = g.module WHERE g.module = 'commission' AND g.target = 'one'";
/// Sessions whose turn waits for the row.
const WAITING: &str = "SELECT CAST(count(*) AS TEXT) FROM pg_stat_activity \
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE guard%'";
/// Sessions that have written a turn and do nothing.
const IDLE: &str = "SELECT CAST(count(*) AS TEXT) FROM pg_stat_activity \
     WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE 'UPDATE guard%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_it_in_the_middle_of_it_and_after_it() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    if servers_are_skipped() {
        return;
    }
    let mut broker = broker();
    let start = async |name, broker: &Mosquitto| {
        let setup = setup(&database, name)
            .unmoved()
            .set("sequencer.lease_ms", 6_000)
            .set("guard.leaderless_after", "1m");
        Program::start(&setup.add(&target("one", broker, ""))).await
    };
    let mut a = start("a", &broker).await;
    leads(&a, "a").await;
    let mut b = start("b", &broker).await;
    ramp(&a.client).await;
    for replica in [&a, &b] {
        told(&replica.client, CLIENT, "push", "cohort").await;
    }

    broker.kill();
    a.signal(Signal::SIGSTOP);
    trips_alone(&b, "b", &a, &database, 1).await;
    broker.restart();
    return_to_push([&a, &b]).await;

    // Now `b` judges.
    let mut producer = database.producer().await;
    lock(&mut producer).await;
    broker.kill();
    stop_inside(&database, &mut producer, &b).await;
    trips_alone(&a, "a", &b, &database, 3).await;

    // And once more after it: who takes the lease goes on with what stands there.
    a.signal(Signal::SIGSTOP);
    leads(&b, "b").await;
    told(&b.client, CLIENT, "poll", "guard").await;
    broker.restart();
    told(&b.client, CLIENT, "push", "cohort").await;
    a.signal(Signal::SIGCONT);
    return_to_push([&a, &b]).await;

    let expected = ["guard-trip", "guard-heal", "guard-trip", "guard-heal"];
    for replica in [&a, &b] {
        let turns = turns(&replica.client).await;
        let acts: Vec<_> = turns.iter().map(|(action, _)| &**action).collect();
        assert_eq!(acts, expected, "{turns:?}");
    }
    for program in [&mut a, &mut b] {
        assert_eq!(program.terminate().await.0, 0, "{}", program.log());
    }
}

async fn leads(replica: &Program, name: &str) {
    eventually("it leads", PATIENCE, async || {
        (replica.client.module().await["lease_holder"] == name).then_some(())
    })
    .await;
}

/// One takes the lease of a stopped one and trips; the stopped one is woken up, tells the same, and has written nothing.
async fn trips_alone(
    one: &Program,
    name: &str,
    stopped: &Program,
    database: &DatabaseUnderTest,
    turns: u32,
) {
    leads(one, name).await;
    until(&one.client, "one", "tripped", Some("disconnected")).await;
    told(&one.client, CLIENT, "poll", "guard").await;
    let written = format!("{turns} under 0");
    assert_eq!(database.text(TURNS).await.as_ref(), Some(&written));
    stopped.signal(Signal::SIGCONT);
    told(&stopped.client, CLIENT, "poll", "guard").await;
    until(&stopped.client, "one", "tripped", Some("disconnected")).await;
    // It has looked at its leases, and at the guards several times since.
    let woken = Instant::now();
    eventually("it goes on", PATIENCE, async || {
        for replica in [one, stopped] {
            let poll = ("poll".to_owned(), "guard".to_owned());
            assert_eq!(session(&replica.client, CLIENT).await, poll);
        }
        let module = stopped.client.module().await;
        let knows = module["lease_holder"] == name && module["targets"] == serde_json::json!([]);
        (knows && woken.elapsed() > 2 * LEASE).then_some(())
    })
    .await;
    assert_eq!(database.text(TURNS).await.as_ref(), Some(&written));
}

async fn return_to_push(replicas: [&Program; 2]) {
    for replica in replicas {
        told(&replica.client, CLIENT, "push", "cohort").await;
    }
    for replica in replicas {
        until(&replica.client, "one", "watching", None).await;
    }
}

async fn lock(producer: &mut Producer) {
    producer.execute("BEGIN").await;
    producer.execute(ROW).await;
}

/// Stops the one whose turn waits for the row, and lets it go, so that the turn is written and not committed.
async fn stop_inside(database: &DatabaseUnderTest, producer: &mut Producer, judge: &Program) {
    loop {
        eventually("its turn waits for the row", PATIENCE, async || {
            is_one(database, WAITING).await.then_some(())
        })
        .await;
        judge.signal(Signal::SIGSTOP);
        producer.execute("ROLLBACK").await;
        let stopped = Instant::now();
        while stopped.elapsed() < LEASE / 3 {
            if is_one(database, IDLE).await {
                return;
            }
            tokio::task::yield_now().await;
        }
        // The wait for the row was given up just before the signal.
        println!("it was not inside: once more");
        lock(producer).await;
        judge.signal(Signal::SIGCONT);
    }
}

async fn is_one(database: &DatabaseUnderTest, count: &str) -> bool {
    database.text(count).await.unwrap().trim() != "0"
}
