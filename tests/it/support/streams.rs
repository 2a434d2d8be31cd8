//! What the tests of streams share.

use serde_json::{Value, json};

use super::{
    database::{DatabaseUnderTest, Kind},
    gateway::{Answer, Client, InProcess, MODULE, Setup},
    native::numbered,
};

/// A change of an audience, as it is ingested.
pub fn change(key: &str, audience: &str) -> Value {
    json!({"key": key, "audience": audience, "value": {"n": 1.10}})
}

/// A gateway with these keys set.
pub async fn in_process(database: &DatabaseUnderTest, keys: &[(&str, &str)]) -> InProcess {
    let mut setup = Setup::new(database, "a");
    for (key, value) in keys {
        setup = setup.set(key, value);
    }
    InProcess::start(&setup).await
}

/// A database of the simplest kind.
pub async fn sqlite() -> DatabaseUnderTest {
    DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap()
}

/// Five changes: for everyone, `u1`, `u2`, `u1` and everyone.
pub async fn five(client: &Client) {
    let audiences = ["*", "u1", "u2", "u1", "*"];
    let changes = audiences.iter().enumerate();
    let changes: Vec<_> = changes.map(|(n, a)| change(&format!("k{n}"), a)).collect();
    client.ingest(&json!(changes)).await;
    numbered(client, MODULE, 5).await;
}

/// What every answer says to browsers and caches.
pub fn assert_safe(answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let vary = answer.headers.get_all("vary").iter();
    let mut vary = vary.filter_map(|value| value.to_str().ok());
    assert!(
        vary.any(|value| value.contains("authorization")),
        "{answer:?}"
    );
    assert!(!answer.header("cache-control").is_empty(), "{answer:?}");
}
