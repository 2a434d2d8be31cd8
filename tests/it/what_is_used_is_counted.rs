//! Polls, reads and messages by the hour: they are those of the clients, counted on both sides; replicas add up, restarts keep them, a
//! kill loses no more than came since the last flush, and a database that is away for a while loses nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use changeover::{
    config::{mqtt::Protocol, savings::Savings},
    cutover::Flags,
    domain::{Clock, Micros, ModuleName, Stage, Transport},
    runtime::UsageWriter,
    telemetry::usage::{Usage, UsageSum, hour_of},
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::Follower,
    gateway::{Client, InProcess, MODULE, Program, Setup},
    mosquitto::Mosquitto,
    native,
};

const SOON: Duration = Duration::from_mins(1);

crate::on_each_database!(
    what_clients_counted_was_counted,
    replicas_add_up_and_restarts_keep_it,
    a_kill_loses_what_came_since_the_last_flush,
    hours_end_with_the_clock_and_are_kept_a_year,
);

/// What clients have seen of one module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Seen {
    polls: u64,
    idle: u64,
    refused: u64,
    reads: u64,
    bytes: u64,
}

impl Seen {
    /// A poll, as its client sees it.
    async fn poll(&mut self, client: &Client, query: &str) -> Value {
        let answer = client.try_poll(query).await.unwrap();
        self.polls += 1;
        self.bytes += answer.text.len() as u64;
        if answer.status != StatusCode::OK {
            self.refused += 1;
            return Value::Null;
        }
        let body = answer.json();
        self.idle += u64::from(body["list"].as_array().unwrap().is_empty());
        body
    }

    /// A read of the stream.
    async fn read(&mut self, client: &Client, query: &str) -> StatusCode {
        let answer = native::stream(client, query).await;
        self.reads += 1;
        self.bytes += answer.text.len() as u64;
        answer.status
    }
}

/// What is written of a module.
async fn counted(client: &Client, module: &str) -> Value {
    let answer = client
        .get(&format!("/admin/v1/savings?days=1&module={module}"))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["modules"][0]["now"]["counted"].clone()
}

async fn polls(client: &Client) -> u64 {
    counted(client, MODULE).await["polls"].as_u64().unwrap()
}

async fn until_polls(client: &Client, expected: u64) {
    eventually(&format!("{expected} polls are written"), SOON, async || {
        (polls(client).await == expected).then_some(())
    })
    .await;
}

async fn what_clients_counted_was_counted(database: DatabaseUnderTest) {
    let broker = Mosquitto::start();
    let setup = Setup::new(&database, "a")
        .target(&broker.url())
        .set("savings.flush", "1s")
        .set("tail.changes", 10);
    let gateway = Program::start(&setup).await;
    let client = &gateway.client;
    let topics = [format!("changeover/c/{MODULE}/+")];
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    let terminal = Follower::start(&broker.url(), Protocol::V5, "terminal", &topics);
    terminal.subscribed().await;
    let changes: Vec<_> = (0..40)
        .map(|n| json!({"key": format!("k{n}"), "value": {"n": n, "text": "x".repeat(50)}}))
        .collect();
    client.ingest(&json!(changes)).await;
    terminal
        .wait("all changes", |seen| seen.events.len() >= 40)
        .await;

    let mut seen = Seen::default();
    eventually("the tail has it", SOON, async || {
        let body = seen.poll(client, "since=30&size=100").await;
        (body["list"].as_array().unwrap().len() == 10).then_some(())
    })
    .await;
    let before = seen.idle;
    for _ in 0..25 {
        seen.poll(client, "since=40").await;
    }
    assert_eq!(seen.idle, before + 25, "idle, from memory");
    for _ in 0..3 {
        let body = seen.poll(client, "since=35&size=2").await;
        assert_eq!(body["more"], true, "from memory");
    }
    for _ in 0..4 {
        let body = seen.poll(client, "since=0&size=20").await;
        assert_eq!(body["list"].as_array().unwrap().len(), 20, "from the log");
    }
    for _ in 0..2 {
        seen.poll(client, "since=nothing").await;
    }
    assert_eq!(seen.refused, 2);
    seen.read(client, "offset=-1").await;
    let newest = native::cursor(40);
    let idle = seen.read(client, &format!("offset={newest}")).await;
    assert_eq!(idle, StatusCode::OK);

    let written = eventually("all of it is written", SOON, async || {
        let counted = counted(client, MODULE).await;
        (counted["polls"] == seen.polls && counted["reads"] == seen.reads).then_some(counted)
    })
    .await;
    assert_eq!(written["idle_polls"], seen.idle, "{written}");
    assert_eq!(written["refused_polls"], seen.refused, "{written}");
    assert_eq!(
        written["polls_without_sql"],
        seen.polls - seen.refused - 4,
        "all but those that were older than the tail: {written}"
    );
    let pushed = terminal.record().events.len();
    assert_eq!(written["messages"], pushed, "as the subscriber counts");
    // Rows and bounds, for each of the four, and for the read from the beginning.
    let statements = written["statements"].as_u64().unwrap();
    assert!((5..=15).contains(&statements), "{written}");
    assert_eq!(
        written["statements_avoided"].as_u64().unwrap() + statements_of_polls(&database).await,
        seen.polls,
        "one statement a poll is assumed: {written}"
    );
    let payloads = number(&database, "SUM(payloads)", MODULE).await;
    assert!(payloads > 40 * 50, "{payloads}");
    assert_eq!(written["bytes"], seen.bytes + payloads, "{written}");
    let idle_reads = format!(
        "SELECT CAST(SUM(idle) AS TEXT) FROM usage_hourly WHERE module = '{MODULE}' AND transport = 'push'"
    );
    assert_eq!(database.text(&idle_reads).await.as_deref(), Some("1"));
    let other = counted(client, "notices").await;
    assert_eq!(
        (&other["polls"], &other["messages"]),
        (&json!(0), &json!(0))
    );
}

