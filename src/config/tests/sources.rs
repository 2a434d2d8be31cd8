//! Where values come from, and what becomes of one that cannot be read.

use std::path::PathBuf;

use insta::assert_snapshot;

use super::{Given, given};
use crate::config::{SourceFile, Sources, credentials::Credentials, load, load_to_serve};

#[test]
fn nothing_at_all_is_the_default() {
    let config = given("").config();
    assert_eq!(config.server.public.port(), 8080);
    assert_eq!(config.mqtt.effective_targets().len(), 1);
}

#[test]
fn a_named_file_that_is_missing_is_named() {
    let sources = Sources {
        file: SourceFile::Named(PathBuf::from("/nowhere/changeover.toml")),
        environment: Vec::new(),
        overrides: Vec::new(),
    };
    assert_snapshot!(load(&sources).unwrap_err(), @r#"/nowhere/changeover.toml: cannot be read: No such file or directory (os error 2)"#);
    assert_snapshot!(load_to_serve(&sources, |_, _| {}).unwrap_err(), @r#"/nowhere/changeover.toml: cannot be read: No such file or directory (os error 2)"#);
}

#[test]
fn the_default_file_may_be_missing_but_then_there_is_nothing_to_serve() {
    let sources = Sources {
        file: SourceFile::Default(PathBuf::from("/nowhere/changeover.toml")),
        environment: Vec::new(),
        overrides: Vec::new(),
    };
    load(&sources).unwrap();
    assert_snapshot!(load_to_serve(&sources, |_, _| {}).unwrap_err(), @r#"modules: none is configured; there is no /nowhere/changeover.toml: write one, or name another with --config"#);
}

#[test]
fn broken_toml_is_found_by_line_and_column() {
    assert_snapshot!(given("[server]\npublic = \n").problems(), @r#"changeover.toml:2:10: string values must be quoted, expected literal string"#);
    assert_snapshot!(given("[server]\ndrain_ms = 1\ndrain_ms = 2\n").problems(), @r#"changeover.toml:3:1: duplicate key"#);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_name() {
    let toml = r#"
        [server]
        pubilc = "127.0.0.1:9000"
        [databse]
        url = "sqlite://x.db"
        [[modules]]
        name = "a"
        [[modules]]
        name = "b"
        [modules.poll]
        path = "/b"
        cursor = { in = "query", nme = "since", kind = "positoin" }
        [limits]
        colour = 1
    "#;
    assert_snapshot!(given(toml).problems(), @r#"
    databse: unknown key `databse`, did you mean `database`? Known are `admission`, `auth`, `broker`, `broker_hooks`, `census`, `database`, `dynsec`, `endpoints`, `gates`, `guard`, `ingest`, `limits`, `log`, `mirror`, `modules`, `mqtt`, `native`, `ofrep`, `outbox`, `panic`, `poll`, `rate`, `retention`, `savings`, `sequencer`, `server`, `session`, `tail`, `verifier` (from changeover.toml)
    limits.colour: unknown key `colour`. Known are `audience_bytes`, `change_id_bytes`, `key_bytes`, `value_bytes`, `value_depth` (from changeover.toml)
    modules[1].poll.cursor.kind: unknown value `positoin`, did you mean `position`? Known are `etag`, `none`, `position`, `rfc3339`, `timestamp-ms`, `timestamp-s`, `token` (from changeover.toml)
    modules[1].poll.cursor.nme: unknown key `nme`, did you mean `name`? Known are `in`, `kind`, `name` (from changeover.toml)
    server.pubilc: unknown key `pubilc`, did you mean `public`? Known are `backlog`, `body_timeout_ms`, `compress_above_bytes`, `cors_origins`, `drain_ms`, `head_timeout_ms`, `hsts_s`, `idle_timeout_ms`, `instance`, `max_connections`, `max_connections_per_address`, `max_head_bytes`, `max_headers`, `max_url_bytes`, `private`, `private_hosts`, `private_tls`, `proxies`, `public`, `public_tls`, `public_url` (from changeover.toml)
    modules[1].poll.cursor.name: must not be empty (from changeover.toml)
    "#);
}

#[test]
fn wrong_types_are_all_listed_with_their_origin() {
    let toml = r#"
        modules = [5, { name = 7 }, { name = "fine", poll = "x" }]
        [server]
        public = "localhost"
        drain_ms = "soon"
        private_hosts = [1, 2]
        max_connections = -5
        [outbox]
        dedup_window = "a while"
        [[mqtt.targets]]
        protocol = 5
        [mirror]
        inflight = 70000
        [log]
        filter = 3
        format = "yaml"
    "#;
    let given = given(toml)
        .variable("CHANGEOVER__TAIL__TICK_MS", "often")
        .flag("ingest.queue", "many");
    assert_snapshot!(given.problems(), @r#"
    ingest.queue: must be a whole number, not below 0, not the text "many" (from --set ingest.queue)
    log.filter: must be text, not 3: put it in quotes (from changeover.toml)
    log.format: unknown value `yaml`. Known are `auto`, `json`, `text` (from changeover.toml)
    mirror.inflight: must be from 1 to 65535, not 70000 (from changeover.toml)
    modules[0]: must be a table, not 5 (from changeover.toml)
    modules[1].name: must be text, not 7: put it in quotes (from changeover.toml)
    modules[2].poll: must be a table, not text (from changeover.toml)
    mqtt.targets[0].protocol: must be text, not 5: put it in quotes (from changeover.toml)
    outbox.dedup_window: `a while` is not a span of time such as "90s", "1h" or "7d": expected number at 0 (from changeover.toml)
    server.drain_ms: must be a whole number, not below 0, not the text "soon" (from changeover.toml)
    server.max_connections: must be from 1 to 1000000, not -5 (from changeover.toml)
    server.private_hosts[0]: must be text, not 1: put it in quotes (from changeover.toml)
    server.public: must be an IP address and a port, such as 127.0.0.1:8080 (from changeover.toml)
    tail.tick_ms: must be a whole number, not below 0, not the text "often" (from environment variable CHANGEOVER__TAIL__TICK_MS)
    "#);
}

#[test]
fn later_sources_win() {
    let toml = "[tail]\ntick_ms = 1\nchanges = 1\npage = 1\n";
    let config = given(toml)
        .variable("CHANGEOVER__TAIL__CHANGES", "2")
        .variable("CHANGEOVER__TAIL__PAGE", "2")
        .flag("tail.page", "3")
        .config();
    let tail = &config.tail;
    assert_eq!((tail.tick_ms, tail.changes, tail.page), (1, 2, 3));
}

#[test]
fn other_variables_of_the_process_do_not_matter() {
    given("")
        .variable("CHANGEOVER_TEST_SKIP_SERVERS", "1")
        .variable("PATH", "/bin")
        .config();
}

#[test]
fn a_variable_reaches_into_a_list() {
    let toml = "[[mqtt.targets]]\nname = \"site\"\nurl = \"mqtt://broker\"\n";
    let config = given(toml)
        .variable(
            "CHANGEOVER__MQTT__TARGETS__0__URL",
            "mqtt://u:p@broker:1884",
        )
        .flag("mqtt.targets[0].protocol", "5")
        .config();
    let target = &config.mqtt.targets[0];
    assert_eq!(target.name, "site");
    let endpoint = target.endpoint();
    assert_eq!(endpoint.port, 1884);
    assert_eq!(endpoint.password.as_deref(), Some("p"));
}

#[test]
fn a_variable_of_digits_is_text_where_text_is_wanted() {
    let config = given("")
        .variable("CHANGEOVER__SERVER__INSTANCE", "007")
        .variable("CHANGEOVER__SERVER__PRIVATE_HOSTS", "[\"a\",\"b\"]")
        .config();
    assert_eq!(config.server.instance, "007");
    assert_eq!(config.server.private_hosts, ["a", "b"]);
}

#[test]
fn a_number_that_does_not_fit_is_told_the_bounds_of_its_key() {
    let toml = r#"
        session.keep_alive_s = 70_000
        database.connections = 99999999999999999999
        database.statement_timeout_ms = -5
        savings.sql_per_poll = 99999999999999999999
        [[modules]]
        name = "a"
        [modules.poll]
        path = "/a"
        cursor = { in = "query", name = "since", kind = "position" }
        limit = { max = 18446744073709551616 }
    "#;
    let given = given(toml)
        .variable("CHANGEOVER__MIRROR__INFLIGHT", "70000")
        .variable("CHANGEOVER__SERVER__INSTANCE", "99999999999999999999")
        .flag("tail.page", "99999999999999999999")
        .flag("tail.changes", "\"7\"");
    assert_snapshot!(given.problems(), @r#"
    database.connections: must be from 1 to 1000, not 99999999999999999999 (from changeover.toml)
    database.statement_timeout_ms: must be from 1 to 600000, not -5 (from changeover.toml)
    mirror.inflight: must be from 1 to 65535, not 70000 (from environment variable CHANGEOVER__MIRROR__INFLIGHT)
    modules[0].poll.limit.max: must be from 1 to 100000, not 18446744073709551616 (from changeover.toml)
    savings.sql_per_poll: must be from 0 to 1000000000000, not 99999999999999999999 (from changeover.toml)
    session.keep_alive_s: must be from 5 to 65535, not 70000 (from changeover.toml)
    tail.changes: must be a whole number, not below 0, not the text "7" (from --set tail.changes)
    tail.page: must be from 1 to 100000, not 99999999999999999999 (from --set tail.page)
    "#);
}

#[test]
fn a_table_stays_a_table_whatever_its_keys() {
    const NAMES: &str = r#"
        [[modules]]
        name = "0"
        [[modules]]
        name = "1"
        [[endpoints]]
        modules = ["0", "1"]
        module = { in = "query", name = "of" }
        names = { 0 = ["zero"], 1 = ["one"] }
        poll = { path = "/p", cursor = { in = "query", name = "c" } }
    "#;
    let names = |given: Given| format!("{:?}", given.config().endpoints[0].names);
    assert_snapshot!(names(given(NAMES)), @r#"{"0": ["zero"], "1": ["one"]}"#);
    let reached = given(NAMES)
        .variable("CHANGEOVER__ENDPOINTS__0__NAMES__1", "[\"uno\"]")
        .flag("endpoints[0].names.0", "[\"nil\"]");
    assert_snapshot!(names(reached), @r#"{"0": ["nil"], "1": ["uno"]}"#);
    let whole = given(&NAMES.replace("names =", "#"))
        .variable("CHANGEOVER__ENDPOINTS__0__NAMES", "{1=[\"uno\"]}");
    assert_snapshot!(names(whole), @r#"{"1": ["uno"]}"#);
    let wrong = given(NAMES).variable("CHANGEOVER__ENDPOINTS__0__NAMES__1", "{a=3}");
    assert_snapshot!(wrong.problems(), @"endpoints[0].names.1: must be a list, not a table (from environment variable CHANGEOVER__ENDPOINTS__0__NAMES__1)");
}

#[test]
fn a_hole_in_a_list_is_named() {
    let toml = "[[modules]]\nname = \"a\"\n";
    let given = given(toml).variable("CHANGEOVER__MODULES__2__NAME", "c");
    assert_snapshot!(given.problems(), @r#"modules: element 2 is set, but there is no element 1 before it"#);
}

#[test]
fn the_example_for_mosquitto_is_sound() {
    let text = include_str!("../../../examples/mosquitto.toml");
    let target = &given(text).config().mqtt.targets[0];
    assert_eq!(target.credentials, Some(Credentials::Dynsec));
    assert_eq!(
        target.password_env.as_deref(),
        Some("GATEWAY_MQTT_PASSWORD")
    );
}

#[test]
fn the_quickstart_is_sound_and_so_are_its_commented_lines() {
    let text = include_str!("../../../examples/quickstart.toml");
    assert_eq!(given(text).config().modules.len(), 2);
    let embedded = ["url = \"sqlite:", "url  = \"embedded:", "websocket ="];
    let switched = |line: &str| match line.strip_prefix("#url") {
        Some(rest) => format!("url{rest}"),
        None if embedded.iter().any(|start| line.starts_with(start)) => String::new(),
        None => line.to_owned(),
    };
    let other: Vec<_> = text.lines().map(switched).collect();
    let config = given(&other.join("\n")).config();
    assert!(config.database.url.starts_with("postgres:"));
    assert!(config.mqtt.targets[0].url.starts_with("mqtt:"));
}
