//! How a command fails, and what the exit code says about it.

use std::{fmt, process::ExitCode};

use crate::config::Problems;

/// Exit code for wrong arguments and wrong configuration (`EX_USAGE` of `sysexits.h`).
pub const CONFIGURATION: u8 = 64;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong; nothing was done. Exit code 64.
    Configuration(Problems),
    /// A gate says no: a check failed (exit code 2), or there is not enough data yet (75, as `EX_TEMPFAIL`: try again later).
    NotPassed {
        /// Whether a check failed.
        failed: bool,
    },
    /// Anything else. Exit code 1.
    Failed(anyhow::Error),
}

impl Failure {
    /// What the process reports to its caller.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) => ExitCode::from(CONFIGURATION),
            Self::NotPassed { failed: true } => ExitCode::from(2),
            Self::NotPassed { failed: false } => ExitCode::from(75),
            Self::Failed(_) => ExitCode::FAILURE,
        }
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
            Self::NotPassed { failed: true } => f.write_str("the gate does not pass"),
            Self::NotPassed { failed: false } => {
                f.write_str("the gate does not pass: there is not enough data yet")
            }
            Self::Failed(error) => write!(f, "error: {error:#}"),
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
