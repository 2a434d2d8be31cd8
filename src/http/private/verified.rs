//! What the verifier of a target has found of a module, as operators see it.

use serde::Serialize;
use utoipa::ToSchema;

use super::moment::rfc3339;
use crate::{
    domain::{ModuleName, Position},
    mirror::{ModuleVerification, Outcome, Problem, Verification},
};

/// What a subscriber of a target has received, compared with the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerifiedView {
    /// Whether its subscription stands.
    listening: bool,
    /// The share of the channels that is compared at present, 0 to 1.
    share: f64,
    /// Since when it is counted.
    #[schema(format = DateTime)]
    since: String,
    outcomes: OutcomesView,
    last_problem: Option<ProblemView>,
}

/// Changes by what became of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomesView {
    /// Came once, in time, in order, as the log has them.
    ok: u64,
    /// Acknowledged by the broker and not delivered.
    missing: u64,
    /// Came once more.
    duplicate: u64,
    /// Came after a later change of their channel.
    reordered: u64,
    /// Named another predecessor than the log does.
    previous: u64,
    /// Came too late.
    late: u64,
    /// Are not in the log.
    foreign: u64,
    /// Nobody was there to see whether they came.
    unobserved: u64,
}

/// Something that should not have been.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemView {
    /// Which outcome.
    outcome: &'static str,
    /// Which change, if the event named one.
    position: Option<u64>,
    /// When it was found.
    #[schema(format = DateTime)]
    at: String,
    /// What is wrong.
    detail: String,
}

impl VerifiedView {
    /// `None` if no verifier has looked at the module.
    pub(super) fn new(verification: &Verification, module: &ModuleName) -> Option<Self> {
        let found = verification.module(module)?;
        Some(Self {
            listening: verification.listening(),
            share: verification.share(),
            since: rfc3339(found.since),
            outcomes: OutcomesView::new(&found),
            last_problem: found.last_problem.map(ProblemView::new),
        })
    }
}

impl OutcomesView {
    fn new(found: &ModuleVerification) -> Self {
        Self {
            ok: found.count(Outcome::Ok),
            missing: found.count(Outcome::Missing),
            duplicate: found.count(Outcome::Duplicate),
            reordered: found.count(Outcome::Reordered),
            previous: found.count(Outcome::Previous),
            late: found.count(Outcome::Late),
            foreign: found.count(Outcome::Foreign),
            unobserved: found.count(Outcome::Unobserved),
        }
    }
}

impl ProblemView {
    fn new(problem: Problem) -> Self {
        Self {
            outcome: problem.outcome.label(),
            position: problem.position.map(Position::get),
            at: rfc3339(problem.at),
            detail: problem.detail,
        }
    }
}
