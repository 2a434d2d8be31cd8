//! What was counted, by the hour: it adds up over replicas, is added once, is summed by module, and is forgotten in time.

use std::time::Duration;

use changeover::{
    domain::{Micros, Stage, Transport},
    store::{Busiest, UsageFlush},
    telemetry::usage::{Counts, NO_MODULE, UsageRow, UsageSum, hour_of},
};

use crate::support::{database::DatabaseUnderTest, eventually};

crate::on_each_database!(
    replicas_add_up_in_one_hour,
    a_flush_is_added_once,
    many_at_once_lose_nothing,
    hours_are_summed_by_what_was_asked_for,
    hours_are_forgotten_from_the_oldest_on,
);

const HOUR: i64 = 3_600_000_000;

fn at(hours: i64) -> Micros {
    Micros::new(hour_of(Micros::new(1_800_000_000_000_000)).get() + hours * HOUR)
}

fn counts(n: u64) -> Counts {
    Counts {
        requests: n,
        idle: n / 2,
        memory: n / 3,
        refused: n / 4,
        statements: 2 * n,
        bytes: 100 * n,
        messages: 3 * n,
        payloads: 300 * n,
    }
}

/// Counted in the first so many minutes of an hour.
fn row(module: &str, transport: Transport, hour: i64, minutes: i64, n: u64) -> UsageRow {
    UsageRow {
        hour: at(hour),
        module: module.to_owned(),
        transport,
        stage: Stage::Mirror,
        from: at(hour),
        to: Micros::new(at(hour).get() + minutes * 60_000_000),
        counts: counts(n),
    }
}

fn flush(run: i64, number: i64, rows: &[UsageRow]) -> UsageFlush {
    UsageFlush {
        run,
        number,
        at: at(0),
        rows: rows.to_vec(),
    }
}

async fn all(database: &DatabaseUnderTest) -> Vec<UsageSum> {
    let store = database.open().await;
    let sums = store.usage(Micros::default(), Stage::Retired).await;
    store.close().await;
    sums.unwrap()
}

async fn replicas_add_up_in_one_hour(database: DatabaseUnderTest) {
    let (one, other) = (database.store().await, database.open().await);
    let first = row("orders", Transport::Poll, 0, 10, 12);
    let second = UsageRow {
        from: Micros::new(at(0).get() + 60_000_000),
        to: Micros::new(at(0).get() + 20 * 60_000_000),
        counts: counts(24),
        ..first.clone()
    };
    let pushed = row("orders", Transport::Push, 0, 10, 5);
    one.add_usage(&flush(1, 1, &[first, pushed])).await.unwrap();
    other.add_usage(&flush(-2, 1, &[second])).await.unwrap();
    let sums = all(&database).await;
    let expected = UsageSum {
        module: "orders".to_owned(),
        transport: Transport::Poll,
        counted: Duration::from_mins(20),
        from: at(0),
        to: Micros::new(at(0).get() + 20 * 60_000_000),
        counts: counts(36),
        busiest_requests: 36,
        last_asked: Some(Micros::new(at(0).get() + 20 * 60_000_000)),
    };
    assert_eq!(sums[0], expected);
    assert_eq!(sums[1].transport, Transport::Push);
    assert_eq!(sums[1].counts, counts(5));
    assert_eq!(sums.len(), 2);
}

async fn a_flush_is_added_once(database: DatabaseUnderTest) {
    let store = database.store().await;
    let rows = [row("orders", Transport::Poll, 0, 10, 12)];
    for number in [1, 1, 2, 2, 1, 2] {
        store.add_usage(&flush(7, number, &rows)).await.unwrap();
    }
    assert_eq!(all(&database).await[0].counts, counts(24));
    // Another process begins with its own first one.
    store.add_usage(&flush(8, 1, &rows)).await.unwrap();
    assert_eq!(all(&database).await[0].counts, counts(36));
}

async fn many_at_once_lose_nothing(database: DatabaseUnderTest) {
    let store = database.store().await;
    let modules: Vec<String> = (0..250).map(|n| format!("module-{n:03}")).collect();
    let write = async |run: i64| {
        for number in 1..=5 {
            let of = |module: &String| row(module, Transport::Poll, number % 2, 60, 12);
            let rows: Vec<_> = modules.iter().map(of).collect();
            let flush = flush(run, number, &rows);
            // Whoever is in the way of another one tries again, as it is.
            eventually("a flush", Duration::from_mins(1), async || {
                store.add_usage(&flush).await.ok()
            })
            .await;
        }
    };
    tokio::join!(write(1), write(2), write(3), write(4));
    let sums = all(&database).await;
    assert_eq!(sums.len(), 250);
    for sum in sums {
        assert_eq!(sum.counts, counts(12 * 4 * 5), "{sum:?}");
        assert_eq!(sum.counted, Duration::from_hours(2));
    }
}

