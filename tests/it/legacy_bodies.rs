//! Legacy bodies, byte for byte.

use changeover::domain::Op;

use crate::legacy_gateway::Gateway;

const COMMISSION: &str = r#"
name = "commission"
[poll]
path = "/api/commission/list"
cursor = { in = "query", name = "since", kind = "position" }
audience = { in = "query", name = "uid" }
limit = { in = "query", name = "size", default = 100, max = 1000 }
[poll.response]
body  = '{"code":0,"msg":"ok","data":{"list":"$changes","since":"$cursor","more":"$has_more"}}'
item  = '{"id":"$key","op":"$op","seq":"$position","body":"$value"}'
error = '{"code":"$status","msg":"$message"}'
error_status = 200
"#;

/// Everything that a template knows, with white space of its own.
const ALL_NAMES: &str = r#"
name = "all"
[poll]
path = "/all"
cursor = { in = "query", name = "since", kind = "token" }
audience = { in = "query", name = "uid" }
next_poll_ms = 2500
[poll.response]
body = '''
{ "$changes": "$changes", "cursor" : "$cursor" ,
  "more": "$has_more", "head": "$head", "now": "$server_time_ms", "n": "$count",
	"next": "$next_poll_ms", "how": "$transport", "state": "$snapshot", "price": "$5", "dollar": "\u0024key" }
'''
item = '["$key", "$op", "$position", "$previous", "$value", "$audience", "$change_id", "$occurred_at_ms", "$sequenced_at_ms"]'
"#;

#[tokio::test]
async fn nothing_new_is_an_empty_list() {
    let gateway = Gateway::new(COMMISSION, 100);
    let answer = gateway.get("/api/commission/list?since=&uid=u1").await;
    insta::assert_snapshot!(answer.body, @r#"{"code":0,"msg":"ok","data":{"list":[],"since":0,"more":false}}"#);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(gateway.reads(), 0);
}

#[tokio::test]
async fn values_are_copied_as_they_came() {
    let gateway = Gateway::new(COMMISSION, 100);
    for value in [
        r#"{"price":1.10,"big":12345678901234567890,"exp":1e3,"neg":-0.0}"#,
        "[ 1,  2 ]",
        r#""日本語 😀 \u00e9 \/ ""#,
        "1E+2",
        "null",
        r#"{"a":1,"a":2}"#,
    ] {
        gateway.upsert("*", "k", value);
    }
    let answer = gateway.get("/api/commission/list").await;
    insta::assert_snapshot!(answer.body, @r#"{"code":0,"msg":"ok","data":{"list":[{"id":"k","op":"upsert","seq":1,"body":{"price":1.10,"big":12345678901234567890,"exp":1e3,"neg":-0.0}},{"id":"k","op":"upsert","seq":2,"body":[ 1,  2 ]},{"id":"k","op":"upsert","seq":3,"body":"日本語 😀 \u00e9 \/ "},{"id":"k","op":"upsert","seq":4,"body":1E+2},{"id":"k","op":"upsert","seq":5,"body":null},{"id":"k","op":"upsert","seq":6,"body":{"a":1,"a":2}}],"since":6,"more":false}}"#);
}

#[tokio::test]
async fn keys_and_audiences_are_escaped_once() {
    let gateway = Gateway::new(ALL_NAMES, 100);
    // Older limits may have let such texts into the log.
    gateway.upsert(
        "u\"1\\",
        "k\u{1}\u{8}\t\n\u{c}\r\u{1f}\u{7f}\u{2028}é😀\"\\/",
        "1.10",
    );
    gateway.log.commit("*", "gone", Op::Delete, "null");
    gateway.catch_up();
    let answer = gateway.get("/all?uid=u%221%5C").await;
    // The white space around the template is part of it, which a snapshot would trim.
    let expected = concat!(
        r#"{ "$changes": [["k\u0001\b\t\n\f\r\u001f"#,
        "\u{7f}\u{2028}é😀",
        r#"\"\\/", "upsert", 1, 0, 1.10, "u\"1\\", null, 1700000000000, 1700000000500],"#,
        r#"["gone", "delete", 2, 0, null, "*", "id-2", 1700000000000, 1700000000500]], "#,
        r#""cursor" : "00000001_0000000000000002" ,"#,
        "\n  ",
        r#""more": false, "head": 2, "now": 1767323045678, "n": 2,"#,
        "\n\t",
        r#""next": 2500, "how": "poll", "state": false, "price": "$5", "dollar": "\u0024key" }"#,
        "\n",
    );
    assert_eq!(answer.body, expected);
    assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_ok());
}

#[tokio::test]
async fn a_state_has_null_for_what_it_does_not_keep() {
    let gateway = Gateway::new(ALL_NAMES, 1);
    gateway.upsert("*", "a", "1");
    gateway.upsert("*", "a", "2");
    gateway.upsert("*", "b", "3");
    gateway.log.prune(3);
    gateway.catch_up();
    let answer = gateway.get("/all").await;
    let expected = concat!(
        r#"{ "$changes": [["a", "upsert", 2, null, 2, "*", null, null, null],"#,
        r#"["b", "upsert", 3, null, 3, "*", null, null, null]], "#,
        r#""cursor" : "00000001_0000000000000003" ,"#,
        "\n  ",
        r#""more": false, "head": 3, "now": 1767323045678, "n": 2,"#,
        "\n\t",
        r#""next": 2500, "how": "poll", "state": true, "price": "$5", "dollar": "\u0024key" }"#,
        "\n",
    );
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_value_of_500_levels_passes() {
    let gateway = Gateway::new(COMMISSION, 100);
    let deep = "[".repeat(500) + &"]".repeat(500);
    gateway.upsert("*", "deep", &deep);
    let answer = gateway.get("/api/commission/list").await;
    let expected = format!(
        r#"{{"code":0,"msg":"ok","data":{{"list":[{{"id":"deep","op":"upsert","seq":1,"body":{deep}}}],"since":1,"more":false}}}}"#
    );
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn errors_wear_the_legacy_envelope() {
    let gateway = Gateway::new(COMMISSION, 100);
    let answer = gateway.get("/api/commission/list?since=abc").await;
    insta::assert_snapshot!(answer.body, @r#"{"code":400,"msg":"cursor (query parameter since): must be a whole number from 0 to 9223372036854775807"}"#);
    assert_eq!(answer.status, 200, "error_status hides the real one");
}

#[tokio::test]
async fn a_template_may_be_one_name() {
    let gateway = Gateway::new(
        r#"
name = "bare"
poll.path = "/bare"
poll.cursor.name = "since"
poll.response.body = '"$changes"'
poll.response.item = '"$value"'
"#,
        100,
    );
    gateway.upsert("*", "a", r#"{"x":1.0}"#);
    gateway.upsert("*", "b", "[]");
    assert_eq!(gateway.get("/bare").await.body, r#"[{"x":1.0},[]]"#);
}
