//! Acts on a module's flags and on a target that were decided on each other: one that is overtaken writes nothing.

use changeover::{
    domain::{BasisPoints, Cohort, End, Micros, Routing, Stage, Standing},
    store::{
        Act, Error, SeenTarget, StageRecord, TargetAct, TargetBlocked, TargetRecord, TargetStep,
    },
};

use super::changes::{held, module};
use crate::support::database::DatabaseUnderTest;

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
        let (routed, retired) = tokio::join!(one.act(&route), other.act_on_target(&retire));
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
