//! `changeover completions SHELL`: what a shell needs to complete the command line.

use clap::Args;
use clap_complete::Shell;

use super::{Failure, command, output::say_bytes};

/// What the command takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "changeover", &mut script);
        Ok(say_bytes(&script)?)
    }
}
