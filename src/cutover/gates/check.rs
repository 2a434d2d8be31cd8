//! One question of a gate, with its figures and its answer.

use std::fmt;

use crate::domain::Micros;

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// Nobody has seen enough to say. That is no pass.
    NotEnoughData,
    /// It does not hold.
    Fail,
}

impl Verdict {
    /// The word in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotEnoughData => "not-enough-data",
            Self::Fail => "fail",
        }
    }
}

/// One question of a gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What is asked: a stable word.
    pub name: &'static str,
    /// Of which target, if it is asked of each.
    pub target: Option<String>,
    /// What the measured value is held against.
    pub threshold: f64,
    /// The measured value; absent = there is none.
    pub measured: Option<f64>,
    /// Of both.
    pub unit: &'static str,
    /// How much was looked at: reports, changes, clients, or minutes for what is counted over time.
    pub sample: u64,
    /// The answer.
    pub verdict: Verdict,
    /// The same in words.
    pub detail: String,
    /// Who still polls, where that is asked.
    pub pollers: Option<Pollers>,
}

/// Who has polled of late.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pollers {
    /// How many clients.
    pub clients: u64,
    /// Some of them, in the order of their ids.
    pub by_client: Vec<Poller>,
    /// How many programs.
    pub agents: u64,
    /// Some of them, those of most clients first.
    pub by_agent: Vec<Poller>,
}

/// A client, or all clients of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poller {
    /// The client's id, or the program.
    pub name: String,
    /// Of a client: its program; of a program: absent.
    pub agent: Option<String>,
    /// How many clients that are.
    pub clients: u64,
    /// When one of them was last seen.
    pub last_seen: Micros,
}

/// `1 client has`, `12 clients have`.
pub(super) fn clients(count: u64, one: &str, several: &str) -> String {
    match count {
        1 => format!("1 client {one}"),
        count => format!("{count} clients {several}"),
    }
}

impl Check {
    /// A check that holds until something is said against it.
    pub(super) const fn new(name: &'static str, threshold: f64, unit: &'static str) -> Self {
        Self {
            name,
            target: None,
            threshold,
            measured: None,
            unit,
            sample: 0,
            verdict: Verdict::NotEnoughData,
            detail: String::new(),
            pollers: None,
        }
    }

    pub(super) fn of(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }

    pub(super) const fn measured(mut self, measured: f64, sample: u64) -> Self {
        self.measured = Some(measured);
        self.sample = sample;
        self
    }

    pub(super) fn says(mut self, verdict: Verdict, detail: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.detail = detail.into();
        self
    }

    /// Its name, with its target: how the audit calls it.
    pub fn label(&self) -> String {
        match &self.target {
            Some(target) => format!("{}@{target}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// `connected@local: fail (the broker refuses the connection)`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (label, verdict) = (self.label(), self.verdict.as_str());
        write!(f, "{label}: {verdict} ({})", self.detail)
    }
}

/// A count as a figure.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of changes and clients are far below 2^53"
)]
pub(super) const fn figure(count: u64) -> f64 {
    count as f64
}

/// `part` of `whole` in percent, to a hundredth.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    (figure(part) * 10_000.0 / figure(whole.max(1))).round() / 100.0
}

/// A span as people read it, without what does not matter.
pub(super) fn span(span: std::time::Duration) -> String {
    let rounded = if span.as_secs() >= 1 {
        std::time::Duration::from_secs(span.as_secs())
    } else {
        std::time::Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    };
    humantime::format_duration(rounded).to_string()
}
