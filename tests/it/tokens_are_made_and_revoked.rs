//! Tokens are made, known to all replicas, named in the audit and revoked, over HTTP and by the command line.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{InProcess, MODULE, Program, Setup, changeover},
    token::{self, created, id},
};

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
    let body = json!({"name": "test", "roles": ["operator"], "reason": "a test"});
    let token = created(&one.client, &body).await;
    let status = async |replica: &InProcess| {
        let client = &replica.client;
        let asked = client
            .http
            .0
            .get(format!("{}/admin/v1/modules", client.private));
        client.send(asked.bearer_auth(&token)).await.status.as_u16()
    };
    assert_eq!(status(&one).await, 200, "where it was made, at once");
    let is =
        async |replica: &InProcess, wanted: u16| (status(replica).await == wanted).then_some(());
    // A busy machine may be late; that it takes a second at most is what a tick of 400 ms promises.
    let soon = Duration::from_secs(5);
    eventually("the other knows it", soon, async || is(&two, 200).await).await;
    let path = format!("{}/admin/v1/tokens/{}", one.client.private, id(&token));
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
    let pause = ["module", "pause", MODULE, "--reason", "a look"];
    assert_eq!(run(&pause).await.0, Some(0));
    let (code, acts, said) = run(&["audit", "--output", "table", "--limit", "3"]).await;
    assert_eq!(code, Some(0), "{said}");
    every_act_is_told(&acts, &format!("shop ({})", id(text)));
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

/// The newest three, the newest first.
fn every_act_is_told(table: &str, token: &str) {
    let acts: Vec<Vec<_>> = table
        .lines()
        .skip(1)
        .map(|act| act.split("  ").map(str::trim).collect())
        .collect();
    let expected = [
        ["pause", MODULE, "a look"],
        ["token-revoke", token, "a test"],
        ["token-create", token, "a test"],
    ];
    assert_eq!(acts.len(), expected.len(), "{table}");
    for (act, words) in acts.iter().zip(expected) {
        for word in words.iter().chain(&["admin (for tester)"]) {
            assert!(act.contains(word), "{word}: {table}");
        }
    }
}
