use crate::{config::Config, poll::problems};

const MODULES: &str = r#"
[[modules]]
name = "a"
poll = { path = "/a/{x}", cursor = { name = "since" } }
[[modules]]
name = "b"
state = false
"#;

/// Key and reason of each problem of one endpoint more.
fn found(endpoint: &str) -> Vec<(String, String)> {
    let config: Config = toml::from_str(&format!("{MODULES}[[endpoints]]\n{endpoint}")).unwrap();
    problems(&config)
}

fn keys(endpoint: &str) -> Vec<String> {
    found(endpoint).into_iter().map(|(key, _)| key).collect()
}

const BATCH: &str = r#"
modules = ["a", "b"]
poll.path = "/batch"
poll.methods = ["POST"]
batch.cursors.name = "/cursors"
"#;

const SHARED: &str = r#"
modules = ["a", "b"]
module = { in = "json", name = "/module" }
poll.path = "/shared"
poll.methods = ["POST"]
"#;

#[test]
fn what_is_right_compiles() {
    assert!(found(BATCH).is_empty());
    let one = "modules = [\"b\"]\npoll = { path = \"/b\", cursor = { name = \"since\" } }";
    assert!(found(one).is_empty());
    let shared = format!("{SHARED}poll.cursor = {{ in = \"cookie\", name = \"since\" }}");
    assert!(found(&shared).is_empty());
}

#[test]
fn one_body_is_a_form_or_json() {
    let cursor = "poll.cursor = { in = \"form\", name = \"since\" }";
    let found = found(&format!("{SHARED}{cursor}"));
    let why = "takes values from `form` and from `json`, and one body cannot be both";
    assert_eq!(found, [("endpoints[0].poll".to_owned(), why.to_owned())]);
    let audience = "poll.audience = { in = \"form\", name = \"uid\" }";
    assert_eq!(keys(&format!("{BATCH}{audience}")), ["endpoints[0].poll"]);
}

#[test]
fn what_a_batch_would_ignore_is_refused() {
    for (extra, key) in [
        ("poll.cursor.kind = \"etag\"", "poll.cursor.kind"),
        ("poll.wait.default_ms = 5", "poll.wait"),
        ("poll.floor_ms = 5", "poll.floor_ms"),
        ("poll.response.empty = \"\"", "poll.response.empty"),
        ("poll.response.empty_status = 204", "poll.response.empty"),
    ] {
        let key = format!("endpoints[0].{key}");
        assert_eq!(keys(&format!("{BATCH}{extra}")), [key], "{extra}");
    }
    // Its time, sent back as a cursor, would pass over what the other modules have not shown.
    let time = "batch.body = '[\"$modules\",\"$server_time_ms\"]'\n";
    assert!(found(&format!("{BATCH}{time}")).is_empty());
    let kind = "poll.cursor.kind = \"timestamp-ms\"";
    let keys = keys(&format!("{BATCH}{time}{kind}"));
    assert_eq!(keys, ["endpoints[0].batch.body"]);
}

#[test]
fn values_of_a_body_need_a_method_that_has_one() {
    for endpoint in [SHARED, BATCH] {
        let endpoint = endpoint.replace("\"POST\"", "\"GET\"");
        let endpoint = endpoint.replace("poll.path", "poll.cursor.kind = \"none\"\npoll.path");
        let endpoint = endpoint.replace("[\"a\", \"b\"]", "[\"a\"]");
        assert_eq!(keys(&endpoint), ["endpoints[0].poll.methods"]);
    }
}

#[test]
fn every_problem_is_reported_with_its_key() {
    for (lines, key) in [
        ("batch.body = '{}'", "batch.body"),
        ("batch.body = '[\"$modules\",\"$cursor\"]'", "batch.body"),
        ("batch.error = '{'", "batch.error"),
        ("batch.cursors.in = \"form\"", "batch.cursors.in"),
        ("batch.cursors.module = \"x\"", "batch.cursors.module"),
        ("poll.response.item = '\"$nope\"'", "poll.response.item"),
        ("poll.cursor.kind = \"none\"", "poll.cursor.kind"),
    ] {
        let key = format!("endpoints[0].{key}");
        assert_eq!(keys(&format!("{BATCH}{lines}")), [key], "{lines}");
    }
    let unknown = BATCH.replace("\"b\"", "\"c\"");
    assert_eq!(keys(&unknown), ["endpoints[0].modules[1]"]);
    let both = format!("{BATCH}module.name = \"m\"");
    assert_eq!(keys(&both), ["endpoints[0].module"]);
}

#[test]
fn a_path_that_cannot_stand_beside_a_modules_own_is_refused() {
    let endpoint = "modules = [\"b\"]\npoll = { path = \"/a/{y}\", methods = [\"PUT\"], cursor = { name = \"since\" } }";
    let why = "`/a/{y}` conflicts with `/a/{x}` of modules[0].poll";
    assert_eq!(
        found(endpoint),
        [("endpoints[0].poll.path".to_owned(), why.to_owned())]
    );
}
