//! JSON of any depth: a value is checked and copied, never taken apart, so it may be as deep as `limits.value_depth` lets it be, and what is
//! deeper is refused by that name; where JSON is taken apart, what is too deep is refused too. Nothing overflows a stack.

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Answer, Client, InProcess, MODULE, Setup, changeover},
    native::{PATIENCE, numbered, stream},
};

crate::on_each_database!(
    values_come_out_as_they_came_in,
    values_that_are_too_deep_are_refused_and_parked,
    what_is_deep_in_another_place_is_refused_by_its_name,
);

/// As deep as `limits.value_bytes` lets it be.
const DEPTH: usize = 125_000;

fn deep() -> String {
    "[".repeat(DEPTH) + &"]".repeat(DEPTH)
}

async fn send(client: &Client, media: &str, headers: &[(&str, &str)], body: String) -> Answer {
    let url = format!("{}/v1/modules/{MODULE}/changes", client.private);
    let mut request = client.http.post(url).header("content-type", media);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request.body(body)).await
}

fn event(key: &str, rest: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{key}","source":"/s","type":"x.updated","subject":"{key}",{rest}}}"#
    )
}

fn unbounded(database: &DatabaseUnderTest) -> Setup {
    Setup::new(database, "a").set("limits.value_depth", DEPTH)
}

async fn values_that_are_too_deep_are_refused_and_parked(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a").set("limits.value_depth", 5);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let (fits, deep) = (r#"[[{"[[[[":[[1]]}]]"#, r#"[[{"a":[[{}]]}]]"#);
    let why = "value: has more than 5 arrays and objects within each other (limits.value_depth)";
    let item = |key: &str, value| format!(r#"{{"key":"{key}","value":{value}}}"#);
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "x.updated"),
        ("ce-subject", "k"),
    ];
    for (media, headers, n, body) in [
        ("application/json", &[][..], 0, item("k", deep)),
        (
            "application/x-ndjson",
            &[],
            1,
            item("k", fits) + "\n" + &item("k", deep),
        ),
        (
            "application/cloudevents+json",
            &[],
            0,
            event("k", &format!(r#""data":{deep}"#)),
        ),
        ("application/json", &binary, 0, deep.to_owned()),
    ] {
        let answer = send(client, media, headers, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert_eq!(answer.json()["detail"], format!("item {n}: {why}"));
    }
    let answer = send(client, "application/json", &[], item("k1", fits)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    for (key, value) in [("deep", deep), ("k2", fits)] {
        let columns = "(module, entity_key, value)";
        let row = format!("INSERT INTO outbox {columns} VALUES ('{MODULE}', '{key}', '{value}')");
        database.execute(&row).await;
    }
    numbered(client, MODULE, 2).await;
    let rejected = client.get("/admin/v1/outbox/rejected").await.json();
    let rows = rejected["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{rejected}");
    assert_eq!(rows[0]["reason"], why);
    gateway.stop().await;
}

async fn values_come_out_as_they_came_in(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&unbounded(&database).set("native.page_bytes", 4 << 20)).await;
    let (client, deep) = (&gateway.client, deep());
    let item = |key: &str| format!(r#"{{"key":"{key}","value":{deep}}}"#);
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "6"),
        ("ce-source", "/s"),
        ("ce-type", "x.updated"),
        ("ce-subject", "k6"),
    ];
    let (data, strange) = (
        format!(r#""data":{deep}"#),
        format!(r#""data":1,"x":{deep}"#),
    );
    for (media, headers, body) in [
        ("application/json", &[][..], item("k1")),
        ("application/json", &[], format!("[{}]", item("k2"))),
        ("application/x-ndjson", &[], item("k3")),
        ("application/cloudevents+json", &[], event("k4", &data)),
        (
            "application/cloudevents-batch+json",
            &[],
            format!("[{}]", event("k5", &data)),
        ),
        ("application/json", &binary, deep.clone()),
        // What a producer adds is not looked at.
        ("application/cloudevents+json", &[], event("k7", &strange)),
    ] {
        let answer = send(client, media, headers, body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{media}: {answer:?}");
    }
    let row = format!(
        "INSERT INTO outbox (module, entity_key, value) VALUES ('{MODULE}', 'k8', '{deep}')"
    );
    database.execute(&row).await;
    numbered(client, MODULE, 8).await;
    let rejected = client.get("/admin/v1/outbox/rejected").await.json();
    assert_eq!(rejected["rows"], json!([]), "{rejected}");
    let snapshot = format!("{}/v1/modules/{MODULE}/snapshot", client.public);
    for answer in [
        client.try_poll("since=0&size=100").await.unwrap(),
        stream(client, "offset=-1").await,
        client.send(client.http.get(snapshot)).await,
    ] {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.text.matches(&deep).count(), 7);
    }
    eventually("the target has them", PATIENCE, async || {
        let module = client.module().await;
        (module["targets"][0]["position"] == 8).then_some(())
    })
    .await;
    gateway.stop().await;
}

async fn what_is_deep_in_another_place_is_refused_by_its_name(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&unbounded(&database)).await;
    let (client, deep) = (&gateway.client, deep());
    let lines = |rest: &str| format!("{{\"key\":\"a\",\"value\":1}}\n{{{rest}}}");
    for (media, body, says) in [
        (
            "application/x-ndjson",
            lines(&format!("\"key\":{deep}")),
            "item 1: ",
        ),
        (
            "application/x-ndjson",
            lines(&format!("\"deep\":{deep}")),
            "item 1: unknown field",
        ),
        (
            "application/x-ndjson",
            lines(&format!("\"value\":{}", &deep[1..])),
            "item 1: ",
        ),
        (
            "application/x-ndjson",
            lines(&format!("\"value\":{}", &deep[..DEPTH])),
            "item 1: ",
        ),
        ("application/json", deep.clone(), "item 0: "),
        (
            "application/json",
            deep[..DEPTH].to_owned(),
            "the body is not a JSON array",
        ),
        (
            "application/cloudevents+json",
            event("k", &format!("\"time\":{deep}")),
            "item 0: ",
        ),
    ] {
        let answer = send(client, media, &[], body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(says), "{detail}");
        assert!(detail.len() < 1_000, "{detail}");
    }
    for half in [&deep[1..], &deep[..DEPTH]] {
        let columns = "(module, entity_key, value)";
        let row = format!("INSERT INTO outbox {columns} VALUES ('{MODULE}', 'half', '{half}')");
        database.execute(&row).await;
    }
    let rows = eventually("both are parked", PATIENCE, async || {
        let rejected = client.get("/admin/v1/outbox/rejected").await.json();
        let rows = rejected["rows"].as_array().unwrap().clone();
        (rows.len() == 2).then_some(rows)
    })
    .await;
    for row in rows {
        let reason = row["reason"].as_str().unwrap();
        assert!(reason.starts_with("value: is not valid JSON"), "{reason}");
    }
    let listed = changeover(client, &["outbox", "rejected", "list"]).await;
    assert!(listed.status.success(), "{listed:?}");
    gateway.stop().await;
}
