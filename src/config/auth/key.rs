//! `kind = "key"`: callers with a key of their own.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Auth, CredentialPlace, Entry, caller};
use crate::config::{Problems, redact::HIDDEN};

/// Callers with a key of their own.
#[derive(Debug, Clone)]
pub struct Key {
    /// Where the key stands.
    pub credential: CredentialPlace,
    /// The keys that are known.
    pub keys: Vec<KnownKey>,
}

/// A key that is known by its hash.
#[derive(Clone)]
pub struct KnownKey {
    /// SHA-256 of it.
    pub hash: [u8; 32],
    /// Whose it is: the claim `sub`.
    pub id: String,
    /// Whose changes it may read besides everyone's.
    pub audiences: Vec<String>,
}

/// A key as it is written.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyEntry {
    /// Whose it is.
    pub id: String,
    /// `sha256:` and the hash of the key, 64 hexadecimal digits.
    pub hash: String,
    /// Whose changes it may read besides everyone's.
    pub audiences: Vec<String>,
}

/// The most keys of one entry: they are all in memory.
const MAX_KEYS: usize = 10_000;

impl Key {
    pub(super) fn read(
        entry: &Entry,
        auth: &Auth,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        let credential = caller::place(entry, path, problems);
        if entry.keys.is_empty() || entry.keys.len() > MAX_KEYS {
            let why = format!("name 1 to {MAX_KEYS} keys");
            problems.push(format!("{path}.keys"), why);
        }
        let mut keys: Vec<KnownKey> = Vec::new();
        for (n, key) in entry.keys.iter().enumerate() {
            let at = format!("{path}.keys[{n}]");
            let Some(known) = key.check(auth, &at, problems) else {
                continue;
            };
            if let Some(first) = keys.iter().position(|other| other.hash == known.hash) {
                problems.push(
                    format!("{at}.hash"),
                    format!("is that of {path}.keys[{first}] too"),
                );
            }
            keys.push(known);
        }
        Some(Self {
            credential: credential?,
            keys,
        })
    }
}

impl KeyEntry {
    fn check(&self, auth: &Auth, at: &str, problems: &mut Problems) -> Option<KnownKey> {
        if self.id.is_empty() || self.id.chars().any(char::is_control) {
            let why = "must not be empty, nor hold control characters";
            problems.push(format!("{at}.id"), why);
        }
        if self.audiences.len() > auth.max_audiences {
            let why = format!(
                "must be at most auth.max_audiences ({})",
                auth.max_audiences
            );
            problems.push(format!("{at}.audiences"), why);
        }
        let hash = self.hash.strip_prefix("sha256:").and_then(digits);
        if hash.is_none() {
            // It is not shown: it may be the key itself.
            let why = "must be `sha256:` and 64 hexadecimal digits: the hash of a long random key, as `printf %s \"$KEY\" | sha256sum` tells it";
            problems.push(format!("{at}.hash"), why);
        }
        Some(KnownKey {
            hash: hash?,
            id: self.id.clone(),
            audiences: self.audiences.clone(),
        })
    }
}

/// Hides the hash.
impl fmt::Debug for KnownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(f, "KnownKey", &self.id, &self.audiences)
    }
}

/// Hides the hash, or what stands in its place.
impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(f, "KeyEntry", &self.id, &self.audiences)
    }
}

fn shown(f: &mut fmt::Formatter<'_>, what: &str, id: &str, audiences: &[String]) -> fmt::Result {
    f.debug_struct(what)
        .field("id", &id)
        .field("hash", &HIDDEN)
        .field("audiences", &audiences)
        .finish()
}

fn digits(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(hash)
}
