//! Delivery tools ask for the verdict in the ways that they know: a member of the body, or the status.

use http::StatusCode;
use serde_json::json;

use super::{act, gate, gated, some_changes, until, until_passed};
use crate::support::{database::DatabaseUnderTest, gateway::InProcess, targets};

crate::on_each_database!(delivery_tools_read_the_body_or_the_status,);

async fn delivery_tools_read_the_body_or_the_status(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replica = InProcess::start(&gated(&database, "a").target(&broker.url())).await;
    let client = &replica.client;
    until(std::slice::from_ref(&replica), "connected", "pass").await;
    let web_metric = gate(client, &json!({})).await;
    let members: Vec<_> = web_metric.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "caveats", "checks", "enforced", "module", "passed", "stage", "step", "verdict",
    ];
    assert_eq!(members, expected, "{web_metric}");
    assert_eq!(web_metric["passed"], false);
    let check = &web_metric["checks"][0];
    let members: Vec<_> = check.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "detail",
        "measured",
        "name",
        "sample",
        "target",
        "threshold",
        "unit",
        "verdict",
    ];
    assert_eq!(members, expected, "{check}");

    let flagger = json!({"name": "orders", "namespace": "shop", "phase": "Progressing",
        "checksum": "85d557f47b", "metadata": {"step": "ramp", "cmd": "x"}});
    let held = act(client, "gates?verdict=status", &flagger).await;
    assert_eq!(held.status, StatusCode::CONFLICT, "{held:?}");
    assert_eq!(held.json()["gate"]["step"], "ramp");
    some_changes(client, 5).await;
    until_passed(client).await;
    let free = act(client, "gates?verdict=status", &flagger).await;
    assert_eq!(free.status, StatusCode::OK, "{free:?}");
    assert_eq!(free.json()["passed"], true);

    let later = gate(client, &json!({"step": "sunset"})).await;
    assert_eq!(
        (&later["step"], &later["verdict"]),
        (&json!("sunset"), &json!("not-enough-data"))
    );
    for (query, body, status) in [
        ("gates", json!({"step": "mirror"}), StatusCode::CONFLICT),
        ("gates", json!({"step": "moon"}), StatusCode::BAD_REQUEST),
        ("gates", json!({"step": 1}), StatusCode::BAD_REQUEST),
        ("gates?verdict=maybe", json!({}), StatusCode::BAD_REQUEST),
        ("gates?dry_run=true", json!({}), StatusCode::BAD_REQUEST),
    ] {
        let refused = act(client, query, &body).await;
        assert_eq!(refused.status, status, "{query} {body}: {refused:?}");
    }
    let unknown = client
        .post("/admin/v1/modules/nothing/gates", &json!({}))
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(
        client.module().await["version"],
        0,
        "asking changes nothing"
    );
    assert_eq!(client.module().await["gate"]["verdict"], "pass");
    replica.stop().await;
}
