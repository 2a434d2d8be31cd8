//! Endpoints that serve several modules: one per request, or many in one batch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Client, Program, START, Setup},
};

const MODULES: &str = r#"
[[modules]]
name = "commission"
[modules.sunset]
at = 2031-01-01T00:00:00Z

[[modules]]
name = "orders"
[modules.sunset]
at = 2030-01-01T00:00:00Z
next_poll_ms = 60000

[[endpoints]]
modules = ["commission", "orders"]
names = { commission = ["Commission", "3"] }
module = { in = "query", name = "module" }
[endpoints.poll]
path = "/shared"
cursor = { in = "query", name = "since" }
client = { in = "query", name = "term" }
[endpoints.poll.response]
body = '{"module":"$module","n":"$count","since":"$cursor"}'
error = '{"module":"$module","code":"$status"}'
error_status = 299

[[endpoints]]
modules = ["commission", "orders"]
[endpoints.poll]
path = "/batch"
methods = ["POST"]
client = { in = "json", name = "/term" }
[endpoints.poll.response]
body = '{"n":"$count","since":"$cursor"}'
error = '{"refused":"$status"}'
[endpoints.batch]
cursors = { in = "json", name = "/modules" }
body = '{"modules":"$modules","n":"$count","next":"$next_poll_ms"}'
error = '{"code":"$status","name":"$module"}'
"#;

