//! Counting polls. The handles are made once per module: looking one up for each poll would cost
//! more than an idle poll does.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Histogram};

use crate::telemetry::{metric, usage::Meter};

/// How a poll was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Nothing for this client, from memory.
    Idle,
    /// Items, from memory.
    Tail,
    /// From the database.
    Database,
    /// From the state, because the cursor is too old.
    Snapshot,
    /// The empty answer that the same request got a moment ago.
    Limited,
    /// 410.
    Gone,
    /// Any other error envelope.
    Error,
}

impl Answered {
    /// The value of the label `answer`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Tail => "tail",
            Self::Database => "database",
            Self::Snapshot => "snapshot",
            Self::Limited => "limited",
            Self::Gone => "gone",
            Self::Error => "error",
        }
    }
}

/// The meters of one module's endpoint.
#[derive(Debug)]
pub(super) struct Meters {
    idle: Counter,
    tail: Counter,
    database: Counter,
    snapshot: Counter,
    limited: Counter,
    gone: Counter,
    error: Counter,
    seconds: Histogram,
    /// What is written down by the hour.
    usage: Arc<Meter>,
}

impl Meters {
    /// `module` is the label: the module's name.
    pub(super) fn new(module: &str, usage: Arc<Meter>) -> Self {
        let counter = |answered: Answered| {
            let module = module.to_owned();
            metrics::counter!(metric::POLLS, "module" => module, "answer" => answered.label())
        };
        Self {
            idle: counter(Answered::Idle),
            tail: counter(Answered::Tail),
            database: counter(Answered::Database),
            snapshot: counter(Answered::Snapshot),
            limited: counter(Answered::Limited),
            gone: counter(Answered::Gone),
            error: counter(Answered::Error),
            seconds: metrics::histogram!(metric::POLL_SECONDS),
            usage,
        }
    }

    /// An answer whose body has so many bytes.
    pub(super) fn count(&self, answered: Answered, took: Duration, bytes: usize) {
        let counter = match answered {
            Answered::Idle => &self.idle,
            Answered::Tail => &self.tail,
            Answered::Database => &self.database,
            Answered::Snapshot => &self.snapshot,
            Answered::Limited => &self.limited,
            Answered::Gone => &self.gone,
            Answered::Error => &self.error,
        };
        counter.increment(1);
        self.seconds.record(took.as_secs_f64());
        let polls = &self.usage.polls;
        match answered {
            Answered::Idle | Answered::Limited => polls.idle.add(bytes),
            Answered::Tail => polls.news.add(bytes),
            Answered::Database | Answered::Snapshot => {
                polls.news.add(bytes);
                polls.add_from_database();
            }
            Answered::Gone | Answered::Error => polls.refused.add(bytes),
        }
    }
}
