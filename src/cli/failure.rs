//! How a command fails, and what the exit code says about it.
//!
//! Invariant: the codes are a promise to scripts; `docs/CLI.md` has the same table, and a test compares both.

use std::{fmt, process::ExitCode};

use http::StatusCode;

use super::client::Trouble;
use crate::config::Problems;

/// What a process says when it ends, beside 0: what was asked for is done, or reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something failed, and none of the others says what.
    Failed,
    /// The gateway refuses it: the ladder, a gate, or an argument that it does not take.
    Refused,
    /// Somebody else acted since the version that was named: look again.
    Conflict,
    /// There is no such module, target or row.
    Unknown,
    /// Wrong arguments, or a wrong configuration (`EX_USAGE` of `sysexits.h`).
    Usage,
    /// Nothing answers at the gateway's address (`EX_UNAVAILABLE`).
    Unreachable,
    /// The gateway answers and cannot now: too much to do, or no database (`EX_TEMPFAIL`).
    NotNow,
    /// What was waited for has not come in time (as `timeout(1)` says it).
    TimedOut,
    /// Interrupted before what was waited for has come (as shells say it).
    Interrupted,
}

impl Exit {
    /// All of them, with the words of `--help` and of the manual page.
    pub const ALL: [(Self, &str); 9] = [
        (Self::Failed, "failed, and none of the others says why"),
        (Self::Refused, "refused by the gateway: nothing was changed"),
        (Self::Conflict, "the module has changed since --if-version"),
        (Self::Unknown, "no such module, target or row"),
        (Self::Usage, "wrong arguments or a wrong configuration"),
        (
            Self::Unreachable,
            "nothing answers at the gateway's address",
        ),
        (Self::NotNow, "the gateway cannot do it now: try again"),
        (Self::TimedOut, "--until was not reached within --timeout"),
        (Self::Interrupted, "interrupted before --until was reached"),
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Refused => 2,
            Self::Conflict => 3,
            Self::Unknown => 4,
            Self::Usage => 64,
            Self::Unreachable => 69,
            Self::NotNow => 75,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
        }
    }

    /// What an answer that is no success says.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::PRECONDITION_FAILED => Self::Conflict,
            StatusCode::NOT_FOUND => Self::Unknown,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Self::NotNow,
            status if status.is_client_error() => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong; nothing was done.
    Configuration(Problems),
    /// The arguments are wrong in a way that only shows when they are used; nothing was done.
    Usage(anyhow::Error),
    /// What was waited for has not come in time.
    TimedOut(String),
    /// The time is out, and nothing answers.
    Unreachable(anyhow::Error),
    /// Somebody left before what was waited for has come.
    Interrupted,
    /// A gate says no: a check failed, or there is not enough data yet.
    NotPassed {
        /// Whether a check failed.
        failed: bool,
    },
    /// What was shown is what the gateway remembers: its database does not answer.
    FromMemory(String),
    /// Anything else.
    Failed(anyhow::Error),
}

impl Failure {
    /// What it tells scripts.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) | Self::Usage(_) => Exit::Usage,
            Self::TimedOut(_) => Exit::TimedOut,
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Interrupted => Exit::Interrupted,
            Self::NotPassed { failed: true } => Exit::Refused,
            Self::NotPassed { failed: false } | Self::FromMemory(_) => Exit::NotNow,
            Self::Failed(error) => of_error(error),
        }
    }

    /// What the process reports to its caller.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit().code())
    }
}

fn of_error(error: &anyhow::Error) -> Exit {
    let trouble = error.chain().find_map(|cause| cause.downcast_ref());
    match trouble.or_else(|| error.downcast_ref()) {
        Some(Trouble::Unreachable { .. }) => Exit::Unreachable,
        Some(Trouble::Answered { status, .. }) => Exit::of_status(*status),
        None => Exit::Failed,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(problems) => {
                let count = problems.iter().count();
                let noun = if count == 1 { "problem" } else { "problems" };
                write!(f, "{count} {noun} in the configuration:\n{problems}")
            }
            Self::TimedOut(what) | Self::FromMemory(what) => write!(f, "error: {what}"),
            Self::Interrupted => write!(f, "interrupted: not reached"),
            Self::NotPassed { failed: true } => f.write_str("the gate does not pass"),
            Self::NotPassed { failed: false } => {
                f.write_str("the gate does not pass: there is not enough data yet")
            }
            Self::Usage(error) | Self::Unreachable(error) | Self::Failed(error) => {
                write!(f, "error: {error:#}")
            }
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}
