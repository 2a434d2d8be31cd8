//! The end of a module's polls: a date, brown-outs, clients that are refused already, and all of it taken back by one command.

use std::time::Duration;

use changeover::domain::{End, Micros, Stage};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::{
    legacy_gateway::{Answer, Gateway},
    support::{
        database::DatabaseUnderTest,
        eventually,
        gateway::{self, InProcess, MODULE, Setup, changeover},
    },
};

crate::on_each_database!(
    an_end_is_planned_and_taken_back,
    a_plan_that_cannot_be_is_refused,
    an_end_is_announced_since_the_step_to_it,
);

/// What is promised, and what a busy machine adds.
const EVERYWHERE: Duration = Duration::from_millis(1_000 + 500);

const CONTRACT: &str = r#"
name = "commission"
[poll]
path = "/list"
client = { in = "header", name = "X-Terminal" }
cursor = { in = "query", name = "since" }
[poll.response]
body = '{"list":"$changes"}'
error = '{"code":"$status","msg":"$message"}'
error_status = 200
[sunset]
at = "2027-01-31T00:00:00Z"
link = "https://example.com/migration"
"#;

fn end(brownouts: &[&str], block: &[&str]) -> End {
    let texts = |texts: &[&str]| texts.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    End {
        at: None,
        brownouts: texts(brownouts).try_into().unwrap(),
        block: texts(block).try_into().unwrap(),
    }
}

async fn poll_as(gateway: &Gateway, terminal: &str) -> Answer {
    let request = Request::get("/list").header("x-terminal", terminal);
    let request = request.body(axum::body::Body::empty()).unwrap();
    gateway.send(request).await
}

