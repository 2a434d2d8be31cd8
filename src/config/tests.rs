//! Every class of configuration error, as an operator sees it.

use std::path::PathBuf;

use insta::assert_snapshot;

use super::{Config, Problems, SourceFile, Sources, load, load_to_serve, span::Span};

/// A configuration of a file's text, environment variables and flags.
struct Given {
    _folder: tempfile::TempDir,
    sources: Sources,
}

fn given(toml: &str) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("changeover.toml");
    std::fs::write(&file, toml).unwrap();
    Given {
        _folder: folder,
        sources: Sources {
            file: SourceFile::Named(file),
            environment: Vec::new(),
            overrides: Vec::new(),
        },
    }
}

impl Given {
    fn variable(mut self, name: &str, value: &str) -> Self {
        let pair = (name.to_owned(), value.to_owned());
        self.sources.environment.push(pair);
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        let pair = (key.to_owned(), value.to_owned());
        self.sources.overrides.push(pair);
        self
    }

    fn load(&self) -> Result<Config, Problems> {
        load(&self.sources)
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The problems, without the name of the temporary folder.
    fn problems(&self) -> String {
        let problems = self.load().expect_err("there is something wrong");
        let folder = self.sources.file.path().parent().unwrap().display();
        problems.to_string().replace(&format!("{folder}/"), "")
    }
}

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
    databse: unknown key `databse`, did you mean `database`? Known are `admission`, `auth`, `broker`, `census`, `database`, `endpoints`, `gates`, `guard`, `ingest`, `limits`, `log`, `mirror`, `modules`, `mqtt`, `native`, `ofrep`, `outbox`, `panic`, `poll`, `retention`, `savings`, `sequencer`, `server`, `session`, `tail`, `verifier` (from changeover.toml)
    limits.colour: unknown key `colour`. Known are `audience_bytes`, `change_id_bytes`, `key_bytes`, `value_bytes` (from changeover.toml)
    modules[1].poll.cursor.kind: unknown value `positoin`, did you mean `position`? Known are `etag`, `none`, `position`, `rfc3339`, `timestamp-ms`, `timestamp-s`, `token` (from changeover.toml)
    modules[1].poll.cursor.nme: unknown key `nme`, did you mean `name`? Known are `in`, `kind`, `name` (from changeover.toml)
    server.pubilc: unknown key `pubilc`, did you mean `public`? Known are `compress_above_bytes`, `cors_origins`, `drain_ms`, `idle_timeout_ms`, `instance`, `max_connections`, `private`, `private_hosts`, `private_insecure`, `proxies`, `public`, `public_url` (from changeover.toml)
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
    modules[2].poll: must be a table, not the text "x" (from changeover.toml)
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
fn listeners_are_checked_against_each_other_and_for_who_may_reach_them() {
    let toml = r#"
        [server]
        public = "0.0.0.0:8080"
        private = "192.0.2.1:8080"
        private_hosts = ["good.example", "bad host"]
        instance = "a b"
        [[mqtt.targets]]
        url = "embedded://0.0.0.0:1883"
        websocket = "127.0.0.1:1883"
    "#;
    assert_snapshot!(given(toml).problems(), @r#"
    server.private: 192.0.2.1:8080 is not a loopback address, and nothing there asks who is calling: use 127.0.0.1, or set server.private_insecure = true (from changeover.toml)
    server.private_hosts[1]: must be a host name or address as it stands in a Host header, such as "gateway.internal" (from changeover.toml)
    server.instance: must be at most 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`: it becomes part of MQTT client ids (from changeover.toml)
    server.public: 0.0.0.0:8080 is not a loopback address, and every caller is believed who it says it is: use 127.0.0.1, or set auth.open_i_understand = true (from changeover.toml)
    server.private: 192.0.2.1:8080 is already taken by server.public: use another port (from changeover.toml)
    mqtt.targets[0].url: 0.0.0.0:1883 is not a loopback address, and every caller is believed who it says it is: use 127.0.0.1, or set auth.open_i_understand = true (from changeover.toml)
    mqtt.targets[0].websocket: 127.0.0.1:1883 is already taken by mqtt.targets[0].url: use another port (from changeover.toml)
    "#);
    let allowed = r#"
        auth.open_i_understand = true
        [server]
        public = "0.0.0.0:8080"
        private = "192.0.2.1:8081"
        private_insecure = true
    "#;
    given(allowed).config();
}

#[test]
fn the_default_broker_is_a_listener_too() {
    let toml = "server.public = \"127.0.0.1:1883\"";
    assert_snapshot!(given(toml).problems(), @r#"mqtt.targets[0].url: 127.0.0.1:1883 is already taken by server.public: use another port"#);
}

#[test]
fn sessions_have_bounds() {
    let toml = "session = { lifetime_ms = 0, resync_ms = 0, keep_alive_s = 0, body_bytes = 0 }";
    assert_snapshot!(given(toml).problems(), @r#"
    session.lifetime_ms: must be from 1000 to 86400000, not 0 (from changeover.toml)
    session.resync_ms: must be from 1000 to 86400000, not 0 (from changeover.toml)
    session.keep_alive_s: must be from 5 to 65535, not 0 (from changeover.toml)
    session.body_bytes: must be from 1024 to 16777216, not 0 (from changeover.toml)
    "#);
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
fn gates_have_bounds() {
    let toml = r#"
        [gates]
        facts_every_ms = 0
        stale_after = "2h"
        max_lag = "0s"
        verified_for = "2days"
        on_push_percent = 100.5
        fell_back_percent = -1
        no_polls_for = "2years"
    "#;
    assert_snapshot!(given(toml).problems(), @"
    gates.facts_every_ms: must be from 100 to 60000, not 0 (from changeover.toml)
    gates.stale_after: must be from 200ms to 1h, not 2h (from changeover.toml)
    gates.max_lag: must be from 1ms to 1d, not 0s (from changeover.toml)
    gates.no_polls_for: must be from 1s to 365d, not 2years (from changeover.toml)
    gates.on_push_percent: must be from 0 to 100, not 100.5 (from changeover.toml)
    gates.fell_back_percent: must be from 0 to 100, not -1 (from changeover.toml)
    gates.verified_within: must not be shorter than verified_for: what it asks for would be forgotten before it is there (from changeover.toml)
    census.keep: 30days must not be shorter than gates.no_polls_for (2years): the gate would take those who are forgotten for nobody
    ");
}

#[test]
fn the_census_keeps_for_as_long_as_gates_look_back() {
    let toml = |enabled: bool| {
        format!(
            "census = {{ enabled = {enabled}, keep = \"13d\" }}\ngates.clients_within = \"20d\""
        )
    };
    assert_snapshot!(given(&toml(true)).problems(), @"
    census.keep: 13days must not be shorter than gates.clients_within (20days): the gate would take those who are forgotten for nobody (from changeover.toml)
    census.keep: 13days must not be shorter than gates.no_polls_for (14days): the gate would take those who are forgotten for nobody (from changeover.toml)
    ");
    given(&toml(false)).config();
}

#[test]
fn facts_are_not_too_old_as_soon_as_they_are_written() {
    let toml = "gates = { facts_every_ms = 15000, stale_after = \"20s\" }";
    assert_snapshot!(given(toml).problems(), @"gates.stale_after: must be at least twice facts_every_ms, or facts would be too old as soon as one write is late (from changeover.toml)");
}

#[test]
fn flags_have_bounds() {
    let toml = "ofrep = { body_bytes = 0, cache_bytes = 17179869185, streams = 0, stream_ms = 0, keep_alive_ms = 0, reconnect_ms = 0, inactivity_s = 0, settle_ms = 60001 }";
    assert_snapshot!(given(toml).problems(), @r#"
    ofrep.body_bytes: must be from 1024 to 16777216, not 0 (from changeover.toml)
    ofrep.cache_bytes: must be from 0 to 17179869184, not 17179869185 (from changeover.toml)
    ofrep.streams: must be from 1 to 1000000, not 0 (from changeover.toml)
    ofrep.stream_ms: must be from 100 to 86400000, not 0 (from changeover.toml)
    ofrep.keep_alive_ms: must be from 10 to 3600000, not 0 (from changeover.toml)
    ofrep.reconnect_ms: must be from 10 to 3600000, not 0 (from changeover.toml)
    ofrep.inactivity_s: must be from 1 to 86400, not 0 (from changeover.toml)
    ofrep.settle_ms: must be from 0 to 60000, not 60001 (from changeover.toml)
    "#);
}

#[test]
fn numbers_have_bounds() {
    let toml = r#"
        [server]
        drain_ms = 0
        max_connections = 0
        idle_timeout_ms = 0
        [database]
        connections = 0
        acquire_timeout_ms = 0
        statement_timeout_ms = 99999999
        [limits]
        audience_bytes = 0
        key_bytes = 100000
        change_id_bytes = 0
        value_bytes = 0
        [ingest]
        queue = 0
        group = 0
        body_bytes = 0
        [outbox]
        unknown_module_after = "0s"
        dedup_window = "11years"
        [sequencer]
        lease_ms = 800
        renew_ms = 400
        batch = 0
        batch_bytes = 0
        busy_tick_ms = 30
        full_scan_ms = 0
        channel_cache = 0
        [tail]
        changes = 0
        bytes = 0
        tick_ms = 0
        page = 0
        [mirror]
        inflight = 0
        batch = 0
        cursor_ms = 0
        cursor_acks = 0
        backoff_min_ms = 500
        backoff_max_ms = 400
        settle_ms = 9999999
        refusal_tries = 0
        bookmark_ms = 0
        keep_alive_s = 0
        replay_on_reconnect = "2days"
        [verifier]
        late_ms = 0
        missing_after_ms = 99
        window = 0
        rate = 0
        [log]
        filter = "info,=x=y"
    "#;
    assert_snapshot!(given(toml).problems(), @r#"
    server.drain_ms: must be from 1 to 3600000, not 0 (from changeover.toml)
    server.max_connections: must be from 1 to 1000000, not 0 (from changeover.toml)
    server.idle_timeout_ms: must be from 100 to 3600000, not 0 (from changeover.toml)
    database.connections: must be from 1 to 1000, not 0 (from changeover.toml)
    database.acquire_timeout_ms: must be from 1 to 600000, not 0 (from changeover.toml)
    database.statement_timeout_ms: must be from 1 to 600000, not 99999999 (from changeover.toml)
    limits.audience_bytes: must be from 1 to 1024, not 0 (from changeover.toml)
    limits.key_bytes: must be from 1 to 2048, not 100000 (from changeover.toml)
    limits.change_id_bytes: must be from 1 to 1024, not 0 (from changeover.toml)
    limits.value_bytes: must be from 1 to 67108864, not 0 (from changeover.toml)
    ingest.queue: must be from 1 to 1000000, not 0 (from changeover.toml)
    ingest.group: must be from 1 to 100000, not 0 (from changeover.toml)
    ingest.body_bytes: must be from 1024 to 1073741824, not 0 (from changeover.toml)
    outbox.unknown_module_after: must be from 1s to 365d, not 0s (from changeover.toml)
    outbox.dedup_window: must be from 1s to 3650d, not 11years (from changeover.toml)
    sequencer.batch: must be from 1 to 100000, not 0 (from changeover.toml)
    sequencer.batch_bytes: must be from 1024 to 1073741824, not 0 (from changeover.toml)
    sequencer.full_scan_ms: must be from 10 to 600000, not 0 (from changeover.toml)
    sequencer.channel_cache: must be from 1 to 100000000, not 0 (from changeover.toml)
    sequencer.renew_ms: must be below half of sequencer.lease_ms (800), or one late renewal loses the lease; it is 400 (from changeover.toml)
    sequencer.busy_tick_ms: must not be above sequencer.idle_tick_ms (20) (from changeover.toml)
    tail.changes: must be from 1 to 100000000, not 0 (from changeover.toml)
    tail.bytes: must be from 1024 to 1099511627776, not 0 (from changeover.toml)
    tail.tick_ms: must be from 1 to 60000, not 0 (from changeover.toml)
    tail.page: must be from 1 to 100000, not 0 (from changeover.toml)
    mirror.inflight: must be from 1 to 65535, not 0 (from changeover.toml)
    mirror.batch: must be from 1 to 100000, not 0 (from changeover.toml)
    mirror.cursor_ms: must be from 1 to 60000, not 0 (from changeover.toml)
    mirror.cursor_acks: must be from 1 to 1000000, not 0 (from changeover.toml)
    mirror.settle_ms: must be from 0 to 600000, not 9999999 (from changeover.toml)
    mirror.refusal_tries: must be from 1 to 1000, not 0 (from changeover.toml)
    mirror.bookmark_ms: must be from 100 to 3600000, not 0 (from changeover.toml)
    mirror.keep_alive_s: must be from 5 to 65535, not 0 (from changeover.toml)
    mirror.replay_on_reconnect: must be from 0s to 1day, not 2days (from changeover.toml)
    mirror.backoff_min_ms: must not be above mirror.backoff_max_ms (400) (from changeover.toml)
    verifier.late_ms: must be from 1 to 3600000, not 0 (from changeover.toml)
    verifier.missing_after_ms: must be from 100 to 3600000, not 99 (from changeover.toml)
    verifier.window: must be from 1 to 10000000, not 0 (from changeover.toml)
    verifier.rate: must be from 1 to 1000000000, not 0 (from changeover.toml)
    log.filter: `info,=x=y` is no list of levels such as "info,changeover::poll=debug": invalid filter directive (from changeover.toml)
    "#);
}

#[test]
fn limits_that_only_mariadb_has() {
    let verdict = |url: &str| {
        let given = given("[limits]\naudience_bytes = 1000").flag("database.url", url);
        given.load().err().map(|problems| problems.to_string())
    };
    assert_eq!(verdict("postgres://h/db"), None);
    let problem = verdict("mysql://h/db").unwrap();
    assert!(
        problem.contains("limits.audience_bytes: must not be above 768 on MariaDB"),
        "{problem}"
    );
}

#[test]
fn database_urls() {
    let verdict = |url: &str| {
        let given = given("").flag("database.url", url);
        given
            .load()
            .err()
            .map_or("fine".to_owned(), |p| p.to_string())
    };
    for fine in [
        "sqlite:x.db",
        "sqlite:///var/x.db",
        "postgres://u:p@h/db",
        "postgresql://h:5/db",
        "mysql://u:p@h/db",
        "mariadb://u@localhost/db?socket=/run/mysqld/mysqld.sock",
    ] {
        assert_eq!(verdict(fine), "fine", "{fine}");
    }
    let wrong = [
        "",
        "x.db",
        "oracle://h/db",
        "mysql://u:geheim@h",
        "mariadb:///db",
        "sqlite://",
        "sqlite::memory:",
        "postgres://h",
        "postgres:///db",
        "postgres://u:ge/heim@h/db",
    ];
    let all: Vec<_> = wrong.iter().map(|url| verdict(url)).collect();
    let all = all.join("\n");
    assert!(!all.contains("heim"), "{all}");
    assert_snapshot!(all, @r#"
    database.url: is not a database URL: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: is not a database URL: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: `oracle://` is not supported: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: names no database after the host: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: names no host: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: names no file: write sqlite://path/to/file.db (from --set database.url)
    database.url: a database in memory forgets the log with the process: name a file (from --set database.url)
    database.url: names no database after the host: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: names no host: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: cannot be read (invalid port number): write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name, and percent-encode special characters in the password (from --set database.url)
    "#);
}

#[test]
fn targets_and_topics() {
    let toml = r#"
        [mqtt]
        topic_prefix = "a/+/b"
        client_id_prefix = "no spaces"
        targets = [
            { name = "Big", url = "mqtts://h" },
            { name = "two", url = "mqtt://u:geheim@h", websocket = "127.0.0.1:8083" },
            { name = "two", url = "embedded://localhost:1883", public_url = "mqtt://u:geheim@h" },
            { name = "", url = "embedded://u:geheim@127.0.0.1:1883", public_websocket_url = "mqtt://h" },
            { name = "five", url = "mqtt://h/path" },
            { name = "six", url = "amqp://h" },
            { name = "seven", url = "not a url" },
            { name = "eight", url = "mqtt://h:0" },
            { name = "nine", url = "mqtt://u:%ff@h" },
        ]
    "#;
    let problems = given(toml).problems();
    assert!(!problems.contains("geheim"), "{problems}");
    assert_snapshot!(problems, @r#"
    mqtt.topic_prefix: must not contain the wildcards `+` and `#` (from changeover.toml)
    mqtt.client_id_prefix: must be 1 to 32 characters of A-Z, a-z, 0-9, `_`, `-` and `@` (from changeover.toml)
    mqtt.targets[0].name: must be 1 to 32 characters of a-z, 0-9 and `-` (from changeover.toml)
    mqtt.targets[1].websocket: is for embedded:// targets: an external broker opens its own, say where with public_websocket_url (from changeover.toml)
    mqtt.targets[2].url: an embedded broker listens on an IP address, such as embedded://127.0.0.1:1883 (from changeover.toml)
    mqtt.targets[2].public_url: must not hold a user or password: every client is told this URL (from changeover.toml)
    mqtt.targets[2].name: `two` is already the name of mqtt.targets[1] (from changeover.toml)
    mqtt.targets[3].name: must be 1 to 32 characters of a-z, 0-9 and `-` (from changeover.toml)
    mqtt.targets[3].url: the embedded broker takes no user or password: remove them (from changeover.toml)
    mqtt.targets[3].public_websocket_url: must be a ws:// or wss:// URL (from changeover.toml)
    mqtt.targets[4].url: must end after the port (from changeover.toml)
    mqtt.targets[5].url: `amqp://` is not supported: use embedded://, mqtt://, mqtts://, ws:// or wss:// (from changeover.toml)
    mqtt.targets[6].url: cannot be read (relative URL without a base): write mqtt://host:1883, mqtts://host:8883, wss://host/path or embedded://127.0.0.1:1883, and percent-encode special characters in a password (from changeover.toml)
    mqtt.targets[7].url: port 0 cannot be reached (from changeover.toml)
    mqtt.targets[8].url: user and password must be UTF-8 once percent-decoded (from changeover.toml)
    "#);
}

#[test]
fn topic_prefixes() {
    for (prefix, word) in [
        ("", "64 bytes"),
        ("a#", "wildcards"),
        ("/a", "begin or end"),
        ("a/", "begin or end"),
        ("a//b", "begin or end"),
        ("$SYS", "`$`"),
        ("a\u{7}", "control"),
    ] {
        let config = Config {
            mqtt: super::mqtt::Mqtt {
                topic_prefix: prefix.to_owned(),
                ..Default::default()
            },
            ..Default::default()
        };
        let mut problems = Problems::new();
        config.validate(&mut problems);
        assert!(problems.to_string().contains(word), "{prefix}: {problems}");
    }
}

#[test]
fn user_and_password_of_a_target_are_percent_decoded() {
    let config = given("[[mqtt.targets]]\nurl = \"mqtt://us%40er:p%2Fw%3A@[::1]\"").config();
    let endpoint = config.mqtt.targets[0].endpoint();
    assert_eq!(endpoint.username.as_deref(), Some("us@er"));
    assert_eq!(endpoint.password.as_deref(), Some("p/w:"));
    assert_eq!((endpoint.host.as_str(), endpoint.port), ("::1", 1883));
}

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
    modules[1].poll.response.errors.malformd: unknown key `malformd`, did you mean `malformed`? Known are `failed`, `malformed`, `method`, `no_body`, `retired`, `too_large`, `too_old`, `unavailable` (from changeover.toml)
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
    modules[3].poll.audience: give either `in` and `name`, or `const`; leave the whole out for changes to everyone only (from changeover.toml)
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
    modules[4].poll.audience: give either `in` and `name`, or `const`; leave the whole out for changes to everyone only (from changeover.toml)
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
    use super::poll_path::parse;
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

#[test]
fn what_is_printed_loads_again_and_holds_no_secret() {
    let toml = r#"
        [database]
        url = "postgres://u:geheim@h/db?sslpassword=geheim&a=b"
        [[mqtt.targets]]
        name = "site"
        url = "mqtt://u:geheim@h:1883"
        [[modules]]
        name = "a"
        [modules.poll]
        path = "/a"
        cursor = { name = "since" }
        sunset.at = 1
    "#;
    let toml = toml.replace(
        "        sunset.at = 1\n",
        "        [modules.sunset]\n        at = 2030-01-01T00:00:00Z\n",
    );
    let config = given(&toml).config();
    let printed = config.to_toml();
    assert!(!printed.contains("geheim"), "{printed}");
    assert!(!format!("{config:?}").contains("geheim"), "{config:?}");
    assert!(!format!("{:?}", config.mqtt.targets[0].endpoint()).contains("geheim"));
    assert_eq!(given(&printed).config().to_toml(), printed);
}

#[test]
fn secrets_are_hidden_also_in_malformed_urls() {
    let hidden = super::redact::url;
    assert_eq!(hidden("mqtt://u:a@b@host:1"), "mqtt://u:***@host:1");
    assert_eq!(hidden("postgres://u:a/b?c@h/db"), "postgres://u:***@h/db");
    assert_eq!(
        hidden("postgres://h/db?password=x&y=z"),
        "postgres://h/db?password=***&y=z"
    );
    assert_eq!(hidden("sqlite://data/x.db"), "sqlite://data/x.db");
    let mut tree: toml::Value = toml::from_str("[a]\nclient_secret = \"x\"\nname = \"y\"").unwrap();
    super::redact::tree(&mut tree);
    assert_eq!(tree["a"]["client_secret"].as_str(), Some("***"));
    assert_eq!(tree["a"]["name"].as_str(), Some("y"));
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
fn the_quickstart_is_sound_and_so_are_its_commented_lines() {
    let text = include_str!("../../examples/quickstart.toml");
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

#[test]
fn what_a_log_keeps_is_checked() {
    let toml = r#"
        [retention]
        batch = 0
        force_after = "0s"
        [[modules]]
        name = "a"
        retention = { age = "1ms", changes = 0 }
        [[modules]]
        name = "b"
        last_value = true
        state = false
    "#;
    assert_snapshot!(given(toml).problems(), @r#"
    retention.force_after: must be from 1s to 3650d, not 0s (from changeover.toml)
    retention.batch: must be from 1 to 100000, not 0 (from changeover.toml)
    modules[0].retention.age: must be from 1s to 3650d, not 1ms (from changeover.toml)
    modules[0].retention.changes: must be from 1 to 1099511627776, not 0 (from changeover.toml)
    modules[1].last_value: the state tells which change of a key is the newest, but modules[1].state is false (from changeover.toml)
    "#);
}

#[test]
fn what_a_log_keeps_by_default() {
    let toml = r#"
        modules = [
            { name = "a" },
            { name = "b", last_value = true },
            { name = "c", retention = {} },
            { name = "d", retention = { changes = 5 } },
            { name = "e", retention = { age = "30d" } },
        ]
    "#;
    let config = given(toml).config();
    let days = |n: u64| Some(Span::from_secs(n * 24 * 3_600));
    let kept: Vec<_> = config
        .modules
        .iter()
        .map(|module| (module.kept().age, module.kept().changes))
        .collect();
    assert_eq!(
        kept,
        [
            (days(7), None),
            (None, None),
            (None, None),
            (None, Some(5)),
            (days(30), None)
        ]
    );
    assert_eq!(Some(config.dedup_window()), days(30).map(Span::get));
    let short = given("[outbox]\ndedup_window = \"1h\"").config();
    assert_eq!(short.dedup_window().as_secs(), 3_600);
    assert_eq!(
        Some(given("").config().dedup_window()),
        days(7).map(Span::get)
    );
}

#[test]
fn origins_are_as_browsers_send_them() {
    let toml = "[server]\ncors_origins = [\"https://app.example.com\", \"*\", \"http://localhost:3000\", \"https://a.example/\", \"a.example\", \"\"]\n[native]\npage_changes = 0\n";
    assert_snapshot!(given(toml).problems(), @r#"
    server.cors_origins[3]: must be an origin as browsers send it, such as "https://app.example.com" without a path, or "*" (from changeover.toml)
    server.cors_origins[4]: must be an origin as browsers send it, such as "https://app.example.com" without a path, or "*" (from changeover.toml)
    server.cors_origins[5]: must be an origin as browsers send it, such as "https://app.example.com" without a path, or "*" (from changeover.toml)
    native.page_changes: must be from 1 to 100000, not 0 (from changeover.toml)
    "#);
}

#[test]
fn a_guard_that_heals_too_early_is_refused() {
    let toml = "[guard]\nheal_after = \"5s\"\naway = \"0s\"\nreturn_over = \"2days\"\n";
    assert_snapshot!(given(toml).problems(), @r#"
    guard.away: must be from 1s to 1d, not 0s (from changeover.toml)
    guard.return_over: must be from 0s to 1d, not 2days (from changeover.toml)
    guard.heal_after: 5s is shorter than guard.fall_back_over (30s): clients would return before all have fallen back (from changeover.toml)
    guard.heal_after: 5s is shorter than guard.lag (30s): a mirror that is late would count as healthy before that is seen (from changeover.toml)
    "#);
}

#[test]
fn savings_have_bounds() {
    let toml = r#"
[savings]
flush = "10ms"
keep = "1h"
sql_per_poll = -1.0
head_bytes = 70000
receivers_per_message = inf
[savings.prices]
currency = ""
per_gb_out = nan
database_sizes = [{ name = "l", queries_per_s = 10, per_month = 1 }, { name = "", queries_per_s = 10, per_month = -1 }]
[[modules]]
name = "orders"
[modules.savings]
requests_per_s = -2
"#;
    assert_snapshot!(given(toml).problems(), @r#"
    savings.flush: must be from 1s to 1h, not 10ms (from changeover.toml)
    savings.keep: must be from 1day to 3660days, not 1h (from changeover.toml)
    savings.head_bytes: must be from 0 to 65536, not 70000 (from changeover.toml)
    savings.sql_per_poll: must be from 0 to 1000000000000, not -1 (from changeover.toml)
    savings.receivers_per_message: must be from 0 to 1000000000000, not inf (from changeover.toml)
    savings.prices.currency: must be named, in 1 to 8 characters, e.g. "USD" (from changeover.toml)
    savings.prices.per_gb_out: must be from 0 to 1000000000000, not NaN (from changeover.toml)
    savings.prices.database_sizes[1].name: must be a name, without control characters (from changeover.toml)
    savings.prices.database_sizes[1].per_month: must be from 0 to 1000000000000, not -1 (from changeover.toml)
    savings.prices.database_sizes: must be in the order of queries_per_s, the smallest first, each once (from changeover.toml)
    modules[0].savings.requests_per_s: must be from 0 to 1000000000000, not -2 (from changeover.toml)
    "#);
}
