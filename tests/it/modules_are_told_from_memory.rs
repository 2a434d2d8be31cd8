//! The database is away, and somebody looks where the modules stand: what the gateway remembers is told, marked as such, and what it
//! cannot know is not made up. Acts are refused. With the database everything is known again.

use std::time::{Duration, Instant};

use changeover::cli::Exit;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, InProcess, MODULE, Setup, changeover},
    proxy::{Proxy, Way, Weather},
};

const SOON: Duration = Duration::from_mins(1);
/// More than it waits for a database that may still answer, on a busy machine.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_stops() {
    if let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await {
        stops(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_is_killed() {
    if let Some(database) = DatabaseUnderTest::private(Kind::MariaDb).await {
        stops(database).await;
    }
}

async fn stops(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "gw-1")).await;
    let client = &gateway.client;
    let known = at_ramp(client).await;
    assert_eq!(code(client, &["module", "list"]).await, 0);

    tokio::task::block_in_place(|| database.stop());
    let (status, module) = look(client).await;
    assert_eq!(status, StatusCode::OK);
    is_remembered(&module, &known);
    let list = client.get("/admin/v1/modules").await.json();
    let names = list["modules"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|module| module["module"].clone()).collect();
    assert_eq!(names, [MODULE, "notices"]);
    is_remembered(&list["modules"][0], &known);
    let first = module["from_memory"]["read_ms_ago"].as_u64().unwrap();
    eventually("it grows old", SOON, async || {
        let (_, module) = look(client).await;
        let age = module["from_memory"]["read_ms_ago"].as_u64().unwrap();
        (age > first + 1_000).then_some(())
    })
    .await;

    is_shown(client).await;
    waits_for_the_database(client).await;
    let act = ["module", "pause", MODULE, "--reason", "a test"];
    let refused = changeover(client, &act).await;
    assert_eq!(refused.status.code(), Some(code_of(Exit::NotNow)));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("the database does not answer (503)"),
        "{said}"
    );

    tokio::task::block_in_place(|| database.start());
    let module = eventually("everything is known again", SOON, async || {
        let (_, module) = look(client).await;
        let whole = module["from_memory"].is_null() && module["lease_holder"] == "gw-1";
        whole.then_some(module)
    })
    .await;
    assert_eq!(module["gate"]["step"], "sunset", "{module}");
    assert_eq!(module["paused"], false, "nothing was done");
    assert_eq!(code(client, &["module", "list"]).await, 0);
    gateway.stop().await;
}

/// What is sent to the database gets no answer, and no error either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_the_database_swallows_everything() {
    let Some(mut database) = DatabaseUnderTest::private(Kind::Postgres).await else {
        return;
    };
    let (before, name) = database.config.url.rsplit_once('/').unwrap();
    let (host, port) = before.rsplit_once(':').unwrap();
    let proxy = Proxy::before(port.parse().unwrap(), 0).await;
    let url = format!("{host}:{}/{name}", proxy.port());
    database.config.url = url;
    let setup = Setup::new(&database, "gw-1").set("database.statement_timeout_ms", 600_000);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let known = at_ramp(client).await;

    proxy.set(Weather::both(Way::Swallow));
    let asked = Instant::now();
    let (status, module) = look(client).await;
    assert_eq!(status, StatusCode::OK);
    is_remembered(&module, &known);
    let took = asked.elapsed();
    assert!(took < TOLD_WITHIN, "{took:?}");

    proxy.set(Weather::FAIR);
    proxy.cut();
    eventually("everything is known again", SOON, async || {
        let (_, module) = look(client).await;
        module["from_memory"].is_null().then_some(())
    })
    .await;
    gateway.stop().await;
}

/// Brings the module to `ramp`, and a change into its log; what is known of it then.
async fn at_ramp(client: &Client) -> Value {
    client.ingest(&json!({"key": "a", "value": 1})).await;
    client.items(0, 1, SOON).await;
    let body = json!({"percent": 25, "reason": "edge first"});
    let ramp = client
        .post(&format!("/admin/v1/modules/{MODULE}/ramp"), &body)
        .await;
    assert_eq!(ramp.status, StatusCode::OK, "{ramp:?}");
    eventually("everything is known", SOON, async || {
        let (_, module) = look(client).await;
        let whole = module["head"] == 1 && module["lease_holder"] == "gw-1";
        (whole && module["gate"].is_object()).then_some(module)
    })
    .await
}

async fn look(client: &Client) -> (StatusCode, Value) {
    let answer = client.get(&format!("/admin/v1/modules/{MODULE}")).await;
    (answer.status, answer.json())
}

#[track_caller]
fn is_remembered(module: &Value, known: &Value) {
    let why = module["from_memory"]["why"].as_str();
    let why = why.unwrap_or_else(|| panic!("{module}"));
    assert!(why.starts_with("the database does not answer"), "{why}");
    assert!(module["from_memory"]["read_ms_ago"].is_u64(), "{module}");
    for same in [
        "module",
        "stage_requested",
        "stage_effective",
        "effective_reason",
        "panics",
        "reason",
        "percent",
        "routes",
        "version",
        "changed_by",
        "changed_at",
        "epoch",
        "head",
        "retained_from",
    ] {
        assert_eq!(module[same], known[same], "{same}");
    }
    for unknown in ["lease_holder", "gate"] {
        assert_eq!(module[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(module["guard"][0]["target"], "local", "{module}");
    let members = |one: &Value| one.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(module), members(known));
}

/// On the command line: all that is known, that it is old, and the code of what cannot be done now.
async fn is_shown(client: &Client) {
    for (command, lines) in [
        (
            &["module", "list"][..],
            &["commission  ramp 25 %", "notices"][..],
        ),
        (
            &["module", "get", MODULE],
            &["[ramp]", "numbered by ?", "Not known are"],
        ),
    ] {
        let output = changeover(client, &[command, &["--output", "table"]].concat()).await;
        let table = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code_of(Exit::NotNow)), "{table}");
        let memory = "this is what the gateway remembers, last read ";
        for line in lines.iter().chain([&memory]) {
            assert!(table.contains(line), "{line}\n{table}");
        }
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("error: the database does not answer"),
            "{said}"
        );
        let output = changeover(client, command).await;
        assert_eq!(output.status.code(), Some(code_of(Exit::NotNow)));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(json.is_object(), "{json}");
    }
}

/// What this replica tells its clients is known without it, what engineers ask for may have been changed elsewhere.
async fn waits_for_the_database(client: &Client) {
    let until = |condition, timeout| {
        let look = ["module", "get", MODULE, "--until", condition];
        [&look[..], &["--timeout", timeout]].concat()
    };
    assert_eq!(code(client, &until("effective=ramp", "1m")).await, 0);
    for condition in ["healthy", "stage=ramp", "requested=ramp", "gate=pass"] {
        // On a busy machine the last look may come to nothing, which is another code.
        let output = eventually("it says what is missing", SOON, async || {
            let output = changeover(client, &until(condition, "0s")).await;
            let is_told = output.status.code() == Some(code_of(Exit::TimedOut));
            is_told.then_some(output)
        })
        .await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("\n  the database does not answer"), "{said}");
    }
}

async fn code(client: &Client, arguments: &[&str]) -> i32 {
    changeover(client, arguments).await.status.code().unwrap()
}

fn code_of(exit: Exit) -> i32 {
    i32::from(exit.code())
}
