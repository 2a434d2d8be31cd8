//! The checks before `sunset`.

use super::{DAY, Fail, HOUR, NOW, NotEnoughData, Pass, Row, ago, hold};
use crate::{
    cutover::gates::{SunsetFacts, sunset::checks},
    domain::Micros,
};

/// Twenty clients, all of them on push for long enough.
fn moved() -> SunsetFacts {
    SunsetFacts {
        now: Micros::new(NOW),
        entered_at: ago(2 * DAY),
        push: 20,
        poll: 0,
        fell_back: 0,
        is_exact: true,
        trips: 0,
    }
}

const SUNSET: &[Row<SunsetFacts>] = &[
    ("clients-on-push", Pass, "20 of 20 clients", |_, _| {}),
    (
        "clients-on-push",
        Pass,
        "95 %, at least 95 %",
        |facts, _| (facts.push, facts.poll) = (19, 1),
    ),
    (
        "clients-on-push",
        Fail,
        "90 %, at least 95 %",
        |facts, _| (facts.push, facts.poll) = (18, 2),
    ),
    ("clients-on-push", Fail, "0 of 10 clients", |facts, _| {
        (facts.push, facts.poll) = (0, 10);
    }),
    (
        "clients-on-push",
        NotEnoughData,
        "9 clients with an id were seen",
        |facts, _| facts.push = 9,
    ),
    (
        "clients-on-push",
        NotEnoughData,
        "at least 1 are asked",
        |facts, settings| {
            (facts.push, settings.clients) = (0, 0);
        },
    ),
    (
        "clients-on-push",
        NotEnoughData,
        "99.01 %, at least 95 %; but some poll without an id",
        |facts, _| (facts.push, facts.poll, facts.is_exact) = (100, 1, false),
    ),
    ("clients-on-push", Fail, "90 %", |facts, _| {
        (facts.push, facts.poll, facts.is_exact) = (18, 2, false);
    }),
    ("fell-back", Pass, "0 of 20 clients", |_, _| {}),
    (
        "fell-back",
        NotEnoughData,
        "0 %, at most 1 %; but some poll",
        |facts, _| facts.is_exact = false,
    ),
    ("fell-back", Pass, "1 %, at most 1 %", |facts, _| {
        (facts.push, facts.poll, facts.fell_back) = (99, 1, 1);
    }),
    ("fell-back", Fail, "2 %, at most 1 %", |facts, _| {
        (facts.push, facts.poll, facts.fell_back) = (98, 2, 2);
    }),
    (
        "fell-back",
        NotEnoughData,
        "0 clients have taken the push",
        |facts, _| {
            (facts.push, facts.poll) = (0, 20);
        },
    ),
    ("guard-trips", Pass, "0 times in the last 1day", |_, _| {}),
    ("guard-trips", Pass, "", |facts, settings| {
        (facts.trips, settings.guard_trips) = (2, 2);
    }),
    (
        "guard-trips",
        Fail,
        "1 times in the last 1day, at most 0",
        |facts, _| facts.trips = 1,
    ),
    ("guard-trips", Fail, "1 times in the last 1h", |facts, _| {
        (facts.trips, facts.entered_at) = (1, ago(HOUR));
    }),
    (
        "guard-trips",
        NotEnoughData,
        "at this stage for 1h of 1day",
        |facts, _| {
            facts.entered_at = ago(HOUR);
        },
    ),
];

#[test]
fn every_verdict_of_the_sunsets_checks() {
    hold(SUNSET, moved, checks, |_| &[Pass, Fail, NotEnoughData]);
}
