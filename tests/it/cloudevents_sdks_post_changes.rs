//! The SDKs of the `CloudEvents` project, in JavaScript and in Python, post events in each of their modes: a poll answers them
//! as changes.

use serde_json::{Value, json};

use crate::support::{
    clients::{self, Script},
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, Setup},
    native::PATIENCE,
    servers_are_skipped,
};

#[tokio::test(flavor = "multi_thread")]
async fn in_each_mode() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let url = format!("{}/v1/modules/commission/changes", gateway.client.private);
    let mut since = 0;
    for (language, end) in [("js", ""), ("py", ", ½")] {
        let script = match language {
            "js" => clients::node("emit.mjs", &[&url]).await,
            _ => clients::python("emit.py", &[&url]).await,
        };
        assert_accepted(script).await;
        let query = format!("since={since}&uid=u1");
        let changes = crate::support::eventually("the changes", PATIENCE, async || {
            let answer = gateway.client.try_poll(&query).await.unwrap().json();
            (answer["list"].as_array().unwrap().len() >= 6).then_some(answer)
        })
        .await;
        since = changes["since"].as_u64().unwrap();
        let key = |number| format!("{language} order {number}{end}");
        let sent =
            |number: u64| json!({"number": number, "text": "½ \"quoted\"", "list": [1.5, null]});
        let change = |id, number, op, audience, body: Value| json!({"id": format!("/orders/eu {language}-{id}"), "key": key(number), "op": op, "audience": audience, "body": body});
        let expected = [
            change(1, 1, "upsert", "u1", sent(1)),
            change(2, 2, "upsert", "*", json!("just text")),
            change(3, 3, "upsert", "u1", sent(3)),
            change(4, 1, "delete", "u1", Value::Null),
            change(5, 5, "upsert", "u1", sent(5)),
            change(6, 6, "upsert", "u1", sent(6)),
        ];
        assert_eq!(told(&changes), expected, "{language}");
    }
    gateway.stop().await;
}

async fn assert_accepted(mut script: Script) {
    assert_eq!(script.ended(PATIENCE).await, 0, "{}", script.output());
    let lines = script.lines();
    let modes: Vec<_> = lines.iter().map(|line| &line["mode"]).collect();
    let expected = [
        "binary",
        "binary",
        "structured",
        "structured",
        "batch",
        "repeat",
    ];
    assert_eq!(modes, expected);
    for line in &lines {
        let count = if line["mode"] == "batch" { 2 } else { 1 };
        assert_eq!(line["status"], 202, "{line}");
        assert_eq!(line["answer"], json!({"accepted": count}), "{line}");
    }
}

/// What came in with the events; positions are the log's own.
fn told(answer: &Value) -> Vec<Value> {
    let items = answer["list"].as_array().unwrap().iter();
    let part = |item: &Value| {
        let members = ["id", "key", "op", "audience", "body"]
            .map(|name| (name.to_owned(), item[name].clone()));
        Value::Object(members.into_iter().collect())
    };
    items.map(part).collect()
}
