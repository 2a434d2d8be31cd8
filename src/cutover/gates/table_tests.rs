//! Every verdict of every check, from a table: what differs from facts that pass, and what is said then.

use std::time::Duration;

use super::{
    Check, Gate, Poller, Pollers, RampFacts, RetiredFacts, SunsetFacts, TargetFacts, Verdict, ramp,
    retired, sunset,
};
use crate::{
    config::gates::Gates,
    domain::{Micros, ModuleName, Stage},
    store::{Findings, MirrorFact, SeenFact, VerifierPeriod},
};

use Verdict::{Fail, NotEnoughData, Pass};

const NOW: i64 = 1_800_000_000_000_000;
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn ago(span: Duration) -> Micros {
    Micros::new(NOW).minus(span)
}

fn module() -> ModuleName {
    "orders".parse().unwrap()
}

/// Ten minutes of a verifier that ended so long ago.
fn period(ended: Duration, ok: u64, missing: u64) -> VerifierPeriod {
    VerifierPeriod {
        target: "local".to_owned(),
        module: module(),
        began_at: ago(ended + 10 * MINUTE),
        ended_at: ago(ended),
        listened: 10 * MINUTE,
        found: Findings {
            ok,
            missing,
            duplicate: 3,
            late: 2,
            unobserved: 9,
            ..Findings::default()
        },
    }
}

/// One target, and nothing is wrong.
fn ready() -> RampFacts {
    RampFacts {
        now: Micros::new(NOW),
        targets: vec![TargetFacts {
            name: "local".to_owned(),
            seen: Some(SeenFact {
                fact: MirrorFact {
                    target: "local".to_owned(),
                    module: module(),
                    connected: true,
                    trouble: None,
                    behind: 2,
                    lag: Some(Duration::from_millis(120)),
                    halted: None,
                },
                at: ago(Duration::from_secs(4)),
            }),
            periods: vec![
                period(40 * MINUTE, 40, 0),
                period(30 * MINUTE, 40, 0),
                period(Duration::ZERO, 40, 0),
            ],
        }],
    }
}

type RampRow = (
    &'static str,
    Verdict,
    &'static str,
    fn(&mut RampFacts, &mut Gates),
);

fn seen(facts: &mut RampFacts) -> &mut SeenFact {
    facts.targets[0].seen.as_mut().unwrap()
}

fn periods(facts: &mut RampFacts) -> &mut Vec<VerifierPeriod> {
    &mut facts.targets[0].periods
}