/// The gateway's clock says 2026-01-02T03:04:05Z, a Friday.
#[tokio::test]
async fn in_a_brown_out_polls_are_refused_in_the_words_of_the_module() {
    let gateway = Gateway::new(CONTRACT, 10);
    gateway.set_flags(|flags| flags.ending = end(&["fri 03:00-03:15"], &[]));
    for stage in [Stage::Mirror, Stage::Ramp] {
        gateway.set_stage(stage, 10_000);
        assert_eq!(poll_as(&gateway, "t").await.body, r#"{"list":[]}"#);
    }
    gateway.set_stage(Stage::Sunset, 0);
    let refused = poll_as(&gateway, "t").await;
    assert_eq!(refused.status, 200, "as configured");
    let body: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(body["code"], 503);
    assert!(body["msg"].as_str().unwrap().contains("for a while"));
    let left: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(left, 655, "until its end");
    assert_eq!(refused.header("changeover-transport"), Some("push"));
    assert_eq!(
        refused.header("sunset"),
        Some("Sun, 31 Jan 2027 00:00:00 GMT")
    );
    gateway.set_stage(Stage::Ramp, 0);
    assert_eq!(poll_as(&gateway, "t").await.body, r#"{"list":[]}"#);
}

#[tokio::test]
async fn a_clock_that_jumps_opens_no_brown_out() {
    let gateway = Gateway::new(CONTRACT, 10);
    gateway.set_flags(|flags| flags.ending = end(&["fri 04:00-04:15"], &[]));
    gateway.set_stage(Stage::Sunset, 0);
    for time in [
        "2026-01-02T04:05:00Z",
        "2026-01-09T04:05:00Z",
        "2025-12-26T04:05:00Z",
    ] {
        gateway.clock.set(time);
        assert_eq!(poll_as(&gateway, "t").await.body, r#"{"list":[]}"#);
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_from_the_start_opens_no_brown_out() {
    let gateway = Gateway::new(CONTRACT, 10);
    gateway.set_flags(|flags| flags.ending = end(&["fri 03:00-03:15"], &[]));
    gateway.set_stage(Stage::Sunset, 0);
    // The machine was an hour ahead when this replica started, and still is.
    gateway.database_clock.set("2026-01-02T02:04:05Z");
    assert_eq!(poll_as(&gateway, "t").await.body, r#"{"list":[]}"#);
    gateway.database_clock.set("2026-01-02T03:14:05Z");
    assert!(poll_as(&gateway, "t").await.body.contains("503"));
    gateway.database_clock.set("2026-01-02T03:15:00Z");
    assert_eq!(poll_as(&gateway, "t").await.body, r#"{"list":[]}"#);
}

#[tokio::test]
async fn single_clients_are_refused_before_the_others() {
    let gateway = Gateway::new(CONTRACT, 10);
    gateway.set_flags(|flags| flags.ending = end(&[], &["client:old"]));
    gateway.set_stage(Stage::Ramp, 0);
    assert_eq!(poll_as(&gateway, "old").await.body, r#"{"list":[]}"#);
    gateway.set_stage(Stage::Sunset, 0);
    let refused: Value = serde_json::from_str(&poll_as(&gateway, "old").await.body).unwrap();
    assert_eq!(refused["code"], 410);
    assert_eq!(poll_as(&gateway, "new").await.body, r#"{"list":[]}"#);
    gateway.set_flags(|flags| {
        flags.ending = End {
            at: Some(Micros::new(1_803_859_200_000_000)),
            ..End::default()
        };
    });
    let answer = poll_as(&gateway, "old").await;
    assert_eq!(
        answer.header("sunset"),
        Some("Mon, 01 Mar 2027 00:00:00 GMT")
    );
}

async fn an_end_is_announced_since_the_step_to_it(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a");
    let a = InProcess::start(&setup).await;
    for _ in [Stage::Ramp, Stage::Sunset] {
        run(&a.client, &["promote", MODULE, "--reason", "r"]).await;
    }
    let deprecated = async |a: &InProcess| {
        let answer = a.client.try_poll("since=0").await.unwrap();
        answer.header("deprecation").to_owned()
    };
    let at = deprecated(&a).await;
    assert!(at.starts_with('@'), "{at}");
    a.stop().await;
    let long_ago =
        "UPDATE module_stage SET entered_at = 1688169599000000, changed_at = 1700000000000000";
    database.execute(long_ago).await;
    let a = InProcess::start(&setup).await;
    assert_eq!(deprecated(&a).await, "@1688169599");
    for act in ["pause", "resume"] {
        run(&a.client, &[act, MODULE, "--reason", "an act"]).await;
        assert_eq!(deprecated(&a).await, "@1688169599", "after {act}");
    }
    a.stop().await;
    // As a replica of before leaves it.
    database
        .execute(&long_ago.replace("1688169599000000", "NULL"))
        .await;
    let a = InProcess::start(&setup).await;
    assert_eq!(deprecated(&a).await, "@1700000000");
    a.stop().await;
}

async fn an_end_is_planned_and_taken_back(database: DatabaseUnderTest) {
    let a = InProcess::start(&Setup::new(&database, "a").among_others()).await;
    let b = InProcess::start(&Setup::new(&database, "b").among_others()).await;
    let client = &a.client;
    run(client, &["promote", MODULE, "--reason", "r"]).await;
    let plan = [
        "sunset",
        MODULE,
        "--at",
        "2027-03-01",
        "--brownout",
        "daily 00:00-24:00",
        "--block",
        "client:old",
        "--reason",
        "the end is near",
    ];
    let dry = run(client, &[&plan[..], &["--dry-run"]].concat()).await;
    let dry: Value = serde_json::from_str(&dry).unwrap();
    assert_eq!(client.module().await["stage_requested"], "ramp");
    let done: Value = serde_json::from_str(&run(client, &plan).await).unwrap();
    for member in ["stage_requested", "ends_at", "brownouts", "block"] {
        assert_eq!(dry["after"][member], done["after"][member]);
    }
    assert_eq!(done["after"]["ends_at"], "2027-03-01T00:00:00.000000Z");

    let refused = poll(client, "t").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json()["code"], 503, "in the legacy envelope");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() <= 86_400);
    assert_eq!(refused.header("sunset"), "Mon, 01 Mar 2027 00:00:00 GMT");
    assert_eq!(poll(client, "old").await.status, StatusCode::GONE);
    eventually("the other replica does so too", EVERYWHERE, async || {
        let status = poll(&b.client, "t").await.status;
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let said = run(&b.client, &["get", MODULE, "--output", "table"]).await;
    assert!(
        said.contains("; brown-outs daily 00:00-24:00; blocked client:old\n"),
        "{said}"
    );

    // One command takes all of it back, and what was planned is still there.
    run(client, &["rollback", MODULE, "--reason", "too early"]).await;
    for terminal in ["t", "old"] {
        let answer = poll(client, terminal).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("sunset"), "");
    }
    run(client, &["promote", MODULE, "--reason", "again"]).await;
    assert_eq!(poll(client, "old").await.status, StatusCode::GONE);
    run(
        client,
        &["sunset", MODULE, "--clear", "--reason", "nothing"],
    )
    .await;
    let answer = poll(client, "old").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("sunset"), "Tue, 01 Jan 2030 00:00:00 GMT");
    let history = run(client, &["history", MODULE, "--output", "table"]).await;
    assert!(
        history.contains("1 brown-outs, 1 blocked -> sunset at 0 %"),
        "{history}"
    );
    a.stop().await;
    b.stop().await;
}

async fn a_plan_that_cannot_be_is_refused(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let path = format!("/admin/v1/modules/{MODULE}/sunset");
    for (body, status, says) in [
        (json!({}), StatusCode::BAD_REQUEST, "at: is missing"),
        (
            json!({"at": "soon"}),
            StatusCode::BAD_REQUEST,
            "at: `soon` must be a time",
        ),
        (
            json!({"brownouts": ["tue"]}),
            StatusCode::BAD_REQUEST,
            "brownouts: `tue` must be a day and a time",
        ),
        (
            json!({"block": ["t"]}),
            StatusCode::BAD_REQUEST,
            "block: `t` must be client:ID",
        ),
        (
            json!({"percent": 5, "clear": true}),
            StatusCode::BAD_REQUEST,
            "percent",
        ),
        (json!({"clear": true}), StatusCode::CONFLICT, "at mirror"),
    ] {
        let mut body = body.clone();
        body["reason"] = json!("r");
        let answer = client.post(&path, &body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{detail}");
    }
    for (wrong, argument) in [
        (["--at", "2027-13-01"], "--at"),
        (["--brownout", "tue 10:15-10:00"], "--brownout"),
        (["--block", "old"], "--block"),
    ] {
        let arguments = ["module", "sunset", MODULE, "--reason", "r"];
        let output = changeover(client, &[&arguments[..], &wrong].concat()).await;
        assert_eq!(output.status.code(), Some(64));
        assert!(String::from_utf8(output.stderr).unwrap().contains(argument));
    }
    gateway.stop().await;
}

async fn poll(client: &gateway::Client, id: &str) -> gateway::Answer {
    let url = format!("{}/api/commission/list?since=0", client.public);
    client
        .send(client.http.get(url).header("X-Terminal", id))
        .await
}

async fn run(client: &gateway::Client, arguments: &[&str]) -> String {
    let output = changeover(client, &[&["module"], arguments].concat()).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
