//! Guards: written under the lease of their module only, with the audit entry of each turn, by the database's clock.

use std::time::Duration;

use changeover::{
    domain::{BasisPoints, GuardCause, GuardPhase},
    store::{Error, GuardRecord, GuardTurn, GuardWrite, Lease, TurnKind},
};

use super::changes::{LEASE, held, module};
use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(
    a_guard_moves_under_its_modules_lease,
    a_lease_that_nobody_holds_is_seen,
);

fn trip(lease: &Lease, before: Option<&GuardRecord>) -> GuardWrite {
    GuardWrite {
        lease: lease.clone(),
        target: "local".to_owned(),
        state: GuardPhase::Tripped,
        cause: Some(GuardCause::Lag),
        share: BasisPoints::new(4_200).unwrap(),
        age: Duration::from_secs(100),
        healthy: Some(Duration::from_secs(30)),
        before: before.cloned(),
        turn: Some(GuardTurn {
            kind: TurnKind::Trip,
            reason: "late".to_owned(),
        }),
    }
}

async fn a_guard_moves_under_its_modules_lease(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (one, two) = (module("one"), module("two"));
    let (lease, other) = (held(&store, &one).await, held(&store, &two).await);
    assert_eq!(store.guards().await.unwrap().records, []);
    let tripped = store.write_guard(&trip(&lease, None)).await.unwrap();
    store.write_guard(&trip(&other, None)).await.unwrap();
    let entries = store.audit(Some(&one), None, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&*entries[0].actor, &*entries[0].action, &*entries[0].reason),
        ("guard", "guard-trip", "late")
    );
    assert_eq!(entries[0].after["state"], "tripped");
    assert_eq!(entries[0].after["cause"], "lag");

    let seen = store.guards().await.unwrap();
    let find = |records: &[GuardRecord]| -> GuardRecord {
        let mut of = records.iter().filter(|record| record.module == one);
        let found = of.next().unwrap().clone();
        assert!(of.next().is_none());
        found
    };
    let read = find(&seen.records);
    assert_eq!((read.version, read.turns), (1, 1));
    assert_eq!(read.share.get(), 4_200);
    assert!(read.age >= Duration::from_secs(100), "{:?}", read.age);
    assert!(read.age < Duration::from_secs(160), "{:?}", read.age);
    let healthy = read.healthy_since.unwrap();
    assert_eq!(healthy.since(read.since), Duration::from_secs(70));
    assert_eq!(
        GuardRecord {
            age: tripped.age,
            ..read.clone()
        },
        tripped
    );

    // What tells nobody anything else is no turn.
    let minor = GuardWrite {
        healthy: None,
        turn: None,
        ..trip(&lease, Some(&read))
    };
    let again = store.write_guard(&minor).await.unwrap();
    assert_eq!((again.version, again.turns), (2, 1));
    assert_eq!(again.healthy_since, None);
    let stale = store.write_guard(&minor).await;
    assert!(
        matches!(
            stale,
            Err(Error::VersionConflict {
                expected: 1,
                current: 2
            })
        ),
        "{stale:?}"
    );
    let first = store.write_guard(&trip(&lease, None)).await;
    assert!(
        matches!(first, Err(Error::VersionConflict { expected: 0, .. })),
        "{first:?}"
    );

    // Who held the lease before writes nothing, neither row nor entry.
    store.release(std::slice::from_ref(&lease)).await.unwrap();
    let next = held(&store, &one).await;
    let late = store.write_guard(&trip(&lease, Some(&again))).await;
    assert!(
        matches!(&late, Err(Error::LeaseLost { module }) if *module == one),
        "{late:?}"
    );
    let heal = GuardWrite {
        state: GuardPhase::Returning,
        cause: None,
        age: Duration::ZERO,
        healthy: None,
        turn: Some(GuardTurn {
            kind: TurnKind::Heal,
            reason: "well".to_owned(),
        }),
        ..trip(&next, Some(&again))
    };
    let healed = store.write_guard(&heal).await.unwrap();
    assert_eq!((healed.version, healed.turns), (3, 2));
    assert_eq!(find(&store.guards().await.unwrap().records).cause, None);
    let entries = store.audit(Some(&one), None, 10).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| &*entry.action).collect();
    assert_eq!(actions, ["guard-heal", "guard-trip"]);
    assert_eq!(entries[0].before["state"], "tripped");

    // A later release knows more states.
    let sql = "UPDATE guard SET state = 'resting' WHERE module = 'one'";
    database.execute(sql).await;
    let seen = store.guards().await.unwrap();
    let unreadable: Vec<_> = seen.unreadable.iter().map(|row| &*row.module).collect();
    assert_eq!(unreadable, ["one"], "{seen:?}");
    assert_eq!(seen.records.len(), 1, "the other one's");
}

async fn a_lease_that_nobody_holds_is_seen(database: DatabaseUnderTest) {
    let store = database.store().await;
    let one = module("one");
    store
        .ensure_modules(std::slice::from_ref(&one))
        .await
        .unwrap();
    let vacant = async || store.guards().await.unwrap().vacant;
    assert_eq!(vacant().await, std::slice::from_ref(&one), "never taken");
    let lease = held(&store, &one).await;
    store.write_guard(&trip(&lease, None)).await.unwrap();
    assert_eq!(vacant().await, []);
    // An hour later, as the database would see it.
    let sql = "UPDATE module_head SET lease_expires_at = lease_expires_at - 3600000000";
    database.execute(sql).await;
    assert_eq!(vacant().await, std::slice::from_ref(&one), "expired");
    let kept = store.renew(std::slice::from_ref(&lease), LEASE).await;
    assert_eq!(kept.unwrap().len(), 1);
    assert_eq!(vacant().await, []);
    store.release(&[lease]).await.unwrap();
    assert_eq!(vacant().await, [one], "given back");
}