/// Check, verdict, a part of what it says, and what is so.
const RAMP: &[RampRow] = &[
    ("targets", Pass, "clients are told local", |_, _| {}),
    ("targets", Fail, "no target that is fed", |facts, _| {
        facts.targets.clear();
    }),
    ("connected", Pass, "is connected", |_, _| {}),
    ("connected", Fail, "not reached yet", |facts, _| {
        seen(facts).fact.connected = false;
    }),
    ("connected", Fail, "refused", |facts, _| {
        seen(facts).fact.connected = false;
        seen(facts).fact.trouble = Some("refused".to_owned());
    }),
    (
        "connected",
        NotEnoughData,
        "nobody has reported",
        |facts, _| facts.targets[0].seen = None,
    ),
    ("connected", NotEnoughData, "is 21s old", |facts, _| {
        seen(facts).at = ago(Duration::from_secs(21));
    }),
    ("connected", Pass, "", |facts, settings| {
        seen(facts).at = ago(Duration::from_secs(20));
        settings.stale_after = crate::config::span::Span::from_secs(20);
    }),
    ("halted", Pass, "has not halted", |_, _| {}),
    ("halted", Fail, "too large", |facts, _| {
        seen(facts).fact.halted = Some("too large".to_owned());
    }),
    (
        "halted",
        NotEnoughData,
        "nobody has reported",
        |facts, _| facts.targets[0].seen = None,
    ),
    (
        "lag",
        Pass,
        "120ms late, at most 5s; 2 changes behind",
        |_, _| {},
    ),
    ("lag", Pass, "5s late", |facts, _| {
        seen(facts).fact.lag = Some(Duration::from_secs(5));
    }),
    ("lag", Fail, "5s late", |facts, _| {
        seen(facts).fact.lag = Some(Duration::from_millis(5_001));
    }),
    ("lag", NotEnoughData, "not in memory", |facts, _| {
        seen(facts).fact.lag = None;
    }),
    ("lag", NotEnoughData, "nobody has reported", |facts, _| {
        facts.targets[0].seen = None;
    }),
    ("verifier", Pass, "nothing wrong among 42", |_, _| {}),
    ("verifier", Fail, "1 missing", |facts, _| {
        periods(facts)[2].found.missing = 1;
    }),
    ("verifier", Fail, "1 reordered", |facts, _| {
        periods(facts)[2].found.reordered = 1;
    }),
    ("verifier", Fail, "1 with another", |facts, _| {
        periods(facts)[2].found.previous = 1;
    }),
    ("verifier", Fail, "1 not the log's", |facts, _| {
        periods(facts)[2].found.foreign = 1;
    }),
    ("verifier", Pass, "", |facts, _| {
        periods(facts)[0].found.missing = 1;
    }),
    (
        "verifier",
        NotEnoughData,
        "no verifier has listened",
        |facts, _| periods(facts).clear(),
    ),
    ("verifier", Pass, "", |facts, settings| {
        periods(facts).clear();
        settings.verified_messages = 0;
        settings.verified_for = crate::config::span::Span::from_secs(0);
    }),
    ("verifier", Fail, "", |facts, settings| {
        periods(facts)[2].found.missing = 1;
        settings.verified_messages = 0;
        settings.verified_for = crate::config::span::Span::from_secs(0);
    }),
    ("verified-messages", Pass, "120 of 100", |_, _| {}),
    (
        "verified-messages",
        NotEnoughData,
        "119 of 120",
        |facts, settings| {
            settings.verified_messages = 120;
            periods(facts)[0].found.ok = 39;
        },
    ),
    (
        "verified-messages",
        NotEnoughData,
        "80 of 100 changes came as the log has them since",
        |facts, _| {
            periods(facts)[0].found.missing = 1;
        },
    ),
    (
        "verified-messages",
        NotEnoughData,
        "0 of 100",
        |facts, _| periods(facts).clear(),
    ),
    (
        "verified-messages",
        NotEnoughData,
        "80 of 100",
        |facts, _| {
            periods(facts)[0].ended_at = ago(DAY);
        },
    ),
    ("verified-time", Pass, "30m of 30m", |_, _| {}),
    ("verified-time", NotEnoughData, "29m of 30m", |facts, _| {
        periods(facts)[1].listened = 9 * MINUTE;
    }),
    (
        "verified-time",
        NotEnoughData,
        "20m of 30m since",
        |facts, _| {
            periods(facts)[0].found.missing = 1;
        },
    ),
    ("verified-time", NotEnoughData, "0s of 30m", |facts, _| {
        periods(facts).clear();
    }),
];

#[test]
fn every_verdict_of_the_ramps_checks() {
    for (name, verdict, said, change) in RAMP {
        let (mut facts, mut settings) = (ready(), Gates::default());
        change(&mut facts, &mut settings);
        expect(&ramp::checks(&facts, &settings), name, *verdict, said);
    }
    let all = ramp::checks(&ready(), &Gates::default());
    let told = RAMP.iter().map(|(name, verdict, ..)| (*name, *verdict));
    covered(&all, &told.collect::<Vec<_>>(), |name| match name {
        "targets" => &[Pass, Fail],
        "verified-messages" | "verified-time" => &[Pass, NotEnoughData],
        _ => &[Pass, Fail, NotEnoughData],
    });
}

