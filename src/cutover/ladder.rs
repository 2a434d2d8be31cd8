//! The ladder as a state machine: which record follows from which step. Pure.

use crate::{
    domain::{BasisPoints, Cohort, ModuleName, Stage},
    store::StageRecord,
};

/// What an engineer asks of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// One stage forward. To `ramp` it goes with the cohort that the record holds.
    Promote,
    /// The cohort's share; from `mirror` also the step to `ramp`.
    Ramp(BasisPoints),
    /// One stage back, or to a given earlier one.
    Rollback(Option<Stage>),
    /// Freezes the ladder, not the mirror.
    Pause,
    /// Ends the freeze.
    Resume,
}

impl Step {
    /// The word in the audit.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Ramp(_) => "ramp",
            Self::Rollback(_) => "rollback",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// The record after the step; its version, time and author are the store's and the caller's.
    pub fn apply(&self, record: &StageRecord) -> Result<StageRecord, Blocked> {
        let mut after = record.clone();
        match self {
            Self::Promote => after.stage = forward(record)?,
            Self::Ramp(share) => {
                after.stage = to_ramp(record)?;
                after.cohort = Cohort::share(*share);
            }
            // The way back is open under a freeze as well.
            Self::Rollback(to) => after.stage = back(record, *to)?,
            Self::Pause => after.paused = true,
            Self::Resume => after.paused = false,
        }
        Ok(after)
    }
}

/// Why a step cannot be taken from where the module is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// The ladder is frozen.
    #[error("the ladder of {module} is paused: resume it first, or roll back")]
    Paused {
        /// The module.
        module: ModuleName,
    },
    /// The last stage has no successor.
    #[error("{module} is at {stage}, there is no stage after it")]
    AtTheEnd {
        /// The module.
        module: ModuleName,
        /// Where it is.
        stage: Stage,
    },
    /// The first stage has no predecessor.
    #[error("{module} is at {stage}, there is no stage before it")]
    AtTheBeginning {
        /// The module.
        module: ModuleName,
        /// Where it is.
        stage: Stage,
    },
    /// A cohort means something at `ramp` only.
    #[error("{module} is at {stage}: a cohort is set at ramp, or from mirror as the step to it")]
    NotAtRamp {
        /// The module.
        module: ModuleName,
        /// Where it is.
        stage: Stage,
    },
    /// A rollback goes to an earlier stage.
    #[error("{module} is at {stage}: {to} is not before it")]
    NotBefore {
        /// The module.
        module: ModuleName,
        /// Where it is.
        stage: Stage,
        /// Where it was to go.
        to: Stage,
    },
}

fn forward(record: &StageRecord) -> Result<Stage, Blocked> {
    let module = record.module.clone();
    if record.paused {
        return Err(Blocked::Paused { module });
    }
    let stage = record.stage;
    stage.next().ok_or(Blocked::AtTheEnd { module, stage })
}

fn to_ramp(record: &StageRecord) -> Result<Stage, Blocked> {
    let module = record.module.clone();
    if record.paused {
        return Err(Blocked::Paused { module });
    }
    match record.stage {
        Stage::Mirror | Stage::Ramp => Ok(Stage::Ramp),
        stage => Err(Blocked::NotAtRamp { module, stage }),
    }
}

fn back(record: &StageRecord, to: Option<Stage>) -> Result<Stage, Blocked> {
    let (module, stage) = (record.module.clone(), record.stage);
    match to {
        None => stage
            .previous()
            .ok_or(Blocked::AtTheBeginning { module, stage }),
        Some(to) if to < stage => Ok(to),
        Some(to) => Err(Blocked::NotBefore { module, stage, to }),
    }
}
