//! The legacy back end's own check: up, down, slow and lying.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Given, Hand, NOW_S, identity,
    server::{Reply, Server, json, status},
    told,
};
use crate::identity::Identity;

pub(super) fn toml(server: &Server, more: &str) -> String {
    let url = server.url("/check");
    format!(
        r#"
        [[auth.callers]]
        kind = "forward"
        check_url = "{url}"
        shows = [{{ in = "cookie", name = "SID" }}, {{ name = "X-Legacy" }}]
        audiences = ["{{user}}"]
        client = "{{user}}"
        timeout_ms = 300
        {more}
        "#
    )
}

pub(super) async fn backend(more: &str) -> (Server, Identity, Arc<Hand>) {
    let server = Server::start(knows).await;
    let (identity, clock) = identity(&toml(&server, more));
    (server, identity, clock)
}

/// Knows the cookies that begin with `u`.
pub(super) fn knows(head: &str) -> Reply {
    match head
        .split_once("cookie: sid=")
        .and_then(|(_, rest)| rest.split("\r\n").next())
    {
        Some(user) if user.starts_with('u') => json(format!(r#"{{"user":"{user}"}}"#)),
        _ => status("401 Unauthorized"),
    }
}

pub(super) fn sid(sid: &str) -> Given {
    Given::default().with("cookie", &format!("other=secret; SID={sid}"))
}

#[tokio::test]
async fn the_back_end_is_asked_once_and_shown_no_more_than_configured() {
    let server = Server::start(|head| {
        assert!(head.starts_with("get /check http/1.1\r\n"), "{head}");
        assert!(
            !head.contains("secret") && !head.contains("x-other"),
            "{head}"
        );
        assert!(head.contains("x-legacy: l\r\n"), "{head}");
        assert!(head.contains("x-forwarded-for: 192.0.2.1\r\n"), "{head}");
        knows(head)
    })
    .await;
    let (identity, clock) = identity(&toml(&server, "forward_address = true"));
    let request = sid("u1").with("x-legacy", "l").with("x-other", "o");
    for _ in 0..3 {
        assert_eq!(told(&request.of(&identity).await), "forward:u1 [u1]");
    }
    assert_eq!(server.asked(), 1);
    clock.forward(Duration::from_mins(1));
    assert_eq!(told(&request.of(&identity).await), "forward:u1 [u1]");
    assert_eq!(server.asked(), 2);
    let elsewhere = sid("u1").with("x-legacy", "l").from("192.0.2.1");
    assert_eq!(told(&elsewhere.of(&identity).await), "forward:u1 [u1]");
    assert_eq!(told(&Given::default().of(&identity).await), "missing");
}

#[tokio::test]
async fn a_no_is_remembered_for_a_while_and_ends_a_yes_at_once() {
    let (server, identity, clock) = backend("").await;
    for _ in 0..3 {
        assert_eq!(told(&sid("x").of(&identity).await), "not_accepted");
    }
    assert_eq!(server.asked(), 1);
    assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
    clock.forward(Duration::from_mins(1));
    server.answer(|_| status("403 Forbidden"));
    assert_eq!(told(&sid("u1").of(&identity).await), "not_accepted");
    // Down after its no: nothing holds any more.
    server.answer(|_| status("500 Oops"));
    clock.forward(Duration::from_secs(10));
    assert_eq!(told(&sid("u1").of(&identity).await), "unavailable");
    server.answer(knows);
    clock.forward(Duration::from_secs(10));
    assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
}

#[tokio::test]
async fn what_is_no_answer_is_an_outage() {
    type Answer = fn(&str) -> Reply;
    let silences: [(&str, Answer); 7] = [
        ("500", |_| status("500 Oops")),
        ("404", |_| status("404 Not Found")),
        ("redirect", |head| {
            assert!(!head.contains("/login"), "a redirect was followed");
            Reply::Whole(
                "302 Found",
                "Location: /login\r\n".to_owned(),
                String::new(),
            )
        }),
        ("html", |_| json("<html>please log in</html>")),
        ("huge", |_| {
            json(format!(
                "{{\"user\":\"u1\",\"x\":\"{}\"}}",
                "x".repeat(70_000)
            ))
        }),
        ("array", |_| json("[\"u1\"]")),
        ("slow", |_| Reply::Silence),
    ];
    for (name, silence) in silences {
        let (server, identity, clock) = backend("stale_for = \"10m\"").await;
        assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
        server.answer(silence);
        clock.forward(Duration::from_mins(1));
        let began = Instant::now();
        assert_eq!(
            told(&sid("u1").of(&identity).await),
            "forward:u1 [u1]",
            "{name}"
        );
        assert!(began.elapsed() < Duration::from_secs(2), "{name}");
        assert_eq!(
            told(&sid("u2").of(&identity).await),
            "unavailable",
            "{name}"
        );
        clock.forward(Duration::from_mins(10));
        assert_eq!(
            told(&sid("u1").of(&identity).await),
            "unavailable",
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_it_will_not_read_is_a_no_for_that_credential_alone() {
    for unread in ["400 No", "413 Too much", "414 Too long", "431 Too large"] {
        let (server, identity, clock) = backend("stale_for = \"10m\"").await;
        assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
        server.answer(move |head| {
            if head.contains("sid=u1\r\n") {
                status(unread)
            } else {
                knows(head)
            }
        });
        clock.forward(Duration::from_mins(1));
        // An outage would let its yes of before go on to count.
        assert_eq!(
            told(&sid("u1").of(&identity).await),
            "not_accepted",
            "{unread}"
        );
        assert_eq!(
            told(&sid("u1").of(&identity).await),
            "not_accepted",
            "{unread}"
        );
        assert_eq!(server.asked(), 2, "it is remembered: {unread}");
        for n in 2..5 {
            let (user, who) = (format!("u{n}"), format!("forward:u{n} [u{n}]"));
            assert_eq!(told(&sid(&user).of(&identity).await), who, "{unread}");
        }
    }
}

#[tokio::test]
async fn an_end_that_is_over_is_a_no() {
    let ends = |at: i64| move |_: &str| json(format!(r#"{{"user":"u1","exp":{at}}}"#));
    for over in [NOW_S - 1, NOW_S, 0] {
        let (server, identity, _) = backend("").await;
        server.answer(ends(over));
        for _ in 0..2 {
            assert_eq!(
                told(&sid("u1").of(&identity).await),
                "not_accepted",
                "{over}"
            );
        }
        assert_eq!(server.asked(), 1, "it is remembered: {over}");
    }
    // One that comes ends the yes before its time, and in an outage too.
    let (server, identity, clock) = backend("stale_for = \"10m\"").await;
    server.answer(ends(NOW_S + 30));
    assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
    clock.forward(Duration::from_secs(29));
    assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
    assert_eq!(server.asked(), 1);
    clock.forward(Duration::from_secs(1));
    assert_eq!(told(&sid("u1").of(&identity).await), "not_accepted");
    let (server, identity, clock) = backend("stale_for = \"10m\"").await;
    server.answer(ends(NOW_S + 30));
    assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
    server.answer(|_| status("500 Oops"));
    clock.forward(Duration::from_secs(30));
    assert_eq!(told(&sid("u1").of(&identity).await), "unavailable");
}

#[tokio::test]
async fn an_answer_that_names_nobody_is_a_no() {
    let (server, identity, _) = backend("").await;
    server.answer(|_| json("{\"code\":401}"));
    assert_eq!(told(&sid("u1").of(&identity).await), "not_accepted");
}

#[tokio::test]
async fn without_grace_an_outage_refuses() {
    let (server, identity, clock) = backend("stale_for = \"0s\"").await;
    assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
    server.answer(|_| status("503 Down"));
    assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
    clock.forward(Duration::from_mins(1));
    assert_eq!(told(&sid("u1").of(&identity).await), "unavailable");
}

#[tokio::test]
async fn nobody_there_is_an_outage_in_which_callers_do_not_wait() {
    let (server, identity, clock) = backend("").await;
    for n in 0..20 {
        assert_eq!(
            told(&sid(&format!("u{n}")).of(&identity).await),
            format!("forward:u{n} [u{n}]")
        );
    }
    server.answer(|_| Reply::Silence);
    clock.forward(Duration::from_mins(1));
    let began = Instant::now();
    for n in 0..20 {
        assert_eq!(
            told(&sid(&format!("u{n}")).of(&identity).await),
            format!("forward:u{n} [u{n}]")
        );
    }
    let took = began.elapsed();
    assert!(took < Duration::from_millis(300 * 14), "{took:?}");
    assert_eq!(server.asked(), 28);
    // Back again: the next try ends it.
    server.answer(knows);
    clock.forward(Duration::from_secs(10));
    assert_eq!(told(&sid("u21").of(&identity).await), "forward:u21 [u21]");
    assert_eq!(told(&sid("u22").of(&identity).await), "forward:u22 [u22]");
}

#[tokio::test]
async fn one_credential_is_checked_once_and_no_more_checks_go_on_than_allowed() {
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let server = Server::start(knows).await;
    let (identity, _) = identity(&toml(&server, "max_concurrent = 2"));
    let identity = Arc::new(identity);
    let asks = |user: String| {
        let (identity, now, most) = (identity.clone(), now.clone(), most.clone());
        tokio::spawn(async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let who = told(&sid(&user).of(&identity).await);
            now.fetch_sub(1, Ordering::SeqCst);
            assert_eq!(who, format!("forward:{user} [{user}]"));
        })
    };
    let all: Vec<_> = (0..50).map(|n| asks(format!("u{}", n % 5))).collect();
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(server.asked(), 5);
}

#[tokio::test]
async fn headers_say_who_it_is() {
    let server = Server::start(|head| {
        assert!(head.starts_with("head "), "{head}");
        Reply::Whole(
            "204 No Content",
            "X-User: u7\r\nX-Groups: a, b\r\n".to_owned(),
            String::new(),
        )
    })
    .await;
    let url = server.url("/check");
    let (identity, _) = identity(&format!(
        r#"
        [[auth.callers]]
        kind = "forward"
        check_url = "{url}"
        method = "HEAD"
        answer = "headers"
        shows = [{{ name = "Authorization" }}]
        client = "{{x-user}}"
        audiences = ["account:{{x-user}}", "{{x-groups}}"]
        "#
    ));
    let request = Given::default().with("authorization", "Basic dTpw");
    assert_eq!(
        told(&request.of(&identity).await),
        "forward:u7 [a account:u7 b]"
    );
}

#[tokio::test]
async fn who_guesses_is_not_asked_about_any_more() {
    let (server, identity, clock) = backend("").await;
    assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
    for n in 0..10 {
        assert_eq!(
            told(&sid(&format!("x{n}")).of(&identity).await),
            "not_accepted"
        );
    }
    assert_eq!(server.asked(), 11);
    assert_eq!(told(&sid("x11").of(&identity).await), "too_many");
    assert_eq!(told(&sid("u2").of(&identity).await), "too_many");
    assert_eq!(server.asked(), 11);
    assert_eq!(told(&sid("u1").of(&identity).await), "forward:u1 [u1]");
    assert_eq!(
        told(&sid("u2").from("192.0.2.2").of(&identity).await),
        "forward:u2 [u2]"
    );
    clock.forward(Duration::from_mins(1));
    assert_eq!(told(&sid("u2").of(&identity).await), "forward:u2 [u2]");
}
