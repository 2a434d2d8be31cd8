//! `kind = "header"`: callers that a proxy has recognized.

use super::{CredentialPlace, Entry};
use crate::{config::Problems, domain::Network};

/// Callers that a proxy has recognized.
#[derive(Debug, Clone)]
pub struct Header {
    /// The header that names the caller.
    pub name: http::HeaderName,
    /// Where the proxies are that are believed.
    pub networks: Vec<Network>,
}

impl Header {
    pub(super) fn read(entry: &Entry, path: &str, problems: &mut Problems) -> Option<Self> {
        let name = name(entry, &format!("{path}.credential"), problems);
        let networks = networks(entry, path, problems);
        Some(Self {
            name: name?,
            networks: networks?,
        })
    }
}

fn name(entry: &Entry, at: &str, problems: &mut Problems) -> Option<http::HeaderName> {
    let Some(field) = &entry.credential else {
        let why =
            "is missing: the header by which the proxy names the caller, as { name = \"X-User\" }";
        problems.push(at, why);
        return None;
    };
    let CredentialPlace::Header(name) = field.check(at, problems)? else {
        let why = "must be a header without a scheme: the one by which the proxy names the caller";
        problems.push(at, why);
        return None;
    };
    Some(name)
}

fn networks(entry: &Entry, path: &str, problems: &mut Problems) -> Option<Vec<Network>> {
    if entry.networks.is_empty() {
        let why =
            "is missing: the address ranges of the proxies that are believed, as [\"10.0.0.0/8\"]";
        problems.push(format!("{path}.networks"), why);
        return None;
    }
    let read = |(n, range): (usize, &String)| match range.parse() {
        Ok(network) => Some(network),
        Err(crate::domain::Invalid { why, .. }) => {
            problems.push(format!("{path}.networks[{n}]"), why);
            None
        }
    };
    let all: Vec<_> = entry.networks.iter().enumerate().map(read).collect();
    all.into_iter().collect()
}
