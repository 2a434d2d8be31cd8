//! Looking at a module: what the gateway says of it, with its newest acts.

use std::time::Duration;

use tokio::time::timeout;

use super::view::{Entry, ModuleView};
use crate::cli::client::{Client, Trouble};

/// Between two looks.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// How long a look may take, where another follows.
const PATIENCE: Duration = Duration::from_secs(5);

/// And how long at least, so that the last one shows something.
const LEAST: Duration = Duration::from_secs(1);

/// The newest acts that are shown.
const ACTS: u32 = 5;

/// What a look has shown.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The answer as it came.
    pub(super) answer: String,
    pub(super) module: ModuleView,
    /// The newest acts.
    pub(super) acts: Vec<Entry>,
}

/// Asks for one module.
pub(super) struct Looking<'a> {
    pub(super) client: &'a Client,
    pub(super) module: &'a str,
}

impl Looking<'_> {
    /// One look, however long it takes.
    pub(super) async fn once(&self) -> anyhow::Result<Seen> {
        let path = ["admin", "v1", "modules", self.module];
        let answer = self.client.get(&path, &[]).await?;
        let module = ModuleView::parse(&answer)?;
        // Who remembers does not know them.
        let acts = match module.from_memory {
            None => self.acts().await?,
            Some(_) => Vec::new(),
        };
        Ok(Seen {
            answer,
            module,
            acts,
        })
    }

    /// The answer alone, without the acts.
    pub(super) async fn answer(&self) -> anyhow::Result<String> {
        let path = ["admin", "v1", "modules", self.module];
        self.client.get(&path, &[]).await
    }

    /// One look that is given up after a while, or after what is left of the time: the last one gets a little more.
    pub(super) async fn briefly(&self, left: Duration) -> Result<Seen, Away> {
        let patience = left.clamp(LEAST, PATIENCE);
        match timeout(patience, self.once()).await {
            Ok(seen) => seen.map_err(Away::of),
            Err(_) => Err(Away::For(format!(
                "no answer within {} s",
                patience.as_secs()
            ))),
        }
    }

    async fn acts(&self) -> anyhow::Result<Vec<Entry>> {
        let path = ["admin", "v1", "modules", self.module, "history"];
        let query = [("limit", ACTS.to_string())];
        Entry::parse_all(&self.client.get(&path, &query).await?)
    }
}

/// Why a look has shown nothing.
#[derive(Debug)]
pub(super) enum Away {
    /// The gateway is away, or cannot answer now: the next look may show something.
    For(String),
    /// It will be no different the next time.
    ForEver(anyhow::Error),
}

impl Away {
    fn of(error: anyhow::Error) -> Self {
        match error.downcast_ref() {
            Some(Trouble::Answered { status, .. }) if status.is_client_error() => {
                Self::ForEver(error)
            }
            Some(_) => Self::For(format!("{error:#}")),
            None => Self::ForEver(error),
        }
    }
}
