//! What operators want of the targets, and where their cursors are set by hand.
//!
//! Invariants: an act, the cursors that it moves and its audit entry are one transaction, which locks the head rows
//! first, so no mirror writes a cursor meanwhile. A cursor that an act moves gets a new version, over which its mirror
//! cannot write, and a higher generation, which tells the mirror and the clients.

use async_trait::async_trait;

use super::{Lease, MirrorCursor, Result};
use crate::domain::{Cursor, Micros, ModuleName, Position, Standing};

/// A row of `mirror_target`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TargetRecord {
    /// The target.
    pub target: String,
    /// Whether it is fed.
    pub standing: Standing,
    /// Grows by one with every act.
    pub version: i64,
    /// Who did the last act.
    pub changed_by: String,
    /// When.
    pub changed_at: Micros,
    /// Why.
    pub reason: String,
}

impl TargetRecord {
    /// The record of a target that nobody has acted on.
    pub fn untouched(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            standing: Standing::Active,
            version: 0,
            changed_by: String::new(),
            changed_at: Micros::default(),
            reason: String::new(),
        }
    }
}

/// A cursor of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetCursor {
    /// The row as its mirror knows it.
    pub row: MirrorCursor,
    /// When the target was retired; 0 if the cursor counts.
    pub retired_at: Micros,
}

/// From where changes are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFrom {
    /// After this cursor.
    Cursor(Cursor),
    /// After this position of the present epoch.
    Position(Position),
}

/// What an operator asks of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetStep {
    /// Nothing is sent until it is resumed.
    Pause,
    /// It is fed again, from its cursors.
    Resume {
        /// From the heads instead: what it has not got is left out.
        at_head: bool,
    },
    /// Nothing is sent, and nothing is kept for it.
    Retire,
    /// Modules that have halted are tried again at once.
    Retry,
    /// Changes of one module are sent again.
    Replay {
        /// The module.
        module: ModuleName,
        /// After it.
        from: ReplayFrom,
    },
}

impl TargetStep {
    /// The word in the audit.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Pause => "target-pause",
            Self::Resume { .. } => "target-resume",
            Self::Retire => "target-retire",
            Self::Retry => "target-retry",
            Self::Replay { .. } => "target-replay",
        }
    }

    /// The module in the audit; the other acts are on all.
    pub const fn module(&self) -> Option<&ModuleName> {
        match self {
            Self::Replay { module, .. } => Some(module),
            _ => None,
        }
    }
}

/// An act on a target.
#[derive(Debug, Clone)]
pub struct TargetAct {
    /// On which.
    pub target: String,
    /// What.
    pub step: TargetStep,
    /// The modules that the target takes.
    pub modules: Vec<ModuleName>,
    /// The versions of the modules' flags that the act was decided on, if they matter to it; 0 = nobody had acted on it.
    pub seen: Vec<(ModuleName, i64)>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Check everything, change nothing.
    pub dry_run: bool,
}

/// A cursor that an act moves, as answers and the audit write it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CursorMark {
    /// The module.
    pub module: ModuleName,
    /// Everything up to here counts as acknowledged.
    pub cursor: Cursor,
    /// Grows with each move by hand.
    pub generation: u64,
}

/// A target before or after an act.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TargetMark {
    /// The record.
    #[serde(flatten)]
    pub record: TargetRecord,
    /// The cursors that the act moves.
    pub cursors: Vec<CursorMark>,
}

/// A target before and after an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetActed {
    /// As it was.
    pub before: TargetMark,
    /// As it is, or would be.
    pub after: TargetMark,
}

/// Why an act cannot be done on a target as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetBlocked {
    /// A pause ends with resuming, and a retired target has nothing to pause.
    #[error("{target} is retired: nothing is sent to it anyway")]
    RetiredAlready {
        /// The target.
        target: String,
    },
    /// Whom clients are told may have changed since the act was decided.
    #[error("the flags of {module} were changed meanwhile: look again, then repeat")]
    FlagsChanged {
        /// The module.
        module: ModuleName,
    },
    /// Where a retired target goes on must be said.
    #[error(
        "{target} is retired, and what it lacks of {} may be gone: resume it at the heads (at_head), or replay each module first",
        list(modules)
    )]
    NotBegun {
        /// The target.
        target: String,
        /// Modules of which nobody has said where they begin.
        modules: Vec<ModuleName>,
    },
    /// What is not fed tries nothing.
    #[error("{target} is {standing}: resume it, and its modules are tried again")]
    NotFed {
        /// The target.
        target: String,
        /// What it is.
        standing: Standing,
    },
    /// Who is fed is not to lose changes by a slip.
    #[error("{target} is active: only a target that is paused or retired is resumed at the heads")]
    Active {
        /// The target.
        target: String,
    },
    /// Nothing of the module was ever numbered.
    #[error("module {module} has no log yet")]
    NoLog {
        /// The module.
        module: ModuleName,
    },
    /// The cursor is of another incarnation of the log.
    #[error("the log of {module} is in epoch {}, the cursor is of epoch {}", head.epoch, from.epoch)]
    OtherEpoch {
        /// The module.
        module: ModuleName,
        /// The end of its log.
        head: Cursor,
        /// What was asked for.
        from: Cursor,
    },
    /// The log does not reach there.
    #[error("the log of {module} ends at position {}, which is before {}", head.position, from.position)]
    BeyondHead {
        /// The module.
        module: ModuleName,
        /// The end of its log.
        head: Cursor,
        /// What was asked for.
        from: Cursor,
    },
    /// Retention has taken it.
    #[error(
        "the log of {module} begins at position {retained_from}: it can be replayed from {} on",
        retained_from.before()
    )]
    TooOld {
        /// The module.
        module: ModuleName,
        /// The oldest position that its log promises to hold.
        retained_from: Position,
    },
}

fn list(modules: &[ModuleName]) -> String {
    let names: Vec<_> = modules.iter().map(ModuleName::as_str).collect();
    names.join(", ")
}

/// Where a module's log stands, read under lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetHead {
    /// The module and its present token.
    pub(super) lease: Lease,
    pub(super) head: Cursor,
    pub(super) retained_from: Position,
}

/// Acts on targets.
#[async_trait]
pub trait Targets {
    /// All records. A target without one is active, version 0.
    async fn target_records(&self) -> Result<Vec<TargetRecord>>;

    /// All cursors of a target.
    async fn target_cursors(&self, target: &str) -> Result<Vec<TargetCursor>>;

    /// Does an act with its audit entry in one transaction, or says why it cannot be done. A dry run does all of it
    /// and rolls back.
    async fn act_on_target(
        &self,
        act: &TargetAct,
    ) -> Result<std::result::Result<TargetActed, TargetBlocked>>;
}
