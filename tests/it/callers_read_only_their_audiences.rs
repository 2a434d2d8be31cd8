//! Nobody reads another's changes, however alike the names are; what a refusal looks like; and when answers end.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    callers::{self, Credential},
    eventually,
    gateway::{Answer, Client, InProcess, Setup},
    native::PATIENCE,
    streams::sqlite,
    within,
};

/// Accounts whose names begin with each other's, or look like them.
const ACCOUNTS: [&str; 6] = ["u", "u1", "u10", "U1", "u1 ", "u1/1"];

const MODULES: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path = "/api/list"
cursor = { in = "query", name = "since" }
audience = { in = "query", name = "uid" }
client = { in = "header", name = "X-Terminal" }
floor_ms = 60000
wait = { in = "query", name = "wait", max_ms = 60000 }
[modules.poll.response]
error = '{"code":"$status","msg":"$message"}'

[[endpoints]]
modules = ["commission"]
[endpoints.poll]
path = "/api/state"
cursor = { kind = "none" }
audience = { in = "query", name = "uid" }
[endpoints.poll.response]
error_status = 200
errors = { forbidden = 418 }
error = '{"code":"$status","msg":"$message"}'

[[endpoints]]
modules = ["commission"]
[endpoints.poll]
path = "/api/mine"
cursor = { in = "query", name = "since" }
audience = { claim = "sub" }

[[endpoints]]
modules = ["commission"]
[endpoints.poll]
path = "/api/shop"
cursor = { in = "query", name = "since" }
audience = { const = "u1" }
"#;

async fn gateway() -> InProcess {
    let database = sqlite().await;
    let setup = Setup::new(&database, "a").modules(MODULES);
    let setup = setup.set("native.max_wait_ms", 60_000);
    let gateway = InProcess::start(&setup.add(&callers::auth())).await;
    let client = &gateway.client;
    let audiences = ["*"].into_iter().chain(ACCOUNTS);
    let changes = audiences.map(|audience| {
        let key = format!("of {audience:?}");
        json!({"key": key, "audience": audience, "value": 1})
    });
    client.ingest(&json!(changes.collect::<Vec<_>>())).await;
    eventually("the last one is numbered", PATIENCE, async || {
        let answer = ask(client, &Credential::of("u1/1"), "/v1/streams/commission").await;
        (keys(&answer).len() == 2).then_some(())
    })
    .await;
    gateway
}

async fn ask(client: &Client, credential: &Credential, path: &str) -> Answer {
    let url = format!("{}{path}", client.public);
    client.send(credential.on(client.http.get(url))).await
}

async fn post(client: &Client, credential: &Credential, path: &str, body: &Value) -> Answer {
    let url = format!("{}{path}", client.public);
    let request = client.http.post(url).json(body);
    client.send(credential.on(request)).await
}

/// The keys anywhere in an answer.
fn keys(answer: &Answer) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest: Vec<Value> = serde_json::from_str(&answer.text).into_iter().collect();
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) if text.starts_with("of \"") => keys.push(text),
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => rest.extend(members.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    keys.sort();
    keys
}

fn of(audiences: &[&str]) -> Vec<String> {
    let mut keys: Vec<_> = audiences.iter().map(|a| format!("of {a:?}")).collect();
    keys.sort();
    keys
}

/// What an account reads that names this audience, or none, at each door.
async fn read(client: &Client, account: &str, named: Option<&str>) -> Vec<(&'static str, Answer)> {
    let credential = &Credential::of(account);
    let query = |name: &str| {
        let pair = named.map(|named| {
            url::form_urlencoded::Serializer::new(String::new())
                .append_pair(name, named)
                .finish()
        });
        pair.unwrap_or_default()
    };
    let (uid, audience) = (query("uid"), query("audience"));
    let poll = json!({"cursors": {"commission": null}, "audience": named});
    let stream = format!("/v1/streams/commission?{audience}");
    let wait = format!("{stream}&offset=-1&live=long-poll");
    let snapshot = format!("/v1/modules/commission/snapshot?{audience}");
    vec![
        (
            "poll",
            ask(client, credential, &format!("/api/list?{uid}")).await,
        ),
        (
            "state",
            ask(client, credential, &format!("/api/state?{uid}")).await,
        ),
        ("stream", ask(client, credential, &stream).await),
        ("long poll", ask(client, credential, &wait).await),
        ("snapshot", ask(client, credential, &snapshot).await),
        ("several", post(client, credential, "/v1/poll", &poll).await),
    ]
}

