//! A server that is stopped and started again: every call says that it is unavailable, then goes on.

use changeover::{store::Error, telemetry::Purpose};

use super::changes::{change, held, module, number};
use crate::support::database::{DatabaseUnderTest, Kind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_postgresql_is_unavailable_and_then_everything_goes_on() {
    if let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await {
        unavailable_and_then_everything_goes_on(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_mariadb_is_unavailable_and_then_everything_goes_on() {
    if let Some(database) = DatabaseUnderTest::private(Kind::MariaDb).await {
        unavailable_and_then_everything_goes_on(database).await;
    }
}

async fn unavailable_and_then_everything_goes_on(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("outage");
    let lease = held(&store, &name).await;
    let open = store
        .begin_numbering(std::slice::from_ref(&lease))
        .await
        .unwrap();
    database.stop();
    let unavailable = |error: Error| matches!(error, Error::Unavailable { .. });
    assert!(open.commit().await.err().is_some_and(unavailable));
    assert!(
        store
            .heads(Purpose::Tail)
            .await
            .err()
            .is_some_and(unavailable)
    );
    assert!(
        store
            .append(&[change(&name, "*", "k", "1")])
            .await
            .err()
            .is_some_and(unavailable)
    );
    database.start();
    number(&store, &lease).await.unwrap();
    while store.append(&[change(&name, "*", "k", "1")]).await.is_err() {}
    number(&store, &lease).await.unwrap();
    assert_eq!(store.heads(Purpose::Tail).await.unwrap()[0].head.get(), 1);
}
