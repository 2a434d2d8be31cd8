//! What moves under a version: mirror cursors, stages; and parked rows, which come back as they were.

use changeover::{
    domain::{BasisPoints, Cohort, Cursor, End, Epoch, Micros, Position, Routing, Stage},
    store::{Act, Batch, Entered, Error, Forced, Lease, MirrorCursor, Parked, StageRecord},
};

use super::changes::{LEASE, held, module, waiting};
use crate::support::database::{DatabaseUnderTest, Kind};

crate::on_each_database!(
    cursors_move_under_lease_and_version,
    stages_change_with_their_audit,
    a_step_of_a_replica_of_before_gates_is_noticed,
    parked_rows_come_back_as_they_were,
    a_lock_held_elsewhere_is_unavailable_and_reads_go_on,
);

async fn cursors_move_under_lease_and_version(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (one, two) = (module("one"), module("two"));
    let leases = [held(&store, &one).await, held(&store, &two).await];
    let cursor = |lease: &Lease, position, version| {
        let cursor = Cursor::new(Epoch::FIRST, Position::new(position));
        let module = lease.module.clone();
        (
            lease.clone(),
            MirrorCursor {
                module,
                cursor,
                generation: 2,
                version,
            },
        )
    };
    let first = [cursor(&leases[0], 5, 0), cursor(&leases[1], 7, 0)];
    assert_eq!(
        store.write_mirror_cursors("t", &first).await.unwrap(),
        [1, 1]
    );
    let mixed = [cursor(&leases[1], 8, 1), cursor(&leases[0], 6, 0)];
    let error = store.write_mirror_cursors("t", &mixed).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::VersionConflict {
                expected: 0,
                current: 1
            }
        ),
        "{error:?}"
    );
    let late = Lease {
        token: leases[0].token - 1,
        ..leases[0].clone()
    };
    let error = store
        .write_mirror_cursors("t", &[cursor(&leases[1], 8, 1), cursor(&late, 6, 1)])
        .await;
    assert!(matches!(error, Err(Error::LeaseLost { module }) if module == one));
    let next = [cursor(&leases[1], 8, 1)];
    assert_eq!(store.write_mirror_cursors("t", &next).await.unwrap(), [2]);
    let stored = store.mirror_cursors("t").await.unwrap();
    assert_eq!(
        stored,
        [
            MirrorCursor {
                version: 1,
                ..first[0].1.clone()
            },
            MirrorCursor {
                version: 2,
                ..next[0].1.clone()
            }
        ]
    );
    assert_eq!(store.mirror_cursors("other").await.unwrap(), []);
}

fn routing(stage: Stage) -> Routing {
    let share = BasisPoints::new(if stage == Stage::Ramp { 250 } else { 10_000 });
    Routing::default()
        .toward("old", "new", share.unwrap())
        .unwrap()
}

/// At `ramp` something is planned, at other stages nothing.
fn ending(stage: Stage) -> End {
    let brownouts = vec!["tue 10:00-10:15".to_owned()];
    let block = vec!["client:\u{e9}".to_owned()];
    match stage {
        Stage::Ramp => End {
            at: Some(Micros::new(1_803_859_200_000_000)),
            brownouts: brownouts.try_into().unwrap(),
            block: block.try_into().unwrap(),
        },
        _ => End::default(),
    }
}

/// At `ramp` something was overridden, at other stages nothing.
fn entered(stage: Stage) -> Entered {
    let forced = Forced {
        step: stage,
        by: "ann".to_owned(),
        reason: "\u{e9}".to_owned(),
        checks: vec!["lag@local".to_owned()],
    };
    Entered {
        at: Micros::default(),
        forced: (stage == Stage::Ramp).then_some(forced),
    }
}

