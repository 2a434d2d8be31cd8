//! Acts on a module's flags and on a target that were decided on each other: one that is overtaken writes nothing.

use std::{sync::Arc, time::Duration};

use changeover::{
    domain::{BasisPoints, Cohort, End, Micros, Routing, Stage, Standing},
    store::{
        Act, Entered, Error, SeenTarget, StageRecord, TargetAct, TargetBlocked, TargetRecord,
        TargetStep,
    },
};

use super::changes::{held, module};
use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
};

crate::on_each_database!(
    what_was_decided_on_something_else_is_not_written,
    of_a_route_and_a_retirement_at_once_one_sees_the_other,
);

/// Routes everybody to a target, decided on this version of the flags and on this one of the target.
fn route(target: &str, flags: i64, version: i64) -> Act {
    let routing = Routing::default().toward("old", target, BasisPoints::ALL);
    Act {
        after: StageRecord {
            module: module("one"),
            stage: Stage::Mirror,
            cohort: Cohort::share(BasisPoints::default()),
            routing: routing.unwrap(),
            ending: End::default(),
            paused: false,
            version: -1,
            changed_by: "ann".to_owned(),
            changed_at: Micros::new(0),
            reason: "a better one".to_owned(),
            entered: Entered::default(),
        },
        expected_version: flags,
        seen: Some(SeenTarget {
            target: target.to_owned(),
            version,
        }),
        action: "route".to_owned(),
        before: serde_json::json!({}),
    }
}

fn on_target(target: &str, step: TargetStep, seen: &[i64]) -> TargetAct {
    TargetAct {
        target: target.to_owned(),
        step,
        modules: vec![module("one")],
        seen: seen
            .iter()
            .map(|version| (module("one"), *version))
            .collect(),
        actor: "bob".to_owned(),
        reason: "a worse one".to_owned(),
        dry_run: false,
    }
}

async fn what_was_decided_on_something_else_is_not_written(database: DatabaseUnderTest) {
    let store = database.store().await;
    held(&store, &module("one")).await;
    store.act(&route("new", 0, 0)).await.unwrap();
    let retire = on_target("new", TargetStep::Retire, &[0]);
    let blocked = store.act_on_target(&retire).await.unwrap().unwrap_err();
    assert_eq!(
        blocked,
        TargetBlocked::FlagsChanged {
            module: module("one")
        }
    );
    assert_eq!(
        store.target_records().await.unwrap(),
        [] as [TargetRecord; 0]
    );

    let pause = on_target("new", TargetStep::Pause, &[1]);
    store.act_on_target(&pause).await.unwrap().unwrap();
    let before = store.stages().await.unwrap();
    let error = store.act(&route("new", 1, 0)).await.unwrap_err();
    assert!(matches!(error, Error::TargetChanged { target } if target == "new"));
    assert_eq!(store.stages().await.unwrap(), before);
    assert_eq!(store.audit(None, None, 10).await.unwrap().len(), 2);
    store.act(&route("new", 1, 1)).await.unwrap();
}

async fn of_a_route_and_a_retirement_at_once_one_sees_the_other(database: DatabaseUnderTest) {
    let (one, other) = (database.store().await, database.store().await);
    held(&one, &module("one")).await;
    for round in 0..30 {
        let target = format!("t{round}");
        let stages = one.stages().await.unwrap();
        let flags = stages.first().map_or(0, |record| record.version);
        let (route, retire) = (
            route(&target, flags, 0),
            on_target(&target, TargetStep::Retire, &[flags]),
        );
        // Where one waits for the other, the one that is begun first is first.
        let (routing, retiring) = (one.act(&route), other.act_on_target(&retire));
        let (routed, retired) = if round % 2 == 0 {
            tokio::join!(routing, retiring)
        } else {
            let (retired, routed) = tokio::join!(retiring, routing);
            (routed, retired)
        };
        let retired = retired.unwrap();
        match (&routed, &retired) {
            (Ok(_), Err(TargetBlocked::FlagsChanged { .. })) => {}
            (Err(Error::TargetChanged { .. }), Ok(acted)) => {
                assert_eq!(acted.after.record.standing, Standing::Retired);
            }
            both => panic!("in round {round}: {both:?}"),
        }
    }
}

/// Where the two seldom meet by themselves: a route that looked without waiting would see the target as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_waits_for_a_retirement_that_is_under_way() {
    const WAITING: &str = "SELECT CAST(count(*) AS TEXT) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let Some(mut database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    // What waits for a lock is given up after half of it.
    database.sequencer.lease_ms = 240_000;
    let store = database.store().await;
    held(&store, &module("one")).await;
    let mut retirement = database.producer().await;
    retirement
        .execute(
            "BEGIN; SELECT 1 FROM module_head FOR UPDATE; \
             INSERT INTO mirror_target (target, standing, version, changed_by, changed_at, reason) \
             VALUES ('new', 'retired', 1, 'bob', 0, 'a worse one')",
        )
        .await;
    let routed = Arc::clone(&store);
    let routed = tokio::spawn(async move { routed.act(&route("new", 0, 0)).await });
    eventually("the route waits", Duration::from_mins(1), async || {
        assert!(!routed.is_finished(), "it did not wait");
        (database.text(WAITING).await? == "1").then_some(())
    })
    .await;
    retirement.execute("COMMIT").await;
    let error = routed.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::TargetChanged { target } if target == "new"),
        "{error:?}"
    );
}
