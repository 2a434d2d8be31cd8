//! What numbers and spans of time may be.

use insta::assert_snapshot;

use super::given;
use crate::config::span::Span;

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
fn gates_do_not_pass_on_a_gap_of_the_census() {
    let toml = |enabled: bool| format!("census = {{ enabled = {enabled}, gap = \"4d\" }}");
    assert_snapshot!(given(&toml(true)).problems(), @"census.gap: 4days must not be longer than a quarter of gates.no_polls_for (3days 12h): the gate would pass on a time in which nobody looked (from changeover.toml)");
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
