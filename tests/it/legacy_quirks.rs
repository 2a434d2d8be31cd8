//! Quirks: combined, counted on a real gateway, and not there for who has none. What each does alone is
//! in `docs/LEGACY.md`, which `legacy_examples` holds.

use std::{collections::BTreeMap, time::Duration};

use http::Request;
use serde_json::json;

use crate::{
    legacy_gateway::Gateway,
    support::{
        database::{DatabaseUnderTest, Kind},
        gateway::{InProcess, Setup},
    },
};

const ALL: &str = r#"
name = "m"
[poll]
path = "/p"
cursor = { in = "query", name = "since" }
audience = { in = "query", name = "uid" }
limit = { in = "query", name = "Size", default = 1, max = 3 }
quirks = ["close-connection", "utf8-bom", "jsonp-callback", "ascii-json", "zero-limit-is-most",
    "null-cursor-is-absent", "last-parameter-counts", "any-case-parameters", "trailing-slash"]
[poll.response]
body = '{"list":"$changes","since":"$cursor"}'
item = '"$key"'
etag = true
"#;

#[tokio::test]
async fn all_of_them_together() {
    let gateway = Gateway::new(ALL, 100);
    gateway.upsert("*", "é", "1");
    gateway.upsert("*", "😀\u{2028}", "1");
    let answer = gateway
        .get("/p/?SINCE=1&since=undefined&since=nil&sIZE=0&callback=a.b&uid=%20%2B")
        .await;
    assert_eq!(
        answer.body,
        "\u{feff}/**/a.b({\"list\":[\"\\u00e9\",\"\\ud83d\\ude00\\u2028\"],\"since\":2});"
    );
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.header("etag"), None);
    assert_eq!(
        answer.header("content-type"),
        Some("application/javascript; charset=utf-8")
    );
}

#[tokio::test]
async fn a_script_is_never_a_304_and_old_javascript_can_read_it() {
    let gateway = Gateway::new(
        &ALL.replace("\"ascii-json\",", "")
            .replace("\"utf8-bom\",", ""),
        9,
    );
    gateway.upsert("*", "a\u{2028}\u{2029}é", "1");
    let plain = gateway.get("/p?since=0").await;
    assert_eq!(
        plain.body,
        "{\"list\":[\"a\u{2028}\u{2029}é\"],\"since\":1}"
    );
    assert!(plain.header("etag").is_some());
    let request = Request::get("/p?since=0&callback=f").header("if-none-match", "*");
    let script = gateway.send(request.body(axum::body::Body::empty()).unwrap());
    let script = script.await;
    assert_eq!(script.status, 200);
    assert_eq!(
        script.body,
        "/**/f({\"list\":[\"a\\u2028\\u2029é\"],\"since\":1});"
    );
    // What is no name of a function is not obeyed.
    let refused = gateway.get("/p?since=0&callback=alert(1)").await;
    assert_eq!(refused.body, plain.body);
}

#[tokio::test]
async fn errors_are_told_in_the_same_voice() {
    let gateway = Gateway::new(ALL, 9);
    let answer = gateway.get("/p?since=x&callback=f").await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.starts_with("\u{feff}/**/f({\"code\":400,"),
        "{}",
        answer.body
    );
}

/// Parameters beyond the cursor: which module is asked, and how long the poll may wait.
const SHARED: &str = r#"
[[modules]]
name = "orders"
[[modules]]
name = "stock"
[[endpoints]]
modules = ["orders", "stock"]
module = { in = "query", name = "Module" }
[endpoints.poll]
path = "/shared"
cursor = { in = "query", name = "since" }
wait = { in = "query", name = "waitMs", max_ms = 600000 }
quirks = ["any-case-parameters", "last-parameter-counts"]
[endpoints.poll.response]
body = '{"of":"$module","since":"$cursor"}'
error = '{"of":"$module","why":"$message"}'
"#;

/// Far below the wait that must not be waited out.
const SOON: Duration = Duration::from_mins(1);

const NOT_A_WAIT: &str = "wait (query parameter waitMs): must be a whole number of milliseconds";