async fn statements_of_polls(database: &DatabaseUnderTest) -> u64 {
    let sql = format!(
        "SELECT CAST(SUM(statements) AS TEXT) FROM usage_hourly WHERE module = '{MODULE}' AND transport = 'poll'"
    );
    database.text(&sql).await.unwrap().parse().unwrap()
}

async fn number(database: &DatabaseUnderTest, what: &str, module: &str) -> u64 {
    let sql = format!("SELECT CAST({what} AS TEXT) FROM usage_hourly WHERE module = '{module}'");
    database.text(&sql).await.unwrap().parse().unwrap()
}

async fn replicas_add_up_and_restarts_keep_it(database: DatabaseUnderTest) {
    let setup = |name| {
        Setup::new(&database, name)
            .among_others()
            .set("savings.flush", "1s")
    };
    let (mut a, b) = (
        Program::start(&setup("a")).await,
        Program::start(&setup("b")).await,
    );
    let mut seen = Seen::default();
    for n in 0..70 {
        let client = if n % 7 == 0 { &b.client } else { &a.client };
        seen.poll(client, "since=0").await;
    }
    until_polls(&b.client, 70).await;
    // What came after the last flush goes with an orderly end.
    for _ in 0..9 {
        seen.poll(&a.client, "since=0").await;
    }
    assert_eq!(a.terminate().await.0, 0);
    assert_eq!(polls(&b.client).await, 79, "written before it ended");
    a.restart().await;
    seen.poll(&a.client, "since=0").await;
    until_polls(&b.client, 80).await;
    let counted = counted(&a.client, MODULE).await;
    assert_eq!(counted["bytes"], seen.bytes, "{counted}");
}

async fn a_kill_loses_what_came_since_the_last_flush(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a").set("savings.flush", "2s");
    let mut gateway = Program::start(&setup).await;
    let mut seen = Seen::default();
    for _ in 0..30 {
        seen.poll(&gateway.client, "since=0").await;
    }
    until_polls(&gateway.client, 30).await;
    for _ in 0..20 {
        seen.poll(&gateway.client, "since=0").await;
    }
    gateway.kill();
    gateway.restart().await;
    let kept = polls(&gateway.client).await;
    assert!((30..=50).contains(&kept), "{kept}");
    for _ in 0..10 {
        seen.poll(&gateway.client, "since=0").await;
    }
    until_polls(&gateway.client, kept + 10).await;
}

/// A clock that says what it is told.
struct Told(AtomicI64);

impl Clock for Told {
    fn now(&self) -> Micros {
        Micros::new(self.0.load(SeqCst))
    }
}

