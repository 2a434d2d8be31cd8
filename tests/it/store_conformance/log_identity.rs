//! A database has one identity, made once.

use changeover::domain::LogId;
use tokio::task::JoinSet;

use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(is_made_once, of_many_that_make_one_at_once_one_does);

async fn is_made_once(database: DatabaseUnderTest) {
    let store = database.store().await;
    let first = LogId::new(u128::MAX - 7);
    assert_eq!(store.log_id(first).await.unwrap(), first);
    assert_eq!(store.log_id(LogId::new(1)).await.unwrap(), first);
    let again = database.open().await;
    assert_eq!(again.log_id(LogId::new(2)).await.unwrap(), first);
}

async fn of_many_that_make_one_at_once_one_does(database: DatabaseUnderTest) {
    let stores = [
        database.store().await,
        database.open().await,
        database.open().await,
    ];
    let mut asking = JoinSet::new();
    for n in 0..12_u8 {
        let store = std::sync::Arc::clone(&stores[usize::from(n) % stores.len()]);
        asking.spawn(async move { store.log_id(LogId::new(n.into())).await.unwrap() });
    }
    let mut ids = asking.join_all().await;
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
}
