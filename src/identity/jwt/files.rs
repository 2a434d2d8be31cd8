//! Keys in files, and in the configuration itself.
//!
//! Invariant: a file is read whole, or its last good content stays in force for no longer than configured; nothing of it is told.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{keyring::Keyring, keys::Keys, unread::Unread};
use crate::config::{
    auth::{Algorithm, KeySource},
    login::{Password, Unusable},
};

/// How often a file is looked at.
const EVERY: Duration = Duration::from_secs(2);

/// The largest file of keys.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// A file whose keys are kept in force.
pub(super) struct Files {
    realm: Arc<str>,
    path: PathBuf,
    source: KeySource,
    algorithms: Vec<Algorithm>,
    keeps: Duration,
}

impl Files {
    /// The file of a source, if it is one.
    pub(super) fn of(source: &KeySource) -> Option<PathBuf> {
        match source {
            KeySource::File(path) | KeySource::Secret(Password::File(path)) => Some(path.clone()),
            _ => None,
        }
    }

    pub(super) const fn new(
        realm: Arc<str>,
        path: PathBuf,
        source: KeySource,
        algorithms: Vec<Algorithm>,
        keeps: Duration,
    ) -> Self {
        Self {
            realm,
            path,
            source,
            algorithms,
            keeps,
        }
    }

    /// Reads it again and again. Its time is not asked: copies and links keep that of another file.
    pub(super) async fn keep(&self, ring: &Keyring) {
        let mut told = None;
        let mut unread = Unread::new(Arc::clone(&self.realm), self.keeps);
        loop {
            sleep(EVERY).await;
            let (source, algorithms) = (self.source.clone(), self.algorithms.clone());
            let read = spawn_blocking(move || key_file(&source, &algorithms)).await;
            let Ok(read) = read else { continue };
            match read {
                Ok(keys) => {
                    self.install(keys, ring);
                    unread.ends();
                    told = None;
                }
                Err(unusable) => {
                    if told.as_ref() != Some(&unusable) {
                        tracing::warn!(realm = %self.realm, %unusable, "keys stay as they were, until keys_stale_for is over");
                        told = Some(unusable);
                    }
                    unread.goes_on(Instant::now(), ring);
                }
            }
        }
    }
}

impl Files {
    fn install(&self, keys: Keys, ring: &Keyring) {
        let (realm, file) = (&self.realm, self.path.display());
        let is_empty = keys.is_empty();
        let differ = ring.install(keys);
        if differ && is_empty {
            tracing::warn!(%realm, %file, "the set has no key any more that can be used: every token is refused");
        } else if differ {
            tracing::info!(%realm, %file, "keys were read again");
        }
    }
}

/// The keys of a source that is no URL, as they are now.
pub(super) fn key_file(source: &KeySource, algorithms: &[Algorithm]) -> Result<Keys, Unusable> {
    match source {
        KeySource::Secret(password) => {
            let key = match password {
                Password::Known(_) => "secret",
                Password::File(_) => "secret_file",
                Password::Variable(_) => "secret_env",
            };
            let read = password.read();
            let secret = read.map_err(|Unusable { why, .. }| Unusable { key, why })?;
            Keys::secret(&secret).map_err(|why| Unusable { key, why })
        }
        KeySource::File(path) => {
            let key = "public_key_file";
            let read = read(path).and_then(|text| Keys::public(&text, algorithms));
            let place = path.display();
            read.map_err(|why| Unusable {
                key,
                why: format!("{place}: {why}"),
            })
        }
        KeySource::Url { .. } => Err(Unusable {
            key: "jwks_url",
            why: "is no file".to_owned(),
        }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path);
    let read = file.and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err("is larger than 256 KiB".to_owned());
    }
    Ok(bytes)
}