#[tokio::test]
async fn the_name_of_the_module_is_found_in_any_case_and_the_last_counts() {
    let gateway = Gateway::of_config(SHARED, 9);
    for query in [
        "Module=orders",
        "MODULE=orders",
        "mod%55le=orders",
        "module=none&Module=none&Module=orders",
        "Module=&MODULE=stock&Module=orders",
    ] {
        let answer = gateway.get(&format!("/shared?{query}")).await;
        assert_eq!(answer.body, r#"{"of":"orders","since":0}"#, "{query}");
    }
    let unknown = gateway.get("/shared?MODULE=orders&MODULE=none").await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert_eq!(unknown.json()["of"], "none");

    let strict = Gateway::of_config(&SHARED.replace("quirks", "#quirks"), 9);
    assert_eq!(strict.get("/shared?MODULE=orders").await.status, 400);
    let first = strict.get("/shared?Module=none&Module=orders").await;
    assert_eq!(first.json()["of"], "none");
}

#[tokio::test]
async fn the_wait_is_found_in_any_case_and_the_last_counts() {
    let gateway = Gateway::of_config(SHARED, 9);
    let get = async |gateway: &Gateway, query: &str| {
        let path = format!("/shared?Module=orders&{query}");
        crate::support::within(query, SOON, gateway.get(&path)).await
    };
    for query in ["WAITMS=0", "waitms=x&WaitMs=0", "waitMs=600000&waitMs=0"] {
        let answer = get(&gateway, query).await;
        assert_eq!(answer.body, r#"{"of":"orders","since":0}"#, "{query}");
    }
    for query in ["WAITMS=x", "waitMs=0&waitMs=x", "waitms=0&WAITMS=x"] {
        let answer = get(&gateway, query).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        let why = answer.json()["why"].as_str().unwrap().to_owned();
        assert!(why.starts_with(NOT_A_WAIT), "{query}: {why}");
    }

    let strict = Gateway::of_config(&SHARED.replace("quirks", "#quirks"), 9);
    assert_eq!(get(&strict, "WAITMS=x").await.status, 200, "not read");
    assert_eq!(get(&strict, "waitMs=0&waitMs=x").await.status, 200);
}

const MODULES: &str = r#"
[[modules]]
name = "quirky"
[modules.poll]
path = "/quirky"
cursor = { in = "query", name = "since" }
quirks = ["null-cursor-is-absent", "any-case-parameters", "close-connection", "ascii-json"]
[[modules]]
name = "plain"
[modules.poll]
path = "/plain"
cursor = { in = "query", name = "since" }
"#;

fn counted(metrics: &str) -> BTreeMap<&str, &str> {
    let lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    lines
        .filter(|(name, _)| name.starts_with("changeover_quirk_total"))
        .collect()
}

#[tokio::test]
async fn uses_are_counted_only_if_something_changed() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "gw-1").modules(MODULES)).await;
    let client = &gateway.client;
    let get = async |path: &str| {
        let request = client.http.get(format!("{}{path}", client.public));
        client.send(request).await
    };
    for path in [
        "/quirky?since=0",
        "/quirky",
        "/quirky?SINCE=null",
        "/quirky?since=-1",
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("connection"), "close");
        assert_eq!(answer.json()["cursor"], json!(0));
    }
    assert_eq!(get("/plain?since=null").await.status, 400);
    assert_eq!(get("/plain/").await.status, 404);
    let metrics = client.get("/metrics").await.text;
    // The recorder is the process', and other tests have modules of other names.
    let mine: BTreeMap<_, _> = counted(&metrics)
        .into_iter()
        .filter(|(name, _)| name.contains("quirky") || name.contains("plain"))
        .collect();
    insta::assert_debug_snapshot!(mine, @r#"
    {
        "changeover_quirk_total{module=\"quirky\",quirk=\"any-case-parameters\"}": "1",
        "changeover_quirk_total{module=\"quirky\",quirk=\"ascii-json\"}": "0",
        "changeover_quirk_total{module=\"quirky\",quirk=\"close-connection\"}": "4",
        "changeover_quirk_total{module=\"quirky\",quirk=\"null-cursor-is-absent\"}": "2",
    }
    "#);
    crate::support::within("the stop", Duration::from_mins(1), gateway.stop()).await;
}

#[tokio::test]
async fn a_check_names_them_and_says_when_they_may_go() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let file = Setup::new(&database, "gw-1").modules(MODULES).write();
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_changeover"))
        .args(["check", "--config"])
        .arg(file)
        .output()
        .unwrap();
    insta::assert_snapshot!(String::from_utf8(check.stdout).unwrap(), @r"
    the configuration is sound: 2 modules
    warning: auth.callers: every caller is believed who it says it is
    quirky has the quirk null-cursor-is-absent: remove it when its counter stands still
    quirky has the quirk any-case-parameters: remove it when its counter stands still: every client writes the names as configured
    quirky has the quirk close-connection: remove it when no client of the module's endpoint reads to the end of the connection; it counts every answer
    quirky has the quirk ascii-json: remove it when its counter stands still, or these clients read UTF-8; the values alone do not show who needs it
    ");
}