fn act(stage: Stage, expected_version: i64, reason: &str) -> Act {
    Act {
        seen: None,
        after: StageRecord {
            module: module("m"),
            stage,
            cohort: Cohort::share(BasisPoints::new(1_050).unwrap()),
            routing: routing(stage),
            ending: ending(stage),
            paused: stage == Stage::Ramp,
            version: -1,
            changed_by: "ann".to_owned(),
            changed_at: Micros::new(0),
            reason: reason.to_owned(),
            entered: entered(stage),
        },
        expected_version,
        action: "ramp".to_owned(),
        before: serde_json::json!({"version": expected_version}),
    }
}

/// As a replica of the version before gates writes an act, which knows neither `entered_at` nor `forced`.
async fn old_act(database: &DatabaseUnderTest, stage: Stage, later: i64) {
    let sql = format!(
        "UPDATE module_stage SET stage = '{}', paused = paused, version = version + 1, changed_by = 'bob', \
         changed_at = changed_at + {later}, reason = 'as before' WHERE module = 'm'",
        stage.as_str()
    );
    database.execute(&sql).await;
}

async fn a_step_of_a_replica_of_before_gates_is_noticed(database: DatabaseUnderTest) {
    const HOUR: i64 = 3_600_000_000;
    let store = database.store().await;
    let now = async || store.stages().await.unwrap().remove(0);
    let first = store.act(&act(Stage::Ramp, 0, "forced")).await.unwrap();
    // There and back again: nothing but the version tells that it was away.
    old_act(&database, Stage::Mirror, HOUR).await;
    let away = now().await;
    assert_eq!(away.entered.at.get(), first.changed_at.get() + HOUR);
    assert_eq!(away.entered.forced, None, "of another stage");
    old_act(&database, Stage::Ramp, HOUR).await;
    let back = now().await;
    assert_eq!((back.stage, back.version), (Stage::Ramp, 3));
    assert_eq!(back.entered.at.get(), first.changed_at.get() + 2 * HOUR);
    assert_eq!(
        back.entered.forced, first.entered.forced,
        "too much is said sooner than too little"
    );
    // Whoever acts next writes down what is known, and it stays.
    let share = Act {
        after: StageRecord {
            entered: back.entered.clone(),
            ..act(Stage::Ramp, 3, "more").after
        },
        ..act(Stage::Ramp, 3, "more")
    };
    let share = store.act(&share).await.unwrap();
    assert_eq!(share.entered, back.entered);
    assert_eq!(now().await, share);
    assert_ne!(share.entered.at, share.changed_at);
}

async fn stages_change_with_their_audit(database: DatabaseUnderTest) {
    let store = database.store().await;
    let first = store.act(&act(Stage::Ramp, 0, "edge first")).await.unwrap();
    assert_eq!(first.version, 1);
    assert!(first.changed_at.get() > 0);
    assert_eq!(store.stages().await.unwrap(), std::slice::from_ref(&first));
    for stale in [0, 2] {
        let error = store
            .act(&act(Stage::Sunset, stale, "late"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::VersionConflict { current: 1, expected } if expected == stale)
        );
    }
    assert_eq!(first.entered.at, first.changed_at, "it came there now");
    let second = store.act(&act(Stage::Mirror, 1, "back")).await.unwrap();
    assert_eq!(store.stages().await.unwrap(), std::slice::from_ref(&second));
    let audit = store.audit(None, None, 10).await.unwrap();
    assert_eq!(
        audit
            .iter()
            .map(|entry| entry.reason.as_str())
            .collect::<Vec<_>>(),
        ["back", "edge first"]
    );
    assert_eq!(audit[0].after, serde_json::to_value(&second).unwrap());
    assert_eq!(audit[1].before, serde_json::json!({"version": 0}));
    assert_eq!(
        store
            .audit(Some(&module("m")), Some(audit[0].id), 10)
            .await
            .unwrap(),
        audit[1..]
    );
    assert_eq!(store.audit(Some(&module("n")), None, 10).await.unwrap(), []);
}

