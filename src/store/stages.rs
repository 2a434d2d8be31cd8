//! What engineers asked for, and the record of it.

use async_trait::async_trait;

use super::{Result, row::json_text};
use crate::domain::{Cohort, End, Micros, ModuleName, Routing, Stage};

/// A row of `module_stage`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StageRecord {
    /// The module.
    pub module: ModuleName,
    /// The requested stage.
    pub stage: Stage,
    /// Who is told to take the push at `ramp`. Kept at other stages, for the way back.
    pub cohort: Cohort,
    /// Which target clients are told.
    pub routing: Routing,
    /// What is planned for `sunset`. Kept at other stages, likewise.
    #[serde(skip_serializing_if = "End::is_empty")]
    pub ending: End,
    /// Whether the ladder is frozen.
    pub paused: bool,
    /// Grows by one with every act.
    pub version: i64,
    /// Who did the last act.
    pub changed_by: String,
    /// When.
    pub changed_at: Micros,
    /// Why.
    pub reason: String,
    /// How it came to its stage.
    #[serde(flatten)]
    pub entered: Entered,
}

/// How a module came to the stage where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Entered {
    /// When; the beginning of time in an act that brings it there: the store writes the time of the act.
    #[serde(skip)]
    pub at: Micros,
    /// What was overridden for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced: Option<Forced>,
}

/// Checks of a gate that somebody has overridden.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forced {
    /// The step that they stood in the way of: the stage that it led to.
    pub step: Stage,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Which ones, by name, with their target.
    pub checks: Vec<String>,
}

/// A target's record as an act was decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTarget {
    /// The target.
    pub target: String,
    /// Its version; 0 = nobody had acted on it.
    pub version: i64,
}

/// One act on a module's flags: the new record and its audit entry, written in one transaction.
#[derive(Debug, Clone)]
pub struct Act {
    /// The record after the act; its `version` and `changed_at` are set by the store.
    pub after: StageRecord,
    /// The version that the act was decided on; 0 = no record before.
    pub expected_version: i64,
    /// The target that clients are routed to, if the act is about that.
    pub seen: Option<SeenTarget>,
    /// What was done: `promote`, `ramp`, `rollback` …
    pub action: String,
    /// The record before, as JSON.
    pub before: serde_json::Value,
}

/// A row of `audit`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct AuditEntry {
    /// Its number.
    pub id: i64,
    /// The module; absent for acts on all.
    pub module: Option<String>,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// The record before.
    pub before: serde_json::Value,
    /// The record after.
    pub after: serde_json::Value,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Micros,
}

/// Stages and their audit.
#[async_trait]
pub trait Stages {
    /// All records. A module without one is at `mirror`, version 0.
    async fn stages(&self) -> Result<Vec<StageRecord>>;

    /// Writes an act with its audit entry in one transaction, by the database's clock.
    /// [`super::Error::VersionConflict`] if another act came between, [`super::Error::TargetChanged`] if one on its target
    /// did: both lock the module's head, so of two at a time one sees the other.
    async fn act(&self, act: &Act) -> Result<StageRecord>;

    /// The newest entries of a module, panics over all modules among them, or of all; newest first, ids below `before` if given.
    async fn audit(
        &self,
        module: Option<&ModuleName>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>>;
}

/// What of a record is kept as JSON.
pub(super) struct Texts {
    pub(super) cohort: String,
    pub(super) routing: String,
    pub(super) ending: String,
    /// NULL where nothing was overridden.
    pub(super) forced: Option<String>,
}

impl Texts {
    pub(super) fn of(record: &StageRecord) -> Result<Self> {
        Ok(Self {
            cohort: json_text("module_stage", &record.cohort)?,
            routing: json_text("module_stage", &record.routing)?,
            ending: json_text("module_stage", &record.ending)?,
            forced: match &record.entered.forced {
                Some(forced) => Some(json_text("module_stage", forced)?),
                None => None,
            },
        })
    }
}

/// What was overridden to come to a stage. A replica of a version that knows nothing of it leaves it behind when it moves the
/// module on: then it is of another stage.
pub(super) fn forced(stored: Option<&str>, stage: Stage) -> serde_json::Result<Option<Forced>> {
    let forced: Option<Forced> = stored.map(serde_json::from_str).transpose()?;
    Ok(forced.filter(|forced| forced.step == stage))
}

/// Since when the module is at its stage after an act; absent = since the act.
pub(super) fn entered_at(act: &Act) -> Option<i64> {
    let at = act.after.entered.at;
    (at > Micros::default()).then(|| at.get())
}

/// The record of an act that was written, with its version, its time, and since when the module is at its stage.
pub(super) fn written(act: &Act, [version, changed_at, entered_at]: [i64; 3]) -> StageRecord {
    StageRecord {
        version,
        changed_at: Micros::new(changed_at),
        entered: Entered {
            at: Micros::new(entered_at),
            forced: act.after.entered.forced.clone(),
        },
        ..act.after.clone()
    }
}
