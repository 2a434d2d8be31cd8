//! `changeover panic`: whatever the ladder says, clients are told to poll, on every replica within a second and over restarts, until
//! one command lifts it. A file does the same for its replica, and without a database the replica that is asked still does it.

use std::{
    fs,
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually, folder,
    gateway::{Answer, Client, InProcess, MODULE, Setup, changeover},
};

const SOON: Duration = Duration::from_secs(30);
/// What is promised, and what a busy machine adds.
const EVERYWHERE: Duration = Duration::from_secs(2);

crate::on_each_database!(
    everybody_polls_on_every_replica_until_it_is_lifted,
    each_panic_is_lifted_by_itself,
    two_operators_at_once_raise_one,
    a_dry_run_changes_nothing,
);

async fn everybody_polls_on_every_replica_until_it_is_lifted(database: DatabaseUnderTest) {
    let (a, b) = InProcess::two(&database).await;
    a.client.ingest(&json!([{"key": "k", "value": 1}])).await;
    b.client.items(0, 1, SOON).await;
    retire(&a).await;
    everywhere(&a, &b, |answer| answer.status == StatusCode::GONE).await;

    let raised = done(&a, &["--reason", "messages are lost"]).await;
    assert_eq!(
        (&raised["stored"], &raised["before"]),
        (&json!(true), &json!([]))
    );
    let panic = &raised["after"][0];
    assert_eq!(
        (&panic["module"], &panic["by"]),
        (&Value::Null, &json!("act"))
    );
    everywhere(&a, &b, polls).await;
    let answer = poll(&b.client).await;
    assert_eq!(
        answer.json()["list"].as_array().unwrap().len(),
        1,
        "410 is lifted"
    );
    for header in ["sunset", "deprecation", "link"] {
        assert!(answer.header(header).is_empty(), "{answer:?}");
    }
    for client in [&a.client, &b.client] {
        let module = client.module().await;
        assert_eq!(module["stage_requested"], "retired");
        assert_eq!(module["stage_effective"], "mirror");
        assert_eq!(module["effective_reason"], "panic");
        assert_eq!(module["panics"][0]["reason"], "messages are lost");
        assert_eq!(module["panics"][0]["actor"], "admin (for tester)");
        let told = session(client, "t").await;
        assert_eq!(
            (&told["transport"], &told["reason"]),
            (&json!("poll"), &json!("panic"))
        );
    }
    let shown = changeover(&b.client, &["module", "list", "--output", "table"]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("retired  mirror (panic)"), "{shown}");

    // It is not forgotten.
    stop(a, b).await;
    let (a, b) = InProcess::two(&database).await;
    for client in [&a.client, &b.client] {
        assert!(
            polls(&poll(client).await),
            "the first answer after a restart"
        );
    }
    // The ladder goes on below it, and nobody is told.
    let back = ["module", "rollback", MODULE, "--reason", "meanwhile"];
    assert!(changeover(&a.client, &back).await.status.success());
    assert!(polls(&poll(&a.client).await));

    eventually("the other replica knows that too", SOON, async || {
        let module = b.client.module().await;
        (module["stage_requested"] == "sunset").then_some(())
    })
    .await;

    let lifted = done(&b, &["--lift", "--reason", "it was the network"]).await;
    assert_eq!(
        (&lifted["after"], &lifted["note"]),
        (&json!([]), &Value::Null)
    );
    everywhere(&b, &a, |answer| {
        answer.header("changeover-stage") == "sunset"
    })
    .await;
    assert_eq!(a.client.module().await["panics"], json!([]));

    let history = changeover(&a.client, &["module", "history", MODULE]).await;
    let history: Value = serde_json::from_slice(&history.stdout).unwrap();
    let entries = history["entries"].as_array().unwrap();
    let acts: Vec<_> = entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        acts,
        ["lift", "rollback", "panic", "promote", "promote", "ramp"]
    );
    assert_eq!(entries[0]["reason"], "it was the network");
    assert_eq!(entries[0]["before"]["reason"], "messages are lost");
    stop(a, b).await;
}

