//! What keeps a module from being healthy.
//!
//! Invariant: a target of which nothing is known is not healthy.

use std::time::Duration;

use super::{
    until::Missing,
    view::{Check, Guard, ModuleView},
    words,
};
use crate::domain::Stage;

pub(super) fn unhealthy(m: &ModuleView, max_lag: Duration) -> Vec<Missing> {
    let mut missing = Vec::new();
    if m.is_held_down() {
        let (asked, in_force) = (&m.stage_requested, &m.stage_effective);
        let why = words::held_down_by(m);
        let text = format!("in force is {in_force} ({why}), asked for is {asked}");
        missing.push(Missing::new("stage", text));
    }
    if m.lease_holder.is_none() {
        missing.push(Missing::new("writer", "no replica numbers the module"));
    }
    let told = m.routes.iter().map(|route| route.target.as_str());
    let here = m.targets.iter().map(|target| target.name.as_str());
    let guarded = m.guard.iter().map(|guard| guard.target.as_str());
    let mut targets: Vec<&str> = told.chain(here).chain(guarded).collect();
    targets.sort_unstable();
    targets.dedup();
    let had_some = !targets.is_empty();
    targets.retain(|target| !is_left(m, target));
    if had_some && targets.is_empty() {
        missing.push(Missing::new("targets", "nothing is sent to any target"));
    }
    for target in targets {
        missing.extend(trouble_of(m, target, max_lag));
    }
    missing
}

/// What is wrong with a target: its own facts where the asked replica feeds it, and what the guard says in any case.
fn trouble_of(m: &ModuleView, name: &str, max_lag: Duration) -> Vec<Missing> {
    let about = format!("target {name}");
    let mut missing = Vec::new();
    let mut say = |text: String| missing.push(Missing::new(&about, format!("{about}: {text}")));
    let (target, guard) = (
        m.targets.iter().find(|target| target.name == name),
        m.guard_of(name),
    );
    if let Some(target) = target {
        if let Some(why) = &target.halted {
            say(format!("halted, {why}"));
        }
        if !target.connected {
            say("not connected".to_owned());
        }
        let lag = Duration::from_millis(target.lag_ms);
        if lag >= max_lag {
            let (lag, most) = (words::duration(target.lag_ms), millis(max_lag));
            say(format!(
                "{lag} late, the bound is {}",
                words::duration(most)
            ));
        }
    } else {
        let reported = reported(m, name);
        if reported.is_empty() && !is_judged(m, name) {
            say(match &m.lease_holder {
                Some(holder) => format!(
                    "the replica that answers does not feed it ({holder} does) and knows nothing of it"
                ),
                None => "no replica feeds it".to_owned(),
            });
        }
        let open = reported.iter().filter(|check| check.verdict != "pass");
        for check in open {
            let detail = check.detail.as_deref().unwrap_or_default();
            say(format!("{}: {detail}", check.name));
        }
    }
    let holds = |guard: &&Guard| guard.state != "watching" && !guard.is_nobodys();
    if let Some(guard) = guard.filter(holds) {
        say(tripped(guard));
    }
    missing
}

/// Whether nothing is sent to a target and no client is told it: however it stands is nobody's trouble.
fn is_left(m: &ModuleView, target: &str) -> bool {
    let guard = m.guard_of(target);
    guard.is_some_and(|guard| guard.fed == Some(false) && guard.is_nobodys())
}

/// What the replica that feeds a target has reported of it to all, where the next step asks for that.
fn reported<'a>(m: &'a ModuleView, target: &str) -> Vec<&'a Check> {
    let checks = m.gate.iter().flat_map(|gate| &gate.checks);
    let of_it = checks.filter(|check| check.target.as_deref() == Some(target));
    of_it
        .filter(|check| ["connected", "halted", "lag"].contains(&check.name.as_str()))
        .collect()
}

/// Whether its guard would have tripped by now: one of a target that no client is told, or of a module at `mirror`, does not.
fn is_judged(m: &ModuleView, target: &str) -> bool {
    let mut told = m.routes.iter().filter(|route| route.percent > 0.0);
    m.guard_of(target).is_some()
        && told.any(|route| route.target == target)
        && m.stage_requested != Stage::Mirror.as_str()
}

fn tripped(guard: &Guard) -> String {
    let since = words::time_or_nothing(guard.since.as_ref());
    let state = words::guard_of(guard).written(false);
    format!("the guard is {state}, since {since}")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
