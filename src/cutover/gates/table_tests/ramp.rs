//! The checks before `ramp`.

use std::time::Duration;

use super::{DAY, Fail, MINUTE, NOW, NotEnoughData, Pass, Row, ago, hold};
use crate::{
    config::gates::Gates,
    cutover::gates::{Gate, RampFacts, TargetFacts, ramp::checks},
    domain::{Micros, ModuleName, Stage},
    store::{Findings, MirrorFact, SeenFact, VerifierPeriod},
};

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

fn seen(facts: &mut RampFacts) -> &mut SeenFact {
    facts.targets[0].seen.as_mut().unwrap()
}

fn periods(facts: &mut RampFacts) -> &mut Vec<VerifierPeriod> {
    &mut facts.targets[0].periods
}

const RAMP: &[Row<RampFacts>] = &[
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
    hold(RAMP, ready, checks, |name| match name {
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
        checks: checks(&facts, &Gates::default()),
        caveats: Vec::new(),
    };
    assert_eq!(gate.verdict(), Fail);
    insta::assert_snapshot!(gate.to_string(), @"connected@other: fail (the broker was not reached yet)");
}
