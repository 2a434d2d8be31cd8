//! Legacy polls whose answer memory does not have: older than the tail, older than the log, of
//! another epoch, ahead of a replica that lags. And what idle polls cost the database: nothing.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        eventually,
        gateway::{Program, Setup},
        mosquitto::Mosquitto,
    },
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The same contract three times, once for each kind of cursor.
const MODULES: &str = r#"
[[modules]]
name = "orders"
[modules.poll]
path     = "/orders"
cursor   = { in = "query", name = "since", kind = "position" }
audience = { in = "query", name = "uid" }
limit    = { in = "query", name = "size", default = 100, max = 1000 }
[modules.poll.response]
body  = '{"list":"$changes","cursor":"$cursor","more":"$has_more","snapshot":"$snapshot","head":"$head"}'
item  = '{"key":"$key","op":"$op","position":"$position","audience":"$audience","value":"$value"}'

[[modules]]
name = "tokens"
[modules.poll]
path     = "/tokens"
cursor   = { in = "query", name = "since", kind = "token" }
audience = { in = "query", name = "uid" }
limit    = { in = "query", name = "size", default = 100, max = 1000 }
[modules.poll.response]
body  = '{"list":"$changes","cursor":"$cursor","more":"$has_more","snapshot":"$snapshot","head":"$head"}'
item  = '{"key":"$key","op":"$op","position":"$position","audience":"$audience","value":"$value"}'

