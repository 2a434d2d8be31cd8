//! The ladder as a state machine: which record follows from which step. Pure.

use super::{Ladder, Recut, Transition};
use crate::{
    domain::{ModuleName, Stage},
    store::StageRecord,
};

/// What an engineer asks of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// One stage forward. To `ramp` it goes with the cohort that the record holds.
    Promote {
        /// The module's name again. The step to `retired` asks for it, no other takes it.
        confirm: Option<String>,
    },
    /// Another cohort; from `mirror` also the step to `ramp`.
    Ramp(Recut),
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
            Self::Promote { .. } => "promote",
            Self::Ramp(_) => "ramp",
            Self::Rollback(_) => "rollback",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// The record after the step; its version, time and author are the store's and the caller's.
    pub fn apply(&self, record: &StageRecord, ladder: Ladder) -> Result<StageRecord, Blocked> {
        let mut after = record.clone();
        match self {
            Self::Promote { confirm } => {
                let transition = forward(record, ladder)?;
                check_confirmation(record, transition, confirm.as_deref())?;
                transition.take(&mut after);
            }
            Self::Ramp(recut) => {
                if let Some(transition) = to_ramp(record, ladder)? {
                    transition.take(&mut after);
                }
                recut.apply(&mut after.cohort);
            }
            // The way back is open under a freeze as well.
            Self::Rollback(to) => back(record, ladder, *to)?.take(&mut after),
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
    /// Polls would be passed on to nobody.
    #[error(
        "{module} has no upstream, so it cannot be at {to}: there, a legacy upstream answers its polls"
    )]
    NoUpstream {
        /// The module.
        module: ModuleName,
        /// Where it was to go.
        to: Stage,
    },
    /// Nobody retires a module in passing.
    #[error(
        "{module} would be retired and its polls answered 410: say its name again to confirm (`--confirm {module}`, in the API the field `confirm`)"
    )]
    Unconfirmed {
        /// The module.
        module: ModuleName,
    },
    /// Who confirms a retirement expects one.
    #[error(
        "{module} is at {stage}, and the step to {to} takes no confirmation: `confirm` is for the step to retired"
    )]
    NothingToConfirm {
        /// The module.
        module: ModuleName,
        /// Where it is.
        stage: Stage,
        /// Where the step leads.
        to: Stage,
    },
}

fn forward(record: &StageRecord, ladder: Ladder) -> Result<Transition, Blocked> {
    let module = record.module.clone();
    if record.paused {
        return Err(Blocked::Paused { module });
    }
    let stage = record.stage;
    ladder
        .forward(stage)
        .ok_or(Blocked::AtTheEnd { module, stage })
}

fn check_confirmation(
    record: &StageRecord,
    transition: Transition,
    confirm: Option<&str>,
) -> Result<(), Blocked> {
    let module = record.module.clone();
    match (transition.to(), confirm) {
        (Stage::Retired, Some(name)) if name == module.as_str() => Ok(()),
        (Stage::Retired, _) => Err(Blocked::Unconfirmed { module }),
        (_, None) => Ok(()),
        (to, Some(_)) => Err(Blocked::NothingToConfirm {
            module,
            stage: record.stage,
            to,
        }),
    }
}

/// The step to `ramp`; none if the module is there.
fn to_ramp(record: &StageRecord, ladder: Ladder) -> Result<Option<Transition>, Blocked> {
    let module = record.module.clone();
    if record.paused {
        return Err(Blocked::Paused { module });
    }
    let stage = record.stage;
    if stage == Stage::Ramp {
        return Ok(None);
    }
    let step = ladder.forward(stage);
    let step = step.filter(|transition| transition.to() == Stage::Ramp);
    step.map(Some).ok_or(Blocked::NotAtRamp { module, stage })
}

fn back(record: &StageRecord, ladder: Ladder, to: Option<Stage>) -> Result<Transition, Blocked> {
    let (module, stage) = (record.module.clone(), record.stage);
    let Some(to) = to else {
        let step = ladder.back(stage);
        return step.ok_or(Blocked::AtTheBeginning { module, stage });
    };
    ladder.back_to(stage, to).ok_or_else(|| {
        if ladder.has(to) {
            Blocked::NotBefore { module, stage, to }
        } else {
            Blocked::NoUpstream { module, to }
        }
    })
}
