use super::*;
use crate::{config::savings::DatabaseSize, telemetry::usage::hour_of};

const HOUR: u64 = 3_600;

fn start() -> Micros {
    hour_of(Micros::new(1_800_000_000_000_000))
}

/// So many seconds of a module.
fn sum(module: &str, transport: Transport, seconds: u64, counts: Counts) -> UsageSum {
    let counted = Duration::from_secs(seconds);
    UsageSum {
        module: module.to_owned(),
        transport,
        counted,
        from: start(),
        to: start().plus(counted),
        counts,
        busiest_requests: counts.requests * HOUR / seconds.max(HOUR),
        last_asked: (counts.requests > 0).then(|| start().plus(counted)),
    }
}

fn polls(requests: u64, statements: u64, bytes: u64) -> Counts {
    Counts {
        requests,
        idle: requests * 9 / 10,
        memory: requests - statements,
        statements,
        bytes,
        ..Counts::default()
    }
}

fn pushed(reads: u64, statements: u64, bytes: u64, messages: u64, payloads: u64) -> Counts {
    Counts {
        requests: reads,
        statements,
        bytes,
        messages,
        payloads,
        ..Counts::default()
    }
}

fn settings() -> savings::Savings {
    let size = |name: &str, queries_per_s, per_month| DatabaseSize {
        name: name.to_owned(),
        queries_per_s,
        per_month,
    };
    savings::Savings {
        sql_per_poll: 2.0,
        head_bytes: 100,
        prices: Some(Prices {
            currency: "EUR".to_owned(),
            per_million_requests: 1.0,
            per_million_queries: 0.5,
            per_gb_out: 0.1,
            per_million_messages: 2.0,
            database_sizes: vec![size("small", 50.0, 100.0), size("large", 5_000.0, 2_000.0)],
        }),
        ..savings::Savings::default()
    }
}

fn modules(
    all: &[(&str, Stage, savings::ModuleSavings)],
) -> Vec<(ModuleName, Stage, savings::ModuleSavings)> {
    let named = |(name, stage, known): &(&str, Stage, savings::ModuleSavings)| {
        (name.parse().unwrap(), *stage, known.clone())
    };
    all.iter().map(named).collect()
}

fn plain() -> savings::ModuleSavings {
    savings::ModuleSavings::default()
}

#[track_caller]
fn close(found: impl Into<Option<f64>>, expected: f64) {
    let found = found.into().expect("a figure");
    assert!(
        (found - expected).abs() <= expected.abs() * 1e-9 + 1e-9,
        "{found} and not {expected}"
    );
}

/// A module that polled 100 times a second for two days, and now has 10 polls a second and 5 messages.
fn moved() -> Counted {
    let day = 24 * HOUR;
    Counted {
        while_polled: vec![sum(
            "orders",
            Transport::Poll,
            2 * day,
            polls(100 * 2 * day, 0, 60 * 100 * 2 * day),
        )],
        recently: vec![
            sum(NO_MODULE, Transport::Poll, day, polls(0, 0, 0)),
            sum(
                "orders",
                Transport::Poll,
                day,
                polls(10 * day, day / 10, 60 * 10 * day),
            ),
            sum(
                "orders",
                Transport::Push,
                day,
                pushed(day, day / 10, 1_000 * day, 5 * day, 5 * 400 * day),
            ),
        ],
        ..Counted::default()
    }
}