async fn hours_end_with_the_clock_and_are_kept_a_year(database: DatabaseUnderTest) {
    const MINUTE: i64 = 60_000_000;
    let store = database.store().await;
    let module: ModuleName = MODULE.parse().unwrap();
    let modules = [module.clone()];
    let usage = Arc::new(Usage::of(&modules, Instant::now()));
    let meter = usage.of_module(&module);
    let start = hour_of(Micros::new(1_800_000_000_000_000));
    let clock = Arc::new(Told(AtomicI64::new(start.get() + 50 * MINUTE)));
    let mut writer = UsageWriter::new(
        store.clone(),
        Arc::clone(&usage),
        Arc::new(Flags::new(&modules)),
        Arc::clone(&clock) as Arc<dyn Clock>,
        &Savings::default(),
        1,
    );
    let sums = async |since: i64| {
        let since = Micros::new(start.get() + since * MINUTE);
        let sums = store.usage(since, Stage::Retired).await.unwrap();
        sums.into_iter()
            .find(|sum: &UsageSum| sum.module == MODULE && sum.transport == Transport::Poll)
    };
    for (pass, polls) in [(9, 5), (1, 7), (30, 11), (31, 13)] {
        for _ in 0..polls {
            meter.polls.idle.add(10);
        }
        clock.0.fetch_add(pass * MINUTE, SeqCst);
        writer.flush().await.unwrap();
    }
    // Ten minutes of the first hour, the whole second one; the last flush was late, and belongs to where it began.
    let all = sums(0).await.unwrap();
    assert_eq!(all.counts.requests, 36);
    assert_eq!(all.counted, Duration::from_mins(70));
    let second = sums(60).await.unwrap();
    assert_eq!(second.counts.requests, 24);
    assert_eq!(second.counted, Duration::from_hours(1));
    assert!(sums(120).await.is_none());

    // Nothing is lost of a year, and after it the oldest hour goes.
    clock.0.store(start.get() + 365 * 24 * 60 * MINUTE, SeqCst);
    writer.flush().await.unwrap();
    assert_eq!(sums(0).await.unwrap().counts.requests, 36);
    clock
        .0
        .store(start.get() + (366 * 24 * 60 + 30) * MINUTE, SeqCst);
    writer.flush().await.unwrap();
    assert_eq!(sums(0).await.unwrap().counts.requests, 24);
    clock
        .0
        .store(start.get() + (366 * 24 * 60 + 90) * MINUTE, SeqCst);
    writer.flush().await.unwrap();
    let kept = sums(0).await.unwrap();
    assert_eq!(kept.counts.requests, 0, "what was watched since: {kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_loses_nothing() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(database) = DatabaseUnderTest::private(kind).await else {
            return;
        };
        let setup = Setup::new(&database, "a").set("savings.flush", "1s");
        let gateway = InProcess::start(&setup).await;
        let client = &gateway.client;
        let mut seen = Seen::default();
        for _ in 0..20 {
            seen.poll(client, "since=0").await;
        }
        until_polls(client, 20).await;
        tokio::task::block_in_place(|| database.stop());
        eventually("the figures cannot be had", SOON, async || {
            let answer = client.get("/admin/v1/savings").await;
            (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
        })
        .await;
        // Flushes fail meanwhile.
        let away = Instant::now();
        while away.elapsed() < Duration::from_secs(4) {
            seen.poll(client, "since=0").await;
        }
        tokio::task::block_in_place(|| database.start());
        until_polls(client, seen.polls).await;
        let counted = counted(client, MODULE).await;
        assert_eq!(counted["idle_polls"], seen.idle, "{counted}");
        assert_eq!(counted["bytes"], seen.bytes, "{counted}");
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_shows_how_fast_it_is_used() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let mut seen = Seen::default();
    client.ingest(&json!([{"key": "k", "value": 1}])).await;
    let rates = eventually("rates", SOON, async || {
        // From memory, before the change is there and after.
        seen.poll(client, "since=0").await;
        let rates = client.module().await["rates"].clone();
        // The embedded broker has got the change by now.
        (rates["pushed_per_s"].as_f64()? > 0.0).then_some(rates)
    })
    .await;
    let of = |name: &str| rates[name].as_f64().unwrap();
    let window = of("window_s");
    assert!(window > 0.0 && window < 75.0, "{rates}");
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let polls = seen.polls as f64;
    assert!((of("polls_per_s") * window - polls).abs() < 0.01, "{rates}");
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let idle = seen.idle as f64;
    assert!(
        (of("idle_polls_per_s") * window - idle).abs() < 0.01,
        "{rates}"
    );
    assert!((of("pushed_per_s") * window - 1.0).abs() < 0.01, "{rates}");
    assert!(
        (of("sql_per_s")).abs() < 1e-9,
        "idle polls cost none: {rates}"
    );
    assert!(of("bytes_per_s") > of("polls_per_s"), "{rates}");
    let notices = client.get("/admin/v1/modules/notices").await.json();
    assert_eq!(notices["rates"]["polls_per_s"], 0.0, "{notices}");
    gateway.stop().await;
}
