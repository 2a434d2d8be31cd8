//! What a command that reads modules takes, and how it asks.

use clap::Args;

use crate::cli::{Failure, Globals, Output, client::Remote, screen::Line};

/// What a reading command takes.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    #[command(flatten)]
    pub(super) remote: Remote,
    #[command(flatten)]
    pub(super) output: Output,
}

impl Reading {
    /// Shows what the gateway answers; the answer.
    pub(super) async fn show(
        &self,
        globals: &Globals,
        path: &[&str],
        query: &[(&str, String)],
        lines: impl FnOnce(&str, Option<usize>) -> anyhow::Result<Vec<Line>>,
    ) -> Result<String, Failure> {
        let client = self.remote.client(globals)?;
        let path = [&["admin", "v1", "modules"], path].concat();
        let answer = client.get(&path, query).await?;
        self.output.print_lines(&answer, lines)?;
        Ok(answer)
    }
}