#[test]
fn each_target_that_clients_are_told_is_asked() {
    let mut facts = ready();
    let mut other = facts.targets[0].clone();
    other.name = "other".to_owned();
    other.seen.as_mut().unwrap().fact.connected = false;
    facts.targets.push(other);
    let gate = Gate {
        step: Stage::Ramp,
        checks: ramp::checks(&facts, &Gates::default()),
        caveats: Vec::new(),
    };
    assert_eq!(gate.verdict(), Fail);
    insta::assert_snapshot!(gate.to_string(), @"connected@other: fail (the broker was not reached yet)");
}

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

type SunsetRow = (
    &'static str,
    Verdict,
    &'static str,
    fn(&mut SunsetFacts, &mut Gates),
);

const SUNSET: &[SunsetRow] = &[
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
    for (name, verdict, said, change) in SUNSET {
        let (mut facts, mut settings) = (moved(), Gates::default());
        change(&mut facts, &mut settings);
        expect(&sunset::checks(&facts, &settings), name, *verdict, said);
    }
    let all = sunset::checks(&moved(), &Gates::default());
    let told = SUNSET.iter().map(|(name, verdict, ..)| (*name, *verdict));
    let any = |_: &str| -> &[Verdict] { &[Pass, Fail, NotEnoughData] };
    covered(&all, &told.collect::<Vec<_>>(), any);
}

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

type RetiredRow = (
    &'static str,
    Verdict,
    &'static str,
    fn(&mut RetiredFacts, &mut Gates),
);

const RETIRED: &[RetiredRow] = &[
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
    for (name, verdict, said, change) in RETIRED {
        let (mut facts, mut settings) = (quiet(), Gates::default());
        change(&mut facts, &mut settings);
        expect(&retired::checks(&facts, &settings), name, *verdict, said);
    }
    let all = retired::checks(&quiet(), &Gates::default());
    let told = RETIRED.iter().map(|(name, verdict, ..)| (*name, *verdict));
    let any = |_: &str| -> &[Verdict] { &[Pass, Fail, NotEnoughData] };
    covered(&all, &told.collect::<Vec<_>>(), any);
}

#[test]
fn a_gate_is_as_good_as_its_worst_check() {
    let gate = |verdicts: &[Verdict]| {
        let check = |verdict: &Verdict| Check::new("c", 0.0, "u").says(*verdict, "d");
        Gate {
            step: Stage::Ramp,
            checks: verdicts.iter().map(check).collect(),
            caveats: Vec::new(),
        }
        .verdict()
    };
    assert_eq!(gate(&[Pass, Pass]), Pass);
    assert_eq!(gate(&[Pass, NotEnoughData, Pass]), NotEnoughData);
    assert_eq!(gate(&[NotEnoughData, Fail, Pass]), Fail);
    assert_eq!(gate(&[]), NotEnoughData, "nothing asked is nothing known");
}

/// Of all checks this one says so, and whoever else does not pass has its reason in the same change.
#[track_caller]
fn expect(checks: &[Check], name: &str, verdict: Verdict, said: &str) {
    let check = checks.iter().find(|check| check.name == name).unwrap();
    assert_eq!(check.verdict, verdict, "{check}");
    assert!(check.detail.contains(said), "{check}: not {said:?}");
    let known = check.measured.is_some();
    assert!(known || verdict == NotEnoughData, "{check}: no figure");
}

/// Each check has a row for each verdict that it can give, and no others.
#[track_caller]
fn covered(
    checks: &[Check],
    rows: &[(&str, Verdict)],
    possible: impl Fn(&str) -> &'static [Verdict],
) {
    for check in checks {
        assert_eq!(check.verdict, Pass, "{check}");
        for verdict in [Pass, Fail, NotEnoughData] {
            let told = rows.contains(&(check.name, verdict));
            let expected = possible(check.name).contains(&verdict);
            assert_eq!(told, expected, "{} {verdict:?}", check.name);
        }
    }
}
