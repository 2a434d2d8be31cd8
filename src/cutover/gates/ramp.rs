//! From `mirror` to `ramp`: does every target that clients are told get the module's changes, all of them, in time?

use std::time::Duration;

use super::{
    Check, Verdict,
    check::{figure, span},
};
use crate::{
    config::gates::Gates,
    domain::Micros,
    store::{Findings, SeenFact, VerifierPeriod},
};

/// What is known of the targets that clients would be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RampFacts {
    /// The database's time.
    pub now: Micros,
    /// Those that anything is sent to.
    pub targets: Vec<TargetFacts>,
}

/// What is known of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// Its name.
    pub name: String,
    /// What the holder of the module's lease wrote last.
    pub seen: Option<SeenFact>,
    /// What its verifier has found, the oldest first.
    pub periods: Vec<VerifierPeriod>,
}

/// What has to hold before clients are told to take the push.
pub(super) fn checks(facts: &RampFacts, settings: &Gates) -> Vec<Check> {
    let mut checks = vec![targets(facts)];
    for target in &facts.targets {
        let seen = Seen::of(target, facts.now, settings);
        checks.push(connected(&seen).of(&target.name));
        checks.push(running(&seen).of(&target.name));
        checks.push(lag(&seen, settings).of(&target.name));
        let verified = Verified::of(&target.periods, facts.now, settings);
        let asked = [
            clean(&verified, settings),
            messages(&verified, settings),
            time(&verified, settings),
        ];
        checks.extend(asked.map(|check| check.of(&target.name)));
    }
    checks
}

fn targets(facts: &RampFacts) -> Check {
    let count = u64::try_from(facts.targets.len()).unwrap_or(u64::MAX);
    let check = Check::new("targets", 1.0, "targets").measured(figure(count), count);
    let names: Vec<_> = facts.targets.iter().map(|t| t.name.as_str()).collect();
    if names.is_empty() {
        return check.says(
            Verdict::Fail,
            "no target that is fed gets the module: configure one, or resume it",
        );
    }
    check.says(
        Verdict::Pass,
        format!("clients are told {}", names.join(", ")),
    )
}

/// What is known now, or why nothing is.
enum Seen<'a> {
    Fresh(&'a SeenFact),
    Nothing(String),
}

impl<'a> Seen<'a> {
    fn of(target: &'a TargetFacts, now: Micros, settings: &Gates) -> Self {
        let Some(seen) = &target.seen else {
            return Self::Nothing(
                "nobody has reported on it yet: no replica mirrors the module there, or it has just begun"
                    .to_owned(),
            );
        };
        let age = now.since(seen.at);
        if age > settings.stale_after.get() {
            return Self::Nothing(format!(
                "the last report is {} old, {} would do: does a replica hold the module's lease?",
                span(age),
                settings.stale_after
            ));
        }
        Self::Fresh(seen)
    }

    fn judge(
        &self,
        check: Check,
        judge: impl FnOnce(Check, &crate::store::MirrorFact) -> Check,
    ) -> Check {
        match self {
            Self::Fresh(seen) => {
                let check = Check { sample: 1, ..check };
                judge(check, &seen.fact)
            }
            Self::Nothing(why) => check.says(Verdict::NotEnoughData, why),
        }
    }
}

fn connected(seen: &Seen<'_>) -> Check {
    let check = Check::new("connected", 1.0, "connections");
    seen.judge(check, |check, fact| {
        if fact.connected {
            return check
                .measured(1.0, 1)
                .says(Verdict::Pass, "the mirror is connected");
        }
        let why = fact
            .trouble
            .as_deref()
            .unwrap_or("the broker was not reached yet");
        check.measured(0.0, 1).says(Verdict::Fail, why)
    })
}

fn running(seen: &Seen<'_>) -> Check {
    let check = Check::new("halted", 0.0, "halts");
    seen.judge(check, |check, fact| match &fact.halted {
        None => check
            .measured(0.0, 1)
            .says(Verdict::Pass, "the mirror has not halted"),
        Some(why) => check.measured(1.0, 1).says(Verdict::Fail, why),
    })
}

