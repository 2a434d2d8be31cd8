//! One holder at a time, by the database's clock, and what an old token is worth: nothing.

use std::time::Duration;

use changeover::store::{Error, Share};

use super::changes::{LEASE, change, held, module, number};
use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(
    are_taken_once_and_given_back,
    expire_by_time_and_the_token_grows,
    are_handed_over_to_a_successor,
    are_taken_by_shares,
    are_lost_to_who_took_over,
    are_checked_when_numbers_are_written,
);

async fn are_taken_once_and_given_back(database: DatabaseUnderTest) {
    let (one, other) = (database.store().await, database.open().await);
    let names = [module("a"), module("b")];
    one.ensure_modules(&names).await.unwrap();
    one.ensure_modules(&names).await.unwrap();
    let taken = one.acquire(&names, "one", LEASE, Share::ALL).await.unwrap();
    assert_eq!(
        taken
            .iter()
            .map(|lease| lease.module.clone())
            .collect::<Vec<_>>(),
        names
    );
    assert_eq!(
        other
            .acquire(&names, "other", LEASE, Share::ALL)
            .await
            .unwrap(),
        []
    );
    assert_eq!(one.renew(&taken, LEASE).await.unwrap(), taken);
    one.release(&taken[..1]).await.unwrap();
    let free = other
        .acquire(&names, "other", LEASE, Share::ALL)
        .await
        .unwrap();
    assert_eq!(free.len(), 1);
    assert_eq!(free[0].module, names[0]);
    assert!(free[0].token > taken[0].token);
    assert_eq!(one.renew(&taken, LEASE).await.unwrap(), taken[1..]);
    let heads = one
        .heads(changeover::telemetry::Purpose::Tail)
        .await
        .unwrap();
    assert_eq!(heads[0].lease_holder.as_deref(), Some("other"));
    assert!(heads.iter().all(
        |head| !head.lease_vacant && head.sequenced_through.get() > 0 || head.module == names[0]
    ));
}

async fn expire_by_time_and_the_token_grows(database: DatabaseUnderTest) {
    let store = database.store().await;
    let names = [module("a")];
    store.ensure_modules(&names).await.unwrap();
    let first = store
        .acquire(&names, "same", Duration::ZERO, Share::ALL)
        .await
        .unwrap();
    assert!(
        store
            .heads(changeover::telemetry::Purpose::Tail)
            .await
            .unwrap()[0]
            .lease_vacant
    );
    let second = store
        .acquire(&names, "same", LEASE, Share::ALL)
        .await
        .unwrap();
    assert!(second[0].token > first[0].token);
    assert_eq!(store.renew(&first, LEASE).await.unwrap(), []);
    // A lost lease gives back nothing.
    store.release(&first).await.unwrap();
    assert_eq!(store.renew(&second, LEASE).await.unwrap(), second);
}

async fn are_handed_over_to_a_successor(database: DatabaseUnderTest) {
    let (one, other) = (database.store().await, database.open().await);
    let names = [module("a"), module("b")];
    one.ensure_modules(&names).await.unwrap();
    let held = one.acquire(&names, "one", LEASE, Share::ALL).await.unwrap();
    one.hand_over(&held[..1], "other", LEASE).await.unwrap();
    assert_eq!(one.renew(&held, LEASE).await.unwrap(), held[1..]);
    let third = one.acquire(&names, "third", LEASE, Share::ALL).await;
    assert_eq!(third.unwrap(), [], "kept for the other");
    let fresh = other.acquire(&names, "other", LEASE, Share::ALL).await;
    let fresh = fresh.unwrap();
    assert_eq!(fresh.len(), 1);
    assert_eq!(fresh[0].module, names[0]);
    assert!(fresh[0].token > held[0].token);
    // What one holds already is taken anew: whoever asks does not know of it.
    let again = other.acquire(&names, "other", LEASE, Share::ALL).await;
    let again = again.unwrap();
    assert!(again[0].token > fresh[0].token);
    assert_eq!(other.renew(&fresh, LEASE).await.unwrap(), []);
    // A lost lease cannot be handed over.
    other.hand_over(&fresh, "third", LEASE).await.unwrap();
    assert_eq!(other.renew(&again, LEASE).await.unwrap(), again);
    // A successor that does not come is not waited for.
    one.hand_over(&held[1..], "other", Duration::ZERO)
        .await
        .unwrap();
    let third = one.acquire(&names, "third", LEASE, Share::ALL).await;
    assert_eq!(third.unwrap()[0].module, names[1]);
}

