//! The identity of the database file.
//!
//! A file that is removed or replaced under a running process stays open, and what is written to
//! it is gone with the process: so each writing transaction first looks whether the path still
//! leads to the file that was opened.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::store::{Error, Result};

/// The file as it was when it was opened.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl DatabaseFile {
    /// Remembers the file at `path`, which is there.
    pub(super) fn remember(path: &Path) -> Result<Self> {
        let identity = identity(path).map_err(|error| Error::BadUrl {
            why: format!("`{}` cannot be looked at: {error}", path.display()),
        })?;
        Ok(Self {
            path: path.to_owned(),
            identity,
        })
    }

    /// Whether the path still leads to it.
    pub(super) fn check(&self) -> Result<()> {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            return Ok(());
        }
        Err(Error::Unavailable {
            why: "the database file was removed or replaced under this process: stop it, put the file in place, start it again".to_owned(),
            source: None,
        })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}
