//! The file whose existence is a panic over all modules on this replica, for when neither API nor database can be reached.
//!
//! Invariant: what cannot be looked at changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Panic;
use crate::domain::{Clock, Micros};

/// How often it is looked for: within a second it is in force.
const TICK: Duration = Duration::from_millis(400);

/// The task that looks for the file.
pub struct PanicFile {
    path: PathBuf,
    panic: Arc<Panic>,
    clock: Arc<dyn Clock>,
    failing: bool,
}

impl PanicFile {
    /// Looks at `path` once, before any client is answered.
    pub fn new(path: PathBuf, panic: Arc<Panic>, clock: Arc<dyn Clock>) -> Self {
        let found = std::fs::metadata(&path);
        // Over a restart it has been there since it was made, so that nobody is sent back anew.
        let made = found.as_ref().ok().and_then(|file| file.modified().ok());
        let now = clock.now();
        let since = made.map_or(now, |made| Micros::from(made).min(now));
        let mut file = Self {
            path,
            panic,
            clock,
            failing: false,
        };
        file.see(&found.map(|_| ()), since);
        file
    }

    /// Looks until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(TICK) => {}
            }
            let found = tokio::fs::metadata(&self.path).await.map(|_| ());
            let now = self.clock.now();
            self.see(&found, now);
        }
    }

    fn see(&mut self, found: &io::Result<()>, now: Micros) {
        let is_there = match found {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, path = %shown(&self.path), "panic.file cannot be looked at: what was seen last stays in force");
                }
                self.failing = true;
                return;
            }
        };
        self.failing = false;
        let was_there = self.panic.file_since().is_some();
        if is_there == was_there {
            return;
        }
        self.panic.set_file(is_there.then_some(now));
        if is_there {
            tracing::warn!(path = %shown(&self.path), "panic: panic.file is there, so clients of this replica are told to poll until it is removed");
        } else {
            tracing::warn!(path = %shown(&self.path), "panic.file is gone: it holds this replica no longer");
        }
    }
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}
