//! What the admin API says of a module, as far as it is shown.
//!
//! Invariant: a gateway of another version is read as well: what it does not say is absent here, and what this version does not
//! know is passed over.

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

/// A module.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct ModuleView {
    pub(super) module: String,
    pub(super) from_memory: Option<FromMemory>,
    pub(super) stage_requested: String,
    pub(super) stage_effective: String,
    pub(super) effective_reason: String,
    pub(super) panics: Vec<Value>,
    pub(super) reason: String,
    pub(super) percent: Option<f64>,
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) routes: Vec<Route>,
    pub(super) ends_at: Option<String>,
    pub(super) brownouts: Vec<String>,
    pub(super) block: Vec<String>,
    pub(super) paused: bool,
    pub(super) version: i64,
    pub(super) changed_by: String,
    pub(super) changed_at: Option<String>,
    pub(super) epoch: u32,
    pub(super) head: u64,
    pub(super) retained_from: u64,
    pub(super) lease_holder: Option<String>,
    pub(super) targets: Vec<Target>,
    pub(super) guard: Vec<Guard>,
    pub(super) gate: Option<Gate>,
    pub(super) forced: Option<Forced>,
    pub(super) clients: Option<Clients>,
    pub(super) rates: Option<Rates>,
}

/// That the gateway tells what it remembers, because its database does not answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct FromMemory {
    pub(super) why: String,
    pub(super) read_ms_ago: Option<u64>,
}

/// Which share of the clients is told which target.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Route {
    pub(super) target: String,
    pub(super) percent: f64,
}

/// A target that the asked replica feeds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Target {
    #[serde(rename = "target")]
    pub(super) name: String,
    pub(super) connected: bool,
    pub(super) position: u64,
    pub(super) behind: u64,
    pub(super) lag_ms: u64,
    pub(super) generation: u64,
    pub(super) halted: Option<String>,
    pub(super) skipped: Option<String>,
    pub(super) verified: Option<Value>,
}

/// What the guard thinks of a target, whichever replica feeds it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Guard {
    pub(super) target: String,
    /// Whether anything is sent to the target now.
    pub(super) fed: Option<bool>,
    /// Whether any client is told the target now.
    pub(super) has_clients: Option<bool>,
    /// `watching`, `tripped` or `returning`.
    pub(super) state: String,
    pub(super) cause: Option<String>,
    pub(super) since: Option<String>,
    pub(super) healthy_since: Option<String>,
    pub(super) pushed_percent: Option<f64>,
}

/// Whether the next step may be made.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Gate {
    pub(super) step: String,
    /// `pass`, `fail` or `not-enough-data`.
    pub(super) verdict: String,
    pub(super) checks: Vec<Check>,
    /// What stands in nobody's way and yet should be known.
    pub(super) caveats: Vec<String>,
}

/// A check of a gate.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) target: Option<String>,
    /// A number, or a text such as `>= 0.95`.
    pub(super) threshold: Value,
    pub(super) measured: Option<f64>,
    pub(super) unit: String,
    pub(super) sample: f64,
    pub(super) verdict: String,
    pub(super) detail: Option<String>,
    pub(super) pollers: Option<Pollers>,
}

/// Who still polls.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Pollers {
    pub(super) clients: u64,
    /// Some of them.
    pub(super) by_client: Vec<Poller>,
    pub(super) agents: u64,
    /// Some of them.
    pub(super) by_agent: Vec<PollerAgent>,
}

/// A client that polls.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Poller {
    pub(super) client: String,
    pub(super) agent: Option<String>,
    pub(super) last_seen: String,
}

/// A program that clients poll with.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct PollerAgent {
    pub(super) agent: String,
    pub(super) clients: u64,
    pub(super) last_seen: String,
}

/// A step that was made although its gate did not pass.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Forced {
    pub(super) step: String,
    pub(super) by: String,
    pub(super) at: Option<String>,
    pub(super) reason: String,
    pub(super) checks: Vec<String>,
}

/// Who was seen how lately.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Clients {
    pub(super) push: u64,
    pub(super) poll: u64,
    pub(super) fell_back: u64,
    pub(super) without_id: u64,
    pub(super) since: Option<String>,
    pub(super) exact: bool,
}

/// What the asked replica does in a second.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Rates {
    #[serde(rename = "polls_per_s")]
    pub(super) polls: Option<f64>,
    #[serde(rename = "idle_polls_per_s")]
    pub(super) idle_polls: Option<f64>,
    #[serde(rename = "sql_per_s")]
    pub(super) sql: Option<f64>,
    #[serde(rename = "pushed_per_s")]
    pub(super) pushed: Option<f64>,
    #[serde(rename = "bytes_per_s")]
    pub(super) bytes: Option<f64>,
}

/// An entry of the audit.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    pub(super) id: i64,
    pub(super) at: String,
    pub(super) actor: String,
    pub(super) action: String,
    pub(super) reason: String,
    pub(super) before: Value,
    pub(super) after: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Modules {
    modules: Vec<ModuleView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct History {
    entries: Vec<Entry>,
}

impl ModuleView {
    /// Reads the answer about one module.
    pub(super) fn parse(answer: &str) -> anyhow::Result<Self> {
        serde_json::from_str(answer).context(UNREADABLE)
    }

    /// Reads the answer about all modules.
    pub(super) fn parse_all(answer: &str) -> anyhow::Result<Vec<Self>> {
        let answer: Modules = serde_json::from_str(answer).context(UNREADABLE)?;
        Ok(answer.modules)
    }

    /// Whether something other than engineers says what is in force.
    pub(super) fn is_held_down(&self) -> bool {
        self.stage_effective != self.stage_requested || !self.panics.is_empty()
    }

    /// What the guard thinks of a target.
    pub(super) fn guard_of(&self, target: &str) -> Option<&Guard> {
        self.guard.iter().find(|guard| guard.target == target)
    }
}

impl Guard {
    /// Whether it holds nobody, wherever it is.
    pub(super) fn is_nobodys(&self) -> bool {
        self.has_clients == Some(false)
    }
}

impl Entry {
    /// Reads a page of the history.
    pub(super) fn parse_all(answer: &str) -> anyhow::Result<Vec<Self>> {
        let answer: History = serde_json::from_str(answer).context(UNREADABLE)?;
        Ok(answer.entries)
    }
}

impl Clients {
    /// The share of the known clients that is on push, 0 to 100; `None` without clients.
    #[expect(clippy::cast_precision_loss, reason = "a share of clients for eyes")]
    pub(super) fn pushed_percent(&self) -> Option<f64> {
        let known = self.push + self.poll;
        (known > 0).then(|| self.push as f64 * 100.0 / known as f64)
    }
}

const UNREADABLE: &str =
    "the answer is none that this version of changeover understands; `--output json` shows it";
