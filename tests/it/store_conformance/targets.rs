//! Acts on targets: the standing, the cursors that they move, the audit; all of it or nothing.

use changeover::{
    domain::{Cursor, Epoch, Micros, Position, Standing},
    store::{
        Error, Lease, MirrorCursor, ReplayFrom, Store, TargetAct, TargetActed, TargetBlocked,
        TargetStep,
    },
};

use super::changes::{held, module};
use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(
    standings_change_with_their_audit,
    a_moved_cursor_is_not_written_over,
    a_dry_run_changes_nothing,
    acts_at_once_leave_one_history,
);

fn act(step: TargetStep) -> TargetAct {
    TargetAct {
        seen: Vec::new(),
        target: "t".to_owned(),
        step,
        modules: vec![module("one")],
        actor: "ann".to_owned(),
        reason: "why not".to_owned(),
        dry_run: false,
    }
}

async fn done(store: &std::sync::Arc<dyn Store>, act: &TargetAct) -> TargetActed {
    store.act_on_target(act).await.unwrap().unwrap()
}

fn replay_from_the_beginning() -> TargetAct {
    act(TargetStep::Replay {
        module: module("one"),
        from: ReplayFrom::Position(Position::ZERO),
    })
}

/// A module whose log ends at 0, with a cursor there.
async fn one(store: &std::sync::Arc<dyn Store>) -> (Lease, MirrorCursor) {
    let lease = held(store, &module("one")).await;
    let row = MirrorCursor {
        module: module("one"),
        cursor: Cursor::new(Epoch::FIRST, Position::ZERO),
        generation: 2,
        version: 0,
    };
    let first = [(lease.clone(), row.clone())];
    assert_eq!(store.write_mirror_cursors("t", &first).await.unwrap(), [1]);
    (lease, MirrorCursor { version: 1, ..row })
}

async fn standings_change_with_their_audit(database: DatabaseUnderTest) {
    let store = database.store().await;
    assert_eq!(store.target_records().await.unwrap(), []);
    let paused = done(&store, &act(TargetStep::Pause)).await;
    assert_eq!(paused.before.record.version, 0);
    let records = store.target_records().await.unwrap();
    assert_eq!(records, [paused.after.record]);
    let record = &records[0];
    assert_eq!((record.standing, record.version), (Standing::Paused, 1));
    assert_eq!((&*record.changed_by, &*record.reason), ("ann", "why not"));
    assert!(record.changed_at > Micros::default());
    one(&store).await;
    let retired = done(&store, &act(TargetStep::Retire)).await;
    assert_eq!(retired.after.record.version, 2);
    let cursors = store.target_cursors("t").await.unwrap();
    assert_eq!(cursors[0].retired_at, retired.after.record.changed_at);
    assert_eq!(store.target_cursors("T").await.unwrap(), []);
    let blocked = store.act_on_target(&act(TargetStep::Pause)).await.unwrap();
    assert!(matches!(blocked, Err(TargetBlocked::RetiredAlready { .. })));
    let resume = act(TargetStep::Resume { at_head: true });
    done(&store, &resume).await;
    let cursors = store.target_cursors("t").await.unwrap();
    assert_eq!(cursors[0].retired_at, Micros::default());
    let audit = store.audit(None, None, 10).await.unwrap();
    let actions: Vec<_> = audit.iter().map(|entry| &*entry.action).collect();
    assert_eq!(actions, ["target-resume", "target-retire", "target-pause"]);
    assert!(audit.iter().all(|entry| entry.module.is_none()));
    assert_eq!(audit[0].before["standing"], "retired");
    assert_eq!(audit[0].after["standing"], "active");
    assert_eq!(audit[0].after["cursors"][0]["module"], "one");
}

async fn a_moved_cursor_is_not_written_over(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (lease, row) = one(&store).await;
    done(&store, &replay_from_the_beginning()).await;
    let moved = store.mirror_cursors("t").await.unwrap();
    assert_eq!((moved[0].generation, moved[0].version), (3, 2));
    let fighting = store
        .write_mirror_cursors("t", &[(lease.clone(), row)])
        .await;
    let expected = matches!(
        fighting,
        Err(Error::VersionConflict {
            expected: 1,
            current: 2
        })
    );
    assert!(expected, "{fighting:?}");
    let following = [(lease, moved[0].clone())];
    assert_eq!(
        store.write_mirror_cursors("t", &following).await.unwrap(),
        [3]
    );
    let entry = store.audit(Some(&module("one")), None, 1).await.unwrap();
    assert_eq!(entry[0].action, "target-replay");
    assert_eq!(entry[0].before["cursors"][0]["generation"], 2);
    assert_eq!(entry[0].after["cursors"][0]["generation"], 3);
}

async fn a_dry_run_changes_nothing(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (lease, row) = one(&store).await;
    let tried = TargetAct {
        dry_run: true,
        ..replay_from_the_beginning()
    };
    let acted = done(&store, &tried).await;
    assert_eq!(acted.after.cursors[0].generation, 3);
    let stored = store.mirror_cursors("t").await.unwrap();
    assert_eq!(stored, std::slice::from_ref(&row));
    assert_eq!(store.target_records().await.unwrap(), []);
    assert_eq!(store.audit(None, None, 10).await.unwrap(), []);
    // Nor is anything locked.
    assert_eq!(
        store
            .write_mirror_cursors("t", &[(lease, row)])
            .await
            .unwrap(),
        [2]
    );
    assert_eq!(store.mirrored_modules().await.unwrap(), []);
}

async fn acts_at_once_leave_one_history(database: DatabaseUnderTest) {
    let store = database.store().await;
    one(&store).await;
    let tasks = (0..6).map(|_| {
        let store = std::sync::Arc::clone(&store);
        tokio::spawn(async move { store.act_on_target(&replay_from_the_beginning()).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap().unwrap();
    }
    let records = store.target_records().await.unwrap();
    assert_eq!(records[0].version, 6);
    let rows = store.mirror_cursors("t").await.unwrap();
    assert_eq!((rows[0].generation, rows[0].version), (8, 7));
    assert_eq!(store.audit(None, None, 10).await.unwrap().len(), 6);
}