async fn start() -> Program {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1").modules(MODULES);
    let setup = setup.set("sequencer.idle_tick_ms", 500);
    let program = Program::start(&setup.set("tail.tick_ms", 500)).await;
    for (module, count) in [("commission", 2), ("orders", 3)] {
        let changes: Vec<Value> = (0..count)
            .map(|n| json!({"key": n.to_string(), "value": n}))
            .collect();
        let path = format!("/v1/modules/{module}/changes");
        let answer = program.client.post(&path, &json!(changes)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    eventually("both modules are polled", START, async || {
        let answer = batch(&program.client, &json!({"commission": 0, "orders": 0})).await;
        (answer.json()["n"] == 5).then_some(())
    })
    .await;
    program
}

async fn batch(client: &Client, modules: &Value) -> Answer {
    let body = json!({"modules": modules, "term": "t1"});
    let request = client.http.post(format!("{}/batch", client.public));
    client.send(request.json(&body)).await
}

async fn shared(client: &Client, query: &str) -> Answer {
    let url = format!("{}/shared?term=t1&{query}", client.public);
    client.send(client.http.get(url)).await
}

/// The samples of a counter by the values of its labels.
async fn counters(client: &Client, name: &str, labels: [&str; 2]) -> BTreeMap<String, u64> {
    let text = client.get("/metrics").await.text;
    let label = |line: &str, label: &str| {
        let (_, rest) = line.split_once(&format!("{label}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with(name)) {
        let values = labels.iter().filter_map(|name| label(line, name));
        let key = values.collect::<Vec<_>>().join(" ");
        let (_, count) = line.rsplit_once(' ').unwrap();
        *found.entry(key).or_default() += count.parse::<u64>().unwrap();
    }
    found
}

async fn act(client: &Client, module: &str, act: &str, body: Value) {
    let path = format!("/admin/v1/modules/{module}/{act}");
    let answer = client.post(&path, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// From `mirror` to `ramp` for everyone, and then as many steps on.
async fn advance(client: &Client, module: &str, steps: usize) {
    let ramp = json!({"percent": 100, "reason": "test"});
    act(client, module, "ramp", ramp).await;
    let steps_on = [
        json!({"reason": "test"}),
        json!({"reason": "test", "confirm": module}),
    ];
    for step in steps_on.into_iter().take(steps) {
        act(client, module, "promote", step).await;
    }
}

#[tokio::test]
async fn a_request_names_its_module() {
    let program = start().await;
    let client = &program.client;
    let polls = async || counters(client, "changeover_polls_total", ["module", "answer"]).await;
    let before = polls().await;
    for (query, body) in [
        (
            "module=Commission",
            r#"{"module":"Commission","n":2,"since":2}"#,
        ),
        ("module=3&since=1", r#"{"module":"3","n":1,"since":2}"#),
        (
            "module=orders&since=3",
            r#"{"module":"orders","n":0,"since":3}"#,
        ),
    ] {
        let answer = shared(client, query).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.text),
            (200, body),
            "{query}"
        );
        assert_eq!(answer.header("changeover-stage"), "mirror");
    }
    for (query, body) in [
        ("module=commission", r#"{"module":"commission","code":404}"#),
        ("module=%22%0a", r#"{"module":"\"\n","code":404}"#),
        ("module=", r#"{"module":null,"code":400}"#),
        ("module=%ff", r#"{"module":null,"code":400}"#),
        ("module=3&since=x", r#"{"module":"3","code":400}"#),
    ] {
        let answer = shared(client, query).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.text),
            (299, body),
            "{query}"
        );
        let known = query.starts_with("module=3");
        assert_eq!(answer.headers.contains_key("changeover-stage"), known);
    }
    let after = polls().await;
    let grown = |key: &str| after[key] - before[key];
    assert_eq!(grown("- error"), 4);
    assert_eq!(grown("commission error"), 1);
    assert_eq!(grown("orders idle"), 1);
}

#[tokio::test]
async fn idle_polls_cost_no_sql_and_count_for_their_modules() {
    const POLLS: u64 = 200;
    let program = start().await;
    let client = &program.client;
    let queries = async || {
        counters(
            client,
            "changeover_database_queries_total",
            ["purpose", "-"],
        )
        .await
    };
    let polls = async || counters(client, "changeover_polls_total", ["module", "answer"]).await;
    let (sql_before, before) = (queries().await, polls().await);
    for _ in 0..POLLS {
        let answer = batch(client, &json!({"commission": 2, "orders": 3})).await;
        assert_eq!(answer.json()["n"], 0);
        assert_eq!(shared(client, "module=3&since=2").await.json()["n"], 0);
    }
    let (sql_after, after) = (queries().await, polls().await);
    for purpose in ["poll", "state", "catchup", "snapshot"] {
        assert_eq!(sql_before.get(purpose), sql_after.get(purpose), "{purpose}");
    }
    let grown = |key: &str| after[key] - before[key];
    assert_eq!(grown("commission idle"), 2 * POLLS);
    assert_eq!(grown("orders idle"), POLLS);
}

#[tokio::test]
async fn what_is_wrong_with_one_module_hides_no_other() {
    let program = start().await;
    let client = &program.client;
    let modules = json!({"commission": "x", "orders": 1, "stock\n": null});
    let answer = batch(client, &modules).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.text,
        r#"{"modules":{"commission":{"code":400,"name":"commission"},"orders":{"n":2,"since":3},"stock\n":{"code":404,"name":"stock\n"}},"n":2,"next":5000}"#
    );
    advance(client, "commission", 2).await;
    let answer = batch(client, &json!({"commission": 0, "orders": 3})).await;
    assert_eq!(
        answer.text,
        r#"{"modules":{"commission":{"code":410,"name":"commission"},"orders":{"n":0,"since":3}},"n":0,"next":5000}"#
    );
    // The stages and transports differ: nothing is said of the whole.
    assert_eq!(answer.header("changeover-stage"), "");
    assert_eq!(answer.header("changeover-transport"), "");
    assert_eq!(
        batch(client, &json!({})).await.text,
        r#"{"modules":{},"n":0,"next":null}"#
    );
}

#[tokio::test]
async fn a_batch_that_fails_as_a_whole_is_refused() {
    let program = start().await;
    let client = &program.client;
    let many: serde_json::Map<_, _> = (0..21).map(|n| (n.to_string(), json!(0))).collect();
    for modules in [json!(many), json!(null), json!([]), json!("commission")] {
        let answer = batch(client, &modules).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.text, r#"{"refused":400}"#);
    }
}

#[tokio::test]
async fn headers_say_what_holds_for_all_modules() {
    let program = start().await;
    let client = &program.client;
    let both = json!({"commission": 2, "orders": 3});
    let headers = async || {
        let answer = batch(client, &both).await;
        ["changeover-stage", "changeover-transport", "sunset"]
            .map(|name| answer.header(name).to_owned())
    };
    assert_eq!(headers().await, ["mirror", "poll", ""]);
    advance(client, "commission", 0).await;
    assert_eq!(headers().await, ["", "", ""]);
    advance(client, "orders", 1).await;
    assert_eq!(headers().await, ["", "push", ""]);
    act(client, "commission", "promote", json!({"reason": "test"})).await;
    assert_eq!(
        headers().await,
        ["sunset", "push", "Tue, 01 Jan 2030 00:00:00 GMT"]
    );
    let answer = batch(client, &both).await;
    assert_eq!(answer.json()["next"], 5_000);
    assert_eq!(
        batch(client, &json!({"orders": 3})).await.json()["next"],
        60_000
    );
}
