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
    /// Those of them on which its answer depends: a verdict is about these.
    pub decides: Vec<CredentialPlace>,
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
    /// How long streams and passwords of brokers go on by one yes.
    pub good_for: Duration,
    /// How many checks go on at once.
    pub max_concurrent: usize,
    /// How many of them for one address, of credentials that are not known, and for one caller, of those that were right before.
    pub max_concurrent_per_address: usize,
    /// How long what is shown may be.
    pub max_credential_bytes: usize,
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
        let decides = decides(entry, path, problems);
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
        let (ttl, stale_for) = (span(entry.ttl, 60), span(entry.stale_for, 600));
        let concurrent = entry.max_concurrent.unwrap_or(64);
        let per_address = entry.max_concurrent_per_address;
        let made = Self {
            shows: shows?,
            decides,
            check_url: url?,
            ca_file: entry.ca_file.clone(),
            method: entry.method.unwrap_or_default(),
            answer: entry.answer.unwrap_or_default(),
            forward_address: entry.forward_address.unwrap_or_default(),
            refuses: entry.refuses.clone().unwrap_or_else(|| vec![401, 403]),
            timeout: Duration::from_millis(entry.timeout_ms.unwrap_or(2_000)),
            ttl,
            negative_ttl: span(entry.negative_ttl, 10),
            stale_for,
            good_for: entry
                .good_for
                .map_or(GOOD_FOR.max(ttl + stale_for), Span::get),
            max_concurrent: concurrent,
            max_concurrent_per_address: per_address.unwrap_or((concurrent / 8).max(1)),
            max_credential_bytes: entry.max_credential_bytes.unwrap_or(8 * 1024),
            max_answer_bytes: entry.max_answer_bytes.unwrap_or(64 * 1024),
        };
        made.validate(path, problems);
        for (key, given, least, most) in [
            ("ttl", entry.ttl, "1s", "1day"),
            ("negative_ttl", entry.negative_ttl, "0s", "1h"),
            ("stale_for", entry.stale_for, "0s", "7days"),
            ("good_for", entry.good_for, "1s", "30days"),
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
        let share = &format!("{path}.max_concurrent_per_address");
        let most = u64::try_from(self.max_concurrent).unwrap_or(u64::MAX);
        problems.bound(share, self.max_concurrent_per_address, 1, most);
        let bytes = &format!("{path}.max_answer_bytes");
        problems.bound(bytes, self.max_answer_bytes, 1, 16 * 1024 * 1024);
        let bytes = &format!("{path}.max_credential_bytes");
        problems.bound(bytes, self.max_credential_bytes, 1, 64 * 1024);
        if self.good_for < self.ttl + self.stale_for {
            let why = "must be at least ttl and stale_for together: in an outage callers would poll, and have no stream";
            problems.push(format!("{path}.good_for"), why);
        }
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

/// How long streams and passwords of brokers go on by one yes, unless it is said.
const GOOD_FOR: Duration = Duration::from_hours(1);

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

/// The places that decide. What is wrong with one is said by [`shows`].
fn decides(entry: &Entry, path: &str, problems: &mut Problems) -> Vec<CredentialPlace> {
    let decide = |field: &&ShownField| field.decides.unwrap_or(true);
    let all = entry.shows.iter().filter(decide);
    let all: Vec<_> = all
        .filter_map(|field| field.check("", &mut Problems::new()))
        .collect();
    let is_told = entry.shows.iter().any(|field| field.decides == Some(false));
    if all.is_empty() && is_told {
        let why = "must hold one that decides: without any, one yes would be everybody's";
        problems.push(format!("{path}.shows"), why);
    }
    all
}
