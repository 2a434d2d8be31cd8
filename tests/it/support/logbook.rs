//! The log of the module `orders` as the database holds it, to compare others with.

use std::{collections::HashMap, sync::Arc};

use changeover::{
    domain::{Change, Position},
    telemetry::Purpose,
};

use super::{client_rule::Held, database::DatabaseUnderTest};

/// The server gives up a connection that takes in a larger answer too slowly.
const PAGE: u32 = 1_000;

/// All of the log, which must be dense from 1, each change with its channel's preceding one.
pub async fn whole(database: &DatabaseUnderTest) -> Vec<Arc<Change>> {
    let store = database.open().await;
    let mut log: Vec<Arc<Change>> = Vec::new();
    loop {
        let after = log.last().map_or(Position::ZERO, |change| change.position);
        let from = [("orders".parse().unwrap(), after)];
        let rows = store.rows_after(&from, PAGE, Purpose::Tail).await.unwrap();
        if rows.is_empty() {
            break;
        }
        log.extend(rows.into_iter().map(|(_, change)| change));
    }
    store.close().await;
    let mut lasts = HashMap::new();
    for (change, expected) in log.iter().zip(1..) {
        assert_eq!(change.position.get(), expected, "the log has a hole");
        let before = lasts.insert(change.audience.clone(), change.position);
        assert_eq!(change.previous, before.unwrap_or_default(), "{change:?}");
    }
    log
}

/// The same as clients hold it.
pub fn held(log: &[Arc<Change>]) -> Vec<Held> {
    let held = |change: &Arc<Change>| Held {
        position: change.position.get(),
        previous: change.previous.get(),
        audience: change.audience.as_str().to_owned(),
        key: change.key.to_string(),
        value: change.value.as_str().to_owned(),
    };
    log.iter().map(held).collect()
}

/// How far the stored mirror cursor of `orders` is.
pub const MIRROR_CURSOR: &str =
    "SELECT CAST(position AS TEXT) FROM mirror_cursor WHERE module = 'orders'";

/// Which replica numbers `orders`.
pub const LEASE_HOLDER: &str = "SELECT lease_holder FROM module_head WHERE module = 'orders'";
