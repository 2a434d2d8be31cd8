//! A row of `module_stage` that nobody can have written is told by the name of its module; the other modules' are read and acted on, and
//! that module stays where it was known to be.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Client, MODULE, Program, Setup},
};

const SOON: Duration = Duration::from_mins(1);

crate::on_each_database!(the_others_go_on);

const BROKEN: [(&str, &str); 2] = [
    ("stage = 'middle'", "stage = 'ramp'"),
    ("cohort = '{'", "cohort = '{}'"),
];

async fn promote(client: &Client, module: &str) -> (StatusCode, Value) {
    let path = format!("/admin/v1/modules/{module}/promote");
    let answer = client.post(&path, &json!({"reason": "r"})).await;
    (answer.status, answer.json())
}

async fn stage(client: &Client, module: &str) -> Value {
    let answer = client.get(&format!("/admin/v1/modules/{module}")).await;
    answer.json()["stage_requested"].clone()
}

async fn the_others_go_on(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a");
    let mut gateway = Program::start(&setup).await;
    for module in [MODULE, "notices"] {
        let done = promote(&gateway.client, module).await;
        assert_eq!(done.0, StatusCode::OK, "{done:?}");
    }
    let text = "SELECT cohort FROM module_stage WHERE module = 'commission'";
    let cohort = database.text(text).await.unwrap();
    for (broken, whole) in BROKEN {
        let whole = whole.replace("{}", &cohort);
        let update = |set: &str| format!("UPDATE module_stage SET {set} WHERE module = '{MODULE}'");
        database.execute(&update(broken)).await;
        let told = eventually("it is told", SOON, async || {
            gateway.said("the flags of a module cannot be read: its last known ones stay in force, after a start those of `mirror`")
        })
        .await;
        assert_eq!(told["module"], MODULE, "{told}");
        let client = &gateway.client;
        assert_eq!(stage(client, MODULE).await, "ramp", "as it was known");
        let refused = promote(client, MODULE).await;
        assert_eq!(refused.0, StatusCode::INTERNAL_SERVER_ERROR, "{refused:?}");
        let gates = format!("/admin/v1/modules/{MODULE}/gates");
        let unknown = client.post(&gates, &json!({"step": "ramp"})).await;
        assert_eq!(
            unknown.status,
            StatusCode::INTERNAL_SERVER_ERROR,
            "no gate of a record that nobody can read: {unknown:?}"
        );
        for action in ["promote", "rollback"] {
            let path = format!("/admin/v1/modules/notices/{action}");
            let answer = client.post(&path, &json!({"reason": "r"})).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
        // A start needs none of it.
        gateway.terminate().await;
        gateway.restart().await;
        let client = &gateway.client;
        assert_eq!(stage(client, "notices").await, "ramp");
        assert_eq!(stage(client, MODULE).await, "mirror");
        let polled = client.try_poll("since=0").await.unwrap();
        assert_eq!(polled.status, StatusCode::OK, "{polled:?}");

        database.execute(&update(&whole)).await;
        eventually("it is read again", SOON, async || {
            (stage(client, MODULE).await == "ramp").then_some(())
        })
        .await;
        assert!(
            gateway
                .said("the flags of a module are read again")
                .is_some()
        );
        gateway.terminate().await;
        gateway.restart().await;
    }
    assert_eq!(stage(&gateway.client, MODULE).await, "ramp");
}
