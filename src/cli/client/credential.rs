//! The token that a command shows: given, or found where the gateway has left it.
//!
//! Invariant: a token is sent to the listener that the command speaks to and shown nowhere; what is told of it is where it came from.

use std::{
    env,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use reqwest::header::HeaderValue;

use crate::{
    cli::{Failure, Globals},
    identity::operators::TokenText,
};

/// Holds a token.
const VARIABLE: &str = "CHANGEOVER_TOKEN";

/// Longest file that is read, in bytes: a token with some white space.
const FILE_BYTES: u64 = 1_024;

/// A token, or none, and what helps whoever is refused.
pub(in crate::cli) struct Credential {
    /// The header's value.
    pub(super) bearer: Option<HeaderValue>,
    /// Where it came from, or why there is none.
    origin: String,
}

impl Credential {
    /// From `--token-file` (or `CHANGEOVER_TOKEN_FILE`), else `CHANGEOVER_TOKEN`.
    pub(super) fn given(named: Option<&PathBuf>) -> Result<Option<Self>, Failure> {
        if let Some(path) = named {
            let text = read(path).map_err(|why| {
                let path = path.display();
                Failure::Usage(anyhow!("--token-file: {path}: {why}"))
            })?;
            let origin = format!("of --token-file {}", path.display());
            return Ok(Some(Self::of(&text, origin)));
        }
        let Some(text) = env::var(VARIABLE).ok().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let text = TokenText::parse(text.trim());
        let text = text.map_err(|why| Failure::Usage(anyhow!("{VARIABLE}: {why}")))?;
        Ok(Some(Self::of(&text, format!("of {VARIABLE}"))))
    }

    /// None, for a host to which it would go unencrypted.
    pub(super) fn kept_from(host: &str) -> Self {
        Self::none(format!(
            "since the one of auth.admin_token_file does not go to {host} over plain HTTP, where others may read it: use https://"
        ))
    }

    /// The one that is given, else that of the file that the configuration names. That one may be missing: the gateway says what it thinks of
    /// nobody.
    pub(super) fn find(named: Option<&PathBuf>, globals: &Globals) -> Result<Self, Failure> {
        if let Some(given) = Self::given(named)? {
            return Ok(given);
        }
        // With --url nothing else of the configuration is needed, so that it may be wrong or absent.
        let config = match globals.load() {
            Ok(config) => config,
            Err(error) => {
                let why = format!("auth.admin_token_file is not known: {error}");
                return Ok(Self::none(why));
            }
        };
        let Some(path) = config.auth.admin_token_file() else {
            return Ok(Self::none("auth.admin_token_file names no file".to_owned()));
        };
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let shown = whole.display();
        match read(path) {
            Ok(text) => Ok(Self::of(
                &text,
                format!("of auth.admin_token_file, {shown},"),
            )),
            Err(why) => Ok(Self::none(format!(
                "{shown} (auth.admin_token_file): {why}"
            ))),
        }
    }

    fn of(text: &TokenText, origin: String) -> Self {
        let bearer = HeaderValue::try_from(format!("Bearer {}", text.reveal()));
        let mut bearer = bearer.expect("a token is visible ASCII");
        bearer.set_sensitive(true);
        Self {
            bearer: Some(bearer),
            origin,
        }
    }

    /// None, and why.
    pub(super) const fn none(origin: String) -> Self {
        Self {
            bearer: None,
            origin,
        }
    }

    /// What helps whoever is told that nobody knows him.
    pub(super) fn hint(&self) -> String {
        let origin = &self.origin;
        if self.bearer.is_some() {
            return format!(
                "; the token {origin} is not in force there: ask an admin for another (`changeover token create`)"
            );
        }
        format!(
            "; no token was sent, {origin}: run this where the gateway runs and as its user, or give --token-file or {VARIABLE}"
        )
    }
}

fn read(path: &Path) -> Result<TokenText, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => TokenText::parse(text.trim()).map_err(|why| why.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err("there is no such file".to_owned())
        }
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}