[[modules]]
name = "board"
[modules.poll]
path     = "/board"
cursor   = { kind = "none" }
audience = { in = "query", name = "uid" }
[modules.poll.response]
body  = '{"list":"$changes","cursor":"$cursor","more":"$has_more","snapshot":"$snapshot","head":"$head"}'
item  = '{"key":"$key","op":"$op","position":"$position","audience":"$audience","value":"$value"}'
"#;

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Item {
    key: String,
    op: String,
    position: u64,
    audience: String,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Page {
    list: Vec<Item>,
    cursor: Value,
    more: bool,
    snapshot: bool,
    head: u64,
}

impl Page {
    fn positions(&self) -> Vec<u64> {
        self.list.iter().map(|item| item.position).collect()
    }
}

on_each_database!(
    older_than_the_tail_comes_from_the_database,
    too_old_gets_the_state_in_position_order,
    no_cursor_gets_the_whole_state,
    a_cursor_of_another_epoch_gets_the_state,
    a_replica_that_lags_is_refreshed_and_not_reset,
    a_replica_without_the_lease_answers_the_same,
    idle_polls_cost_no_sql,
    a_replica_that_retention_has_passed_recovers,
);

/// A database with its gateways and the broker that they feed.
struct Site {
    database: DatabaseUnderTest,
    broker: Mosquitto,
}

impl Site {
    fn new(database: DatabaseUnderTest) -> Self {
        let broker = Mosquitto::start();
        Self { database, broker }
    }

    /// A gateway whose tail keeps `tail` changes.
    fn setup(&self, name: &str, tail: u64) -> Setup {
        Setup::new(&self.database, name)
            .modules(MODULES)
            .target(&self.broker.url())
            .unmoved()
            .set("tail.changes", tail)
    }

    async fn gateway(&self, name: &str, tail: u64) -> Program {
        Program::start(&self.setup(name, tail)).await
    }

    /// A replica that never reads the log unless a request makes it.
    async fn laggard(&self) -> Program {
        let setup = self.setup("gw-2", 1_000);
        let setup = setup
            .set("tail.tick_ms", 60_000)
            .set("tail.full_ms", 60_000);
        Program::start(&setup).await
    }

    /// What retention does: the promise first, then the rows.
    async fn prune(&self, module: &str, retained_from: u64) {
        let head = format!(
            "UPDATE module_head SET retained_from = {retained_from} WHERE module = '{module}'"
        );
        self.database.execute(&head).await;
        let rows = format!(
            "DELETE FROM change_log WHERE module = '{module}' AND position < {retained_from}"
        );
        self.database.execute(&rows).await;
    }

    /// The number that a query gives.
    async fn number(&self, what: &str) -> u64 {
        let sql = format!("SELECT CAST({what} AS TEXT)");
        self.database.text(&sql).await.unwrap().parse().unwrap()
    }
}

/// Stores changes numbered `numbers`, over a few keys and the audiences `*`, `u1`, `u2`; each fifth is a
/// delete. Waits until this gateway has them in its tail.
async fn ingest(gateway: &Program, module: &str, numbers: std::ops::Range<u64>) {
    let end = numbers.end;
    let changes: Vec<_> = numbers.map(change).collect();
    let path = format!("/v1/modules/{module}/changes");
    let answer = gateway.client.post(&path, &json!(changes)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    // Of another client, so that nothing is remembered for those of the tests.
    let look = format!("{module}?uid=nobody");
    eventually("the changes are in the tail", PATIENCE, async || {
        (poll(gateway, &look).await.head % 1_000_000 >= end - 1).then_some(())
    })
    .await;
}

fn change(number: u64) -> Value {
    let audience = ["*", "u1", "u2"][usize::try_from(number % 3).unwrap()];
    // The key's channel never changes.
    let key = format!("k{}-{audience}", number / 3 % 4);
    if number.is_multiple_of(5) {
        json!({"key": key, "audience": audience, "op": "delete"})
    } else {
        json!({"key": key, "audience": audience, "value": {"number": number}})
    }
}

/// What a terminal of `u1` should get of these, as the first ones of a log.
fn expected(numbers: std::ops::Range<u64>) -> Vec<Item> {
    let item = |number: u64| {
        let change = change(number);
        let text = |name: &str| change[name].as_str().map(str::to_owned);
        Item {
            key: text("key").unwrap(),
            op: text("op").unwrap_or_else(|| "upsert".to_owned()),
            position: number,
            audience: text("audience").unwrap(),
            value: change["value"].clone(),
        }
    };
    let items = numbers.map(item);
    items.filter(|item| item.audience != "u2").collect()
}

/// The last change of each key, by position.
fn state(log: &[Item]) -> Vec<Item> {
    let mut keys = BTreeMap::new();
    for item in log {
        keys.insert(item.key.clone(), item.clone());
    }
    let mut items: Vec<_> = keys.into_values().collect();
    items.sort_by_key(|item| item.position);
    items
}

async fn poll(gateway: &Program, query: &str) -> Page {
    let client = &gateway.client;
    let request = client.http.get(format!("{}/{query}", client.public));
    let answer = client.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_value(answer.json()).unwrap()
}

/// All pages from a cursor on. No cursor may go back.
async fn pages(gateway: &Program, size: u64, mut since: u64) -> Vec<Page> {
    let mut pages = Vec::new();
    loop {
        let page = poll(gateway, &format!("orders?uid=u1&size={size}&since={since}")).await;
        let cursor = page.cursor.as_u64().unwrap();
        assert!(cursor > since || !page.more, "no farther than {since}");
        assert!(cursor >= since, "{cursor} after {since}");
        since = cursor;
        let more = page.more;
        pages.push(page);
        if !more {
            return pages;
        }
    }
}

fn items(pages: &[Page]) -> Vec<Item> {
    pages.iter().flat_map(|page| page.list.clone()).collect()
}

/// The value of a counter of the gateway, per label.
async fn counters(gateway: &Program, name: &str, label: &str) -> BTreeMap<String, u64> {
    let text = gateway.client.get("/metrics").await.text;
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with(name)) {
        let (_, rest) = line.split_once(&format!("{label}=\"")).unwrap();
        let (value, _) = rest.split_once('"').unwrap();
        let (_, count) = line.rsplit_once(' ').unwrap();
        *found.entry(value.to_owned()).or_default() += count.parse::<u64>().unwrap();
    }
    found
}

async fn queries(gateway: &Program) -> BTreeMap<String, u64> {
    counters(gateway, "changeover_database_queries_total", "purpose").await
}

/// SQL that polls caused, by purpose, since `before`.
fn caused(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let of_polls = ["poll", "state", "catchup", "snapshot"];
    of_polls
        .iter()
        .filter_map(|purpose| {
            let at = |counts: &BTreeMap<String, u64>| counts.get(*purpose).copied().unwrap_or(0);
            let grown = at(after) - at(before);
            (grown > 0).then(|| ((*purpose).to_owned(), grown))
        })
        .collect()
}

async fn older_than_the_tail_comes_from_the_database(database: DatabaseUnderTest) {
    let site = Site::new(database);
    let gateway = site.gateway("gw-1", 5).await;
    ingest(&gateway, "orders", 1..41).await;
    let before = queries(&gateway).await;
    let recent = poll(&gateway, "orders?uid=u1&since=37").await;
    assert_eq!(recent.positions(), [39, 40]);
    assert_eq!(caused(&before, &queries(&gateway).await), []);

    let found = pages(&gateway, 7, 0).await;
    assert_eq!(items(&found), expected(1..41));
    assert!(found.iter().all(|page| !page.snapshot));
    assert_eq!(found.last().unwrap().cursor, 40);
    assert_ne!(caused(&before, &queries(&gateway).await), []);
    let polls = counters(&gateway, "changeover_polls_total", "answer").await;
    assert!(polls["database"] >= 3, "{polls:?}");
}

async fn too_old_gets_the_state_in_position_order(database: DatabaseUnderTest) {
    let site = Site::new(database);
    let gateway = site.gateway("gw-1", 5).await;
    ingest(&gateway, "orders", 1..41).await;
    site.prune("orders", 31).await;

    // The last one that is not too old, and the first one that is.
    let kept = poll(&gateway, "orders?uid=u1&since=30").await;
    assert!(!kept.snapshot);
    assert_eq!(kept.list, expected(31..41));
    let all = state(&expected(1..41));
    let after_29: Vec<_> = all
        .iter()
        .filter(|item| item.position > 29)
        .cloned()
        .collect();
    let old = poll(&gateway, "orders?uid=u1&since=29").await;
    assert!(old.snapshot, "{old:?}");
    assert_eq!(old.list, after_29);
    assert_eq!(old.cursor, 40);

    // From the beginning, by pages: first the state, then, as soon as the cursor is young enough, the log.
    assert!(
        all.iter().any(|item| item.op == "delete"),
        "a tombstone to see"
    );
    let found = pages(&gateway, 3, 0).await;
    assert!(found[0].snapshot && found[0].more, "{:?}", found[0]);
    assert_eq!(found[0].list, all[..3]);
    assert_eq!(found[0].cursor, all[2].position);
    let positions: Vec<_> = found.iter().flat_map(Page::positions).collect();
    assert!(
        positions.is_sorted_by(|one, next| one < next),
        "{positions:?}"
    );
    // A client that applies all that ends with the state.
    assert_eq!(state(&items(&found)), all);
}

async fn no_cursor_gets_the_whole_state(database: DatabaseUnderTest) {
    let site = Site::new(database);
    let gateway = site.gateway("gw-1", 5).await;
    ingest(&gateway, "board", 1..41).await;
    let upserts = |log: Vec<Item>| {
        let mut items = state(&log);
        items.retain(|item| item.op == "upsert");
        items
    };
    let whole = poll(&gateway, "board?uid=u1").await;
    assert_eq!(whole.list, upserts(expected(1..41)));
    let before = queries(&gateway).await;
    assert_eq!(poll(&gateway, "board?uid=u1").await, whole);
    // A delete is among the next ones, at 45.
    ingest(&gateway, "board", 41..46).await;
    let next = upserts(expected(1..46));
    eventually("the new state", PATIENCE, async || {
        (poll(&gateway, "board?uid=u1").await.list == next).then_some(())
    })
    .await;
    assert_eq!(caused(&before, &queries(&gateway).await), []);
    // More than the tail holds, between two polls.
    ingest(&gateway, "board", 46..70).await;
    let next = upserts(expected(1..70));
    eventually("the newest state", PATIENCE, async || {
        (poll(&gateway, "board?uid=u1").await.list == next).then_some(())
    })
    .await;
}

async fn a_cursor_of_another_epoch_gets_the_state(database: DatabaseUnderTest) {
    let site = Site::new(database);
    let gateway = site.gateway("gw-1", 100).await;
    ingest(&gateway, "tokens", 1..11).await;
    let first = poll(&gateway, "tokens?uid=u1").await;
    assert_eq!(first.cursor, "00000001_000000000000000a");
    let log = expected(1..11);
    assert_eq!(first.list, log);

    // What a bump of the epoch does.
    let bump = "UPDATE module_head SET epoch = 2, head = 1000000, retained_from = 1000001 \
                WHERE module = 'tokens'";
    site.database.execute(bump).await;
    let again = eventually("the new epoch", PATIENCE, async || {
        let page = poll(&gateway, "tokens?uid=u1&since=00000001_000000000000000a").await;
        page.snapshot.then_some(page)
    })
    .await;
    assert_eq!(again.cursor, "00000002_00000000000f4240");
    assert_eq!(again.list, state(&log));
    ingest(&gateway, "tokens", 1..4).await;
    let since = "tokens?uid=u1&since=00000002_00000000000f4240";
    let next = eventually("the changes of the new epoch", PATIENCE, async || {
        let page = poll(&gateway, since).await;
        (page.list.len() == 2).then_some(page)
    })
    .await;
    assert!(!next.snapshot);
    assert_eq!(next.positions(), [1_000_001, 1_000_003]);
    assert_eq!(next.cursor, "00000002_00000000000f4243");
}

async fn a_replica_that_lags_is_refreshed_and_not_reset(database: DatabaseUnderTest) {
    let site = Site::new(database);
    let holder = site.gateway("gw-1", 1_000).await;
    ingest(&holder, "orders", 1..11).await;
    let laggard = site.laggard().await;
    ingest(&holder, "orders", 11..21).await;
    assert_eq!(poll(&holder, "orders?uid=u1&since=10").await.cursor, 20);
    // It knows nothing yet of what the other has answered.
    let behind = poll(&laggard, "orders?uid=u1&since=10").await;
    assert_eq!((&behind.cursor, behind.head), (&json!(10), 10));

    let ahead = poll(&laggard, "orders?uid=u1&since=20").await;
    assert_eq!(ahead.list, []);
    assert!(!ahead.snapshot);
    assert_eq!((&ahead.cursor, ahead.head), (&json!(20), 20));
    let missed = poll(&laggard, "orders?uid=u1&since=10").await;
    assert_eq!(missed.list, expected(11..21));

    // Above what the database has: a cursor of somewhere else.
    for gateway in [&holder, &laggard] {
        let foreign = poll(gateway, "orders?uid=u1&since=999").await;
        assert!(foreign.snapshot);
        assert_eq!(foreign.list, state(&expected(1..21)));
        assert_eq!(foreign.cursor, 20);
    }
}

async fn a_replica_without_the_lease_answers_the_same(database: DatabaseUnderTest) {
    let site = Site::new(database);
    let holder = site.gateway("gw-1", 5).await;
    let other = site.gateway("gw-2", 5).await;
    for module in ["orders", "tokens", "board"] {
        ingest(&holder, module, 1..41).await;
        let end = poll(&holder, &format!("{module}?uid=u1&size=1000"))
            .await
            .cursor;
        eventually("the other has it too", PATIENCE, async || {
            let page = poll(&other, &format!("{module}?uid=u1&size=1000")).await;
            (page.cursor == end).then_some(())
        })
        .await;
    }
    site.prune("orders", 11).await;
    let queries = [
        "orders?uid=u1&since=0&size=3",
        "orders?uid=u1&since=9&size=3",
        "orders?uid=u1&since=10",
        "orders?uid=u1&since=38",
        "orders?uid=u2&since=40",
        "tokens?uid=u1&size=5",
        "tokens?uid=u1&since=00000001_0000000000000027",
        "board?uid=u1",
        "board?uid=u2",
    ];
    for query in queries {
        let same = poll(&holder, query).await;
        assert_eq!(poll(&other, query).await, same, "{query}");
    }
    let holders =
        "(SELECT count(DISTINCT lease_holder) FROM module_head WHERE lease_holder = 'gw-1')";
    assert_eq!(
        site.number(holders).await,
        1,
        "the first still holds the leases"
    );
}

async fn idle_polls_cost_no_sql(database: DatabaseUnderTest) {
    const POLLS: u64 = 1_000;
    let site = Site::new(database);
    let calm = |name: &str| {
        let setup = site.setup(name, 1_000);
        let setup = setup.set("sequencer.idle_tick_ms", 500);
        setup.set("tail.tick_ms", 500)
    };
    let holder = Program::start(&calm("gw-1")).await;
    let other = Program::start(&calm("gw-2")).await;
    for module in ["orders", "tokens", "board"] {
        ingest(&holder, module, 1..11).await;
        // The first poll of a state reads it.
        for gateway in [&holder, &other] {
            eventually("the gateway has it", PATIENCE, async || {
                let page = poll(gateway, &format!("{module}?uid=u1")).await;
                (page.head == 10).then_some(())
            })
            .await;
        }
    }
    for gateway in [&holder, &other] {
        let before = queries(gateway).await;
        for number in 0..POLLS {
            let page = match number % 3 {
                0 => poll(gateway, "orders?uid=u1&since=10").await,
                1 => poll(gateway, "tokens?uid=u1&since=00000001_000000000000000a").await,
                _ => poll(gateway, "board?uid=u1").await,
            };
            assert_eq!(page.head, 10);
        }
        let after = queries(gateway).await;
        assert_eq!(caused(&before, &after), []);
        // What goes on without polls is a few statements each half second.
        let grown = after.values().sum::<u64>() - before.values().sum::<u64>();
        println!("{POLLS} idle polls, meanwhile {grown} statements");
        assert!(grown < POLLS / 4, "{before:?} {after:?}");
    }
}

async fn a_replica_that_retention_has_passed_recovers(database: DatabaseUnderTest) {
    let site = Site::new(database);
    let holder = site.gateway("gw-1", 1_000).await;
    ingest(&holder, "orders", 1..11).await;
    let laggard = site.laggard().await;
    assert_eq!(poll(&laggard, "orders?uid=u1&since=10").await.cursor, 10);
    ingest(&holder, "orders", 11..61).await;
    site.prune("orders", 41).await;

    // A client that comes over from the other one.
    let page = poll(&laggard, "orders?uid=u1&since=55").await;
    assert!(!page.snapshot, "{page:?}");
    assert_eq!(page.list, expected(56..61));
    // One that has stayed with it is told that it is too old.
    let stayed = poll(&laggard, "orders?uid=u1&since=10").await;
    assert!(stayed.snapshot, "{stayed:?}");
    assert_eq!(stayed.cursor, 60);
    let mut known = expected(1..11);
    known.extend(stayed.list);
    assert_eq!(state(&known), state(&expected(1..61)));

    // A replica that ticks as usual gets there by itself.
    if site.database.is_server() {
        let paused = site.gateway("gw-3", 1_000).await;
        paused.signal(nix::sys::signal::Signal::SIGSTOP);
        ingest(&holder, "orders", 61..101).await;
        site.prune("orders", 91).await;
        paused.signal(nix::sys::signal::Signal::SIGCONT);
        eventually("it has begun anew", PATIENCE, async || {
            let page = poll(&paused, "orders?uid=u1&since=60").await;
            (page.cursor == 100).then_some(())
        })
        .await;
    }
}