fn lag(seen: &Seen<'_>, settings: &Gates) -> Check {
    let most = settings.max_lag.get();
    let check = Check::new("lag", millis(most), "ms");
    seen.judge(check, |check, fact| {
        let behind = format!("{} changes behind", fact.behind);
        let Some(lag) = fact.lag else {
            return check.says(
                Verdict::NotEnoughData,
                format!("{behind}, the oldest of which is not in memory any more"),
            );
        };
        let verdict = if lag <= most {
            Verdict::Pass
        } else {
            Verdict::Fail
        };
        let detail = format!("{} late, at most {}; {behind}", span(lag), settings.max_lag);
        check.measured(millis(lag), 1).says(verdict, detail)
    })
}

fn millis(span: Duration) -> f64 {
    figure(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// What a verifier has found.
#[derive(Debug, Default)]
struct Verified {
    /// What was wrong of late.
    lately: Findings,
    /// What was right since the last time that something was wrong.
    ok: u64,
    /// For how long it has listened since then.
    listened: Duration,
    /// When something was wrong, at the latest.
    last_problem: Option<Micros>,
    any: bool,
}

impl Verified {
    fn of(periods: &[VerifierPeriod], now: Micros, settings: &Gates) -> Self {
        let since = now.minus(settings.verified_within.get());
        let lately = now.minus(settings.verified_for.get().max(settings.window()));
        let mut verified = Self::default();
        for period in periods.iter().filter(|period| period.ended_at > since) {
            verified.any |= !period.listened.is_zero();
            if period.ended_at > lately {
                verified.lately = plus(verified.lately, period.found);
            }
            if period.found.problems() > 0 {
                verified.last_problem = Some(period.ended_at);
                (verified.ok, verified.listened) = (0, Duration::ZERO);
            } else {
                verified.ok += period.found.ok;
                verified.listened += period.listened;
            }
        }
        verified
    }

    fn since(&self) -> String {
        self.last_problem.map_or_else(String::new, |at| {
            let at = humantime::format_rfc3339_seconds(at.into());
            format!(" since {at}, when something was wrong")
        })
    }
}

fn plus(a: Findings, b: Findings) -> Findings {
    Findings {
        ok: a.ok + b.ok,
        missing: a.missing + b.missing,
        duplicate: a.duplicate + b.duplicate,
        reordered: a.reordered + b.reordered,
        previous: a.previous + b.previous,
        late: a.late + b.late,
        foreign: a.foreign + b.foreign,
        unobserved: a.unobserved + b.unobserved,
    }
}

fn clean(verified: &Verified, settings: &Gates) -> Check {
    let found = verified.lately;
    let check = Check::new("verifier", 0.0, "problems");
    let check = check.measured(figure(found.problems()), found.compared());
    if found.problems() > 0 {
        return check.says(
            Verdict::Fail,
            format!(
                "{} missing, {} reordered, {} with another predecessor, {} not the log's, of {} that were compared",
                found.missing,
                found.reordered,
                found.previous,
                found.foreign,
                found.compared()
            ),
        );
    }
    let asked = settings.verified_messages > 0 || !settings.verified_for.get().is_zero();
    if asked && !verified.any {
        return Check {
            measured: None,
            ..check
        }
        .says(
            Verdict::NotEnoughData,
            "no verifier has listened to the target: is verifier.enabled set, and may it subscribe?",
        );
    }
    check.says(
        Verdict::Pass,
        format!(
            "nothing wrong among {} that were compared",
            found.compared()
        ),
    )
}

fn messages(verified: &Verified, settings: &Gates) -> Check {
    let least = settings.verified_messages;
    let verdict = if verified.ok >= least {
        Verdict::Pass
    } else {
        Verdict::NotEnoughData
    };
    let check = Check::new("verified-messages", figure(least), "changes");
    check.measured(figure(verified.ok), verified.ok).says(
        verdict,
        format!(
            "{} of {least} changes came as the log has them{}",
            verified.ok,
            verified.since()
        ),
    )
}

fn time(verified: &Verified, settings: &Gates) -> Check {
    let least = settings.verified_for.get();
    let verdict = if verified.listened >= least {
        Verdict::Pass
    } else {
        Verdict::NotEnoughData
    };
    let check = Check::new("verified-time", minutes(least), "minutes");
    check
        .measured(minutes(verified.listened), verified.ok)
        .says(
            verdict,
            format!(
                "its verifier has listened for {} of {}{}",
                span(verified.listened),
                settings.verified_for,
                verified.since()
            ),
        )
}

fn minutes(span: Duration) -> f64 {
    (span.as_secs_f64() / 60.0 * 100.0).floor() / 100.0
}
