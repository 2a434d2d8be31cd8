//! Tokens: written once under their id, with an audit entry that holds no hash, and revoked for good.

use changeover::{
    domain::Micros,
    store::{Enrolled, NewToken, TokenRecord, TokenRevoked},
};

use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(
    a_token_is_enrolled_once,
    a_revoked_token_stays_revoked,
    what_has_expired_is_not_in_force,
    several_at_once_enrol_one,
);

fn new(id: &str) -> NewToken {
    NewToken {
        record: TokenRecord {
            id: id.to_owned(),
            name: "shop-1".to_owned(),
            roles: "producer".to_owned(),
            modules: vec!["orders".to_owned(), "prices".to_owned()],
            hash: (0..=255).step_by(8).collect(),
            created_by: "ann".to_owned(),
            created_at: Micros::new(0),
            expires_at: None,
            revoked_at: None,
        },
        actor: "ann (for bob)".to_owned(),
        reason: "the shop's back end".to_owned(),
    }
}

fn revoked(id: &str) -> TokenRevoked {
    TokenRevoked {
        id: id.to_owned(),
        actor: "bob".to_owned(),
        reason: "it is lost".to_owned(),
    }
}

async fn a_token_is_enrolled_once(database: DatabaseUnderTest) {
    let store = database.store().await;
    assert_eq!(store.tokens_in_force(10).await.unwrap(), []);
    let Enrolled::New(record) = store.enrol_token(&new("a1")).await.unwrap() else {
        panic!("nobody was there before");
    };
    assert!(
        record.created_at > Micros::new(0),
        "by the database's clock"
    );
    let expected = TokenRecord {
        created_at: record.created_at,
        ..new("a1").record
    };
    assert_eq!(record, expected);
    let mut other = new("a1");
    other.record.hash = vec![7; 32];
    let again = store.enrol_token(&other).await.unwrap();
    assert_eq!(again, Enrolled::Known(record.clone()));
    let in_force = store.tokens_in_force(10).await.unwrap();
    assert_eq!(in_force, std::slice::from_ref(&record));
    assert_eq!(store.token("a1").await.unwrap(), Some(record));
    assert_eq!(store.token("A1").await.unwrap(), None);

    let audit = store.audit(None, None, 10).await.unwrap();
    assert_eq!(audit.len(), 1, "{audit:?}");
    let told = (&*audit[0].actor, &*audit[0].action, &*audit[0].reason);
    assert_eq!(
        told,
        ("ann (for bob)", "token-create", "the shop's back end")
    );
    assert!(audit[0].before.is_null());
    assert_eq!(audit[0].after["id"], "a1");
    assert_eq!(audit[0].after["roles"], "producer");
    assert!(audit[0].after.get("hash").is_none());
    let of_module = "orders".parse().unwrap();
    assert_eq!(
        store.audit(Some(&of_module), None, 10).await.unwrap().len(),
        0
    );
}

async fn a_revoked_token_stays_revoked(database: DatabaseUnderTest) {
    let store = database.store().await;
    for id in ["a1", "b2", "c3"] {
        store.enrol_token(&new(id)).await.unwrap();
    }
    let record = store.revoke_token(&revoked("b2")).await.unwrap().unwrap();
    let at = record.revoked_at.expect("it is revoked");
    assert!(at >= record.created_at);
    let ids = |records: Vec<TokenRecord>| -> Vec<String> {
        records.into_iter().map(|record| record.id).collect()
    };
    assert_eq!(ids(store.tokens_in_force(10).await.unwrap()), ["a1", "c3"]);
    assert_eq!(ids(store.tokens_in_force(1).await.unwrap()), ["a1"]);
    assert_eq!(ids(store.tokens(10).await.unwrap()), ["c3", "b2", "a1"]);
    // Again changes nothing, and neither brings it back.
    let again = store.revoke_token(&revoked("b2")).await.unwrap().unwrap();
    assert_eq!(again, record);
    let known = store.enrol_token(&new("b2")).await.unwrap();
    assert_eq!(known, Enrolled::Known(record));
    assert_eq!(store.revoke_token(&revoked("d4")).await.unwrap(), None);

    let audit = store.audit(None, None, 10).await.unwrap();
    assert_eq!(audit.len(), 4, "{audit:?}");
    let told = (&*audit[0].actor, &*audit[0].action, &*audit[0].reason);
    assert_eq!(told, ("bob", "token-revoke", "it is lost"));
    assert!(audit[0].before["revoked_at"].is_null());
    assert_eq!(audit[0].after["revoked_at"], at.get());
}

async fn what_has_expired_is_not_in_force(database: DatabaseUnderTest) {
    let store = database.store().await;
    let ends = |id, at| {
        let mut new = new(id);
        new.record.modules = Vec::new();
        new.record.expires_at = Some(Micros::new(at));
        new
    };
    store.enrol_token(&ends("gone", 1)).await.unwrap();
    store.enrol_token(&ends("good", i64::MAX)).await.unwrap();
    let in_force = store.tokens_in_force(10).await.unwrap();
    assert_eq!(in_force.len(), 1);
    assert_eq!(in_force[0].id, "good");
    assert_eq!(in_force[0].expires_at, Some(Micros::new(i64::MAX)));
    assert!(in_force[0].modules.is_empty());
    assert_eq!(store.tokens(10).await.unwrap().len(), 2);
}

/// As replicas that start together do with the token of `auth.admin_token_file`.
async fn several_at_once_enrol_one(database: DatabaseUnderTest) {
    let stores = [database.store().await, database.store().await];
    for round in 1..=10 {
        let token = new(&format!("a{round}"));
        let all = (0..6).map(|n| stores[n % 2].enrol_token(&token));
        let all = futures_util::future::join_all(all).await;
        let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
        let is_new = |one: &&Enrolled| matches!(one, Enrolled::New(_));
        assert_eq!(all.iter().filter(is_new).count(), 1, "{all:?}");
        for one in &all {
            let (Enrolled::New(record) | Enrolled::Known(record)) = one;
            assert_eq!(record.hash, token.record.hash);
        }
        assert_eq!(stores[0].tokens(100).await.unwrap().len(), round);
        let audit = stores[1].audit(None, None, 100).await.unwrap();
        assert_eq!(audit.len(), round, "{audit:?}");
    }
}
