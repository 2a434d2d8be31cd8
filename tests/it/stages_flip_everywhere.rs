//! A module moves along the ladder through the command line and the admin API: one step at a time, with
//! a reason, on every replica within a second, and all the way back.

use std::time::{Duration, Instant};

use changeover::domain::{self, BasisPoints, Cohort};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Answer, Client, InProcess, MODULE, Setup, changeover},
};

const SOON: Duration = Duration::from_secs(30);
/// What is promised, and what a busy machine adds.
const EVERYWHERE: Duration = Duration::from_millis(1_000 + 500);

crate::on_each_database!(
    the_whole_ladder_and_back,
    a_ramp_tells_exactly_its_cohort,
    nothing_happens_without_a_reason_or_out_of_turn,
    nobody_retires_a_module_in_passing,
    a_version_that_was_seen_can_be_insisted_on,
    a_dry_run_changes_nothing,
);

async fn the_whole_ladder_and_back(database: DatabaseUnderTest) {
    let (a, b) = InProcess::two(&database).await;
    a.client
        .ingest(&json!([{"key": "k", "value": 1}, {"key": "l", "value": 2}]))
        .await;
    a.client.items(0, 2, SOON).await;
    b.client.items(0, 2, SOON).await;
    assert_eq!(transport(&poll(&b.client, "t").await), ("mirror", "poll"));

    done(&a, &["ramp", MODULE, "--percent", "100", "--reason", "all"]).await;
    everywhere(&a, &b, |answer| transport(answer) == ("ramp", "push")).await;
    assert!(poll(&b.client, "t").await.header("sunset").is_empty());

    done(&b, &["promote", MODULE, "--reason", "nobody polls"]).await;
    everywhere(&b, &a, |answer| transport(answer) == ("sunset", "push")).await;
    for client in [&a.client, &b.client] {
        let answer = poll(client, "anyone").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("sunset"), "Tue, 01 Jan 2030 00:00:00 GMT");
        assert!(answer.header("deprecation").starts_with('@'));
        assert!(
            answer
                .header("link")
                .contains("https://example.com/commission-over-mqtt")
        );
        assert_eq!(answer.json()["list"].as_array().unwrap().len(), 2);
    }

    let the_end = ["promote", MODULE, "--reason", "the end"];
    assert_eq!(code(&a, &the_end).await, 2, "not in passing");
    done(&a, &[&the_end[..], &["--confirm", MODULE]].concat()).await;
    everywhere(&a, &b, |answer| answer.status == StatusCode::GONE).await;
    let gone = poll(&b.client, "t").await;
    assert_eq!(gone.json()["code"], 410, "in the legacy envelope");
    assert!(
        gone.json()["msg"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert_eq!(transport(&gone), ("retired", "push"));
    assert!(
        gone.header("link")
            .contains("https://example.com/commission-over-mqtt")
    );

    done(
        &b,
        &[
            "rollback",
            MODULE,
            "--to",
            "mirror",
            "--reason",
            "they are back",
        ],
    )
    .await;
    everywhere(&b, &a, |answer| transport(answer) == ("mirror", "poll")).await;
    assert_eq!(
        a.client.pages(0, 10).await.0.len(),
        2,
        "the log was there all the time"
    );

    let history = json_of(&changeover(&a.client, &["module", "history", MODULE]).await);
    let entries = history["entries"].as_array().unwrap();
    let told = |member: &str| -> Vec<_> {
        entries
            .iter()
            .map(|entry| entry[member].as_str().unwrap())
            .collect()
    };
    assert_eq!(told("action"), ["rollback", "promote", "promote", "ramp"]);
    assert_eq!(
        told("reason"),
        ["they are back", "the end", "nobody polls", "all"]
    );
    assert_eq!(told("actor"), ["admin (for tester)"; 4]);
    for pair in entries.windows(2) {
        assert_eq!(pair[0]["before"]["stage"], pair[1]["after"]["stage"]);
    }
    stop(a, b).await;
}

async fn a_ramp_tells_exactly_its_cohort(database: DatabaseUnderTest) {
    let (a, b) = InProcess::two(&database).await;
    done(
        &a,
        &["ramp", MODULE, "--percent", "10", "--reason", "edge first"],
    )
    .await;
    everywhere(&a, &b, |answer| answer.header("changeover-stage") == "ramp").await;
    let module = MODULE.parse().unwrap();
    let tenth = Cohort::share(BasisPoints::new(1_000).unwrap());
    let mut told = 0;
    for number in 0..1_000 {
        let id = format!("terminal-{number:04}");
        let expected = if tenth.choose(&module, &domain::Client::named(&id)).is_in() {
            "push"
        } else {
            "poll"
        };
        let replica = if number % 2 == 0 { &a } else { &b };
        let answer = poll(&replica.client, &id).await;
        assert_eq!(transport(&answer), ("ramp", expected), "{id}");
        told += usize::from(expected == "push");
    }
    println!("{told} of 1000 are told to take the push");
    assert!((60..=140).contains(&told), "one in ten: {told}");

    // Larger, then nobody: nothing but the share moves.
    done(
        &b,
        &["ramp", MODULE, "--percent", "0", "--reason", "trouble"],
    )
    .await;
    let one = (0..1_000)
        .map(|n| format!("terminal-{n:04}"))
        .find(|id| tenth.choose(&module, &domain::Client::named(id)).is_in())
        .unwrap();
    eventually("nobody is told any more", EVERYWHERE, async || {
        (transport(&poll(&a.client, &one).await) == ("ramp", "poll")).then_some(())
    })
    .await;
    stop(a, b).await;
}

async fn nothing_happens_without_a_reason_or_out_of_turn(database: DatabaseUnderTest) {
    let a = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &a.client;
    assert_eq!(code(&a, &["promote", MODULE]).await, 64);
    assert_eq!(code(&a, &["promote", MODULE, "--reason", ""]).await, 64);
    for body in [json!({}), json!({"reason": ""}), json!({"reason": "  "})] {
        refused(client, "promote", &body, StatusCode::BAD_REQUEST, "reason").await;
    }
    let why = json!({"reason": "r"});
    refused(
        client,
        "rollback",
        &why,
        StatusCode::CONFLICT,
        "no stage before",
    )
    .await;
    refused(client, "ramp", &why, StatusCode::BAD_REQUEST, "percent").await;
    let too_much = json!({"reason": "r", "percent": 101});
    refused(
        client,
        "ramp",
        &too_much,
        StatusCode::BAD_REQUEST,
        "percent",
    )
    .await;
    refused(client, "jump", &why, StatusCode::NOT_FOUND, "promoted").await;
    let leap = json!({"reason": "r", "to": "retired"});
    refused(client, "promote", &leap, StatusCode::BAD_REQUEST, "to").await;
    let share = json!({"reason": "r", "percent": 10});
    refused(
        client,
        "promote",
        &share,
        StatusCode::BAD_REQUEST,
        "percent",
    )
    .await;

    // Forward goes one step at a time.
    assert_eq!(stage_after(client, "promote", &why).await, "ramp");
    assert_eq!(stage_after(client, "pause", &why).await, "ramp");
    refused(client, "promote", &why, StatusCode::CONFLICT, "paused").await;
    assert_eq!(stage_after(client, "resume", &why).await, "ramp");
    assert_eq!(stage_after(client, "promote", &why).await, "sunset");
    let share = json!({"reason": "r", "percent": 5});
    refused(client, "ramp", &share, StatusCode::CONFLICT, "cohort").await;
    let forward = json!({"reason": "r", "to": "retired"});
    refused(
        client,
        "rollback",
        &forward,
        StatusCode::CONFLICT,
        "not before",
    )
    .await;
    let confirmed = json!({"reason": "r", "confirm": MODULE});
    assert_eq!(stage_after(client, "promote", &confirmed).await, "retired");
    refused(
        client,
        "promote",
        &why,
        StatusCode::CONFLICT,
        "no stage after",
    )
    .await;
    assert_eq!(stage_after(client, "rollback", &why).await, "sunset");
    let acts = "SELECT CAST(count(*) AS TEXT) FROM audit WHERE action <> 'token-create'";
    assert_eq!(
        database.text(acts).await.as_deref(),
        Some("6"),
        "refusals leave no trace"
    );
    a.stop().await;
}

async fn nobody_retires_a_module_in_passing(database: DatabaseUnderTest) {
    let a = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &a.client;
    let why = json!({"reason": "r"});
    let confirmed = json!({"reason": "r", "confirm": MODULE});
    let nowhere = json!({"reason": "r", "to": "shadow"});
    refused(
        client,
        "rollback",
        &nowhere,
        StatusCode::CONFLICT,
        "no upstream",
    )
    .await;
    refused(
        client,
        "promote",
        &confirmed,
        StatusCode::CONFLICT,
        "takes no confirmation",
    )
    .await;
    assert_eq!(stage_after(client, "promote", &why).await, "ramp");
    assert_eq!(stage_after(client, "promote", &why).await, "sunset");
    refused(
        client,
        "promote",
        &why,
        StatusCode::CONFLICT,
        "say its name",
    )
    .await;
    let other = json!({"reason": "r", "confirm": "notices"});
    refused(
        client,
        "promote",
        &other,
        StatusCode::CONFLICT,
        "say its name",
    )
    .await;
    refused(
        client,
        "rollback",
        &confirmed,
        StatusCode::BAD_REQUEST,
        "confirm",
    )
    .await;
    assert_eq!(stage_after(client, "promote", &confirmed).await, "retired");
    a.stop().await;
}

async fn a_version_that_was_seen_can_be_insisted_on(database: DatabaseUnderTest) {
    let (a, b) = InProcess::two(&database).await;
    let seen = a.client.get(&format!("/admin/v1/modules/{MODULE}")).await;
    let tag = seen.header("etag").to_owned();
    // Two operators have seen the same and act on two replicas at once.
    let (one, other) = tokio::join!(
        if_match(&a.client, "promote", &tag),
        if_match(&b.client, "promote", &tag)
    );
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let late = if_match(&b.client, "promote", &tag).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    assert!(
        late.json()["detail"]
            .as_str()
            .unwrap()
            .contains("look again")
    );
    let module = b.client.module().await;
    assert_eq!(
        (&module["stage_requested"], &module["version"]),
        (&json!("ramp"), &json!(1))
    );

    let output = ["promote", MODULE, "--reason", "r", "--if-version", "0"];
    assert_eq!(code(&a, &output).await, 3);
    assert_eq!(
        if_match(&a.client, "promote", "\"1\"").await.status,
        StatusCode::OK
    );
    assert_eq!(
        if_match(&a.client, "promote", "nonsense").await.status,
        StatusCode::BAD_REQUEST
    );
    stop(a, b).await;
}

async fn a_dry_run_changes_nothing(database: DatabaseUnderTest) {
    let a = InProcess::start(&Setup::new(&database, "a")).await;
    let arguments = [
        "module",
        "ramp",
        MODULE,
        "--percent",
        "25",
        "--reason",
        "r",
        "--dry-run",
    ];
    let output = changeover(&a.client, &arguments).await;
    assert!(output.status.success());
    let answer = json_of(&output);
    assert_eq!(answer["dry_run"], true);
    assert_eq!(answer["before"]["stage_requested"], "mirror");
    assert_eq!(answer["after"]["stage_requested"], "ramp");
    assert_eq!(answer["after"]["percent"], 25.0);
    assert_eq!(transport(&poll(&a.client, "t").await), ("mirror", "poll"));
    assert_eq!(a.client.module().await["version"], 0);
    for table in ["audit WHERE action <> 'token-create'", "module_stage"] {
        let rows = format!("SELECT CAST(count(*) AS TEXT) FROM {table}");
        assert_eq!(database.text(&rows).await.as_deref(), Some("0"), "{table}");
    }
    // It refuses what the act would refuse.
    let path = format!("/admin/v1/modules/{MODULE}/rollback?dry_run=true");
    let answer = a.client.post(&path, &json!({"reason": "r"})).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    a.stop().await;
}

async fn stop(a: InProcess, b: InProcess) {
    a.stop().await;
    b.stop().await;
}

async fn poll(client: &Client, id: &str) -> Answer {
    let url = format!("{}/api/commission/list?since=0", client.public);
    client
        .send(client.http.get(url).header("X-Terminal", id))
        .await
}

fn transport(answer: &Answer) -> (&str, &str) {
    (
        answer.header("changeover-stage"),
        answer.header("changeover-transport"),
    )
}

/// In force at once on the replica that did the act, and within a second on the other one.
async fn everywhere(here: &InProcess, there: &InProcess, is_so: impl Fn(&Answer) -> bool) {
    let answer = poll(&here.client, "t").await;
    assert!(is_so(&answer), "{answer:?}");
    let acted = Instant::now();
    eventually(
        "the act is in force on the other replica",
        EVERYWHERE,
        async || is_so(&poll(&there.client, "t").await).then_some(()),
    )
    .await;
    println!("in force elsewhere after {:?}", acted.elapsed());
}

/// Runs `changeover module …`, which must succeed.
async fn done(gateway: &InProcess, arguments: &[&str]) {
    let output = changeover(&gateway.client, &[&["module"], arguments].concat()).await;
    assert!(output.status.success(), "{output:?}");
}

async fn code(gateway: &InProcess, arguments: &[&str]) -> i32 {
    let output = changeover(&gateway.client, &[&["module"], arguments].concat()).await;
    output.status.code().unwrap()
}

fn json_of(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn act(client: &Client, act: &str, body: &Value) -> Answer {
    client
        .post(&format!("/admin/v1/modules/{MODULE}/{act}"), body)
        .await
}

async fn stage_after(client: &Client, step: &str, body: &Value) -> String {
    let answer = act(client, step, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["after"]["stage_requested"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[track_caller]
fn assert_problem(answer: &Answer, status: StatusCode, says: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], status.as_u16());
    assert!(
        problem["detail"].as_str().unwrap().contains(says),
        "{problem}"
    );
}

async fn refused(client: &Client, step: &str, body: &Value, status: StatusCode, says: &str) {
    let before = client.module().await["version"].clone();
    assert_problem(&act(client, step, body).await, status, says);
    assert_eq!(client.module().await["version"], before);
}

async fn if_match(client: &Client, step: &str, tag: &str) -> Answer {
    let url = format!("{}/admin/v1/modules/{MODULE}/{step}", client.private);
    let request = client.http.post(url).header("If-Match", tag);
    client.send(request.json(&json!({"reason": "r"}))).await
}
