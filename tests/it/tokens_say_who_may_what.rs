//! The private listener answers those who show a token of the right role, and nobody else: each endpoint with each kind of token.

use std::{collections::BTreeSet, time::Duration};

use http::StatusCode;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    described, eventually,
    gateway::{Answer, Client, InProcess, MODULE, Setup},
    token::{self, created, id},
};

/// Who is let in by an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Everybody,
    AnyToken,
    Viewers,
    Operators,
    Admins,
    Producers,
}

use For::{Admins, AnyToken, Everybody, Operators, Producers, Viewers};

/// Each endpoint that the description of the listener names, and one of its paths.
const DOORS: [(&str, &str, &str, For); 42] = [
    // The token is in its body.
    ("post", "/v1/login", "/v1/login", Everybody),
    ("get", "/v1/login", "/v1/login", AnyToken),
    ("post", "/v1/logout", "/v1/logout", AnyToken),
    ("get", "/admin/v1/modules", "/admin/v1/modules", Viewers),
    (
        "get",
        "/admin/v1/modules/{module}",
        "/admin/v1/modules/commission",
        Viewers,
    ),
    (
        "get",
        "/admin/v1/modules/{module}/history",
        "/admin/v1/modules/commission/history",
        Viewers,
    ),
    (
        "post",
        "/admin/v1/modules/{module}/compact",
        "/admin/v1/modules/commission/compact",
        Operators,
    ),
    (
        "post",
        "/admin/v1/modules/{module}/epoch",
        "/admin/v1/modules/commission/epoch",
        Admins,
    ),
    (
        "post",
        "/admin/v1/modules/{module}/gates",
        "/admin/v1/modules/commission/gates",
        Viewers,
    ),
    (
        "post",
        "/admin/v1/modules/{module}/{act}",
        "/admin/v1/modules/commission/promote",
        Operators,
    ),
    ("get", "/admin/v1/panic", "/admin/v1/panic", Viewers),
    ("post", "/admin/v1/panic", "/admin/v1/panic", Operators),
    ("delete", "/admin/v1/panic", "/admin/v1/panic", Operators),
    ("get", "/admin/v1/census", "/admin/v1/census", Viewers),
    ("get", "/admin/v1/instances", "/admin/v1/instances", Viewers),
    ("get", "/admin/v1/savings", "/admin/v1/savings", Viewers),
    ("get", "/admin/v1/targets", "/admin/v1/targets", Viewers),
    (
        "post",
        "/admin/v1/targets/{target}/{act}",
        "/admin/v1/targets/local/pause",
        Operators,
    ),
    (
        "get",
        "/admin/v1/outbox/rejected",
        "/admin/v1/outbox/rejected",
        Viewers,
    ),
    (
        "post",
        "/admin/v1/outbox/rejected/retry",
        "/admin/v1/outbox/rejected/retry",
        Operators,
    ),
    (
        "post",
        "/admin/v1/outbox/rejected/drop",
        "/admin/v1/outbox/rejected/drop",
        Operators,
    ),
    ("get", "/admin/v1/audit", "/admin/v1/audit", Admins),
    ("get", "/admin/v1/tokens", "/admin/v1/tokens", Admins),
    ("post", "/admin/v1/tokens", "/admin/v1/tokens", Admins),
    (
        "delete",
        "/admin/v1/tokens/{id}",
        "/admin/v1/tokens/0000000000000000",
        Admins,
    ),
    (
        "post",
        "/v1/modules/{module}/changes",
        "/v1/modules/commission/changes",
        Producers,
    ),
    ("get", "/metrics", "/metrics", Viewers),
    // Brokers know the secret of their path instead.
    (
        "post",
        "/broker/{secret}/emqx/authenticate",
        "/broker/x/emqx/authenticate",
        Everybody,
    ),
    (
        "post",
        "/broker/{secret}/emqx/authorize",
        "/broker/x/emqx/authorize",
        Everybody,
    ),
    (
        "get",
        "/broker/{secret}/rabbitmq/user",
        "/broker/x/rabbitmq/user",
        Everybody,
    ),
    (
        "post",
        "/broker/{secret}/rabbitmq/user",
        "/broker/x/rabbitmq/user",
        Everybody,
    ),
    (
        "get",
        "/broker/{secret}/rabbitmq/vhost",
        "/broker/x/rabbitmq/vhost",
        Everybody,
    ),
    (
        "post",
        "/broker/{secret}/rabbitmq/vhost",
        "/broker/x/rabbitmq/vhost",
        Everybody,
    ),
    (
        "get",
        "/broker/{secret}/rabbitmq/resource",
        "/broker/x/rabbitmq/resource",
        Everybody,
    ),
    (
        "post",
        "/broker/{secret}/rabbitmq/resource",
        "/broker/x/rabbitmq/resource",
        Everybody,
    ),
    (
        "get",
        "/broker/{secret}/rabbitmq/topic",
        "/broker/x/rabbitmq/topic",
        Everybody,
    ),
    (
        "post",
        "/broker/{secret}/rabbitmq/topic",
        "/broker/x/rabbitmq/topic",
        Everybody,
    ),
    (
        "post",
        "/broker/{secret}/vernemq",
        "/broker/x/vernemq",
        Everybody,
    ),
    ("get", "/healthz", "/healthz", Everybody),
    ("get", "/readyz", "/readyz", Everybody),
    ("get", "/openapi.json", "/openapi.json", AnyToken),
    ("get", "/asyncapi.json", "/asyncapi.json", AnyToken),
];