async fn hours_are_summed_by_what_was_asked_for(database: DatabaseUnderTest) {
    let store = database.store().await;
    let silent = UsageRow {
        counts: Counts::default(),
        ..row("orders", Transport::Poll, 4, 60, 0)
    };
    let ramped = UsageRow {
        stage: Stage::Ramp,
        ..row("orders", Transport::Poll, 3, 60, 40)
    };
    let rows = [
        row(NO_MODULE, Transport::Poll, 1, 60, 1_000),
        row("orders", Transport::Poll, 1, 60, 12),
        row(NO_MODULE, Transport::Poll, 2, 60, 60),
        row("board", Transport::Poll, 2, 60, 4),
        row("orders", Transport::Poll, 2, 60, 24),
        ramped.clone(),
        silent,
    ];
    store.add_usage(&flush(1, 1, &rows)).await.unwrap();
    let requests = async |since, stage| {
        let sums = store.usage(since, stage).await.unwrap();
        let of = |sum: &UsageSum| (sum.module.clone(), sum.counts.requests);
        sums.iter().map(of).collect::<Vec<_>>()
    };
    let named = |pairs: &[(&str, u64)]| {
        let owned = pairs.iter().map(|(name, n)| ((*name).to_owned(), *n));
        owned.collect::<Vec<_>>()
    };
    assert_eq!(
        requests(at(0), Stage::Retired).await,
        named(&[("-", 1_060), ("board", 4), ("orders", 76)])
    );
    assert_eq!(
        requests(at(2), Stage::Mirror).await,
        named(&[("-", 60), ("board", 4), ("orders", 24)])
    );
    let sums = store.usage(at(0), Stage::Retired).await.unwrap();
    let orders = sums.iter().find(|sum| sum.module == "orders").unwrap();
    assert_eq!(orders.busiest_requests, 40);
    assert_eq!(orders.counted, Duration::from_hours(4));
    assert_eq!(orders.last_asked, Some(at(4)), "the end of the third hour");
    assert_eq!(orders.to, at(5));
    // The highest stage of an hour stays.
    let down = UsageRow {
        stage: Stage::Mirror,
        counts: Counts::default(),
        ..ramped
    };
    store.add_usage(&flush(1, 2, &[down])).await.unwrap();
    assert_eq!(
        requests(at(3), Stage::Mirror).await,
        named(&[("orders", 0)]),
        "the silent hour only"
    );
    let busiest = Busiest {
        requests: 1_012,
        // Those of whole processes, in which the modules' are.
        statements: 2_000,
    };
    assert_eq!(store.busiest_hours(at(0)).await.unwrap(), busiest);
    assert_eq!(
        store.busiest_hours(at(100)).await.unwrap(),
        Busiest::default()
    );
}

async fn hours_are_forgotten_from_the_oldest_on(database: DatabaseUnderTest) {
    let store = database.store().await;
    let day = |n: i64| row("orders", Transport::Poll, n, 60, 12);
    let rows: Vec<_> = (0..10).map(day).collect();
    store.add_usage(&flush(1, 1, &rows)).await.unwrap();
    assert_eq!(store.forget_usage(at(6), 4).await.unwrap(), 4);
    assert_eq!(all(&database).await[0].from, at(4));
    assert_eq!(store.forget_usage(at(6), 4).await.unwrap(), 2);
    assert_eq!(store.forget_usage(at(6), 4).await.unwrap(), 0);
    let left = all(&database).await;
    assert_eq!(left[0].from, at(6));
    assert_eq!(left[0].counts, counts(48));
    // The process that wrote is remembered for longer, and forgotten too.
    store.add_usage(&flush(1, 1, &rows)).await.unwrap();
    assert_eq!(all(&database).await[0].counts, counts(48));
    store.forget_usage(at(24 * 8), 100).await.unwrap();
    let writers = "SELECT CAST(count(*) AS TEXT) FROM usage_writer";
    assert_eq!(database.text(writers).await.as_deref(), Some("0"));
    assert!(all(&database).await.is_empty());
}