#[tokio::test]
async fn names_that_are_alike_are_others() {
    let gateway = gateway().await;
    let client = &gateway.client;
    // Twice, so that nothing which is remembered of one is told to another.
    for account in ACCOUNTS.into_iter().chain(ACCOUNTS) {
        for named in ACCOUNTS {
            for (door, answer) in read(client, account, Some(named)).await {
                if named == account {
                    assert_eq!(answer.status, StatusCode::OK, "{door} {account:?}");
                    assert_eq!(keys(&answer), of(&["*", account]), "{door}");
                } else {
                    let refused = if door == "state" { 418 } else { 403 };
                    assert_eq!(answer.status, refused, "{door} {account:?} {named:?}");
                    assert_eq!(keys(&answer), of(&[]), "{door} {account:?} {named:?}");
                }
            }
        }
        for (door, answer) in read(client, account, Some("*")).await {
            assert_eq!(keys(&answer), of(&["*"]), "{door} {account:?}");
        }
        for (door, answer) in read(client, account, None).await {
            let is_old = ["poll", "state"].contains(&door);
            let all = if is_old {
                vec!["*"]
            } else {
                vec!["*", account]
            };
            assert_eq!(keys(&answer), of(&all), "{door} {account:?}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_credential_may_say_the_audience() {
    let gateway = gateway().await;
    let client = &gateway.client;
    for account in ACCOUNTS {
        // What the request says besides does not count.
        let answer = ask(client, &Credential::of(account), "/api/mine?uid=u1").await;
        assert_eq!(keys(&answer), of(&["*", account]), "{answer:?}");
        let constant = ask(client, &Credential::of(account), "/api/shop").await;
        let expected = if account == "u1" { 200 } else { 403 };
        assert_eq!(constant.status, expected, "{account:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn refusals_are_in_the_words_of_the_door() {
    let gateway = gateway().await;
    let client = &gateway.client;
    let (u1, u2) = (&Credential::of("u1"), &Credential::of("u2"));
    let over = &Credential::until("u1", -5);
    for (credential, path, status, body) in [
        (
            &Credential::Nothing,
            "/api/list",
            401,
            r#"{"code":401,"msg":"this needs a credential"}"#,
        ),
        (
            over,
            "/api/list",
            401,
            r#"{"code":401,"msg":"the credential has expired"}"#,
        ),
        (
            u2,
            "/api/list?uid=u1",
            403,
            r#"{"code":403,"msg":"this audience is not the caller's"}"#,
        ),
        (
            &Credential::Nothing,
            "/api/state",
            200,
            r#"{"code":401,"msg":"this needs a credential"}"#,
        ),
        (
            u2,
            "/api/state?uid=u1",
            418,
            r#"{"code":403,"msg":"this audience is not the caller's"}"#,
        ),
    ] {
        let answer = ask(client, credential, path).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.text),
            (status, body),
            "{path}"
        );
        assert_eq!(
            answer.headers.contains_key("www-authenticate"),
            status == 401,
            "{answer:?}"
        );
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let other = u1.on(client.http.get(format!("{}/api/list", client.public)));
    let other = client.send(other.header("X-Terminal", "u2")).await;
    assert_eq!(
        other.text,
        r#"{"code":403,"msg":"this client id is not the caller's"}"#
    );
    let stream = format!("{}/v1/streams/commission", client.public);
    let other = u1
        .on(client.http.get(stream))
        .header("Changeover-Client", "u2");
    let other = client.send(other).await;
    assert_eq!(other.status, 403);
    assert_eq!(other.header("content-type"), "application/problem+json");
    let flags = json!({"context": {"targetingKey": "u2"}});
    let other = post(client, u1, "/ofrep/v1/evaluate/flags", &flags).await;
    assert_eq!(other.status, 403);
    assert_eq!(
        other.text,
        r#"{"errorCode":"GENERAL","errorDetails":"this client id is not the caller's"}"#
    );
    gateway.stop().await;
}

#[tokio::test]
async fn caches_in_between_are_told() {
    let gateway = gateway().await;
    let client = &gateway.client;
    let u1 = &Credential::of("u1");
    for path in [
        "/api/list?uid=u1",
        "/v1/streams/commission",
        "/v1/modules/commission/snapshot",
    ] {
        let answer = ask(client, u1, path).await;
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        let told = vary
            .iter()
            .any(|value| *value == "authorization, x-api-key");
        assert!(told, "{path}: {answer:?}");
        let keep = answer.header("cache-control");
        assert!(
            !keep.is_empty() && !keep.contains("public"),
            "{path}: {keep}"
        );
    }
    gateway.stop().await;
}

/// What waits longest at each door that waits.
#[tokio::test]
async fn waits_and_streams_end_with_their_caller() {
    const LIFE_S: i64 = 3;
    let gateway = gateway().await;
    let client = &gateway.client;
    let end = ask(client, &Credential::of("u1"), "/v1/streams/commission").await;
    let end = end.header("stream-next-offset").to_owned();
    let stream = format!("/v1/streams/commission?offset={end}&live=");
    let waits = [
        "/api/list?uid=u1&since=7&wait=60000".to_owned(),
        format!("{stream}long-poll"),
        format!("{stream}sse"),
        "/ofrep/v1/sse?targetingKey=u1".to_owned(),
    ];
    let begun = Instant::now();
    let credential = &Credential::until("u1", LIFE_S);
    let body = json!({"cursors": {"commission": end}, "wait_ms": 60_000});
    let several = post(client, credential, "/v1/poll", &body);
    let waits = waits.iter().map(|path| ask(client, credential, path));
    let all = futures_util::future::join(futures_util::future::join_all(waits), several);
    let (waits, several) = within("all to end", PATIENCE, all).await;
    let took = begun.elapsed();
    for answer in waits.iter().chain([&several]) {
        assert!(answer.status.is_success(), "{answer:?}");
    }
    // Whole seconds are all that a token knows.
    let earliest = Duration::from_secs(LIFE_S.unsigned_abs() - 2);
    assert!(
        took > earliest && took < Duration::from_secs(20),
        "{took:?}"
    );
    let again = ask(client, credential, "/v1/streams/commission").await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    gateway.stop().await;
}
