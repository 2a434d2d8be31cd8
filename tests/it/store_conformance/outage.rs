//! A server that is stopped and started again: every call says that it is unavailable, then goes on.

use changeover::{store::Error, telemetry::Purpose};

use super::changes::{change, held, module, number};
use crate::support::database::{DatabaseUnderTest, Kind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_is_unavailable_and_then_everything_goes_on() {
    let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await else {
        return;
    };
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
