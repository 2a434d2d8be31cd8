use insta::assert_snapshot;

use super::*;
use crate::config::testing::found;

const MODULES: &str = r#"
    [[modules]]
    name = "commission"
    [modules.poll]
    path = "/a/{x}"
    methods = ["GET", "POST"]
    cursor = { in = "query", name = "since" }
    [[modules]]
    name = "orders"
    state = false
"#;

fn problems(toml: &str) -> String {
    found(&format!("{MODULES}\n{toml}"), Config::validate).to_string()
}

#[test]
fn one_module_at_one_more_path_needs_nothing_else() {
    let toml = r#"
        [[endpoints]]
        modules = ["commission"]
        poll = { path = "/b", cursor = { in = "cookie", name = "since" } }
    "#;
    assert_eq!(problems(toml), "");
}

#[test]
fn modules_and_their_names_are_checked() {
    let toml = r#"
        [[endpoints]]
        poll = { path = "/b", cursor = { name = "since" } }
        [[endpoints]]
        modules = ["commission", "orders", "stock", "commission"]
        names = { commission = ["Commission", "orders"], stock = [], prices = ["", "p\n"] }
        poll = { path = "/c", cursor = { kind = "none" } }
    "#;
    assert_snapshot!(problems(toml), @r#"
    endpoints[0].modules: name the modules that it serves
    endpoints[1].poll.cursor.kind: `none` answers with the whole state, but the module `orders` has state = false
    endpoints[1].modules[2]: there is no module `stock`
    endpoints[1].modules[3]: `commission` is named twice
    endpoints[1].names.prices: `prices` is not in endpoints[1].modules
    endpoints[1].names.prices[0]: must have 1 to 256 bytes, none of them a control character
    endpoints[1].names.prices[1]: must have 1 to 256 bytes, none of them a control character
    endpoints[1].names.stock: name it, or leave the key out: then its own name counts
    endpoints[1].names.orders: `orders` already means `commission`
    endpoints[1].module: is missing: with several modules, say where a request names the one it asks for, or give `batch`
    "#);
}

#[test]
fn paths_are_checked_against_those_of_modules_and_of_endpoints() {
    let toml = r#"
        [[endpoints]]
        modules = ["commission"]
        poll = { path = "/a/{y}", methods = ["PUT", "POST"], cursor = { name = "since" } }
        [[endpoints]]
        modules = ["commission"]
        poll = { path = "/a/{z}", methods = ["PUT"], cursor = { name = "since" } }
        [[endpoints]]
        modules = ["commission"]
        poll = { path = "/v1/poll", methods = [], cursor = { name = "since" } }
    "#;
    assert_snapshot!(problems(toml), @r#"
    endpoints[0].poll.path: POST /a/{y} is already answered by modules[0].poll
    endpoints[1].poll.path: PUT /a/{z} is already answered by endpoints[0].poll
    endpoints[2].poll.path: /v1 belongs to changeover itself
    endpoints[2].poll.methods: name at least one of GET, POST and PUT
    "#);
}

#[test]
fn sources_are_checked_by_their_places() {
    let toml = r#"
        [[endpoints]]
        modules = ["commission", "orders"]
        module = { in = "path", name = "m" }
        [endpoints.poll]
        path = "/b"
        cursor = { in = "json", name = "since" }
        audience = { claim = "sub" }
        client = { in = "cookie", name = "a=b" }
        limit = { in = "form" }
        [[endpoints]]
        modules = ["commission"]
        module = { in = "json", name = "/~" }
        poll = { path = "/c", cursor = { in = "form", name = "a\tb" } }
    "#;
    assert_snapshot!(problems(toml), @r#"
    endpoints[0].poll.cursor.name: must begin with `/`, as in /data/since (a JSON pointer, RFC 6901)
    endpoints[0].poll.client.name: `a=b` is no cookie name
    endpoints[0].poll.audience.claim: needs callers that are recognized, and module commission takes open ones: configure auth.callers, and name in its `callers` those that are not open
    endpoints[0].poll.limit.name: must not be empty
    endpoints[0].module.name: the path captures no `{m}`
    endpoints[1].poll.cursor.name: must not contain control characters
    endpoints[1].module.name: must write `~` as `~0` and a `/` inside of a name as `~1` (a JSON pointer, RFC 6901)
    "#);
}

#[test]
fn batches_are_checked() {
    let toml = r#"
        [[endpoints]]
        modules = ["commission", "orders"]
        module = { name = "m" }
        batch = {}
        poll = { path = "/b" }
        [[endpoints]]
        modules = ["commission", "orders"]
        [endpoints.batch]
        cursors = { in = "form", name = "x", cursor = "y" }
        max_modules = 0
        [endpoints.poll]
        path = "/c"
        cursor = { name = "since" }
    "#;
    assert_snapshot!(problems(toml), @r#"
    endpoints[0].module: must not stand beside `batch`, where the modules are named with their cursors
    endpoints[1].poll.cursor.name: a batch has its cursors at endpoints[1].batch.cursors: give only `kind` here
    endpoints[1].batch.max_modules: must be from 1 to 1000, not 0
    endpoints[1].batch.cursors.in: must be json: a batch stands in a JSON body
    endpoints[1].batch.cursors.module: is missing: in a list, an element names its module too
    endpoints[1].batch.cursors.name: must begin with `/`, as in /data/since (a JSON pointer, RFC 6901)
    endpoints[1].batch.cursors.cursor: must begin with `/`, as in /data/since (a JSON pointer, RFC 6901)
    "#);
}
