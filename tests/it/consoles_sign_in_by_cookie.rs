//! A console is known by a cookie: on each replica, as long as its token is good, and only pages of the listener act by it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use changeover::{
    config::auth::Auth,
    domain::{Clock, Micros},
    identity::{
        operators::{Console, NotSignedIn, Operators},
        passes::KeyRing,
    },
    store::{SigningKey, SigningKeysRead},
};
use http::StatusCode;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Client, InProcess, MODULE, Setup},
    token,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A browser that is signed in.
struct Browser {
    cookie: String,
    csrf: String,
}

async fn token(client: &Client, name: &str, role: &str, life_s: Option<u64>) -> String {
    let body = json!({"name": name, "roles": [role], "expires_in_s": life_s, "reason": "a test"});
    let answer = client.post("/admin/v1/tokens", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// A request without any token.
fn bare(client: &Client, method: Method, path: &str) -> RequestBuilder {
    let url = format!("{}{path}", client.private);
    client.http.0.request(method, url)
}

/// Tries to sign in, once there is a key that signs: it is made right after the start.
async fn login(client: &Client, body: &Value, headers: &[(&str, &str)]) -> Answer {
    eventually("a key that signs", PATIENCE, async || {
        let mut request = bare(client, Method::POST, "/v1/login").json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = client.send(request).await;
        (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
}

fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().unwrap_or_default().to_owned()
}

async fn signed_in(client: &Client, token: &str) -> Browser {
    let answer = login(client, &json!({"token": token}), &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert!(!answer.text.contains(token) && !answer.header("set-cookie").contains(token));
    let csrf = answer.json()["csrf_token"].as_str().unwrap().to_owned();
    let cookie = cookie(&answer);
    Browser { cookie, csrf }
}

impl Browser {
    async fn get(&self, client: &Client, path: &str) -> Answer {
        let request = bare(client, Method::GET, path);
        client.send(request.header("cookie", &self.cookie)).await
    }

    /// Pauses the module, with these headers beside the cookie.
    async fn act(&self, client: &Client, headers: &[(&str, &str)]) -> Answer {
        let path = format!("/admin/v1/modules/{MODULE}/pause");
        let mut request = bare(client, Method::POST, &path);
        request = request.header("cookie", &self.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client.send(request.json(&json!({"reason": "r"}))).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_is_the_browsers_alone_and_holds_no_token() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "gw-1")).await;
    let client = &gateway.client;
    let own = client.private.as_str();
    let body = json!({"token": token::admin()});
    let answer = login(client, &body, &[("origin", own)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let set = answer.header("set-cookie").to_owned();
    let (pair, flags) = set.split_once("; ").unwrap();
    assert!(pair.starts_with("changeover_console="), "{set}");
    // Twelve hours, in whole seconds by the database's clock.
    let flags = flags.replace("Max-Age=43200", "Max-Age=43199");
    assert_eq!(flags, "Path=/; Max-Age=43199; HttpOnly; SameSite=Strict");
    assert_eq!(answer.json()["name"], "admin");
    assert_eq!(answer.json()["roles"], json!(["admin"]));

    // A form sends the same. A proxy with TLS before the listener is seen by what the browser says.
    let https = own.replace("http://", "https://");
    let form = bare(client, Method::POST, "/v1/login").header("origin", &https);
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let answer = client
        .send(form.body(format!("token={}", token::admin())))
        .await;
    let set = answer.header("set-cookie");
    assert!(set.starts_with("__Host-changeover="), "{answer:?}");
    assert!(set.ends_with("; SameSite=Strict; Secure"), "{set}");

    // Nobody is signed in by a page of somebody else, or by what is no token.
    for foreign in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = login(client, &body, &[foreign]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{foreign:?}");
        assert_eq!(answer.header("set-cookie"), "");
    }
    for (wrong, status) in [
        (json!({"token": "hunter2-hunter2"}), 401),
        (json!({"token": token::admin(), "x": 1}), 400),
        (json!([token::admin()]), 400),
    ] {
        let answer = login(client, &wrong, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert!(!answer.text.contains("hunter2") && !answer.text.contains(token::admin()));
        assert_eq!(answer.header("set-cookie"), "");
    }

    // It is forgotten by the same name.
    let browser = signed_in(client, token::admin()).await;
    let out = bare(client, Method::POST, "/v1/logout").header("cookie", &browser.cookie);
    let out = out
        .header("origin", own)
        .header("x-csrf-token", &browser.csrf);
    let answer = client.send(out).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    let forgotten = "changeover_console=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
    assert_eq!(answer.header("set-cookie"), forgotten);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_pages_of_the_listener_act_and_the_audit_names_the_token() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "gw-1")).await;
    let client = &gateway.client;
    let own = client.private.clone();
    let operator = token(client, "night-shift", "operator", None).await;
    let browser = signed_in(client, &operator).await;
    let other = signed_in(client, &operator).await;
    let viewer = signed_in(client, &token(client, "wall", "viewer", None).await).await;

    let (csrf, page) = ("x-csrf-token", ("origin", own.as_str()));
    let right = (csrf, browser.csrf.as_str());
    let mut almost = browser.csrf.clone();
    let last = if almost.pop() == Some('A') { 'B' } else { 'A' };
    almost.push(last);
    for refused in [
        &[][..],
        &[page],
        &[right],
        &[page, (csrf, "")],
        &[page, (csrf, &browser.csrf[..1])],
        &[page, (csrf, &almost)],
        &[page, (csrf, &other.csrf)],
        &[page, right, right],
        &[("origin", "https://evil.example"), right],
        &[("origin", "null"), right],
        &[page, ("sec-fetch-site", "same-site"), right],
    ] {
        let answer = browser.act(client, refused).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{refused:?}");
    }
    // A viewer looks.
    assert_eq!(
        viewer.get(client, "/admin/v1/modules").await.status,
        StatusCode::OK
    );
    let answer = viewer.act(client, &[page, (csrf, &viewer.csrf)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    assert!(
        answer.text.contains("the token `wall` has `viewer`"),
        "{answer:?}"
    );
    assert_eq!(client.module().await["paused"], false);

    let answer = browser
        .act(client, &[page, ("sec-fetch-site", "same-origin"), right])
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let history = client
        .get(&format!("/admin/v1/modules/{MODULE}/history"))
        .await;
    assert_eq!(
        history.json()["entries"][0]["actor"],
        "night-shift",
        "{history:?}"
    );

    // What acts must show is told to who has the cookie; a token needs none of it.
    let me = browser.get(client, "/v1/login").await;
    assert_eq!(me.json()["csrf_token"], browser.csrf, "{me:?}");
    let path = format!("/admin/v1/modules/{MODULE}/resume");
    let by_token = bare(client, Method::POST, &path).bearer_auth(&operator);
    let by_token = by_token.header("origin", "https://evil.example");
    let answer = client.send(by_token.json(&json!({"reason": "r"}))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let me = bare(client, Method::GET, "/v1/login").bearer_auth(&operator);
    let me = client.send(me).await;
    assert_eq!(me.json()["csrf_token"], Value::Null, "{me:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_replica_takes_it_until_its_token_is_revoked() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let one = InProcess::start(&Setup::new(&database, "a").among_others()).await;
    let two = InProcess::start(&Setup::new(&database, "b").among_others()).await;
    let (a, b) = (&one.client, &two.client);
    let text = token(a, "console", "viewer", None).await;
    let browser = signed_in(a, &text).await;
    let status = async |client| browser.get(client, "/admin/v1/modules").await.status;
    assert_eq!(status(a).await, StatusCode::OK);
    eventually("the other one takes it", PATIENCE, async || {
        (status(b).await == StatusCode::OK).then_some(())
    })
    .await;
    let me = browser.get(b, "/v1/login").await.json();
    assert_eq!(me["csrf_token"], browser.csrf, "it acts there too");

    let id = text.split('_').nth(1).unwrap();
    let path = format!("{}/admin/v1/tokens/{id}", a.private);
    let revoked = a.http.delete(path).json(&json!({"reason": "a test"}));
    assert_eq!(a.send(revoked).await.status, StatusCode::OK);
    assert_eq!(status(a).await, StatusCode::UNAUTHORIZED, "at once");
    eventually("it ends there too", PATIENCE, async || {
        (status(b).await == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;

    // It ends with a token that ends.
    let text = token(a, "short", "viewer", Some(2)).await;
    let answer = login(a, &json!({"token": text}), &[]).await;
    let set = answer.header("set-cookie");
    let ends = set
        .split("; ")
        .find_map(|part| part.strip_prefix("Max-Age="));
    let ends: u32 = ends.unwrap().parse().unwrap();
    assert!(
        ends <= 2,
        "the browser keeps it longer than its token is good: {set}"
    );
    let short = Browser {
        cookie: cookie(&answer),
        csrf: String::new(),
    };
    eventually("it ends with its token", PATIENCE, async || {
        let status = short.get(a, "/admin/v1/modules").await.status;
        (status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    one.stop().await;
    two.stop().await;
}

/// A clock that is set by hand.
struct ByHand(AtomicI64);

impl Clock for ByHand {
    fn now(&self) -> Micros {
        Micros::new(self.0.load(Relaxed))
    }
}

#[tokio::test]
async fn what_was_changed_or_is_over_is_refused() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "gw-1")).await;
    let clock = Arc::new(ByHand(AtomicI64::new(1_700_000_000_000_000)));
    let operators = Operators::new(
        database.store().await,
        clock.clone(),
        rand::random,
        &Auth::default(),
    );
    operators.refresh().await.unwrap();
    let admin = operators.who(token::admin()).unwrap();
    let ring = Arc::<KeyRing>::default();
    let hour = Duration::from_hours(1);
    let console = Console::new(Arc::new(operators), Arc::clone(&ring), clock.clone(), hour);
    assert!(console.sign_in(&admin).is_none(), "there is no key");
    let key = SigningKey {
        id: "00000000000000aa".to_owned(),
        secret: vec![7; 32],
        signs_from: Micros::new(0),
        retires_at: None,
    };
    let now = clock.now();
    ring.adopt(
        &SigningKeysRead {
            now,
            keys: vec![key],
        },
        (now, now),
    );
    let session = console.sign_in(&admin).unwrap();
    let cookie = session.cookie.clone();
    let known = console.who(&cookie).unwrap();
    assert_eq!(known.operator.name, "admin");
    assert!(known.may_act_with(session.act_token().as_bytes()));
    assert_ne!(console.sign_in(&admin).unwrap().cookie, cookie);
    for at in 0..cookie.len() {
        for other in ["A", "B", "_", "=", "é"] {
            let mut wrong = cookie.clone();
            wrong.replace_range(at..=at, other);
            let refused = console.who(&wrong).err();
            let is_right = wrong == cookie || refused == Some(NotSignedIn::Forged);
            assert!(is_right, "{wrong}: {refused:?}");
        }
        assert_eq!(console.who(&cookie[..at]).unwrap_err(), NotSignedIn::Forged);
    }
    // What acts show is signed by the same key, and is no cookie.
    let shown = session.act_token();
    assert_eq!(console.who(shown).unwrap_err(), NotSignedIn::Forged);
    assert!(!format!("{known:?}").contains(shown) && !format!("{known:?}").contains(&cookie));
    clock.0.fetch_add(3_600_000_000, Relaxed);
    assert_eq!(console.who(&cookie).unwrap_err(), NotSignedIn::Expired);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_slow_down_only_themselves() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1").set("auth.wrong_tries", 3);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let browser = signed_in(client, token::admin()).await;
    let ask = async |token: &str| {
        let request = bare(client, Method::GET, "/admin/v1/modules").bearer_auth(token);
        client.send(request).await
    };
    for n in 0..3 {
        let wrong = format!("hunter{n}");
        assert_eq!(ask(&wrong).await.status, StatusCode::UNAUTHORIZED);
        // A program that asks on and on with the same one is no guesser.
        assert_eq!(ask(&wrong).await.status, StatusCode::UNAUTHORIZED);
    }
    let slowed = ask("hunter3").await;
    assert_eq!(slowed.status, StatusCode::TOO_MANY_REQUESTS, "{slowed:?}");
    let wait: u32 = slowed.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    // By whatever way they are tried.
    let other = login(client, &json!({"token": "hunter4"}), &[]).await;
    assert_eq!(other.status, StatusCode::TOO_MANY_REQUESTS, "{other:?}");
    let forged = Browser {
        cookie: format!("changeover_console={}", "A".repeat(80)),
        csrf: String::new(),
    };
    let other = forged.get(client, "/admin/v1/modules").await;
    assert_eq!(other.status, StatusCode::TOO_MANY_REQUESTS, "{other:?}");
    // From the same address, what is right goes on.
    assert_eq!(ask(token::admin()).await.status, StatusCode::OK);
    let known = browser.get(client, "/admin/v1/modules").await;
    assert_eq!(known.status, StatusCode::OK, "{known:?}");
    signed_in(client, token::admin()).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listener_answers_to_its_own_address() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1").set("server.private", "127.0.0.2:0");
    let gateway = InProcess::start(&setup).await;
    let answer = gateway.client.get("/admin/v1/modules").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let other = bare(&gateway.client, Method::GET, "/healthz").header("host", "127.0.0.3");
    let other = gateway.client.send(other).await;
    assert_eq!(other.status, StatusCode::MISDIRECTED_REQUEST, "{other:?}");
    gateway.stop().await;
}
