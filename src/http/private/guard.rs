//! Where the guards of a module are, as operators see it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{PrivateState, moment::rfc3339};
use crate::{
    cutover::guard::{Post, State},
    domain::ModuleName,
};

/// The guard of a module on one of its targets.
#[derive(Debug, Serialize, ToSchema)]
pub struct GuardView {
    target: String,
    /// Whether anything is sent to the target now: not while it is paused or retired.
    fed: bool,
    /// Whether any client of the module is told the target now. Where none is, the guard holds nobody, wherever it is; it holds those
    /// who are told the target again.
    has_clients: bool,
    /// `watching`; `tripped`: clients fall back to polling or have fallen back; `returning`: they return.
    #[schema(pattern = "^(watching|tripped|returning)$")]
    state: &'static str,
    /// What has tripped it.
    #[schema(value_type = Option<String>, pattern = "^(halted|disconnected|lag|loss|leaderless)$")]
    cause: Option<&'static str>,
    /// Since when it is there; null as long as it has never tripped, or where nobody holds the module's lease, who could write it
    /// down.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Since when the mirror has been healthy, while it is tripped.
    #[schema(format = DateTime)]
    healthy_since: Option<String>,
    /// The share of the target's clients that the guard lets take the push at this moment.
    pushed_percent: f64,
}

impl GuardView {
    pub(super) fn all(state: &PrivateState, module: &ModuleName) -> Vec<Self> {
        let posts = state.guards.of(module);
        let view = |post| Self::new(state, module, post);
        posts.iter().map(view).collect()
    }

    fn new(state: &PrivateState, module: &ModuleName, post: &Post) -> Self {
        let now = post.state();
        let cause = match now {
            State::Tripped { cause, .. } => Some(cause.as_str()),
            State::Watching | State::Returning { .. } => None,
        };
        // What this replica has found by itself is written nowhere.
        let record = post.record.as_ref();
        let record = record.filter(|record| record.state == now.phase());
        Self {
            target: post.target.clone(),
            fed: state.adviser.is_fed(&post.target),
            has_clients: state.adviser.has_clients(module, &post.target),
            state: now.phase().as_str(),
            cause,
            since: record.map(|record| rfc3339(record.since)),
            healthy_since: record.and_then(|record| record.healthy_since).map(rfc3339),
            pushed_percent: f64::from(state.guards.pushed(post).get()) / 100.0,
        }
    }
}
