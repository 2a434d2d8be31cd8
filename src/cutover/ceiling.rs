//! What holds a module's effective stage down, whatever engineers asked for: they ask, and it limits.
//!
//! Invariants: under a ceiling the effective stage is at most `mirror`, so polls are answered; with its cause comes the reason that
//! clients hear; each time that one comes or goes the version that they are told is another one.

use std::time::Duration;

use super::{Evaluation, Return};
use crate::domain::{Micros, ModuleName, Stage, Transport};

/// Why clients are told to poll. The first that there is speaks for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody said so.
    Panic,
}

impl Cause {
    const COUNT: usize = 1;

    /// The word that clients hear.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Panic => 0,
        }
    }
}

/// That clients are told to poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: Micros,
    /// Over what time the polls of those arrive who are on push.
    pub return_over: Duration,
}

impl Ceiling {
    /// The highest stage that is in force.
    const STAGE: Stage = Stage::Mirror;

    fn over(self, asked_for: Evaluation, module: &ModuleName, client_id: &str) -> Evaluation {
        let comes_back = asked_for.transport == Transport::Push;
        Evaluation {
            requested: asked_for.requested,
            effective: asked_for.effective.min(Self::STAGE),
            transport: Transport::Poll,
            reason: self.cause.as_str(),
            returns: comes_back.then(|| Return::of(self, module, client_id)),
        }
    }
}

/// What one cause says of a module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hold {
    /// If it holds the stage down.
    pub ceiling: Option<Ceiling>,
    /// Another number each time that the ceiling comes or goes, the same on every replica that knows the same.
    pub turns: i64,
}

/// What all causes say of a module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Holds([Hold; Cause::COUNT]);

impl Holds {
    /// Whether that says something else than before.
    pub(super) fn set(&mut self, cause: Cause, hold: Hold) -> bool {
        let before = std::mem::replace(&mut self.0[cause.index()], hold);
        before != hold
    }

    pub(super) fn ceiling(&self) -> Option<Ceiling> {
        self.0.iter().find_map(|hold| hold.ceiling)
    }

    pub(super) fn turns(&self) -> i64 {
        self.0.iter().map(|hold| hold.turns).sum()
    }

    /// What a client is told, if without any ceiling it were told `asked_for`.
    pub(super) fn limit(
        &self,
        asked_for: Evaluation,
        module: &ModuleName,
        client_id: &str,
    ) -> Evaluation {
        match self.ceiling() {
            None => asked_for,
            Some(ceiling) => ceiling.over(asked_for, module, client_id),
        }
    }
}
