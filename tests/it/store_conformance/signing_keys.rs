//! The keys of MQTT passes: one is added after the newest that is known, and retires those before it.

use std::time::Duration;

use changeover::{
    domain::Micros,
    store::{SigningKey, SigningKeyAdded},
};

use tokio::task::JoinSet;

use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(
    keys_come_one_after_the_other,
    of_many_that_make_one_at_once_one_does,
);

fn key(id: &str, signs_from: Micros) -> SigningKey {
    SigningKey {
        id: id.to_owned(),
        secret: (0..32).map(|n| n * 8).collect(),
        signs_from,
        retires_at: None,
    }
}

async fn keys_come_one_after_the_other(database: DatabaseUnderTest) {
    let store = database.store().await;
    let read = store.signing_keys().await.unwrap();
    assert_eq!(read.keys, []);
    let hour = Duration::from_hours(1);
    let (start, next) = (read.now, read.now.plus(hour));
    let (first, second) = (key("a1", start), key("b2", next));
    let add = async |key: &SigningKey, after, before_retire_at| {
        let added = SigningKeyAdded {
            key,
            after,
            before_retire_at,
        };
        store.add_signing_key(&added).await.unwrap()
    };
    assert!(add(&first, None, start).await);
    assert!(!add(&second, None, next).await, "another was there already");
    let read = store.signing_keys().await.unwrap();
    assert_eq!(read.keys, std::slice::from_ref(&first));
    assert!(read.now >= start && read.now.since(start) < hour);

    let retires_at = start.minus(hour);
    assert!(add(&second, Some(&first), retires_at).await);
    let retired = SigningKey {
        retires_at: Some(retires_at),
        ..first.clone()
    };
    let keys = store.signing_keys().await.unwrap().keys;
    assert_eq!(keys, [retired, second.clone()]);
    assert!(!format!("{keys:?}").contains("secret"));
    assert_eq!(store.forget_signing_keys().await.unwrap(), 1);
    assert_eq!(store.forget_signing_keys().await.unwrap(), 0);
    assert_eq!(store.signing_keys().await.unwrap().keys, [second]);

    // Nothing follows what is forgotten, but a later key is there.
    let late = key("c3", start);
    assert!(
        !add(&late, None, start).await,
        "it has slept since there was none"
    );
}

/// Of replicas that have read the same, and have never heard of each other.
async fn of_many_that_make_one_at_once_one_does(database: DatabaseUnderTest) {
    let store = database.store().await;
    let mut newest = None;
    for turn in 0..8 {
        let now = store.signing_keys().await.unwrap().now;
        let made = |n| {
            let (store, after) = (store.clone(), newest.clone());
            async move {
                let key = key(&format!("{turn}-{n}"), now);
                let added = SigningKeyAdded {
                    key: &key,
                    after: after.as_ref(),
                    before_retire_at: now,
                };
                store.add_signing_key(&added).await.unwrap().then_some(key)
            }
        };
        let made: JoinSet<_> = (0..4).map(made).collect();
        let made: Vec<_> = made.join_all().await.into_iter().flatten().collect();
        let [one] = &*made else {
            panic!("{} have made a key in turn {turn}", made.len());
        };
        let keys = store.signing_keys().await.unwrap().keys;
        assert_eq!(keys.last(), Some(one));
        let unretired = keys.iter().filter(|key| key.retires_at.is_none());
        assert_eq!(unretired.count(), 1);
        newest = Some(one.clone());
    }
}
