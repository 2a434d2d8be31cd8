//! The database file: who may read it, and whether it is still the one that was opened.
//!
//! A file that is removed or replaced under a running process stays open, and what is written to
//! it is gone with the process: so each writing transaction first looks whether the path still
//! leads to the file that was opened.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
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

/// It holds the keys that sign passes: a new one is its owner's alone, and SQLite gives the files beside it the same mode.
const MODE: u32 = 0o600;

/// Whoever is neither its owner nor of its group.
const OTHERS_READ: u32 = 0o004;

/// Makes the file if there is none. Of one that others may read, a warning is given: who made it may have meant it.
pub(super) fn make_private(path: &Path) -> Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path);
    let failed = |error: io::Error| Error::BadUrl {
        why: format!("the file `{}` cannot be made: {error}", path.display()),
    };
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_open = fs::metadata(path).is_ok_and(|file| file.mode() & OTHERS_READ != 0);
            if is_open {
                tracing::warn!(
                    path = %path.display(),
                    "every user of this machine may read the database file, and it holds the keys that sign MQTT passwords: `chmod o-rwx` it, and the files beside it"
                );
            }
            Ok(())
        }
        Err(error) => Err(failed(error)),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}
