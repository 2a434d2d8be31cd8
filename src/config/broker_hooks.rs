//! `[broker_hooks]`: brokers that ask the gateway who may do what.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Problems,
    login::{Password, Unusable},
    redact::HIDDEN,
};
use crate::domain::Network;

/// Who may ask, and what is said of users that are none of ours.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerHooks {
    /// The part of the path that only the brokers know; empty, and without a file that holds it, there are no hooks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// The file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Address ranges of the brokers.
    pub from: Vec<String>,
    /// The virtual host of RabbitMQ that the gateway's topics are in. In others nobody may do anything.
    pub vhost: String,
    /// What is said of a user that is neither a session's nor the gateway's.
    pub others: Others,
}

/// What is said of a user that is none of ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Others {
    /// That it may do nothing.
    #[default]
    Deny,
    /// That somebody else is to be asked, where a broker knows such an answer.
    Ignore,
}

impl Default for BrokerHooks {
    fn default() -> Self {
        Self {
            secret: String::new(),
            secret_file: None,
            from: vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()],
            vhost: "/".to_owned(),
            others: Others::Deny,
        }
    }
}

/// Hides the secret.
impl fmt::Debug for BrokerHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerHooks")
            .field("secret", &HIDDEN)
            .field("secret_file", &self.secret_file)
            .field("from", &self.from)
            .field("vhost", &self.vhost)
            .field("others", &self.others)
            .finish()
    }
}

/// Whoever guesses must not get it, and it has to stand in a URL as it is.
const LEAST_CHARACTERS: usize = 16;
const MOST_CHARACTERS: usize = 128;

impl BrokerHooks {
    /// Whether brokers may ask.
    pub const fn are_on(&self) -> bool {
        !self.secret.is_empty() || self.secret_file.is_some()
    }

    /// The secret as it is now; none = there are no hooks. The error names the key, and nothing of what it holds.
    pub fn read_secret(&self) -> Result<Option<String>, String> {
        let Some(file) = &self.secret_file else {
            return Ok(Some(self.secret.clone()).filter(|secret| !secret.is_empty()));
        };
        let told = |why| format!("broker_hooks.secret_file: {why}");
        let secret = Password::File(file.clone()).read();
        let secret = secret.map_err(|Unusable { why, .. }| told(why))?;
        check(&secret).map_err(told)?;
        Ok(Some(secret))
    }

    /// Where brokers may ask from.
    pub fn networks(&self) -> Vec<Network> {
        let ranges = self.from.iter();
        ranges.filter_map(|range| range.parse().ok()).collect()
    }

    /// The same, if anybody may ask.
    pub fn callers(&self) -> Vec<Network> {
        if self.are_on() {
            self.networks()
        } else {
            Vec::new()
        }
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        if !self.secret.is_empty() {
            if self.secret_file.is_some() {
                let why = "stands beside `secret`: keep one of them";
                problems.push(format!("{path}.secret_file"), why);
            }
            if let Err(why) = check(&self.secret) {
                problems.push(format!("{path}.secret"), why);
            }
        }
        for (n, range) in self.from.iter().enumerate() {
            if let Err(invalid) = range.parse::<Network>() {
                problems.push(format!("{path}.from[{n}]"), invalid.why);
            }
        }
    }
}

fn check(secret: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let fits = (LEAST_CHARACTERS..=MOST_CHARACTERS).contains(&secret.len());
    if fits && secret.bytes().all(plain) {
        return Ok(());
    }
    Err(format!(
        "must be {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters of A-Z, a-z, 0-9, `-` and `_`: it is a part of a path"
    ))
}
