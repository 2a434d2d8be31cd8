//! `kind = "forward"`: callers that a back end knows by their old credential.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    CredentialPlace, Entry, ShownField,
    jwt::{plain_has_no_ca, web_url},
};
use crate::config::{Problems, span::Span};

/// Callers that a back end knows by their old credential.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The headers and cookies that are shown to it.
    pub shows: Vec<CredentialPlace>,
    /// Where it says whether it knows them.
    pub check_url: url::Url,
    /// The CAs by which it is known; absent = those of the system.
    pub ca_file: Option<PathBuf>,
    /// How it is asked.
    pub method: CheckMethod,
    /// Where its answer says who it is.
    pub answer: Answer,
    /// Whether it is told where the client calls from.
    pub forward_address: bool,
    /// The statuses that refuse.
    pub refuses: Vec<u16>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long a yes counts.
    pub ttl: Duration,
    /// How long a no counts.
    pub negative_ttl: Duration,
    /// How long a yes goes on to count while the back end is down.
    pub stale_for: Duration,
    /// How many checks go on at once.
    pub max_concurrent: usize,
    /// How long an answer may be.
    pub max_answer_bytes: usize,
}

/// How the back end is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckMethod {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
}

/// Where an answer says who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Its body is a JSON object, whose members are the claims.
    #[default]
    Json,
    /// Its headers are the claims, by their names in lower case.
    Headers,
}

/// What becomes of callers without a verdict while the back end is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenDown {
    /// They are told to come again.
    #[default]
    Refuse,
}

impl Forward {
    pub(super) fn read(entry: &Entry, path: &str, problems: &mut Problems) -> Option<Self> {
        let shows = shows(entry, path, problems);
        let at = format!("{path}.check_url");
        let url = if let Some(url) = &entry.check_url {
            web_url(url, &at, problems)
        } else {
            let why = "is missing: where the back end says whether it knows a credential";
            problems.push(at, why);
            None
        };
        if let Some(url) = &url {
            plain_has_no_ca(url, entry, path, problems);
        }
        let made = Self {
            shows: shows?,
            check_url: url?,
            ca_file: entry.ca_file.clone(),
            method: entry.method.unwrap_or_default(),
            answer: entry.answer.unwrap_or_default(),
            forward_address: entry.forward_address.unwrap_or_default(),
            refuses: entry.refuses.clone().unwrap_or_else(|| vec![401, 403]),
            timeout: Duration::from_millis(entry.timeout_ms.unwrap_or(2_000)),
            ttl: span(entry.ttl, 60),
            negative_ttl: span(entry.negative_ttl, 10),
            stale_for: span(entry.stale_for, 600),
            max_concurrent: entry.max_concurrent.unwrap_or(64),
            max_answer_bytes: entry.max_answer_bytes.unwrap_or(64 * 1024),
        };
        made.validate(path, problems);
        for (key, given, least, most) in [
            ("ttl", entry.ttl, "1s", "1day"),
            ("negative_ttl", entry.negative_ttl, "0s", "1h"),
            ("stale_for", entry.stale_for, "0s", "7days"),
        ] {
            if let Some(given) = given {
                problems.bound_span(&format!("{path}.{key}"), given, least, most);
            }
        }
        Some(made)
    }

    fn validate(&self, path: &str, problems: &mut Problems) {
        let timeout = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        problems.bound(&format!("{path}.timeout_ms"), timeout, 1, 60_000);
        let concurrent = &format!("{path}.max_concurrent");
        problems.bound(concurrent, self.max_concurrent, 1, 10_000);
        let bytes = &format!("{path}.max_answer_bytes");
        problems.bound(bytes, self.max_answer_bytes, 1, 16 * 1024 * 1024);
        let refuses = |status: &u16| (300..500).contains(status);
        if self.refuses.is_empty() || !self.refuses.iter().all(refuses) {
            let why = "must be statuses from 300 to 499, at least one: what refuses is neither a yes nor an outage";
            problems.push(format!("{path}.refuses"), why);
        }
        if self.method == CheckMethod::Head && self.answer == Answer::Json {
            let why = "HEAD has no body: take `answer = \"headers\"`, or GET";
            problems.push(format!("{path}.method"), why);
        }
    }
}

fn span(given: Option<Span>, usual_s: u64) -> Duration {
    given.unwrap_or(Span::from_secs(usual_s)).get()
}

fn shows(entry: &Entry, path: &str, problems: &mut Problems) -> Option<Vec<CredentialPlace>> {
    if entry.shows.is_empty() {
        let why = "is missing: the headers and cookies that are the credential, as [{ in = \"cookie\", name = \"SESSION\" }]";
        problems.push(format!("{path}.shows"), why);
        return None;
    }
    let check =
        |(n, field): (usize, &ShownField)| field.check(&format!("{path}.shows[{n}]"), problems);
    let all: Vec<_> = entry.shows.iter().enumerate().map(check).collect();
    all.into_iter().collect()
}
