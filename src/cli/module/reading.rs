//! What a command that reads modules takes, and how it asks.

use clap::Args;
use serde_json::Value;

use crate::cli::{Failure, Globals, Output, client::Remote};

/// What a reading command takes.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    #[command(flatten)]
    pub(super) remote: Remote,
    #[command(flatten)]
    pub(super) output: Output,
}

impl Reading {
    pub(super) async fn show(
        &self,
        globals: &Globals,
        path: &[&str],
        query: &[(&str, String)],
        table: fn(&Value) -> String,
    ) -> Result<(), Failure> {
        let client = self.remote.client(globals)?;
        let path = [&["admin", "v1", "modules"], path].concat();
        let answer = client.get(&path, query).await?;
        Ok(self.output.print(&answer, table)?)
    }
}
