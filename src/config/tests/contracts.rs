//! Modules and the polls of their clients.

use insta::assert_snapshot;

use super::given;

#[test]
fn answers_of_polls() {
    let toml = r#"
        [[modules]]
        name = "m"
        [modules.poll]
        path = "/m/"
        cursor = { kind = "etag" }
        ops = { upsert = "U", delete = "U" }
        quirks = ["trailing-slash", "utf8-bom", "utf8-bom", "zero-limit-is-most", "jsonp-callback", "null-cursor-is-absent"]
        [modules.poll.response]
        empty = "{}"
        empty_status = 204
        content_type = "json"
        headers = { "Content-Type" = "text/plain", "a b" = "1", "X-Line" = "a\nb", "ETag" = "x" }
        error_headers = { Connection = "close" }
        errors = { malformed = 100, method = 204 }
        [[modules]]
        name = "n"
        [modules.poll]
        path = "/n"
        cursor = { name = "c" }
        quirks = ["utf-8-bom"]
        ops = { upsert = 1.5 }
        response = { errors = { malformd = 400 }, empty_status = 600 }
    "#;
    assert_snapshot!(given(toml).problems(), @r#"
    modules[1].poll.ops.upsert: must be a text, a whole number, true or false, not 1.5 (from changeover.toml)
    modules[1].poll.quirks[0]: unknown value `utf-8-bom`, did you mean `utf8-bom`? Known are `any-case-parameters`, `ascii-json`, `close-connection`, `jsonp-callback`, `last-parameter-counts`, `null-cursor-is-absent`, `trailing-slash`, `utf8-bom`, `zero-limit-is-most` (from changeover.toml)
    modules[1].poll.response.errors.malformd: unknown key `malformd`, did you mean `malformed`? Known are `failed`, `forbidden`, `malformed`, `method`, `no_body`, `retired`, `too_large`, `too_many`, `too_old`, `unauthorized`, `unavailable` (from changeover.toml)
    modules[0].poll.ops.delete: must differ from modules[0].poll.ops.upsert, or no client can tell them apart (from changeover.toml)
    modules[0].poll.response.errors.malformed: must be from 200 to 599, not 100 (from changeover.toml)
    modules[0].poll.response.errors.method: 204 allows no body, and the error is a body (from changeover.toml)
    modules[0].poll.response.empty_status: 204 allows no body: leave `empty` out, or choose another (from changeover.toml)
    modules[0].poll.response.content_type: `json` must be a media type such as "text/html; charset=utf-8" (from changeover.toml)
    modules[0].poll.response.headers.Content-Type: cannot be set here: set `content_type` instead (from changeover.toml)
    modules[0].poll.response.headers.ETag: cannot be set here: set `etag` instead (from changeover.toml)
    modules[0].poll.response.headers.X-Line: must be visible ASCII in one line (from changeover.toml)
    modules[0].poll.response.headers.a b: `a b` is no header name (from changeover.toml)
    modules[0].poll.response.error_headers.Connection: cannot be set here: see the quirk `close-connection` in modules[].poll.quirks (from changeover.toml)
    modules[0].poll.quirks[0]: has no effect: modules[0].poll.path ends with a slash (from changeover.toml)
    modules[0].poll.quirks[2]: `utf8-bom` is named twice (from changeover.toml)
    modules[0].poll.quirks[3]: has no effect: clients cannot choose, modules[0].poll.limit.in is not set (from changeover.toml)
    modules[0].poll.quirks[4]: a script cannot send the tag that is the cursor (from changeover.toml)
    modules[0].poll.quirks[5]: has no effect: this kind of cursor is never malformed (from changeover.toml)
    modules[1].poll.response.empty_status: must be from 200 to 599, not 600 (from changeover.toml)
    "#);
}

#[test]
fn modules_and_their_polls() {
    let toml = r#"
        [[modules]]
        name = "Big"
        poll = { path = "no/slash", methods = [], cursor = { name = "" } }
        [[modules]]
        name = "twice"
        state = false
        poll = { path = "/{a}/list", cursor = { kind = "none" }, methods = ["GET", "GET"] }
        [[modules]]
        name = "twice"
        poll = { path = "/{b}/list", cursor = { in = "path", name = "c" } }
        [[modules]]
        name = "fields"
        [modules.poll]
        path = "/f/{x}"
        cursor = { in = "header", name = "no header" }
        client = { in = "path", name = "y" }
        audience = { in = "query", name = "u", const = "*" }
        limit = { name = "n", default = 20, max = 10 }
        wait = { name = "w", default_ms = 20, max_ms = 10 }
        steer = { max_ms = 0, polls_per_s = 0 }
        floor_ms = 60001
        next_poll_ms = 0
        response = { error_status = 199 }
        [modules.sunset]
        at = "tomorrow"
        link = "/relative"
        next_poll_ms = 0
        [[modules]]
        name = "more"
        [modules.poll]
        path = "/v1/x"
        cursor = { in = "query", name = "c" }
        audience = { }
        limit = { in = "query" }
        wait = { in = "query", max_ms = 600001 }
        steer = { max_ms = 4999 }
        response = { error_status = 304 }
        [[modules]]
        name = "words"
        poll = { path = "/a", cursor = { name = "c" }, audience = { const = "" }, limit = { default = 0, max = 0 } }
    "#;
    assert_snapshot!(given(toml).problems(), @r#"
    modules[0].name: `Big` must be 1 to 32 characters of a-z, 0-9, `_` and `-`, and begin with a letter or digit (from changeover.toml)
    modules[0].poll.path: must begin with `/` (from changeover.toml)
    modules[0].poll.methods: name at least one of GET, POST and PUT (from changeover.toml)
    modules[0].poll.cursor.name: must not be empty (from changeover.toml)
    modules[1].poll.methods: GET is named twice (from changeover.toml)
    modules[1].poll.cursor.kind: `none` answers with the whole state, but modules[1].state is false (from changeover.toml)
    modules[2].name: `twice` is already the name of modules[1] (from changeover.toml)
    modules[2].poll.cursor.name: the path captures no `{c}` (from changeover.toml)
    modules[2].poll.path: GET /{b}/list is already answered by modules[1].poll (from changeover.toml)
    modules[3].sunset.at: `tomorrow` is no RFC 3339 time such as 2027-03-01T00:00:00Z (from changeover.toml)
    modules[3].sunset.link: must be an absolute http:// or https:// URL (from changeover.toml)
    modules[3].sunset.next_poll_ms: must be from 1 to 86400000, not 0 (from changeover.toml)
    modules[3].poll.cursor.name: `no header` is no header name (from changeover.toml)
    modules[3].poll.client.name: the path captures no `{y}` (from changeover.toml)
    modules[3].poll.audience: give either `in` and `name`, or `const`, or `claim`; leave the whole out for changes to everyone only (from changeover.toml)
    modules[3].poll.limit.in: is missing: query, header, path, cookie, form or json (from changeover.toml)
    modules[3].poll.limit.default: 20 must not be above modules[3].poll.limit.max (10) (from changeover.toml)
    modules[3].poll.wait.in: is missing: query, header, path, cookie, form or json (from changeover.toml)
    modules[3].poll.wait.default_ms: 20 must not be above modules[3].poll.wait.max_ms (10) (from changeover.toml)
    modules[3].poll.response.error_status: must be from 200 to 599, not 199 (from changeover.toml)
    modules[3].poll.next_poll_ms: must be from 1 to 86400000, not 0 (from changeover.toml)
    modules[3].poll.steer.max_ms: must be from 1 to 86400000, not 0 (from changeover.toml)
    modules[3].poll.steer.polls_per_s: must be from 1 to 10000000, not 0 (from changeover.toml)
    modules[3].poll.floor_ms: must be from 0 to 60000, not 60001 (from changeover.toml)
    modules[4].poll.path: /v1 belongs to changeover itself (from changeover.toml)
    modules[4].poll.audience: give either `in` and `name`, or `const`, or `claim`; leave the whole out for changes to everyone only (from changeover.toml)
    modules[4].poll.limit.name: must not be empty (from changeover.toml)
    modules[4].poll.wait.name: must not be empty (from changeover.toml)
    modules[4].poll.wait.max_ms: must be from 1 to 600000, not 600001 (from changeover.toml)
    modules[4].poll.response.error_status: 304 allows no body, and the error is a body (from changeover.toml)
    modules[4].poll.steer.max_ms: 4999 must not be below next_poll_ms (5000) (from changeover.toml)
    modules[5].poll.audience.const: must not be empty (from changeover.toml)
    modules[5].poll.limit.max: must be from 1 to 100000, not 0 (from changeover.toml)
    modules[5].poll.limit.default: must be from 1 to 100000, not 0 (from changeover.toml)
    "#);
}

#[test]
fn paths() {
    use crate::config::poll_path::parse;
    for fine in ["/", "/a/b", "/a/{b}/c.php", "/a/", "/{x}", "/%C3%A9"] {
        parse(fine).unwrap_or_else(|why| panic!("{fine}: {why}"));
    }
    for wrong in [
        "",
        "a",
        "/a?b",
        "/a b",
        "/é",
        "/{}",
        "/{1a}",
        "/{a",
        "/x{a}",
        "/{*a}",
        "/{a}/{a}",
        "/v1",
        "/healthz",
        "/ofrep/x",
        "/openapi.json",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn times_with_and_without_offset() {
    use crate::domain::parse_rfc3339 as rfc3339;
    let utc = rfc3339("2030-01-01T00:00:00Z").unwrap();
    assert_eq!(rfc3339("2030-01-01T02:30:00+02:30"), Some(utc));
    assert_eq!(rfc3339("2029-12-31T23:00:00-01:00"), Some(utc));
    for wrong in [
        "",
        "2030",
        "2030-01-01",
        "2030-01-01T00:00:00+2:00",
        "2030-01-01T00:00:00+24:00",
        "éééééé",
    ] {
        assert_eq!(rfc3339(wrong), None, "{wrong}");
    }
}
