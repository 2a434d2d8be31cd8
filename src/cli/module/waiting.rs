//! Waiting until a module has come to something.
//!
//! Invariants: what is waited for is a state, so nothing is missed between two looks; the end comes on time, whether the gateway
//! answers or not, and says what is missing.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::time::sleep;

use super::{
    looking::{Away, EVERY, Looking, Seen},
    until::{self, Condition, Missing},
    view::ModuleView,
    words,
};
use crate::cli::Failure;

/// What is waited for.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) conditions: Vec<Condition>,
    pub(super) max_lag: Duration,
    pub(super) within: Duration,
}

impl Goal {
    /// What is missing; nothing once it is reached.
    pub(super) fn missing(&self, m: &ModuleView) -> Vec<Missing> {
        until::missing(&self.conditions, m, self.max_lag)
    }

    /// What becomes of it when the time is out, after what the last look has shown.
    pub(super) fn given_up(&self, last: &Last) -> Failure {
        let ms = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
        let within = words::duration(ms);
        match last {
            Last::Missing(missing) => {
                let missing = missing.iter().map(|one| format!("\n  {}", one.text));
                let missing: String = missing.collect();
                Failure::TimedOut(format!("not reached within {within}:{missing}"))
            }
            Last::Away(why) => Failure::Unreachable(anyhow!(
                "not reached within {within}, and how it stands now is not known: {why}"
            )),
        }
    }
}

/// What the last look has shown.
#[derive(Debug)]
pub(super) enum Last {
    Missing(Vec<Missing>),
    Away(String),
}

impl Last {
    /// What it is about, without figures: what is said again only when it changes.
    fn about(&self) -> Vec<&str> {
        match self {
            Self::Missing(missing) => missing.iter().map(|one| one.about.as_str()).collect(),
            Self::Away(_) => vec!["away"],
        }
    }

    /// In a line.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Missing(missing) => {
                let missing = missing.iter().map(|one| one.text.as_str());
                missing.collect::<Vec<_>>().join("; ")
            }
            Self::Away(why) => format!("the gateway is away: {why}"),
        }
    }
}

/// Waits, and tells on standard error for what when that changes. What was seen when it was reached.
pub(super) async fn run(looking: &Looking<'_>, goal: &Goal) -> Result<Seen, Failure> {
    let begun = Instant::now();
    let mut told: Option<Last> = None;
    loop {
        let left = goal.within.saturating_sub(begun.elapsed());
        let last = match looking.briefly(left).await {
            Ok(seen) => {
                let missing = goal.missing(&seen.module);
                if missing.is_empty() {
                    return Ok(seen);
                }
                Last::Missing(missing)
            }
            Err(Away::For(why)) => Last::Away(why),
            Err(Away::ForEver(error)) => return Err(error.into()),
        };
        let left = goal.within.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(goal.given_up(&last));
        }
        if told
            .as_ref()
            .is_none_or(|told| told.about() != last.about())
        {
            eprintln!("waiting: {}", last.text());
        }
        told = Some(last);
        sleep(left.min(EVERY)).await;
    }
}
