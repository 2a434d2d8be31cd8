//! Three gateways on one database: whoever leads a module is killed, and nobody can take the lease. Each of the others tells its clients
//! to poll by itself; who takes the lease at last writes it down, and they return. A database that is away is no such case: nothing
//! is numbered then either, and clients stay where they are.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{InProcess, MODULE, Program},
    guarded::{PATIENCE, guard, ramp, session, setup, told, turns, until},
    servers_are_skipped,
    targets::{broker, target},
};

/// All leases run out meanwhile.
const OUTAGE: Duration = Duration::from_secs(11);

const NAMES: [&str; 3] = ["gw-1", "gw-2", "gw-3"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_clients_poll_until_somebody_does() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    if servers_are_skipped() {
        return;
    }
    let broker = broker();
    let mut replicas = Vec::new();
    for name in NAMES {
        let setup = setup(&database, name)
            .unmoved()
            .add(&target("one", &broker, ""));
        replicas.push(Program::start(&setup).await);
    }
    let holder = format!("SELECT lease_holder FROM module_head WHERE module = '{MODULE}'");
    let holder = eventually("somebody leads", PATIENCE, async || {
        let name = database.text(&holder).await?;
        NAMES.iter().position(|replica| *replica == name)
    })
    .await;
    let mut leader = replicas.remove(holder);
    ramp(&leader.client).await;
    for replica in &replicas {
        told(&replica.client, "t", "push", "cohort").await;
    }

    leader.kill();
    let mut in_the_way = database.producer().await;
    in_the_way.execute("BEGIN").await;
    let lock = format!("SELECT 1 FROM module_head WHERE module = '{MODULE}' FOR UPDATE");
    in_the_way.execute(&lock).await;
    for replica in &replicas {
        told(&replica.client, "t", "poll", "guard").await;
        let guard = until(&replica.client, "one", "tripped", Some("leaderless")).await;
        assert_eq!(guard["since"], json!(null), "nobody could write it down");
    }
    assert_eq!(turns(&replicas[0].client).await, []);

    in_the_way.execute("ROLLBACK").await;
    let turned = eventually("it is written down", PATIENCE, async || {
        let turns = turns(&replicas[0].client).await;
        (!turns.is_empty()).then_some(turns)
    })
    .await;
    assert_eq!(turned[0].0, "guard-trip");
    assert!(turned[0].1.contains("nobody held the lease"), "{turned:?}");
    for replica in &replicas {
        told(&replica.client, "t", "push", "cohort").await;
        until(&replica.client, "one", "watching", None).await;
    }
    let turned = turns(&replicas[1].client).await;
    let acts: Vec<_> = turned.iter().map(|(action, _)| &**action).collect();
    assert_eq!(acts, ["guard-trip", "guard-heal"], "{turned:?}");
    for replica in &mut replicas {
        replica.terminate().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_moves_nobody() {
    let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await else {
        return;
    };
    if servers_are_skipped() {
        return;
    }
    let broker = broker();
    // Long enough for a busy machine to take the lease again, and shorter than the outage.
    let setup = setup(&database, "a")
        .set("guard.leaderless_after", "8s")
        .add(&target("one", &broker, ""));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    ramp(client).await;
    told(client, "t", "push", "cohort").await;
    tokio::task::block_in_place(|| database.stop());
    let stopped = Instant::now();
    let push = ("push".to_owned(), "cohort".to_owned());
    eventually("the outage lasts", PATIENCE, async || {
        assert_eq!(session(client, "t").await, push);
        (stopped.elapsed() > OUTAGE).then_some(())
    })
    .await;
    tokio::task::block_in_place(|| database.start());
    eventually("the database is asked again", PATIENCE, async || {
        assert_eq!(session(client, "t").await, push);
        let answer = client.get(&format!("/admin/v1/modules/{MODULE}")).await;
        (answer.status == 200 && answer.json()["lease_holder"] == "a").then_some(())
    })
    .await;
    assert_eq!(guard(client, "one").await["state"], "watching");
    assert_eq!(turns(client).await, []);
    gateway.stop().await;
}
