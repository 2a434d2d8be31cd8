//! What a script may wait for.
//!
//! Invariant: a condition holds only on what the gateway says; what it does not say is missing, never assumed. What it only remembers
//! holds for what it tells its clients, which is in force, and for nothing that others may have changed meanwhile.

use std::{str::FromStr, time::Duration};

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{health::unhealthy, view::ModuleView, words};
use crate::domain::{Invalid, Stage};

/// Something that a module may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// In force is what engineers ask for, no panic is, somebody numbers the module, and each target that clients are told is connected, not
    /// halted, late by less than a bound, and watched by a guard that has not tripped.
    Healthy,
    /// Asked for and in force.
    Stage(Stage),
    /// Asked for.
    Requested(Stage),
    /// In force, whatever is asked for.
    Effective(Stage),
    /// The gate of the next step passes.
    Gate,
}

/// All that can be waited for, as it is written: what shells offer.
const WORDS: [&str; 20] = [
    "healthy",
    "gate=pass",
    "stage=proxy",
    "stage=shadow",
    "stage=mirror",
    "stage=ramp",
    "stage=sunset",
    "stage=retired",
    "requested=proxy",
    "requested=shadow",
    "requested=mirror",
    "requested=ramp",
    "requested=sunset",
    "requested=retired",
    "effective=proxy",
    "effective=shadow",
    "effective=mirror",
    "effective=ramp",
    "effective=sunset",
    "effective=retired",
];

/// Reads a condition of the command line.
pub(super) fn parser() -> impl TypedValueParser<Value = Condition> {
    PossibleValuesParser::new(WORDS).try_map(|word| word.parse::<Condition>())
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    /// What it is about, which stays the same while figures change.
    pub(super) about: String,
    /// How it stands.
    pub(super) text: String,
}

impl Missing {
    pub(super) fn new(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            text: text.into(),
        }
    }
}

impl FromStr for Condition {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        match word.split_once('=') {
            None if word == "healthy" => Ok(Self::Healthy),
            Some(("stage", stage)) => stage.parse().map(Self::Stage),
            Some(("requested", stage)) => stage.parse().map(Self::Requested),
            Some(("effective", stage)) => stage.parse().map(Self::Effective),
            Some(("gate", "pass")) => Ok(Self::Gate),
            _ => Err(Invalid::new(
                "until",
                "must be healthy, stage=STAGE, requested=STAGE, effective=STAGE or gate=pass",
            )),
        }
    }
}

impl Condition {
    /// Whether it is about more than what the replica that answers tells its clients.
    const fn is_of_all(self) -> bool {
        !matches!(self, Self::Effective(_))
    }

    /// What is missing until it holds; nothing if it does.
    pub(super) fn missing(self, m: &ModuleView, max_lag: Duration) -> Vec<Missing> {
        let (asked, in_force) = (m.stage_requested.as_str(), m.stage_effective.as_str());
        let is = |what: &str, now: &str, stage: Stage| {
            let text = || format!("{what} is {now}, not {stage}");
            (now != stage.as_str()).then(|| Missing::new(what, text()))
        };
        if let (Some(memory), true) = (&m.from_memory, self.is_of_all()) {
            return vec![Missing::new("database", words::from_memory(memory))];
        }
        match self {
            Self::Healthy => unhealthy(m, max_lag),
            Self::Requested(stage) => is("asked for", asked, stage).into_iter().collect(),
            Self::Effective(stage) => is("in force", in_force, stage).into_iter().collect(),
            Self::Stage(stage) => {
                let asked = is("asked for", asked, stage);
                asked.or_else(|| held(m, stage)).into_iter().collect()
            }
            Self::Gate => gate(m),
        }
    }
}

