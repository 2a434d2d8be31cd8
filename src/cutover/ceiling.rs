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
    /// The mirror fails them, on the target that they are told.
    Guard,
}

impl Cause {
    /// The word that clients hear.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Guard => "guard",
        }
    }
}

/// The highest stage that is in force under any cause.
pub(super) const STAGE: Stage = Stage::Mirror;

/// What a client is told whose stage is held down, and that takes the transport that it is to take.
pub(super) fn lowered(asked_for: Evaluation, cause: Cause, transport: Transport) -> Evaluation {
    Evaluation {
        requested: asked_for.requested,
        effective: asked_for.effective.min(STAGE),
        transport,
        reason: cause.as_str(),
        returns: None,
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
    fn over(self, asked_for: Evaluation, module: &ModuleName, client_id: &str) -> Evaluation {
        let comes_back = asked_for.transport == Transport::Push;
        Evaluation {
            returns: comes_back.then(|| Return::of(self, module, client_id)),
            ..lowered(asked_for, self.cause, Transport::Poll)
        }
    }
}

/// What holds all clients of a module down, wherever they are. The guards do not: they hold those of a target (`guard`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hold {
    /// If it holds the stage down.
    pub ceiling: Option<Ceiling>,
    /// Another number each time that the ceiling comes or goes, the same on every replica that knows the same.
    pub turns: i64,
}

impl Hold {
    /// What a client is told, if without any ceiling it were told `asked_for`.
    pub(super) fn limit(
        &self,
        asked_for: Evaluation,
        module: &ModuleName,
        client_id: &str,
    ) -> Evaluation {
        match self.ceiling {
            None => asked_for,
            Some(ceiling) => ceiling.over(asked_for, module, client_id),
        }
    }
}
