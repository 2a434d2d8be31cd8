//! The checks before `retired`.

use std::time::Duration;

use super::{DAY, Fail, HOUR, NOW, NotEnoughData, Pass, Row, ago, hold};
use crate::{
    cutover::gates::{Poller, Pollers, RetiredFacts, retired::checks},
    domain::Micros,
};

/// Nobody has polled for a month.
fn quiet() -> RetiredFacts {
    RetiredFacts {
        now: Micros::new(NOW),
        known_since: Some(ago(30 * DAY)),
        pollers: Pollers::default(),
        is_exact: true,
    }
}

fn poller(name: &str, agent: Option<&str>, clients: u64) -> Poller {
    Poller {
        name: name.to_owned(),
        agent: agent.map(str::to_owned),
        clients,
        last_seen: ago(HOUR),
    }
}

fn some_pollers(clients: u64) -> Pollers {
    Pollers {
        clients,
        by_client: vec![
            poller("t-1", Some("Terminal/1.0"), 1),
            poller("t-2", None, 1),
        ],
        agents: 1,
        by_agent: vec![poller("Terminal/1.0", None, clients)],
    }
}

const RETIRED: &[Row<RetiredFacts>] = &[
    (
        "pollers",
        Pass,
        "0 clients have polled in the last 14days",
        |_, _| {},
    ),
    ("pollers", Fail, "1 client has polled", |facts, _| {
        facts.pollers = some_pollers(1);
    }),
    ("pollers", Pass, "2 clients", |facts, settings| {
        (facts.pollers, settings.pollers) = (some_pollers(2), 2);
    }),
    (
        "pollers",
        Fail,
        "2 clients have polled in the last 14days, at most 0: t-1, t-2, with Terminal/1.0 (2)",
        |facts, _| {
            facts.pollers = some_pollers(2);
        },
    ),
    (
        "pollers",
        Fail,
        "t-1, t-2 and 40 more, with Terminal/1.0 (42)",
        |facts, _| {
            facts.pollers = some_pollers(42);
        },
    ),
    (
        "pollers",
        NotEnoughData,
        "above census.clients, have polled",
        |facts, settings| (facts.is_exact, settings.pollers) = (false, 9),
    ),
    (
        "pollers",
        Fail,
        "at most 0: those without an id",
        |facts, _| {
            facts.pollers = some_pollers(1);
            facts.pollers.by_client = vec![poller("", None, 1)];
            facts.is_exact = false;
        },
    ),
    ("pollers", Fail, "2 clients", |facts, _| {
        (facts.pollers, facts.known_since) = (some_pollers(2), None);
    }),
    (
        "pollers",
        NotEnoughData,
        "is known for 13days",
        |facts, _| {
            facts.known_since = Some(ago(13 * DAY));
        },
    ),
    (
        "pollers",
        NotEnoughData,
        "0 clients have polled in the last 14days, as far as is known: the census has a gap that goes on",
        |facts, _| facts.known_since = None,
    ),
    (
        "pollers",
        NotEnoughData,
        "is known for 0s of 14days",
        |facts, _| facts.known_since = Some(ago(Duration::ZERO).plus(HOUR)),
    ),
];

#[test]
fn every_verdict_of_the_retireds_checks() {
    hold(RETIRED, quiet, checks, |_| &[Pass, Fail, NotEnoughData]);
}