async fn each_panic_is_lifted_by_itself(database: DatabaseUnderTest) {
    let a = InProcess::start(&Setup::new(&database, "a")).await;
    ramp(&a).await;
    let why = refused(&a, &["--lift", "--reason", "r"]).await;
    assert!(
        why.contains("no panic is in force over all modules"),
        "{why}"
    );
    let why = refused(&a, &["comission", "--reason", "r"]).await;
    assert!(why.contains("no module of this name"), "{why}");
    assert_eq!(
        panic(&a, &[]).await.status.code(),
        Some(64),
        "a reason is needed"
    );

    done(&a, &["notices", "--reason", "its values are wrong"]).await;
    assert!(!polls(&poll(&a.client).await), "another module's");
    let why = refused(&a, &["--lift", "--reason", "r"]).await;
    assert!(why.contains("all modules"), "{why}");
    done(&a, &["--reason", "the broker"]).await;
    assert!(polls(&poll(&a.client).await));
    let why = refused(&a, &[MODULE, "--lift", "--reason", "r"]).await;
    assert!(why.contains("under the panic over all modules"), "{why}");
    let lifted = done(&a, &["--lift", "--reason", "r"]).await;
    assert!(
        lifted["note"].as_str().unwrap().contains("still in force"),
        "{lifted}"
    );
    assert_eq!(lifted["after"][0]["module"], "notices");
    assert!(!polls(&poll(&a.client).await));
    let notices = a.client.get("/admin/v1/modules/notices").await.json();
    assert_eq!(
        (&notices["stage_effective"], &notices["effective_reason"]),
        (&json!("mirror"), &json!("panic"))
    );
    done(&a, &["notices", "--lift", "--reason", "r"]).await;
    assert_eq!(in_force(&a.client).await, json!([]));

    // Again, and twice: the second one is the first.
    done(&a, &["notices", "--reason", "again"]).await;
    let twice = done(&a, &["notices", "--reason", "and again"]).await;
    assert_eq!(twice["before"], twice["after"]);
    assert_eq!(twice["after"][0]["reason"], "again");
    let acts = "SELECT CAST(count(*) AS TEXT) FROM audit WHERE action IN ('panic', 'lift')";
    assert_eq!(database.text(acts).await.as_deref(), Some("5"));
    a.stop().await;
}

async fn two_operators_at_once_raise_one(database: DatabaseUnderTest) {
    let (a, b) = InProcess::two(&database).await;
    ramp(&a).await;
    everywhere(&a, &b, |answer| !polls(answer)).await;
    for round in 1..=3 {
        let body = json!({"reason": format!("round {round}")});
        let (one, other) = tokio::join!(
            a.client.post("/admin/v1/panic", &body),
            b.client.post("/admin/v1/panic", &body)
        );
        for answer in [one, other] {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            assert_eq!(answer.json()["stored"], true);
        }
        for client in [&a.client, &b.client] {
            assert!(polls(&poll(client).await));
        }
        done(&b, &["--lift", "--reason", "r"]).await;
        everywhere(&b, &a, |answer| !polls(answer)).await;
    }
    let acts = "SELECT CAST(count(*) AS TEXT) FROM audit WHERE module IS NULL AND action <> 'token-create'";
    assert_eq!(
        database.text(acts).await.as_deref(),
        Some("6"),
        "each act is one entry"
    );
    stop(a, b).await;
}

