//! Keys behind a URL: read, rotated, gone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Given, bearer, identity,
    keys::{Signer, set},
    server::{Reply, Server, json, status},
    told,
};
use crate::identity::Identity;

fn toml(server: &Server, more: &str) -> String {
    let url = server.url("/keys");
    format!(
        "[[auth.callers]]\nkind = \"jwt\"\nalgorithm = [\"RS256\", \"ES256\"]\njwks_url = \"{url}\"\n{more}"
    )
}

#[tokio::test]
async fn keys_are_rotated_under_traffic_without_a_refused_client() {
    let first = Signer::ec().named("first");
    let published = set(&[&first]);
    let server = Server::start(move |_| json(&published)).await;
    let more = "jwks_refresh = \"1s\"\njwks_min_interval = \"100ms\"";
    let (identity, _) = identity(&toml(&server, more));
    let identity = Arc::new(identity);
    let stop = CancellationToken::new();
    let (kept, until) = (identity.clone(), stop.clone());
    let keeping = tokio::spawn(async move { kept.keep(until).await });
    let mut signer = first;
    for round in 0..5 {
        let clients: Vec<_> = (0..40)
            .map(|n| {
                let (identity, request) =
                    (identity.clone(), bearer(&signer.token(&format!("u{n}"))));
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let who = told(&request.of(&identity).await);
                        assert_eq!(who, format!("jwt:u{n} []"));
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        // The next key is published beside the last one, and used at once.
        let next = Signer::ec().named(&format!("key {round}"));
        let published = set(&[&signer, &next]);
        server.answer(move |_| json(&published));
        sleep(Duration::from_millis(110)).await;
        signer = next;
    }
    assert!(server.asked() < 30, "{}", server.asked());
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_withdrawn_refuses_what_was_believed() {
    let (old, new) = (Signer::rsa().named("old"), Signer::ec().named("new"));
    let published = set(&[&old]);
    let server = Server::start(move |_| json(&published)).await;
    let (identity, _) = identity(&toml(&server, "jwks_min_interval = \"100ms\""));
    let request = bearer(&old.token("u1"));
    assert_eq!(told(&request.of(&identity).await), "jwt:u1 []");
    let published = set(&[&new]);
    server.answer(move |_| json(&published));
    let becomes = async {
        while told(&bearer(&new.token("u1")).of(&identity).await) != "jwt:u1 []" {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), becomes).await.unwrap();
    let refused = told(&request.of(&identity).await);
    assert!(
        ["not_accepted", "unavailable"].contains(&refused.as_str()),
        "{refused}"
    );
}

#[tokio::test]
async fn unknown_keys_ask_the_issuer_no_more_than_allowed() {
    let known = Signer::ec().named("known");
    let published = set(&[&known]);
    let server = Server::start(move |_| json(&published)).await;
    let (identity, _) = identity(&toml(&server, ""));
    assert_eq!(
        told(&bearer(&known.token("u1")).of(&identity).await),
        "jwt:u1 []"
    );
    for n in 0..50 {
        let unknown = Signer::ec().named(&format!("unknown {n}"));
        let who = told(&bearer(&unknown.token("u1")).of(&identity).await);
        let wanted = if n < 10 { "unavailable" } else { "too_many" };
        assert_eq!(
            who, wanted,
            "it could be a new one, until there are too many"
        );
    }
    assert_eq!(server.asked(), 1);
    // Others are told what they were told before, and who is known goes on.
    let unknown = bearer(&Signer::ec().named("another").token("u1"));
    let elsewhere = unknown.from("192.0.2.9");
    assert_eq!(told(&elsewhere.of(&identity).await), "unavailable");
    let known = bearer(&known.token("u2"));
    assert_eq!(told(&known.of(&identity).await), "jwt:u2 []");
}

#[tokio::test]
async fn one_new_key_is_one_try_of_a_site() {
    let known = Signer::ec().named("known");
    let published = set(&[&known]);
    let server = Server::start(move |_| json(&published)).await;
    let (identity, _) = identity(&toml(&server, ""));
    assert_eq!(
        told(&bearer(&known.token("u1")).of(&identity).await),
        "jwt:u1 []"
    );
    let next = Signer::ec().named("next");
    for n in 0..50 {
        let token = bearer(&next.token(&format!("u{n}")));
        assert_eq!(told(&token.of(&identity).await), "unavailable");
    }
}

#[tokio::test]
async fn a_set_without_keys_withdraws_them() {
    let known = Signer::ec().named("known");
    let published = set(&[&known]);
    let server = Server::start(move |_| json(&published)).await;
    let more = "jwks_refresh = \"1s\"\njwks_min_interval = \"100ms\"";
    let (identity, _) = identity(&toml(&server, more));
    let request = bearer(&known.token("u1"));
    assert_eq!(told(&request.of(&identity).await), "jwt:u1 []");
    server.answer(|_| json("{\"keys\":[]}"));
    let (identity, stop) = (Arc::new(identity), CancellationToken::new());
    let (kept, until) = (identity.clone(), stop.clone());
    let keeping = tokio::spawn(async move { kept.keep(until).await });
    becomes(&identity, &request, "not_accepted").await;
    // They may come back.
    let published = set(&[&known]);
    server.answer(move |_| json(&published));
    becomes(&identity, &request, "jwt:u1 []").await;
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn keys_of_an_issuer_that_is_gone_end() {
    let known = Signer::ec().named("known");
    let published = set(&[&known]);
    let server = Server::start(move |_| json(&published)).await;
    let more = "jwks_refresh = \"1s\"\njwks_min_interval = \"100ms\"\nkeys_stale_for = \"2s\"";
    let (identity, _) = identity(&toml(&server, more));
    let request = bearer(&known.token("u1"));
    assert_eq!(told(&request.of(&identity).await), "jwt:u1 []");
    server.answer(|_| status("500 Oops"));
    let (identity, stop) = (Arc::new(identity), CancellationToken::new());
    let (kept, until) = (identity.clone(), stop.clone());
    let keeping = tokio::spawn(async move { kept.keep(until).await });
    let began = Instant::now();
    becomes(&identity, &request, "unavailable").await;
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "they stay until then"
    );
    let published = set(&[&known]);
    server.answer(move |_| json(&published));
    becomes(&identity, &request, "jwt:u1 []").await;
    stop.cancel();
    keeping.await.unwrap();
}

async fn becomes(identity: &Identity, request: &Given, wanted: &str) {
    let becomes = async {
        while told(&request.of(identity).await) != wanted {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), becomes).await.unwrap();
}

#[tokio::test]
async fn an_unknown_key_that_was_asked_about_is_wrong() {
    let published = set(&[&Signer::ec().named("known")]);
    let server = Server::start(move |_| json(&published)).await;
    let (identity, _) = identity(&toml(&server, ""));
    let request = bearer(&Signer::ec().named("unknown").token("u1"));
    for _ in 0..3 {
        assert_eq!(told(&request.of(&identity).await), "not_accepted");
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn keys_stay_in_force_while_the_issuer_is_down_or_lies() {
    let known = Signer::ec().named("known");
    let published = set(&[&known]);
    let server = Server::start(move |_| json(&published)).await;
    let more = "jwks_refresh = \"1s\"\njwks_min_interval = \"100ms\"";
    let (identity, _) = identity(&toml(&server, more));
    assert_eq!(
        told(&bearer(&known.token("u0")).of(&identity).await),
        "jwt:u0 []"
    );
    let lies: [fn() -> Reply; 4] = [
        || status("500 Oops"),
        || json("<html>"),
        || json("x".repeat(300 * 1024)),
        || {
            Reply::Whole(
                "302 Found",
                "Location: /other\r\n".to_owned(),
                String::new(),
            )
        },
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        server.answer(move |head| {
            assert!(!head.contains("/other"), "a redirect was followed");
            lie()
        });
        sleep(Duration::from_millis(110)).await;
        let unknown = bearer(&Signer::ec().named(&format!("unknown {n}")).token("u1"));
        assert_eq!(told(&unknown.of(&identity).await), "unavailable", "lie {n}");
        let request = bearer(&known.token(&format!("u{n}")));
        assert_eq!(told(&request.of(&identity).await), format!("jwt:u{n} []"));
    }
}
