//! `[database]`: where the change log lives.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Problems, redact};
use crate::domain::Limits;

/// Where the change log lives, and how many connections it may cost.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite://path/to/file.db`, `postgres://user:password@host:port/name` or
    /// `mysql://user:password@host:port/name` (MariaDB; `mariadb://` is the same).
    pub url: String,
    /// Connections for reads and acts. The sequencer has one of its own beside them.
    pub connections: u32,
    /// How long a request waits for a free connection.
    pub acquire_timeout_ms: u64,
    /// How long one statement may take, except the sequencer's, which are bound by its lease.
    pub statement_timeout_ms: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: "sqlite://data/changeover.db".to_owned(),
            connections: 8,
            acquire_timeout_ms: 2_000,
            statement_timeout_ms: 5_000,
        }
    }
}

impl Database {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        problems.bound(&format!("{path}.connections"), self.connections, 1, 1_000);
        let acquire = &format!("{path}.acquire_timeout_ms");
        problems.bound(acquire, self.acquire_timeout_ms, 1, 600_000);
        let statement = &format!("{path}.statement_timeout_ms");
        problems.bound(statement, self.statement_timeout_ms, 1, 600_000);
        if let Err(why) = check_url(&self.url) {
            problems.push(format!("{path}.url"), why);
        }
    }

    /// What the tables of the chosen database can hold.
    pub(super) fn validate_limits(&self, limits: &Limits, path: &str, problems: &mut Problems) {
        /// InnoDB's keys end at 3,072 bytes; the state's is made of module, audience and entity key.
        const MYSQL_AUDIENCE: usize = 768;
        let mysql = matches!(self.url.split(':').next(), Some("mysql" | "mariadb"));
        if mysql && (MYSQL_AUDIENCE + 1..=1_024).contains(&limits.audience_bytes) {
            problems.push(
                format!("{path}.audience_bytes"),
                format!(
                    "must not be above {MYSQL_AUDIENCE} on MariaDB and MySQL; it is {}",
                    limits.audience_bytes
                ),
            );
        }
    }
}

const FORMS: &str = "write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name";

/// What is wrong with the URL, without repeating it: it may hold a password.
fn check_url(url: &str) -> Result<(), String> {
    match url.split_once(':') {
        Some(("sqlite", rest)) => check_sqlite(rest),
        Some(("postgres" | "postgresql", _)) => check_server(url, "host"),
        Some(("mysql" | "mariadb", _)) => check_server(url, "socket"),
        Some((scheme, rest)) if rest.starts_with("//") && plain_scheme(scheme) => {
            Err(format!("`{scheme}://` is not supported: {FORMS}"))
        }
        _ => Err(format!("is not a database URL: {FORMS}")),
    }
}

fn plain_scheme(scheme: &str) -> bool {
    !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn check_sqlite(rest: &str) -> Result<(), String> {
    let file = rest.strip_prefix("//").unwrap_or(rest);
    let file = file.split('?').next().unwrap_or_default();
    if file.is_empty() {
        return Err("names no file: write sqlite://path/to/file.db".to_owned());
    }
    if file.contains(":memory:") || rest.contains("mode=memory") {
        return Err(
            "a database in memory forgets the log with the process: name a file".to_owned(),
        );
    }
    Ok(())
}

/// `socket` is the parameter that may stand for the host.
fn check_server(url: &str, socket: &str) -> Result<(), String> {
    let parsed = url::Url::parse(url).map_err(|error| {
        format!("cannot be read ({error}): {FORMS}, and percent-encode special characters in the password")
    })?;
    let socket = parsed.query_pairs().any(|(key, _)| key == socket);
    if parsed.host_str().is_none_or(str::is_empty) && !socket {
        return Err(format!("names no host: {FORMS}"));
    }
    if parsed.path().trim_matches('/').is_empty() {
        return Err(format!("names no database after the host: {FORMS}"));
    }
    Ok(())
}

/// Hides the password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &redact::url(&self.url))
            .field("connections", &self.connections)
            .field("acquire_timeout_ms", &self.acquire_timeout_ms)
            .field("statement_timeout_ms", &self.statement_timeout_ms)
            .finish()
    }
}