/// Kinds of callers, by what they show.
const CALLERS: [&str; 13] = [
    "viewer",
    "operator",
    "admin",
    "producer",
    "operator,producer",
    "of another module",
    "nobody",
    "unknown",
    "another secret",
    "mistyped",
    "revoked",
    "expired",
    "basic",
];

/// What an endpoint answers a caller before it looks at anything else; `None` = it lets it in.
fn refusal(door: For, caller: &str) -> Option<u16> {
    let has = |roles: &[&str]| roles.contains(&caller);
    let is_in = match door {
        Everybody => return None,
        AnyToken => has(&CALLERS[..6]),
        Viewers => has(&["viewer", "operator", "admin", "operator,producer"]),
        Operators => has(&["operator", "admin", "operator,producer"]),
        Admins => has(&["admin"]),
        Producers => has(&["producer", "admin", "operator,producer"]),
    };
    match (is_in, CALLERS[..6].contains(&caller)) {
        (true, _) => None,
        (false, true) => Some(403),
        (false, false) => Some(401),
    }
}

/// What each caller shows in `Authorization`.
async fn shown(client: &Client, caller: &str) -> Option<String> {
    let body = |roles: Value| json!({"name": "test", "roles": roles, "reason": "a test"});
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    match caller {
        "nobody" => None,
        "basic" => Some("Basic dXNlcjpwYXNzd29yZA==".to_owned()),
        "unknown" => {
            let other = changeover::identity::operators::TokenText::new(&[1; 40]);
            bearer(other.reveal())
        }
        "another secret" => {
            // The id is the first admin's.
            let mut bytes = [1; 40];
            bytes[..8].fill(42);
            let forged = changeover::identity::operators::TokenText::new(&bytes);
            assert_eq!(id(forged.reveal()), id(token::admin()));
            bearer(forged.reveal())
        }
        "mistyped" => {
            let (most, last) = token::admin().split_at(token::admin().len() - 1);
            let other = if last == "0" { "1" } else { "0" };
            bearer(&format!("{most}{other}"))
        }
        "revoked" => {
            let token = created(client, &body(json!(["admin"]))).await;
            let path = format!("{}/admin/v1/tokens/{}", client.private, id(&token));
            let revoked = client.http.delete(path).json(&json!({"reason": "a test"}));
            assert_eq!(client.send(revoked).await.status, StatusCode::OK);
            bearer(&token)
        }
        "expired" => {
            let mut body = body(json!(["admin"]));
            body["expires_in_s"] = json!(1);
            let token = created(client, &body).await;
            let list = || client.get("/admin/v1/tokens");
            eventually("it has expired", Duration::from_secs(20), async || {
                let all = list().await.json();
                let mut all = all["tokens"].as_array().unwrap().iter();
                let own = all.find(|one| one["id"] == id(&token)).unwrap();
                (own["in_force"] == false).then_some(())
            })
            .await;
            bearer(&token)
        }
        "of another module" => {
            let mut body = body(json!(["producer"]));
            body["modules"] = json!(["notices"]);
            bearer(&created(client, &body).await)
        }
        roles => {
            let roles: Vec<_> = roles.split(',').collect();
            bearer(&created(client, &body(json!(roles))).await)
        }
    }
}

