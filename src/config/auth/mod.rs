//! `[auth]`: who may call, and how callers are recognized.
//!
//! `entry.rs` is an entry of `[[auth.callers]]` as it is written, with the keys of all kinds; `caller.rs` is one that was checked, with a file for each
//! kind. `credential.rs` says where credentials stand, `pattern.rs` how what they say becomes names.
//!
//! Invariant: an entry says nothing that its kind does not know, so no key is believed to be in force that is not.

mod caller;
mod credential;
mod entry;
mod forward;
mod header;
mod jwt;
mod key;
mod one_or_more;
mod pattern;

pub mod passes;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::{
    caller::{Caller, Kind, Recognizer, Yields},
    credential::{CredentialField, CredentialPlace, ShownField},
    entry::{Entry, Ids},
    forward::{Answer, CheckMethod, Forward},
    header::Header,
    jwt::{Algorithm, Jwt, KeySource, SECRET_BYTES},
    key::{Key, KeyEntry, KnownKey},
    pattern::{Part, Pattern},
};
use super::{Problems, span::Span};

/// The most entries: a module's choice of them is a bit each.
pub const MAX_CALLERS: usize = 32;

/// Who may call. Without callers everyone is open: whoever says `uid=…` is believed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Lets a public listener or an embedded broker leave loopback although open callers are taken.
    pub open_i_understand: bool,
    /// The keys that sign what clients enter brokers with.
    pub passes: passes::Passes,
    /// Where the first token of the private listener is, or is written to; empty = nowhere.
    pub admin_token_file: PathBuf,
    /// Tokens in force.
    pub max_tokens: u32,
    /// How long a session of the console is good, if its token is.
    pub console_session: Span,
    /// Whether `/metrics` asks for no token; absent = it does not while the private listener is on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_open: Option<bool>,
    /// The most audiences of one caller, besides everyone's. A credential that grants more is refused.
    pub max_audiences: usize,
    /// How many callers are remembered as recognized.
    pub max_verdicts: usize,
    /// How many credentials of one caller are newly remembered within a minute.
    pub max_new_verdicts: u32,
    /// How many credentials are remembered as refused by somebody else's check.
    pub max_refusals: usize,
    /// How many different wrong credentials may come from one address within a minute.
    pub wrong_tries: usize,
    /// How many unknown credentials of an address that has sent so many are checked within a minute.
    pub locked_checks: u32,
    /// How many addresses that sent wrong credentials are remembered.
    pub max_wrong_senders: usize,
    /// Who is recognized, tried in this order.
    pub callers: Vec<Entry>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            open_i_understand: false,
            passes: passes::Passes::default(),
            admin_token_file: PathBuf::from("data/admin.token"),
            max_tokens: 1_000,
            console_session: Span::from_secs(12 * 3_600),
            metrics_open: None,
            max_audiences: 8,
            max_verdicts: 100_000,
            max_new_verdicts: 1_000,
            max_refusals: 10_000,
            wrong_tries: 10,
            locked_checks: 12,
            max_wrong_senders: 10_000,
            callers: Vec::new(),
        }
    }
}

impl Auth {
    /// Where the first token is, if it is in a file.
    pub fn admin_token_file(&self) -> Option<&Path> {
        let file = self.admin_token_file.as_path();
        (!file.as_os_str().is_empty()).then_some(file)
    }

    fn validate_tokens(&self, path: &str, problems: &mut Problems) {
        let tokens = &format!("{path}.max_tokens");
        problems.bound(tokens, self.max_tokens, 1, 100_000);
        let session = format!("{path}.console_session");
        problems.bound_span(&session, self.console_session, "1m", "30d");
        if self.console_session > self.passes.keep {
            let why = "is longer than what a key has signed is recognized: auth.passes.keep";
            problems.push(session, why);
        }
        if let Some(file) = self.admin_token_file()
            && file.file_name().is_none()
        {
            problems.push(
                format!("{path}.admin_token_file"),
                "must be the path of a file, such as \"data/admin.token\", or \"\" for none",
            );
        }
    }

    /// The callers of a loaded configuration.
    pub fn callers(&self) -> Vec<Caller> {
        caller::read_all(self, "auth", &mut Problems::new())
    }

    /// Whether nobody is asked who he is.
    pub fn is_open(&self) -> bool {
        self.callers.iter().all(Entry::is_open)
    }

    /// Whether open callers are among those named; `None` = all of them.
    pub fn takes_open(&self, named: Option<&[String]>) -> bool {
        let all = caller::names(&self.callers);
        let mut callers = self.callers.iter().zip(&all);
        let is_named = |name: &String| named.is_none_or(|named| named.contains(name));
        self.callers.is_empty() || callers.any(|(entry, name)| entry.is_open() && is_named(name))
    }

    /// The names of all callers, in their order.
    pub fn names(&self) -> Vec<String> {
        caller::names(&self.callers)
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let mut bound = |key: &str, value: usize, max| {
            problems.bound(&format!("{path}.{key}"), value, 1, max);
        };
        bound("max_audiences", self.max_audiences, 1_000);
        bound("max_verdicts", self.max_verdicts, 100_000_000);
        bound("max_refusals", self.max_refusals, 100_000_000);
        bound("wrong_tries", self.wrong_tries, 1_000);
        let checks = &format!("{path}.locked_checks");
        problems.bound(checks, self.locked_checks, 1, 60);
        let verdicts = &format!("{path}.max_new_verdicts");
        problems.bound(verdicts, self.max_new_verdicts, 1, 1_000_000);
        let mut bound = |key: &str, value: usize, max| {
            problems.bound(&format!("{path}.{key}"), value, 1, max);
        };
        bound("max_wrong_senders", self.max_wrong_senders, 10_000_000);
        if self.callers.len() > MAX_CALLERS {
            let why = format!("must be at most {MAX_CALLERS}");
            problems.push(format!("{path}.callers"), why);
        }
        caller::read_all(self, path, problems);
        self.validate_tokens(path, problems);
    }
}