/// What is missing until all of them hold, each thing once.
pub(super) fn missing(conditions: &[Condition], m: &ModuleView, max_lag: Duration) -> Vec<Missing> {
    let mut all: Vec<Missing> = Vec::new();
    for condition in conditions {
        for one in condition.missing(m, max_lag) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    all
}

fn held(m: &ModuleView, stage: Stage) -> Option<Missing> {
    let why = words::held_down_by(m);
    let in_force = &m.stage_effective;
    let text = || format!("in force is {in_force} ({why}), not {stage}");
    (in_force != stage.as_str()).then(|| Missing::new("in force", text()))
}

fn gate(m: &ModuleView) -> Vec<Missing> {
    let Some(gate) = &m.gate else {
        let text = "the module has no gate: there is no step forward, or the gateway tells none";
        return vec![Missing::new("gate", text)];
    };
    if gate.verdict == "pass" {
        return Vec::new();
    }
    let open = gate.checks.iter().filter(|check| check.verdict != "pass");
    let mut missing: Vec<Missing> = open
        .map(|check| {
            let detail = check.detail.as_deref().unwrap_or_default();
            let target = check.target.as_deref().unwrap_or_default();
            let about = format!("check {} {target}", check.name);
            let about = about.trim_end();
            let text = format!("{about}: {} {detail}", words::verdict(&check.verdict));
            Missing::new(about, text.trim_end())
        })
        .collect();
    if missing.is_empty() {
        let text = format!("the gate to {} says {}", gate.step, gate.verdict);
        missing.push(Missing::new("gate", text));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::super::view::{FromMemory, Guard, Route, Target};
    use super::*;

    const BOUND: Duration = Duration::from_secs(5);

    fn healthy() -> ModuleView {
        ModuleView {
            stage_requested: "ramp".to_owned(),
            stage_effective: "ramp".to_owned(),
            effective_reason: "cohort".to_owned(),
            lease_holder: Some("gw-1".to_owned()),
            routes: vec![Route {
                target: "local".to_owned(),
                percent: 100.0,
            }],
            targets: vec![Target {
                name: "local".to_owned(),
                connected: true,
                lag_ms: 4_999,
                ..Target::default()
            }],
            guard: vec![Guard {
                target: "local".to_owned(),
                state: "watching".to_owned(),
                ..Guard::default()
            }],
            ..ModuleView::default()
        }
    }

    fn said(condition: &str, m: &ModuleView) -> Vec<String> {
        let condition: Condition = condition.parse().unwrap();
        let missing = condition.missing(m, BOUND).into_iter();
        missing.map(|missing| missing.text).collect()
    }

    type Change = fn(&mut ModuleView);

    #[test]
    fn each_thing_alone_keeps_a_module_from_being_healthy() {
        assert_eq!(said("healthy", &healthy()), Vec::<String>::new());
        let ills: [(Change, &str); 9] = [
            (
                |m| {
                    m.stage_effective = "mirror".to_owned();
                    m.effective_reason = "panic".to_owned();
                },
                "in force is mirror (panic), asked for is ramp",
            ),
            (
                |m| m.panics = vec![serde_json::json!({"module": null})],
                "in force is ramp (panic), asked for is ramp",
            ),
            (|m| m.lease_holder = None, "no replica numbers the module"),
            (
                |m| m.targets[0].connected = false,
                "target local: not connected",
            ),
            (
                |m| m.targets[0].halted = Some("refused".to_owned()),
                "target local: halted, refused",
            ),
            (
                |m| m.targets[0].lag_ms = 5_000,
                "target local: 5.0 s late, the bound is 5.0 s",
            ),
            (
                |m| {
                    m.guard[0].state = "tripped".to_owned();
                    m.guard[0].cause = Some("loss".to_owned());
                },
                "target local: the guard is tripped: loss, since -",
            ),
            (
                |m| {
                    m.guard[0].state = "returning".to_owned();
                    m.guard[0].pushed_percent = Some(40.0);
                },
                "target local: the guard is returning: 40 %, since -",
            ),
            (
                |m| {
                    m.targets.clear();
                    m.guard.clear();
                },
                "target local: the replica that answers does not feed it (gw-1 does) and knows nothing of it",
            ),
        ];
        for (change, expected) in ills {
            let mut m = healthy();
            change(&mut m);
            assert_eq!(said("healthy", &m), [expected]);
        }
    }

    #[test]
    fn a_guard_tells_of_targets_that_another_replica_feeds() {
        let mut m = healthy();
        m.targets.clear();
        assert_eq!(said("healthy", &m), Vec::<String>::new());
        // Where nobody could be sent back a guard does not trip, so it says nothing.
        m.stage_requested = "mirror".to_owned();
        m.stage_effective = "mirror".to_owned();
        let unknown = "target local: the replica that answers does not feed it (gw-1 does) and knows nothing of it";
        assert_eq!(said("healthy", &m), [unknown]);
        let gate = |verdict: &str| {
            serde_json::from_value(serde_json::json!({"step": "ramp", "verdict": verdict, "checks": [
                {"name": "connected", "target": "local", "verdict": verdict, "detail": "the mirror is away"},
                {"name": "verified-time", "target": "local", "verdict": "not-enough-data"}]}))
            .unwrap()
        };
        m.gate = gate("fail");
        assert_eq!(
            said("healthy", &m),
            ["target local: connected: the mirror is away"]
        );
        m.gate = gate("pass");
        assert_eq!(said("healthy", &m), Vec::<String>::new());
    }

    #[test]
    fn a_target_that_is_left_is_nobodys_trouble() {
        let mut m = healthy();
        m.guard.push(Guard {
            target: "left".to_owned(),
            state: "tripped".to_owned(),
            cause: Some("disconnected".to_owned()),
            fed: Some(false),
            has_clients: Some(false),
            ..Guard::default()
        });
        assert_eq!(said("healthy", &m), Vec::<String>::new());
        assert_eq!(words::guard(&m, false).written(false), "watching");
        // Clients are routed there, and told another one.
        m.routes[0].target = "left".to_owned();
        assert_eq!(said("healthy", &m), Vec::<String>::new());
        // Unless nothing is left then.
        let mut alone = m.clone();
        alone.targets.clear();
        alone.guard.remove(0);
        assert_eq!(said("healthy", &alone), ["nothing is sent to any target"]);
        // One that is fed has to work; whether its guard would hold anybody does not matter.
        m.guard[1].fed = Some(true);
        m.targets.push(Target {
            name: "left".to_owned(),
            ..Target::default()
        });
        assert_eq!(said("healthy", &m), ["target left: not connected"]);
        m.guard[1].has_clients = Some(true);
        let both = [
            "target left: not connected",
            "target left: the guard is tripped: disconnected, since -",
        ];
        assert_eq!(said("healthy", &m), both);
        // A gateway of before says neither.
        (m.guard[1].fed, m.guard[1].has_clients) = (None, None);
        assert_eq!(said("healthy", &m), both);
    }

    #[test]
    fn a_stage_is_reached_when_it_is_asked_for_and_in_force() {
        let mut m = healthy();
        assert_eq!(said("stage=ramp", &m), Vec::<String>::new());
        m.stage_effective = "mirror".to_owned();
        m.effective_reason = "guard".to_owned();
        assert_eq!(
            said("stage=ramp", &m),
            ["in force is mirror (guard), not ramp"]
        );
        assert_eq!(said("stage=mirror", &m), ["asked for is ramp, not mirror"]);
        assert_eq!(said("effective=mirror", &m), Vec::<String>::new());
        assert_eq!(said("requested=ramp", &m), Vec::<String>::new());
    }

    #[test]
    fn what_is_only_remembered_holds_for_what_is_in_force() {
        let mut m = healthy();
        m.from_memory = Some(FromMemory {
            why: "the database does not answer".to_owned(),
            read_ms_ago: Some(12_300),
        });
        assert_eq!(said("effective=ramp", &m), Vec::<String>::new());
        assert_eq!(
            said("effective=mirror", &m),
            ["in force is ramp, not mirror"]
        );
        let unknown = "the database does not answer: this is what the gateway remembers, last read 12.3 s ago";
        for condition in ["healthy", "stage=ramp", "requested=ramp", "gate=pass"] {
            assert_eq!(said(condition, &m), [unknown], "{condition}");
        }
    }

    #[test]
    fn a_gate_that_is_not_told_is_not_passed() {
        let mut m = healthy();
        assert_eq!(said("gate=pass", &m).len(), 1);
        m.gate = serde_json::from_value(serde_json::json!({"step": "sunset", "verdict": "fail", "checks": [
            {"name": "pushed", "verdict": "pass"},
            {"name": "lag", "target": "local", "verdict": "not-enough-data", "detail": "3 of 10 minutes"}]}))
        .unwrap();
        assert_eq!(
            said("gate=pass", &m),
            ["check lag local: no data 3 of 10 minutes"]
        );
        if let Some(gate) = &mut m.gate {
            gate.verdict = "pass".to_owned();
        }
        assert_eq!(said("gate=pass", &m), Vec::<String>::new());
    }

    #[test]
    fn shells_offer_each_condition() {
        let all = WORDS.map(|word| word.parse::<Condition>().unwrap());
        for stage in Stage::ALL {
            for condition in [
                Condition::Stage(stage),
                Condition::Requested(stage),
                Condition::Effective(stage),
            ] {
                assert!(all.contains(&condition), "{condition:?}");
            }
        }
        assert!(all.contains(&Condition::Healthy) && all.contains(&Condition::Gate));
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused() {
        for word in ["health", "stage=", "stage=Ramp", "gate=fail", "", "=ramp"] {
            assert!(word.parse::<Condition>().is_err(), "{word}");
        }
    }
}