async fn are_taken_by_shares(database: DatabaseUnderTest) {
    let store = database.store().await;
    let names = ["a", "b", "c", "d", "e"].map(module);
    store.ensure_modules(&names).await.unwrap();
    let two = Share {
        most: 2,
        ..Share::ALL
    };
    let taken = store.acquire(&names, "one", Duration::ZERO, two).await;
    let taken: Vec<_> = taken.unwrap().into_iter().map(|l| l.module).collect();
    assert_eq!(taken, names[..2]);
    let overdue = Share {
        overdue: Duration::from_mins(1),
        ..Share::ALL
    };
    // Two have only just expired, the others have never been held.
    let late = store.acquire(&names, "other", LEASE, overdue).await;
    let late: Vec<_> = late.unwrap().into_iter().map(|l| l.module).collect();
    assert_eq!(late, names[2..]);
    let rest = store.acquire(&names, "third", LEASE, Share::ALL).await;
    let rest: Vec<_> = rest.unwrap().into_iter().map(|l| l.module).collect();
    assert_eq!(rest, names[..2]);
    // Those that bear the name come first.
    let of = |at: usize| std::slice::from_ref(&names[at]);
    let held = store.acquire(of(4), "other", LEASE, Share::ALL).await;
    store
        .hand_over(&held.unwrap(), "first", LEASE)
        .await
        .unwrap();
    let held = store.acquire(of(0), "third", LEASE, Share::ALL).await;
    store.release(&held.unwrap()).await.unwrap();
    let one = Share {
        most: 1,
        ..Share::ALL
    };
    let first = store.acquire(&names, "first", LEASE, one).await.unwrap();
    assert_eq!(first[0].module, names[4]);
}

async fn are_lost_to_who_took_over(database: DatabaseUnderTest) {
    let (old, new) = (database.store().await, database.open().await);
    let name = module("a");
    old.ensure_modules(std::slice::from_ref(&name))
        .await
        .unwrap();
    let names = [name.clone()];
    let late = old
        .acquire(&names, "old", Duration::ZERO, Share::ALL)
        .await
        .unwrap()
        .remove(0);
    let lease = new
        .acquire(&names, "new", LEASE, Share::ALL)
        .await
        .unwrap()
        .remove(0);
    old.append(&[change(&name, "*", "k", "1")]).await.unwrap();
    let error = number(&old, &late).await.unwrap_err();
    assert!(matches!(error, Error::LeaseLost { module } if module == name));
    number(&new, &lease).await.unwrap();
}

async fn are_checked_when_numbers_are_written(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("a");
    let lease = held(&store, &name).await;
    let forged = changeover::store::Lease {
        token: lease.token + 1,
        ..lease.clone()
    };
    let mut tx = store
        .begin_numbering(std::slice::from_ref(&lease))
        .await
        .unwrap();
    let head = changeover::store::HeadUpdate {
        lease: forged,
        head: changeover::domain::Position::new(5),
        sequenced_through: tx.now(),
        stateless_from: None,
    };
    let batch = changeover::store::Batch {
        heads: vec![head],
        ..Default::default()
    };
    assert!(matches!(
        tx.write(&batch, LEASE).await,
        Err(Error::LeaseLost { .. })
    ));
    drop(tx);
    let tx = store
        .begin_numbering(std::slice::from_ref(&lease))
        .await
        .unwrap();
    assert_eq!(tx.heads()[0].head, changeover::domain::Position::ZERO);
}
