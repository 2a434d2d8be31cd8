//! The private listener answers those who show a token of the right role, and nobody else: each endpoint with each kind of token.

use std::{collections::BTreeSet, time::Duration};

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    described, eventually,
    gateway::{Answer, Client, InProcess, MODULE, Program, Setup, changeover},
    token,
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
const DOORS: [(&str, &str, &str, For); 41] = [
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

async fn created(client: &Client, body: &Value) -> String {
    let answer = client.post("/admin/v1/tokens", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()["token"].as_str().unwrap().to_owned()
}

fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
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
            let asks = operation["security"] == json!([{"token": []}]);
            assert_eq!(asks, !is_open, "{method} {path}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_no_token() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1").set("auth.max_tokens", 2);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let with = |changed: Value| {
        let mut body = json!({"name": "shop", "roles": ["producer"], "reason": "a test"});
        body.as_object_mut()
            .unwrap()
            .extend(changed.as_object().unwrap().clone());
        body
    };
    for (changed, why) in [
        (json!({"name": ""}), "name: must be"),
        (json!({"name": "a b"}), "name: must be"),
        (json!({"name": "x".repeat(65)}), "name: must be"),
        (json!({"roles": []}), "roles: name at least one"),
        (json!({"roles": ["root"]}), "roles: `root` is no role"),
        (json!({"modules": []}), "modules: name at least one"),
        (
            json!({"modules": ["comission"]}),
            "modules: no module `comission`",
        ),
        (
            json!({"roles": ["operator"], "modules": ["notices"]}),
            "modules: only a token whose one role",
        ),
        (json!({"expires_in_s": 0}), "expires_in_s: must be"),
        (json!({"reason": " "}), "a reason is needed"),
    ] {
        let answer = client.post("/admin/v1/tokens", &with(changed)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(why), "{detail}");
    }
    let tried = client
        .post("/admin/v1/tokens?dry_run=true", &with(json!({})))
        .await;
    assert_eq!(
        (tried.status, &tried.json()["token"]),
        (StatusCode::OK, &Value::Null)
    );
    created(client, &with(json!({}))).await;
    let full = client.post("/admin/v1/tokens", &with(json!({}))).await;
    assert_eq!(full.status, StatusCode::CONFLICT, "{full:?}");
    // Nobody could make another one.
    let path = format!("{}/admin/v1/tokens/{}", client.private, id(token::admin()));
    let last = client.http.delete(path).json(&json!({"reason": "a test"}));
    assert_eq!(client.send(last).await.status, StatusCode::CONFLICT);
    gateway.stop().await;
}

crate::on_each_database!(what_is_revoked_on_one_replica_is_refused_on_the_other);

async fn what_is_revoked_on_one_replica_is_refused_on_the_other(database: DatabaseUnderTest) {
    let one = InProcess::start(&Setup::new(&database, "gw-1").among_others()).await;
    let two = InProcess::start(&Setup::new(&database, "gw-2").among_others()).await;
    let shown = shown(&one.client, "operator").await.unwrap();
    let status = async |replica: &InProcess| {
        let answer = ask(&replica.client, "get", "/admin/v1/modules", Some(&shown)).await;
        answer.status.as_u16()
    };
    assert_eq!(status(&one).await, 200, "where it was made, at once");
    let is =
        async |replica: &InProcess, wanted: u16| (status(replica).await == wanted).then_some(());
    // A busy machine may be late; that it takes a second at most is what a tick of 400 ms promises.
    let soon = Duration::from_secs(5);
    eventually("the other knows it", soon, async || is(&two, 200).await).await;
    let token = shown.strip_prefix("Bearer ").unwrap();
    let path = format!("{}/admin/v1/tokens/{}", one.client.private, id(token));
    let revoked = one
        .client
        .http
        .delete(path)
        .json(&json!({"reason": "a test"}));
    assert_eq!(one.client.send(revoked).await.status, StatusCode::OK);
    assert_eq!(status(&one).await, 401, "where it was revoked, at once");
    eventually("the other refuses it", soon, async || is(&two, 401).await).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acts_are_told_under_the_name_of_the_token() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "gw-1")).await;
    let client = &gateway.client;
    let body = json!({"name": "deploy-bot", "roles": ["operator"], "reason": "a test"});
    let bot = created(client, &body).await;
    for said in [None, Some("alice"), Some("admin")] {
        let url = format!("{}/admin/v1/modules/{MODULE}/pause", client.private);
        let mut request = client.http.0.post(url).bearer_auth(&bot);
        if let Some(said) = said {
            request = request.header("changeover-actor", said);
        }
        let answer = client
            .send(request.json(&json!({"reason": "a test"})))
            .await;
        assert!(
            answer.status.is_success() || answer.status == 409,
            "{answer:?}"
        );
    }
    let history = client
        .get(&format!("/admin/v1/modules/{MODULE}/history"))
        .await
        .json();
    let actor = |entry: &Value| entry["actor"].as_str().unwrap().to_owned();
    let actors: Vec<_> = history["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(actor)
        .collect();
    assert!(!actors.is_empty());
    let expected = [
        "deploy-bot (for admin)",
        "deploy-bot (for alice)",
        "deploy-bot",
    ];
    assert!(
        expected.ends_with(&actors.iter().map(String::as_str).collect::<Vec<_>>()),
        "{actors:?}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_makes_shows_and_revokes() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let mut gateway = Program::start(&Setup::new(&database, "gw-1")).await;
    let run = async |arguments: &[&str]| {
        let output = changeover(&gateway.client, arguments).await;
        let said = String::from_utf8(output.stderr).unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            said,
        )
    };
    let (code, made, said) = run(&[
        "token",
        "create",
        "--role",
        "producer",
        "--module",
        MODULE,
        "--name",
        "shop",
        "--expires",
        "90d",
        "--reason",
        "a test",
    ])
    .await;
    assert_eq!(code, Some(0), "{said}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let text = made["token"].as_str().unwrap();
    assert_eq!(
        (&made["roles"], &made["modules"]),
        (&json!(["producer"]), &json!([MODULE]))
    );
    assert_eq!(made["created_by"], "admin (for tester)");
    let (_, table, _) = run(&["token", "list", "--output", "table"]).await;
    assert!(
        table.contains("shop") && table.contains("until 20"),
        "{table}"
    );
    assert!(!table.contains(text), "{table}");
    // With the token itself a producer appends, and sees nothing.
    let file = crate::support::folder::fresh("token").join("shop.token");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let append = [
        "append",
        MODULE,
        "--key",
        "k",
        "--value",
        "1",
        "--token-file",
        &file,
    ];
    assert_eq!(run(&append).await.0, Some(0));
    let (code, _, said) = run(&["module", "list", "--token-file", &file]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("this needs the role `viewer`"), "{said}");
    let revoke = [
        "token",
        "revoke",
        id(text),
        "--reason",
        "a test",
        "--output",
        "table",
    ];
    let (code, done, said) = run(&revoke).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(done.contains("shop: revoked"), "{done}");
    let (code, _, said) = run(&append).await;
    assert_eq!(code, Some(2), "{said}");
    let of_file = format!("the token of --token-file {file} is not in force there");
    assert!(
        said.contains("revoked") && said.contains(&of_file),
        "{said}"
    );
    assert!(!said.contains(text), "{said}");
    assert_eq!(
        run(&["token", "revoke", "0000", "--reason", "x"]).await.0,
        Some(4)
    );
    let nothing = ["module", "list", "--token-file", "/no/such/file"];
    assert_eq!(run(&nothing).await.0, Some(64));
    // Nothing of all this stands in the log.
    gateway.terminate().await;
    let log = gateway.log();
    assert!(
        log.contains("a token was made") && log.contains(id(text)),
        "{log}"
    );
    for secret in [text, token::admin()] {
        let secret = secret.rsplit('_').next().unwrap();
        assert!(!log.contains(&secret[..16]), "{log}");
    }
}