async fn a_dry_run_changes_nothing(database: DatabaseUnderTest) {
    let a = InProcess::start(&Setup::new(&database, "a")).await;
    ramp(&a).await;
    let tried = done(&a, &["--reason", "r", "--dry-run"]).await;
    assert_eq!(
        (&tried["dry_run"], &tried["before"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(tried["after"][0]["reason"], "r");
    assert!(!polls(&poll(&a.client).await));
    assert_eq!(in_force(&a.client).await, json!([]));
    done(&a, &["--reason", "r"]).await;
    let tried = done(&a, &["--lift", "--reason", "r", "--dry-run"]).await;
    assert_eq!(tried["after"], json!([]));
    assert!(polls(&poll(&a.client).await));
    let acts = "SELECT CAST(count(*) AS TEXT) FROM audit WHERE module IS NULL AND action <> 'token-create'";
    assert_eq!(database.text(acts).await.as_deref(), Some("1"));
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_holds_its_replica_until_it_is_removed() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let file = folder::fresh("panic").join("panic");
    let setup = Setup::new(&database, "a").set("panic.file", file.display());
    let a = InProcess::start(&setup).await;
    ramp(&a).await;
    assert!(!polls(&poll(&a.client).await));
    fs::write(&file, "").unwrap();
    eventually("the file is seen", EVERYWHERE, async || {
        polls(&poll(&a.client).await).then_some(())
    })
    .await;
    assert_eq!(in_force(&a.client).await[0]["by"], "file");
    let why = refused(&a, &["--lift", "--reason", "r"]).await;
    assert!(
        why.contains("panic.file") && why.contains("remove it"),
        "{why}"
    );

    done(&a, &["--reason", "both"]).await;
    let lifted = done(&a, &["--lift", "--reason", "both"]).await;
    assert!(
        lifted["note"].as_str().unwrap().contains("panic.file"),
        "{lifted}"
    );
    assert!(polls(&poll(&a.client).await));
    a.stop().await;

    let a = InProcess::start(&setup).await;
    assert!(
        polls(&poll(&a.client).await),
        "the first answer after a restart"
    );
    fs::remove_file(&file).unwrap();
    eventually("it is gone", EVERYWHERE, async || {
        (!polls(&poll(&a.client).await)).then_some(())
    })
    .await;
    assert_eq!(in_force(&a.client).await, json!([]));
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_it_is_in_force_where_it_was_asked_for() {
    let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await else {
        return;
    };
    let (a, b) = InProcess::two(&database).await;
    ramp(&a).await;
    everywhere(&a, &b, |answer| !polls(answer)).await;
    tokio::task::block_in_place(|| database.stop());

    let asked = tokio::spawn({
        let client = a.client.clone();
        async move {
            client
                .post("/admin/v1/panic", &json!({"reason": "all is dark"}))
                .await
        }
    });
    eventually(
        "it is in force before it could be stored",
        EVERYWHERE,
        async || polls(&poll(&a.client).await).then_some(()),
    )
    .await;
    let answer = asked.await.unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let said = answer.json();
    assert_eq!(
        (&said["stored"], &said["after"][0]["stored"]),
        (&json!(false), &json!(false))
    );
    assert!(
        said["note"].as_str().unwrap().contains("this replica only"),
        "{said}"
    );
    assert!(!polls(&poll(&b.client).await));
    let again = panic(&a, &["--reason", "again"]).await;
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("not stored"), "{said}");
    let lift = a
        .client
        .http
        .delete(format!("{}/admin/v1/panic", a.client.private));
    let lift = a.client.send(lift.json(&json!({"reason": "r"}))).await;
    assert_eq!(lift.status, StatusCode::SERVICE_UNAVAILABLE, "{lift:?}");
    assert!(polls(&poll(&a.client).await));

    tokio::task::block_in_place(|| database.start());
    eventually("the other replica hears of it", SOON, async || {
        polls(&poll(&b.client).await).then_some(())
    })
    .await;
    let stored = eventually("it is stored", SOON, async || {
        let panics = in_force(&a.client).await;
        (panics[0]["stored"] == true).then_some(panics)
    })
    .await;
    assert_eq!(stored[0]["reason"], "all is dark");
    done(&b, &["--lift", "--reason", "the database is back"]).await;
    everywhere(&b, &a, |answer| !polls(answer)).await;
    let acts = "SELECT CAST(count(*) AS TEXT) FROM audit WHERE module IS NULL AND action <> 'token-create'";
    assert_eq!(database.text(acts).await.as_deref(), Some("2"));
    stop(a, b).await;
}

async fn stop(a: InProcess, b: InProcess) {
    a.stop().await;
    b.stop().await;
}

async fn poll(client: &Client) -> Answer {
    let url = format!("{}/api/commission/list?since=0", client.public);
    client
        .send(client.http.get(url).header("X-Terminal", "t"))
        .await
}

fn polls(answer: &Answer) -> bool {
    let told = ["changeover-stage", "changeover-transport"].map(|name| answer.header(name));
    told == ["mirror", "poll"] && answer.status == StatusCode::OK
}

async fn session(client: &Client, id: &str) -> Value {
    let url = format!("{}/v1/session", client.public);
    let answer = client
        .send(client.http.post(url).json(&json!({"client_id": id})))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["modules"][MODULE].clone()
}

async fn in_force(client: &Client) -> Value {
    let answer = client.get("/admin/v1/panic").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["panics"].clone()
}

/// In force at once on the replica that did the act, and within a second on the other one.
async fn everywhere(here: &InProcess, there: &InProcess, is_so: impl Fn(&Answer) -> bool) {
    let answer = poll(&here.client).await;
    assert!(is_so(&answer), "{answer:?}");
    let acted = Instant::now();
    eventually(
        "it is in force on the other replica",
        EVERYWHERE,
        async || is_so(&poll(&there.client).await).then_some(()),
    )
    .await;
    println!("in force elsewhere after {:?}", acted.elapsed());
}

async fn ramp(gateway: &InProcess) {
    let arguments = [
        "module",
        "ramp",
        MODULE,
        "--percent",
        "100",
        "--reason",
        "all",
    ];
    let output = changeover(&gateway.client, &arguments).await;
    assert!(output.status.success(), "{output:?}");
}

/// Up the whole ladder.
async fn retire(gateway: &InProcess) {
    ramp(gateway).await;
    let act = ["module", "promote", MODULE, "--reason", "on"];
    assert!(changeover(&gateway.client, &act).await.status.success());
    let last = [&act[..], &["--confirm", MODULE]].concat();
    assert!(changeover(&gateway.client, &last).await.status.success());
}

async fn panic(gateway: &InProcess, arguments: &[&str]) -> std::process::Output {
    changeover(&gateway.client, &[&["panic"], arguments].concat()).await
}

/// Runs `changeover panic …`, which must succeed.
async fn done(gateway: &InProcess, arguments: &[&str]) -> Value {
    let output = panic(gateway, arguments).await;
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs it, which must fail, and says why.
async fn refused(gateway: &InProcess, arguments: &[&str]) -> String {
    let output = panic(gateway, arguments).await;
    assert!(matches!(output.status.code(), Some(2 | 4)), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}
