//! The other kinds, and several of them together.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{
    Given, bearer, identity,
    keys::{SECRET, Signer},
    told,
};
use crate::{
    domain::ModuleName,
    identity::{ClientIds, Refused},
};

fn hash(key: &str) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(key) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn keys() -> String {
    format!(
        r#"
        [[auth.callers]]
        kind = "key"
        credential = {{ name = "X-Key" }}
        client_ids = "any"
        audiences = ["{{sub}}"]
        agent = "kiosk {{sub}}"
        keys = [
            {{ id = "t1", hash = "{}", audiences = ["a", "*"] }},
            {{ id = "t2", hash = "{}" }},
        ]
        "#,
        hash("key one"),
        hash("key two")
    )
}

#[tokio::test]
async fn keys_are_known_by_their_hashes() {
    let (identity, _) = identity(&keys());
    for (key, wanted) in [
        ("key one", "key:t1 [a t1]"),
        ("key two", "key:t2 [t2]"),
        ("key three", "not_accepted"),
        ("key on", "not_accepted"),
        (hash("key one").as_str(), "not_accepted"),
    ] {
        for _ in 0..2 {
            let who = Given::default().with("x-key", key).of(&identity).await;
            assert_eq!(told(&who), wanted, "{key}");
        }
    }
    let who = Given::default()
        .with("x-key", "key one")
        .of(&identity)
        .await
        .unwrap();
    let caller = who.caller().unwrap();
    assert_eq!(caller.client_ids, ClientIds::Any);
    assert_eq!(caller.agent.as_deref(), Some("kiosk t1"));
    assert_eq!(caller.expires_at, None);
}

#[tokio::test]
async fn a_proxy_names_callers_and_nobody_else_does() {
    let (identity, _) = identity(
        r#"
        [[auth.callers]]
        kind = "header"
        credential = { name = "X-User" }
        networks = ["10.0.0.0/8"]
        audiences = ["account:{sub}", "{x-groups}"]
        "#,
    );
    let named = || Given::default().with("x-user", "u1");
    for (given, wanted) in [
        (named().from("10.1.2.3"), "header:u1 [account:u1]"),
        (named().from("::ffff:10.1.2.3"), "header:u1 [account:u1]"),
        (named().from("11.1.2.3"), "missing"),
        (Given::default().from("10.1.2.3"), "missing"),
        (
            named()
                .with("x-groups", "a, b,")
                .with("x-groups", "c")
                .from("10.1.2.3"),
            "header:u1 [a account:u1 b c]",
        ),
        (
            named().with("x-user", "u2").from("10.1.2.3"),
            "not_accepted",
        ),
        (
            named().with("x-groups", "a,\u{85}").from("10.1.2.3"),
            "not_accepted",
        ),
    ] {
        for _ in 0..2 {
            assert_eq!(
                told(&given.of(&identity).await),
                wanted,
                "{:?}",
                given.headers
            );
        }
    }
}

#[tokio::test]
async fn several_kinds_stand_side_by_side() {
    let toml = format!(
        r#"
        {}
        [[auth.callers]]
        kind = "jwt"
        algorithm = "HS256"
        secret = "{SECRET}"
        [[auth.callers]]
        kind = "open"
        [[modules]]
        name = "all"
        [[modules]]
        name = "tokens"
        callers = ["jwt"]
        [[modules]]
        name = "open"
        callers = ["open", "key"]
        "#,
        keys()
    );
    let (identity, _) = identity(&toml);
    let token = bearer(&Signer::secret(SECRET).token("u1"));
    let forged = bearer(&Signer::secret(&SECRET.replace('0', "1")).token("u1"));
    let key = Given::default().with("x-key", "key two");
    let both = bearer(&Signer::secret(SECRET).token("u1")).with("x-key", "key two");
    let wrong_key = Given::default().with("x-key", "no");
    for (module, given, wanted) in [
        ("all", &token, "jwt:u1 []"),
        ("all", &key, "key:t2 [t2]"),
        ("all", &both, "key:t2 [t2]"),
        ("all", &Given::default(), "open"),
        ("all", &forged, "not_accepted"),
        ("all", &wrong_key, "not_accepted"),
        ("tokens", &token, "jwt:u1 []"),
        ("tokens", &both, "jwt:u1 []"),
        ("tokens", &key, "module"),
        ("tokens", &Given::default(), "missing"),
        ("tokens", &wrong_key, "not_accepted"),
        ("open", &Given::default(), "open"),
        ("open", &key, "key:t2 [t2]"),
        ("open", &wrong_key, "not_accepted"),
        // It does not look at tokens, and who brings nothing else is open there.
        ("open", &token, "open"),
    ] {
        let name: ModuleName = module.parse().unwrap();
        let who = given.at(&identity, identity.accepted_by(&name)).await;
        assert_eq!(told(&who), wanted, "{module} {:?}", given.headers);
    }
}

#[tokio::test]
async fn wrong_ones_slow_down_their_sender_alone() {
    let (identity, _) = identity(&keys());
    let wrong = |n: usize| Given::default().with("x-key", &format!("wrong {n}"));
    for n in 0..10 {
        assert_eq!(told(&wrong(n).of(&identity).await), "not_accepted");
        assert_eq!(told(&wrong(n).of(&identity).await), "not_accepted");
    }
    assert_eq!(told(&wrong(10).of(&identity).await), "too_many");
    assert_eq!(
        told(&wrong(11).from("192.0.2.9").of(&identity).await),
        "not_accepted"
    );
    let right = Given::default().with("x-key", "key one");
    assert_eq!(told(&right.of(&identity).await), "key:t1 [a t1]");
}

#[tokio::test]
async fn without_callers_everyone_is_open() {
    let open = "[[auth.callers]]\nkind = \"open\"";
    for toml in ["", open] {
        let (identity, _) = identity(toml);
        assert!(identity.is_open());
        assert_eq!(told(&bearer("whatever").of(&identity).await), "open");
    }
}

/// By a key, and by a ticket that stands for it: one pace.
#[tokio::test]
async fn a_caller_has_one_pace_however_it_is_known() {
    let pace = "[rate.per_caller]\nper_second = 1\nburst = 3\n";
    let (identity, _) = identity(&format!("{pace}{}", keys()));
    let key = Given::default().with("x-key", "key one");
    let who = key.of(&identity).await.unwrap();
    let mut refused = None;
    // As many as a slow machine may take seconds for, and no more.
    for _ in 0..1_000 {
        refused = identity.paced(who.caller().unwrap()).err();
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused, Some(Refused::TooMany { retry_after_s: 1 }));
    assert_eq!(told(&key.of(&identity).await), "too_many");
}