async fn parked_rows_come_back_as_they_were(database: DatabaseUnderTest) {
    let store = database.store().await;
    let bytes = match database.kind {
        Kind::Sqlite => "CAST(x'ff7b00' AS TEXT)",
        Kind::MariaDb => "x'ff7b00'",
        Kind::Postgres => "'{not json'",
    };
    database
        .execute(&format!(
            "INSERT INTO outbox (module, audience, entity_key, value) VALUES ('m', NULL, 'k', {bytes}); \
             INSERT INTO outbox (module, entity_key, value) VALUES ('m', 'k2', 'x')"
        ))
        .await;
    let rows = waiting(&store, &[module("m")]).await;
    let park = Batch {
        delete: rows.iter().map(|row| row.id).collect(),
        parked: rows
            .iter()
            .map(|row| Parked {
                row: row.clone(),
                reason: "invalid_json: no".to_owned(),
            })
            .collect(),
        ..Batch::default()
    };
    let mut tx = store.begin_numbering(&[]).await.unwrap();
    tx.write(&park, LEASE).await.unwrap();
    tx.commit().await.unwrap();
    assert!(waiting(&store, &[module("m")]).await.is_empty());
    let rejected = store.rejected(0, 10).await.unwrap();
    assert_eq!(rejected.len(), 2);
    assert_eq!(
        (rejected[0].module.as_str(), rejected[0].reason.as_str()),
        ("m", "invalid_json: no")
    );
    assert!(rejected[0].rejected_at.get() > 0);
    assert_eq!(store.rejected(rejected[0].id, 10).await.unwrap().len(), 1);
    assert_eq!(store.retry_rejected(&[rejected[0].id]).await.unwrap(), 1);
    let back = waiting(&store, &[module("m")]).await;
    assert_eq!(back.len(), 1);
    assert!(back[0].id > rows[1].id, "a retried row goes to the end");
    assert_eq!(
        changeover::store::OutboxRow {
            id: rows[0].id,
            ..back[0].clone()
        },
        rows[0]
    );
    assert_eq!(store.drop_rejected(&[]).await.unwrap(), 1);
    assert!(store.rejected(0, 10).await.unwrap().is_empty());
}

async fn a_lock_held_elsewhere_is_unavailable_and_reads_go_on(mut database: DatabaseUnderTest) {
    database.config.acquire_timeout_ms = 300;
    database.config.statement_timeout_ms = 300;
    database.sequencer.lease_ms = 400;
    let store = database.store().await;
    let name = module("locked");
    let lease = held(&store, &name).await;
    let mut other = database.producer().await;
    let lock = match database.kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        Kind::Postgres => "BEGIN; LOCK TABLE outbox, module_head IN EXCLUSIVE MODE",
        // Every row, and under its REPEATABLE READ every place where one may come.
        Kind::MariaDb => {
            "BEGIN; SELECT * FROM outbox FOR UPDATE; SELECT * FROM module_head FOR UPDATE"
        }
    };
    other.execute(lock).await;
    let change = super::changes::change(&name, "*", "k", "1");
    let unavailable = |error| matches!(error, Error::Unavailable { .. });
    assert!(unavailable(
        store
            .append(std::slice::from_ref(&change))
            .await
            .unwrap_err()
    ));
    assert!(unavailable(
        store
            .renew(std::slice::from_ref(&lease), LEASE)
            .await
            .unwrap_err()
    ));
    assert!(
        store
            .begin_numbering(std::slice::from_ref(&lease))
            .await
            .err()
            .is_some_and(unavailable)
    );
    store
        .heads(changeover::telemetry::Purpose::Tail)
        .await
        .unwrap();
    assert!(
        waiting(&store, std::slice::from_ref(&name))
            .await
            .is_empty()
    );
    other.execute("ROLLBACK").await;
    store.append(&[change]).await.unwrap();
    super::changes::number(&store, &lease).await.unwrap();
}
