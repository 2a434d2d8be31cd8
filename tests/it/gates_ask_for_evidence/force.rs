//! What goes on without evidence: by force, where gates only warn, and on the way back. It is remembered and said.

use http::StatusCode;
use serde_json::{Value, json};

use super::{SOON, act, forced, gate, gated, gates_command, ramp, stop, two, until, verdict};
use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{InProcess, MODULE, changeover},
    targets,
};

crate::on_each_database!(
    what_is_forced_is_audited_and_shown_as_long_as_it_matters,
    nobody_forces_clients_to_where_nothing_is_sent,
    gates_that_are_not_enforced_warn,
    a_gate_that_cannot_be_read_stands_in_nobodys_way_back,
);

async fn what_is_forced_is_audited_and_shown_as_long_as_it_matters(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replicas = two(&database, &broker).await;
    let [a, b] = [&replicas[0].client, &replicas[1].client];
    until(&replicas, "connected", "pass").await;
    until(&replicas, "verified-time", "pass").await;
    assert_eq!(gates_command(a, &[]).await.0, 75, "try again later");
    let unreasoned = act(a, "ramp", &json!({"percent": 10, "force": true})).await;
    assert_eq!(unreasoned.status, StatusCode::BAD_REQUEST, "{unreasoned:?}");
    let stray = act(a, "pause", &json!({"reason": "r", "force": true})).await;
    assert_eq!(stray.status, StatusCode::BAD_REQUEST, "{stray:?}");

    let tried = act(a, "ramp?dry_run=true", &forced()).await.json();
    assert_eq!(
        tried["after"]["forced"]["checks"][0], "verified-messages@local",
        "{tried}"
    );
    assert_eq!(tried["after"]["forced"]["at"], Value::Null);
    assert_eq!(a.module().await["forced"], Value::Null);
    let force = [
        "ramp",
        MODULE,
        "--percent",
        "10",
        "--reason",
        "no time",
        "--force",
    ];
    let output = changeover(a, &[&["module"], &force[..]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    let warning = done["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("verified-messages@local: not-enough-data"),
        "{done}"
    );

    let is_shown = |shown: &Value| {
        let shown = &shown["forced"];
        shown["step"] == "ramp"
            && shown["by"] == "admin (for tester)"
            && shown["reason"] == "no time"
    };
    let shown = a.module().await;
    assert!(is_shown(&shown), "{shown}");
    assert_eq!(shown["forced"]["at"], shown["changed_at"]);
    eventually("it is shown elsewhere", SOON, async || {
        is_shown(&b.module().await).then_some(())
    })
    .await;
    let more = json!({"percent": 20, "reason": "more"});
    let more = act(b, "ramp", &more).await;
    assert_eq!(more.status, StatusCode::OK, "no gate at ramp: {more:?}");
    let said = more.json();
    assert!(
        said["warnings"][0]
            .as_str()
            .unwrap()
            .contains("verified-messages"),
        "{said}"
    );
    let shown = b.module().await;
    assert!(is_shown(&shown), "{shown}");
    assert_ne!(shown["forced"]["at"], shown["changed_at"]);
    let less = json!({"percent": 5, "reason": "less"});
    let said = act(b, "ramp", &less).await.json();
    assert_eq!(
        said["warnings"],
        json!([]),
        "the way back is nobody's question"
    );

    let history = b
        .get(&format!("/admin/v1/modules/{MODULE}/history"))
        .await
        .json();
    let entries = history["entries"].as_array().unwrap();
    let first = &entries.last().unwrap()["after"];
    assert_eq!(
        first["forced"]["checks"][0], "verified-messages@local",
        "{history}"
    );
    let back = act(a, "rollback", &json!({"reason": "back"})).await;
    assert_eq!(back.json()["after"]["forced"], Value::Null);
    assert_eq!(a.module().await["forced"], Value::Null);
    stop(replicas).await;
}

async fn nobody_forces_clients_to_where_nothing_is_sent(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replica = InProcess::start(&gated(&database, "a").target(&broker.url())).await;
    let client = &replica.client;
    let reason = json!({"reason": "upgrade"});
    let paused = client.post("/admin/v1/targets/local/pause", &reason).await;
    assert_eq!(paused.status, StatusCode::OK, "{paused:?}");
    let said = gate(client, &json!({})).await;
    assert_eq!(verdict(&said, "targets"), "fail", "{said}");
    for body in [ramp(), forced()] {
        for how in ["ramp", "ramp?dry_run=true"] {
            let refused = act(client, how, &body).await;
            assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
            let said = refused.json();
            assert!(
                said["detail"]
                    .as_str()
                    .unwrap()
                    .contains("cannot be forced"),
                "{said}"
            );
        }
    }
    let resumed = client.post("/admin/v1/targets/local/resume", &reason).await;
    assert_eq!(resumed.status, StatusCode::OK, "{resumed:?}");
    let done = act(client, "ramp", &forced()).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    replica.stop().await;
}

async fn gates_that_are_not_enforced_warn(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let setup = gated(&database, "a").set("gates.enforce", "false");
    let replica = InProcess::start(&setup.target(&broker.url())).await;
    let client = &replica.client;
    let done = act(client, "ramp", &ramp()).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let done = done.json();
    let warnings = done["warnings"].to_string();
    assert!(
        warnings.contains("verified-messages@local: not-enough-data"),
        "{done}"
    );
    assert_eq!(
        done["after"]["forced"],
        Value::Null,
        "nothing was overridden"
    );
    assert_eq!(gate(client, &json!({})).await["enforced"], false);
    replica.stop().await;
}

async fn a_gate_that_cannot_be_read_stands_in_nobodys_way_back(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replica = InProcess::start(&gated(&database, "a").target(&broker.url())).await;
    let client = &replica.client;
    assert_eq!(act(client, "ramp", &forced()).await.status, StatusCode::OK);
    database.execute("DROP TABLE mirror_fact").await;
    let answer = act(client, "gates", &json!({"step": "ramp"})).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    for change in [
        json!({"exclude": ["client:t-01"], "reason": "it stands still"}),
        json!({"percent": 20, "reason": "more"}),
        json!({"percent": 5, "reason": "less"}),
    ] {
        let done = act(client, "ramp", &change).await;
        assert_eq!(done.status, StatusCode::OK, "{change}: {done:?}");
    }
    replica.stop().await;
}
