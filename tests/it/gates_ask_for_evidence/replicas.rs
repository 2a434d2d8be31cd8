//! Gates say the same on every replica, and of two operators at once one goes.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    SOON, act, forced, gate, gates_command, ramp, some_changes, stop, two, until, until_passed,
    verdict,
};
use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Client, MODULE},
    targets,
};

crate::on_each_database!(
    a_broker_that_is_away_closes_the_gate_on_every_replica,
    of_two_operators_one_goes,
);

/// What a gate says, without what passes by: how late and how old.
fn verdicts(gate: &Value) -> Vec<(String, Value, String)> {
    let of = |check: &Value| {
        let name = check["name"].as_str().unwrap().to_owned();
        let passing = name == "lag" || name == "verified-time";
        let measured = if passing {
            Value::Null
        } else {
            check["measured"].clone()
        };
        let verdict = check["verdict"].as_str().unwrap();
        (name, measured, verdict.to_owned())
    };
    gate["checks"].as_array().unwrap().iter().map(of).collect()
}

async fn a_broker_that_is_away_closes_the_gate_on_every_replica(database: DatabaseUnderTest) {
    let mut broker = targets::broker();
    let replicas = two(&database, &broker).await;
    let [a, b] = [&replicas[0].client, &replicas[1].client];
    until(&replicas, "connected", "pass").await;
    some_changes(a, 4).await;
    until(&replicas, "verified-time", "pass").await;
    let early = gate(b, &json!({})).await;
    assert_eq!(
        verdict(&early, "verified-messages"),
        "not-enough-data",
        "{early}"
    );
    assert_eq!(
        (&early["passed"], &early["verdict"]),
        (&json!(false), &json!("not-enough-data"))
    );
    let refused = act(a, "ramp", &ramp()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    let said = refused.json();
    let detail = said["detail"].as_str().unwrap();
    assert!(
        detail.contains("verified-messages@local: not-enough-data (4 of 5"),
        "{detail}"
    );
    assert!(!detail.contains("connected@local"), "{detail}");

    some_changes(b, 1).await;
    until(&replicas, "verified-messages", "pass").await;
    let same = eventually("both say the same", SOON, async || {
        let [one, other] = [gate(a, &json!({})).await, gate(b, &json!({})).await];
        (verdicts(&one) == verdicts(&other)).then_some(one)
    })
    .await;
    assert_eq!(same["passed"], true, "{same}");
    let holders = [a.module().await, b.module().await].map(|m| m["lease_holder"].clone());
    assert_eq!(holders[0], holders[1], "one of the two does not mirror it");

    broker.stop();
    until(&replicas, "connected", "fail").await;
    for client in [a, b] {
        let refused = act(client, "ramp", &ramp()).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
        assert_eq!(refused.header("content-type"), "application/problem+json");
        let tried = act(client, "ramp?dry_run=true", &ramp()).await;
        let [refused, tried] = [refused.json(), tried.json()];
        assert_eq!(verdict(&refused["gate"], "connected"), "fail");
        assert_eq!(
            verdicts(&refused["gate"]),
            verdicts(&tried["gate"]),
            "a dry run says the same"
        );
        assert_eq!(tried["status"], 409);
        assert_eq!(client.module().await["stage_requested"], "mirror");
    }
    let (code, table) = gates_command(b, &["--output", "table"]).await;
    assert_eq!(code, 2, "{table}");
    assert!(
        table.contains("commission: mirror -> ramp: fail"),
        "{table}"
    );

    broker.restart();
    until(&replicas, "connected", "pass").await;
    until_passed(a).await;
    assert_eq!(gates_command(a, &[]).await.0, 0);
    let done = act(b, "ramp", &ramp()).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let done = done.json();
    assert_eq!(done["gate"]["verdict"], "pass");
    assert_eq!(
        (&done["warnings"], &done["after"]["forced"]),
        (&json!([]), &Value::Null)
    );
    stop(replicas).await;
}

async fn of_two_operators_one_goes(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replicas = two(&database, &broker).await;
    let [a, b] = [&replicas[0].client, &replicas[1].client];
    let insist = async |client: &Client, body: Value| {
        let url = format!("{}/admin/v1/modules/{MODULE}/ramp", client.private);
        let request = client.http.post(url).header("If-Match", "\"0\"");
        client.send(request.json(&body)).await.status
    };
    let (one, other) = tokio::join!(insist(a, forced()), insist(b, forced()));
    let mut both = [one, other];
    both.sort_unstable();
    assert_eq!(both, [StatusCode::OK, StatusCode::PRECONDITION_FAILED]);
    let back = act(a, "rollback", &json!({"reason": "again"})).await;
    assert_eq!(back.status, StatusCode::OK, "{back:?}");

    let (careful, bold) = (ramp(), forced());
    let (careful, bold) = tokio::join!(act(a, "ramp", &careful), act(b, "ramp", &bold));
    assert_eq!(bold.status, StatusCode::OK, "{bold:?}");
    // Who asks after it was forced only changes the share.
    let late =
        careful.status == StatusCode::OK || careful.status == StatusCode::PRECONDITION_FAILED;
    assert!(
        late || careful.status == StatusCode::CONFLICT,
        "{careful:?}"
    );
    let record = eventually("both know", SOON, async || {
        let [one, other] = [a.module().await, b.module().await];
        (one["version"] == other["version"]).then_some(one)
    })
    .await;
    assert_eq!(record["forced"]["reason"], "no time", "{record}");
    stop(replicas).await;
}
