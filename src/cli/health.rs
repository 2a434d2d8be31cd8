//! `changeover health`: whether the gateway is ready, for container runtimes and scripts that have no other HTTP client.

use clap::Args;

use super::{Failure, Globals, client::Remote, output::say};

/// What it takes.
#[derive(Debug, Args)]
pub struct Health {
    #[command(flatten)]
    remote: Remote,
}

impl Health {
    /// Prints what `GET /readyz` says, which is asked without a token: whoever listens there while the gateway is away gets none. A gateway that starts or stops is one that cannot now.
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let answer = self.remote.stranger(globals)?.get(&["readyz"], &[]).await?;
        say(answer.trim_end())?;
        Ok(())
    }
}