async fn ask(client: &Client, method: &str, path: &str, shown: Option<&str>) -> Answer {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let url = format!("{}{path}", client.private);
    // Whoever is let in is refused for this, before anything is done.
    let mut request = client.http.0.request(method.clone(), url).body("{");
    if method != Method::GET {
        request = request.header("content-type", "application/json");
    }
    if let Some(shown) = shown {
        request = request.header("authorization", shown);
    }
    client.send(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_endpoint_and_each_kind_of_caller() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1").set("auth.metrics_open", false);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    for caller in CALLERS {
        let shown = shown(client, caller).await;
        for (method, route, path, door) in DOORS {
            let answer = ask(client, method, path, shown.as_deref()).await;
            let what = format!("{caller} at {method} {route}: {answer:?}");
            match refusal(door, caller) {
                Some(status) => {
                    assert_eq!(answer.status.as_u16(), status, "{what}");
                    assert_eq!(
                        answer.header("content-type"),
                        "application/problem+json",
                        "{what}"
                    );
                    let challenged = answer.header("www-authenticate").starts_with("Bearer ");
                    assert_eq!(challenged, status == 401, "{what}");
                    let secret = shown.as_deref().unwrap_or("nothing");
                    assert!(!answer.text.contains(secret), "{what}");
                }
                None => assert!(![401, 403].contains(&answer.status.as_u16()), "{what}"),
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_names_each_endpoint_and_the_description_says_the_same() {
    let gateway = described::gateway("").await;
    let document = gateway.client.get("/openapi.json").await.json();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert((method.clone(), path.clone()));
            let row = DOORS
                .iter()
                .find(|(of, at, ..)| (of, at) == (&&**method, &&**path));
            let (.., door) = row.unwrap_or_else(|| panic!("no row for {method} {path}"));
            // On loopback metrics are open, unless somebody says otherwise.
            let is_open = *door == Everybody || path == "/metrics";
            let expected = if is_open {
                Value::Null
            } else {
                ways_in(method)
            };
            assert_eq!(operation["security"], expected, "{method} {path}");
            // Its token is in its body.
            let is_open = is_open && operation["operationId"] != "signIn";
            for status in ["401", "403"] {
                let answers = operation["responses"].get(status).is_some();
                assert_eq!(answers, !is_open, "{status} of {method} {path}");
            }
        }
    }
    let listed: BTreeSet<_> = DOORS
        .iter()
        .map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(described, listed);
    gateway.stop().await;
}

/// How one is let in by whatever asks.
fn ways_in(method: &str) -> Value {
    let by_cookie = |name: &str| match method {
        "get" => json!({name: []}),
        _ => json!({name: [], "csrf-token": []}),
    };
    json!([
        {"token": []},
        {"token-as-password": []},
        by_cookie("session"),
        by_cookie("session-without-tls"),
    ])
}

/// A session that somebody has begun: the cookie's value, and what acts show.
async fn session(client: &Client) -> (String, String) {
    let body = json!({"token": token::admin()});
    let answer = eventually("there is a key", Duration::from_secs(20), async || {
        let login = client.http.0.post(format!("{}/v1/login", client.private));
        let answer = client.send(login.json(&body)).await;
        (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let (_, cookie) = answer.header("set-cookie").split_once('=').unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let csrf = answer.json()["csrf_token"].as_str().unwrap().to_owned();
    (cookie, csrf)
}

/// Shows what a scheme wants, as a page of the listener does.
fn show(
    request: RequestBuilder,
    scheme: &Value,
    (cookie, csrf): &(String, String),
) -> RequestBuilder {
    let request = request.header("sec-fetch-site", "same-origin");
    let name = scheme["name"].as_str().unwrap_or_default();
    match (&scheme["type"], &scheme["scheme"], &scheme["in"]) {
        (kind, how, _) if kind == "http" && how == "bearer" => request.bearer_auth(token::admin()),
        (kind, how, _) if kind == "http" && how == "basic" => {
            request.basic_auth("anybody", Some(token::admin()))
        }
        (kind, _, place) if kind == "apiKey" && place == "cookie" => {
            request.header("cookie", format!("{name}={cookie}"))
        }
        (kind, _, place) if kind == "apiKey" && place == "header" => request.header(name, csrf),
        _ => panic!("{scheme}"),
    }
}

/// Whoever knows the listener by its description alone is let in by each way that this names, and by no part of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_in_that_is_described_lets_in() {
    let gateway = described::gateway("").await;
    let client = &gateway.client;
    let session = session(client).await;
    let document = client.get("/openapi.json").await.json();
    let schemes = &document["components"]["securitySchemes"];
    let mut tried = BTreeSet::new();
    for (method, route, path, _) in DOORS {
        let operation = &document["paths"][route][method];
        let Some(ways) = operation["security"].as_array() else {
            continue;
        };
        for way in ways {
            let names: Vec<_> = way.as_object().unwrap().keys().collect();
            tried.extend(names.iter().map(|name| (*name).clone()));
            let ask = async |left_out: Option<&String>| {
                let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let url = format!("{}{path}", client.private);
                let mut request = client.http.0.request(verb, url).body("{");
                request = request.header("content-type", "application/json");
                for name in names.iter().filter(|name| Some(**name) != left_out) {
                    request = show(request, &schemes[*name], &session);
                }
                client.send(request).await
            };
            let answer = ask(None).await;
            let is_in = ![401, 403].contains(&answer.status.as_u16());
            assert!(is_in, "{way} at {method} {route}: {answer:?}");
            for name in &names {
                let answer = ask(Some(name)).await;
                let is_out = [401, 403].contains(&answer.status.as_u16());
                assert!(
                    is_out,
                    "{way} without {name} at {method} {route}: {answer:?}"
                );
            }
        }
    }
    let described: BTreeSet<_> = schemes.as_object().unwrap().keys().cloned().collect();
    assert_eq!(tried, described);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_what_is_missing() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "gw-1")).await;
    let client = &gateway.client;
    let viewer = shown(client, "viewer").await;
    let answer = ask(client, "post", "/admin/v1/panic", viewer.as_deref()).await;
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(
        detail,
        "this needs the role `operator`, and the token `test` has `viewer`"
    );
    let other = shown(client, "of another module").await;
    let path = format!("/v1/modules/{MODULE}/changes");
    let answer = ask(client, "post", &path, other.as_deref()).await;
    assert_eq!(
        answer.json()["detail"],
        "the token `test` is for other modules"
    );
    let at_its_own = client
        .http
        .0
        .post(format!("{}/v1/modules/notices/changes", client.private));
    let at_its_own = at_its_own.header("authorization", other.unwrap());
    let answer = client
        .send(at_its_own.json(&json!({"key": "k", "value": 1})))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    // Twice is once too often: nobody knows which one counts.
    let twice = client
        .http
        .get(format!("{}/admin/v1/modules", client.private));
    let twice = client.send(twice.header("authorization", "Bearer x")).await;
    assert_eq!(twice.status, StatusCode::UNAUTHORIZED);
    // On loopback metrics are open.
    let metrics = ask(client, "get", "/metrics", None).await;
    assert_eq!(metrics.status, StatusCode::OK);
    gateway.stop().await;
}
