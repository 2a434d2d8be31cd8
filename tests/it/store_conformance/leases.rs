//! One holder at a time, by the database's clock, and what an old token is worth: nothing.

use std::time::Duration;

use changeover::store::Error;

use super::changes::{LEASE, change, held, module, number};
use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(
    are_taken_once_and_given_back,
    expire_by_time_and_the_token_grows,
    are_lost_to_who_took_over,
    are_checked_when_numbers_are_written,
);

async fn are_taken_once_and_given_back(database: DatabaseUnderTest) {
    let (one, other) = (database.store().await, database.open().await);
    let names = [module("a"), module("b")];
    one.ensure_modules(&names).await.unwrap();
    one.ensure_modules(&names).await.unwrap();
    let taken = one.acquire(&names, "one", LEASE).await.unwrap();
    assert_eq!(
        taken
            .iter()
            .map(|lease| lease.module.clone())
            .collect::<Vec<_>>(),
        names
    );
    assert_eq!(other.acquire(&names, "other", LEASE).await.unwrap(), []);
    assert_eq!(one.acquire(&names, "one", LEASE).await.unwrap(), []);
    assert_eq!(one.renew(&taken, LEASE).await.unwrap(), taken);
    one.release(&taken[..1]).await.unwrap();
    let free = other.acquire(&names, "other", LEASE).await.unwrap();
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
    let first = store.acquire(&names, "same", Duration::ZERO).await.unwrap();
    assert!(
        store
            .heads(changeover::telemetry::Purpose::Tail)
            .await
            .unwrap()[0]
            .lease_vacant
    );
    let second = store.acquire(&names, "same", LEASE).await.unwrap();
    assert!(second[0].token > first[0].token);
    assert_eq!(store.renew(&first, LEASE).await.unwrap(), []);
    // A lost lease gives back nothing.
    store.release(&first).await.unwrap();
    assert_eq!(store.renew(&second, LEASE).await.unwrap(), second);
}

async fn are_lost_to_who_took_over(database: DatabaseUnderTest) {
    let (old, new) = (database.store().await, database.open().await);
    let name = module("a");
    old.ensure_modules(std::slice::from_ref(&name))
        .await
        .unwrap();
    let names = [name.clone()];
    let late = old
        .acquire(&names, "old", Duration::ZERO)
        .await
        .unwrap()
        .remove(0);
    let lease = new.acquire(&names, "new", LEASE).await.unwrap().remove(0);
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
