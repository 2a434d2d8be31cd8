//! The file whose existence is a panic over all modules on this replica, for when neither API nor database can be reached.
//!
//! Invariants: what cannot be looked at changes nothing. A folder that is not there keeps no gateway from starting, since it may come later,
//! as those of `/run` do; but nobody finds out only in the moment of need that the file cannot be made.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Panic;
use crate::domain::{Clock, Micros};

/// Why nobody could make the file as things are, in words for operators.
pub fn missing_folder(path: &Path) -> Option<String> {
    why_not(folder_of(path), &fs::metadata(folder_of(path)))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

fn why_not(folder: &Path, found: &io::Result<Metadata>) -> Option<String> {
    let folder = folder.display();
    match found {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(format!("{folder} is no folder, so the file cannot be made")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!(
            "the folder {folder} does not exist, so the file cannot be made: make the folder"
        )),
        Err(error) => Some(format!("the folder {folder} cannot be looked at: {error}")),
    }
}

/// How often it is looked for: within a second it is in force.
const TICK: Duration = Duration::from_millis(400);

/// The task that looks for the file.
pub struct PanicFile {
    path: PathBuf,
    panic: Arc<Panic>,
    clock: Arc<dyn Clock>,
    failing: bool,
    /// Whether the log has said that nobody could make it.
    unmakeable: bool,
}

impl PanicFile {
    /// Looks at `path` once, before any client is answered.
    pub fn new(path: PathBuf, panic: Arc<Panic>, clock: Arc<dyn Clock>) -> Self {
        let found = fs::metadata(&path);
        // Over a restart it has been there since it was made, so that nobody is sent back anew.
        let made = found.as_ref().ok().and_then(|file| file.modified().ok());
        let now = clock.now();
        let since = made.map_or(now, |made| Micros::from(made).min(now));
        let mut file = Self {
            path,
            panic,
            clock,
            failing: false,
            unmakeable: false,
        };
        file.see(&found.map(|_| ()), since);
        file.tell_of_folder(missing_folder(&file.path));
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
            let folder = folder_of(&self.path);
            let found = tokio::fs::metadata(folder).await;
            let why = why_not(folder, &found);
            self.tell_of_folder(why);
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

    /// Once when nobody could make the file, and once when somebody can again.
    fn tell_of_folder(&mut self, why: Option<String>) {
        let was = std::mem::replace(&mut self.unmakeable, why.is_some());
        match why {
            Some(why) if !was => {
                tracing::warn!("panic.file: {why}; the gateway looks for it all the same")
            }
            None if was => tracing::info!("panic.file: its folder is there, the file can be made"),
            _ => {}
        }
    }
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}