#[test]
fn before_and_now_are_what_was_counted_and_the_money_of_the_table() {
    let settings = settings();
    let mut counted = moved();
    // The whole process ran 5 statements a second, of which 0.2 were for the module.
    counted.recently[0].counts.statements = 5 * 24 * HOUR;
    counted.ever = counted.recently.clone();
    counted.busiest = (12 * HOUR, 6 * HOUR);
    let reckoning = Reckoning {
        settings: &settings,
        days: 1,
        modules: modules(&[("orders", Stage::Ramp, plain())]),
        counted,
    };
    let savings = reckoning.savings();
    let orders = &savings.modules[0];
    assert_eq!(orders.before.source, Source::Measured);
    close(orders.before.counted_hours, 48.0);
    let before = orders.before.cost.unwrap();
    close(before.requests_per_s, 100.0);
    close(before.queries_per_s, 200.0);
    close(before.bytes_per_s, 100.0 * 160.0);
    // 100 requests at 1, 200 statements at 0.5, 16 kB at 0.1 per 10^9.
    close(before.per_month, 2_629_800.0 * (100e-6 + 100e-6 + 1.6e-6));
    let now = orders.now.cost.unwrap();
    close(now.requests_per_s, 11.0);
    close(now.queries_per_s, 0.2);
    close(now.messages_per_s, 5.0);
    close(now.bytes_per_s, 600.0 + 1_000.0 + 2_000.0 + 1_100.0);
    close(
        now.per_month,
        2_629_800.0 * (11e-6 + 0.1e-6 + 10e-6 + 0.47e-6),
    );
    close(
        orders.saved_per_month,
        before.per_month.unwrap() - now.per_month.unwrap(),
    );
    let totals = orders.now.counted;
    assert_eq!(totals.polls, 864_000);
    assert_eq!(totals.statements, 2 * 8_640);
    assert_eq!(totals.statements_avoided, 2 * 864_000 - 8_640);
    assert_eq!(totals.bytes, 24 * HOUR * 3_600);
    assert_eq!(orders.notes, Vec::<String>::new());

    let overall = &savings.overall;
    close(overall.gateways.unwrap().queries_per_s, 4.8);
    close(overall.now.unwrap().queries_per_s, 5.0);
    close(overall.before.unwrap().requests_per_s, 100.0);
    let database = overall.database.clone().unwrap();
    assert_eq!(database.before.as_deref(), Some("large"));
    assert_eq!(database.now.as_deref(), Some("small"));
    close(database.saved_per_month, 1_900.0);
    let of_rates =
        overall.before.unwrap().per_month.unwrap() - overall.now.unwrap().per_month.unwrap();
    close(overall.saved_per_month, of_rates + 1_900.0);
    let shrink = savings.shrink.join("\n");
    assert!(
        shrink.contains("12.00/s, 12.0 % of the 100.00/s"),
        "{shrink}"
    );
    assert!(
        shrink.contains("small carries 50/s and would do in place of large: 1900.00 EUR less"),
        "{shrink}"
    );
}

#[test]
fn what_is_configured_is_believed_and_messages_have_receivers() {
    let settings = settings();
    let known = savings::ModuleSavings {
        requests_per_s: Some(1_000.0),
        sql_per_poll: Some(3.0),
        receivers_per_message: Some(40.0),
    };
    let reckoning = Reckoning {
        settings: &settings,
        days: 1,
        modules: modules(&[("orders", Stage::Sunset, known)]),
        counted: moved(),
    };
    let orders = &reckoning.savings().modules[0];
    assert_eq!(orders.before.source, Source::Configured);
    let before = orders.before.cost.unwrap();
    close(before.requests_per_s, 1_000.0);
    close(before.queries_per_s, 3_000.0);
    close(before.bytes_per_s, 160_000.0);
    let now = orders.now.cost.unwrap();
    close(now.messages_per_s, 200.0);
    close(now.bytes_per_s, 600.0 + 1_000.0 + 40.0 * 2_000.0 + 1_100.0);
}

#[test]
fn a_module_of_which_nothing_is_known_says_so_and_costs_no_zero() {
    let settings = settings();
    let mut counted = moved();
    counted
        .recently
        .push(sum("late", Transport::Poll, HOUR, polls(3_600, 0, 0)));
    let late = Some(1.0);
    let reckoning = Reckoning {
        settings: &settings,
        days: 7,
        modules: modules(&[
            ("orders", Stage::Ramp, plain()),
            // Its clients were on push before anybody counted.
            ("late", Stage::Sunset, plain()),
            // Configured, and never served.
            (
                "never",
                Stage::Mirror,
                savings::ModuleSavings {
                    requests_per_s: late,
                    ..plain()
                },
            ),
        ]),
        counted,
    };
    let savings = reckoning.savings();
    let [orders, late, never] = &savings.modules[..] else {
        panic!("three modules");
    };
    assert!(orders.saved_per_month.is_some());
    assert_eq!(late.before.source, Source::Unknown);
    assert_eq!((late.before.cost, late.saved_per_month), (None, None));
    assert!(late.now.cost.is_some());
    assert!(late.notes[0].contains("requests_per_s"), "{:?}", late.notes);
    assert_eq!((never.now.cost, never.saved_per_month), (None, None));
    assert_eq!(
        never.before.cost.unwrap().per_month,
        None,
        "answers of what size?"
    );
    assert!(
        never
            .notes
            .iter()
            .any(|note| note.starts_with("now: not known")),
        "{:?}",
        never.notes
    );
    assert_eq!(savings.overall.left_out, ["late", "never"]);
    close(savings.overall.before.unwrap().requests_per_s, 100.0);
    assert_eq!(savings.unused, [], "nobody watched for seven days");
}

