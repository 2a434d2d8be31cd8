use super::*;
use crate::poll::failure::Failure;

fn compile(toml: &str) -> Result<Option<Contract>, Vec<Problem>> {
    let module: Module = toml::from_str(toml).unwrap();
    Contract::compile(&module, &Limits::default())
}

/// Keys of the problems of a module with these lines more.
fn problems(lines: &str) -> Vec<&'static str> {
    let toml = format!("name = \"m\"\npoll.path = \"/p\"\npoll.cursor.name = \"c\"\n{lines}");
    let problems = compile(&toml).expect_err("a problem must be found");
    problems.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn a_module_without_an_endpoint_has_no_contract() {
    assert!(compile("name = \"m\"").unwrap().is_none());
}

#[test]
fn the_defaults_compile() {
    let contract = compile("name = \"m\"\npoll.path = \"/p\"\npoll.cursor.name = \"c\"");
    assert_eq!(contract.unwrap().unwrap().path(), "/p");
}

#[test]
fn every_problem_is_reported_with_its_key() {
    for (lines, key) in [
        ("poll.methods = []", "poll.methods"),
        ("poll.cursor.in = \"path\"", "poll.cursor.name"),
        (
            "poll.client = { in = \"header\", name = \"a b\" }",
            "poll.client.name",
        ),
        ("poll.audience = { in = \"query\" }", "poll.audience.name"),
        ("poll.audience = { const = \"\" }", "poll.audience.const"),
        (
            "poll.audience = { const = \"a\", in = \"query\", name = \"b\" }",
            "poll.audience.const",
        ),
        ("poll.limit = { in = \"query\" }", "poll.limit.name"),
        ("poll.limit.default = 0", "poll.limit.default"),
        ("poll.limit.default = 1001", "poll.limit.default"),
        ("poll.wait = { in = \"query\" }", "poll.wait.name"),
        (
            "poll.wait = { default_ms = 2, max_ms = 1 }",
            "poll.wait.default_ms",
        ),
        ("poll.response.body = '{'", "poll.response.body"),
        ("poll.response.item = '\"$nope\"'", "poll.response.item"),
        ("poll.response.error = '{\"...\":1}'", "poll.response.error"),
        (
            "poll.response.error_status = 99",
            "poll.response.error_status",
        ),
        (
            "poll.response.error_status = 204",
            "poll.response.error_status",
        ),
        ("poll.response.empty = '{'", "poll.response.empty"),
        ("poll.response.errors.method = 304", "poll.response.errors"),
        (
            "poll.response.etag = true\npoll.response.body = '[\"$server_time_ms\"]'",
            "poll.response.etag",
        ),
        (
            "poll.response.etag = true\npoll.cursor.kind = \"etag\"",
            "poll.response.etag",
        ),
        ("sunset.at = \"tomorrow\"", "sunset.at"),
        ("sunset.link = \"not a url\"", "sunset.link"),
        ("sunset.link = \"javascript:alert(1)\"", "sunset.link"),
    ] {
        assert_eq!(problems(lines), [key], "{lines}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let found = problems("poll.response.body = ''\npoll.response.item = ''\nsunset.at = ''");
    assert_eq!(
        found,
        ["sunset.at", "poll.response.body", "poll.response.item"]
    );
}

#[test]
fn a_poll_for_the_state_needs_one_and_may_not_ask_for_what_it_lacks() {
    assert_eq!(
        problems("state = false\npoll.cursor.kind = \"none\""),
        ["poll.cursor.kind"]
    );
    let found = problems("poll.cursor.kind = \"none\"\npoll.response.item = '[\"$change_id\"]'");
    assert_eq!(found, ["poll.response.item"]);
}

#[test]
fn paths_hold_segments_and_captures() {
    for good in ["/", "/a", "/a/", "/{x}", "/a/{x_1}/b:c", "/:a", "//"] {
        assert!(captured_names(good).is_ok(), "{good}");
    }
    for bad in [
        "", "a", "/{}", "/{a", "/a{b}", "/{a}b", "/{*a}", "/*", "/a?b", "/a#b", "/a b", "/é",
        "/{a}/{a}", "/{{a}}",
    ] {
        assert!(captured_names(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_envelope_holds_the_real_status() {
    let contract = compile(
        "name = \"m\"\npoll.path = \"/p\"\npoll.cursor.name = \"c\"\npoll.response.error_status = 200",
    );
    let (status, body) = contract
        .unwrap()
        .unwrap()
        .wording
        .refuse(&Failure::Retired, None);
    assert_eq!(status, 200);
    let expected = br#"{"code":410,"message":"this endpoint has been retired"}"#;
    assert_eq!(body, expected);
}