#[test]
fn nothing_is_saved_where_nothing_is_known() {
    let settings = settings();
    let reckoning = Reckoning {
        settings: &settings,
        days: 7,
        modules: modules(&[("orders", Stage::Mirror, plain())]),
        counted: Counted::default(),
    };
    let savings = reckoning.savings();
    assert_eq!(savings.overall.saved_per_month, None);
    assert_eq!(savings.overall.database.unwrap().now, None);
    assert_eq!(savings.shrink, Vec::<String>::new());
    assert_eq!(savings.overall.gateways, None);
    assert_eq!((savings.overall.before, savings.overall.now), (None, None));
}

#[test]
fn without_prices_there_is_no_money() {
    let settings = savings::Savings {
        prices: None,
        ..settings()
    };
    let reckoning = Reckoning {
        settings: &settings,
        days: 1,
        modules: modules(&[("orders", Stage::Ramp, plain())]),
        counted: moved(),
    };
    let savings = reckoning.savings();
    let orders = &savings.modules[0];
    close(orders.before.cost.unwrap().requests_per_s, 100.0);
    assert_eq!(orders.before.cost.unwrap().per_month, None);
    assert_eq!((orders.saved_per_month, savings.currency), (None, None));
    assert_eq!(savings.overall.saved_per_month, None);
    let said = savings.assumptions.join("\n");
    assert!(said.contains("there is no price table"), "{said}");
}

#[test]
fn whom_nobody_asks_for_is_told_only_if_somebody_watched() {
    let settings = settings();
    let day = 24 * HOUR;
    let counted = Counted {
        recently: vec![
            sum("orders", Transport::Poll, 7 * day, polls(1, 0, 10)),
            sum("board", Transport::Poll, 7 * day, polls(0, 0, 0)),
            sum("news", Transport::Poll, 7 * day, polls(0, 0, 0)),
            sum("news", Transport::Push, 7 * day, pushed(0, 0, 0, 5, 50)),
            sum("young", Transport::Poll, 6 * day, polls(0, 0, 0)),
            sum("read", Transport::Poll, 7 * day, polls(0, 0, 0)),
            sum("read", Transport::Push, 7 * day, pushed(1, 0, 0, 0, 0)),
        ],
        ever: vec![sum("board", Transport::Poll, day, polls(1, 0, 10))],
        ..Counted::default()
    };
    let names = ["orders", "board", "news", "young", "read"];
    let at = |name: &&'static str| (*name, Stage::Retired, plain());
    let reckoning = Reckoning {
        settings: &settings,
        days: 7,
        modules: modules(&names.iter().map(at).collect::<Vec<_>>()),
        counted,
    };
    let unused = reckoning.savings().unused;
    let told: Vec<_> = unused.iter().map(|one| one.module.as_str()).collect();
    assert_eq!(told, ["board", "news"]);
    assert!(unused[0].text.contains("last at 2027-01-16T"), "{unused:?}");
    assert!(
        unused[1].text.contains("never while it was counted"),
        "{unused:?}"
    );
}

/// A minute of an hour at the pace of before is no smaller busiest hour.
#[test]
fn an_hour_that_has_only_begun_shrinks_nothing() {
    let settings = settings();
    let minute = polls(60, 30, 30);
    let counted = Counted {
        while_polled: vec![sum("orders", Transport::Poll, 60, minute)],
        recently: vec![
            sum(NO_MODULE, Transport::Poll, 60, polls(0, 0, 0)),
            sum("orders", Transport::Poll, 60, minute),
        ],
        busiest: (60, 60),
        ..Counted::default()
    };
    let reckoning = Reckoning {
        settings: &settings,
        days: 1,
        modules: modules(&[("orders", Stage::Mirror, plain())]),
        counted,
    };
    let shrink = reckoning.savings().shrink;
    let claims = shrink.iter().filter(|line| line.starts_with("requests:"));
    assert_eq!(claims.count(), 0, "{shrink:?}");
}
