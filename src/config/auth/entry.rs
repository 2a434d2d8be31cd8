//! One entry of `[[auth.callers]]` as it is written, with the keys of all kinds.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Answer, CheckMethod, CredentialField, KeyEntry, Kind, ShownField, forward::WhenDown,
    one_or_more::OneOrMore,
};
use crate::config::{redact, span::Span};

/// How callers of one kind are recognized, and what they may do.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entry {
    /// How they are recognized.
    pub kind: Option<Kind>,
    /// Its name, which modules take it by; absent = the kind, with a number from the second one on.
    pub name: Option<String>,
    /// Where the credential stands; absent = `Authorization: Bearer …`.
    pub credential: Option<CredentialField>,
    /// What the client is called: claims in braces; absent = `{sub}`.
    pub client: Option<String>,
    /// Which client ids it may bear; absent = its own.
    pub client_ids: Option<Ids>,
    /// Whose changes it may read besides everyone's: claims in braces; a claim that is a list gives one for each item.
    pub audiences: Vec<String>,
    /// Its program and version; absent = what the request says.
    pub agent: Option<String>,

    /// `jwt`: the algorithms that are believed.
    pub algorithm: OneOrMore,
    /// `jwt`: the secret of HS256.
    pub secret: Option<String>,
    /// `jwt`: the file that holds it.
    pub secret_file: Option<PathBuf>,
    /// `jwt`: the environment variable that holds it.
    pub secret_env: Option<String>,
    /// `jwt`: the file with the public key in PEM, or with a JWK set.
    pub public_key_file: Option<PathBuf>,
    /// `jwt`: where the JWK set is.
    pub jwks_url: Option<String>,
    /// `jwt`: how often it is read again.
    pub jwks_refresh: Option<Span>,
    /// `jwt`: how soon it may be read again for a key that is not in it.
    pub jwks_min_interval: Option<Span>,
    /// `jwt`: how long the last keys that could be read stay in force while none can be.
    pub keys_stale_for: Option<Span>,
    /// `jwt`: who must have issued the token.
    pub issuer: OneOrMore,
    /// `jwt`: for whom the token must be (`aud`), one of them.
    pub audience: OneOrMore,
    /// `jwt`: how far clocks may be apart.
    pub leeway_s: Option<u64>,
    /// `jwt`: how long a token may live; then it must say when it was issued.
    pub max_age_s: Option<u64>,

    /// `forward`: the headers and cookies that are shown to the back end.
    pub shows: Vec<ShownField>,
    /// `forward`: where the back end says whether it knows them.
    pub check_url: Option<String>,
    /// `forward`: how it is asked.
    pub method: Option<CheckMethod>,
    /// `forward`: where its answer says who it is.
    pub answer: Option<Answer>,
    /// `forward`: whether it is told where the client calls from.
    pub forward_address: Option<bool>,
    /// `forward`: the statuses that refuse.
    pub refuses: Option<Vec<u16>>,
    /// `forward`: how long an answer may take.
    pub timeout_ms: Option<u64>,
    /// `forward`: how long a yes counts.
    pub ttl: Option<Span>,
    /// `forward`: how long a no counts.
    pub negative_ttl: Option<Span>,
    /// `forward`: how long a yes goes on to count while the back end is down.
    pub stale_for: Option<Span>,
    /// `forward`: how long streams and passwords of brokers go on by one yes.
    pub good_for: Option<Span>,
    /// `forward`: what becomes of others then.
    pub when_down: Option<WhenDown>,
    /// `forward`: how many checks go on at once.
    pub max_concurrent: Option<usize>,
    /// `forward`: how many checks of unknown credentials go on at once for one address.
    pub max_concurrent_per_address: Option<usize>,
    /// `forward`: how long what is shown may be.
    pub max_credential_bytes: Option<usize>,
    /// `forward`: how long an answer may be.
    pub max_answer_bytes: Option<usize>,
    /// `jwt` and `forward`: the CAs by which the other side of https is known; absent = those of the system.
    pub ca_file: Option<PathBuf>,

    /// `header`: where the proxies are that are believed.
    pub networks: Vec<String>,

    /// `key`: the keys.
    pub keys: Vec<KeyEntry>,
}

/// Which client ids a caller may bear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ids {
    /// Its own.
    #[default]
    Own,
    /// Any.
    Any,
}

const ALL: &[Kind] = &[Kind::Jwt, Kind::Forward, Kind::Header, Kind::Key];
const ONE_PLACE: &[Kind] = &[Kind::Jwt, Kind::Header, Kind::Key];
const JWT: &[Kind] = &[Kind::Jwt];
const FORWARD: &[Kind] = &[Kind::Forward];

impl Entry {
    /// Whether it takes whoever brings no credential.
    pub fn is_open(&self) -> bool {
        self.kind == Some(Kind::Open)
    }

    /// Each key with whether it is set, and the kinds that know it.
    pub(super) fn keys(&self) -> [(&'static str, bool, &'static [Kind]); 37] {
        [
            ("credential", self.credential.is_some(), ONE_PLACE),
            ("client", self.client.is_some(), ALL),
            ("client_ids", self.client_ids.is_some(), ALL),
            ("audiences", !self.audiences.is_empty(), ALL),
            ("agent", self.agent.is_some(), ALL),
            ("algorithm", !self.algorithm.0.is_empty(), JWT),
            ("secret", self.secret.is_some(), JWT),
            ("secret_file", self.secret_file.is_some(), JWT),
            ("secret_env", self.secret_env.is_some(), JWT),
            ("public_key_file", self.public_key_file.is_some(), JWT),
            ("jwks_url", self.jwks_url.is_some(), JWT),
            ("jwks_refresh", self.jwks_refresh.is_some(), JWT),
            ("jwks_min_interval", self.jwks_min_interval.is_some(), JWT),
            ("keys_stale_for", self.keys_stale_for.is_some(), JWT),
            ("issuer", !self.issuer.0.is_empty(), JWT),
            ("audience", !self.audience.0.is_empty(), JWT),
            ("leeway_s", self.leeway_s.is_some(), JWT),
            ("max_age_s", self.max_age_s.is_some(), JWT),
            ("shows", !self.shows.is_empty(), FORWARD),
            ("check_url", self.check_url.is_some(), FORWARD),
            ("method", self.method.is_some(), FORWARD),
            ("answer", self.answer.is_some(), FORWARD),
            ("forward_address", self.forward_address.is_some(), FORWARD),
            ("refuses", self.refuses.is_some(), FORWARD),
            ("timeout_ms", self.timeout_ms.is_some(), FORWARD),
            ("ttl", self.ttl.is_some(), FORWARD),
            ("negative_ttl", self.negative_ttl.is_some(), FORWARD),
            ("stale_for", self.stale_for.is_some(), FORWARD),
            ("good_for", self.good_for.is_some(), FORWARD),
            ("when_down", self.when_down.is_some(), FORWARD),
            ("max_concurrent", self.max_concurrent.is_some(), FORWARD),
            (
                "max_concurrent_per_address",
                self.max_concurrent_per_address.is_some(),
                FORWARD,
            ),
            (
                "max_credential_bytes",
                self.max_credential_bytes.is_some(),
                FORWARD,
            ),
            ("max_answer_bytes", self.max_answer_bytes.is_some(), FORWARD),
            (
                "ca_file",
                self.ca_file.is_some(),
                &[Kind::Jwt, Kind::Forward],
            ),
            ("networks", !self.networks.is_empty(), &[Kind::Header]),
            ("keys", !self.keys.is_empty(), &[Kind::Key]),
        ]
    }
}

/// Shows the keys that are set, and no value that could be a secret.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.keys();
        let set: Vec<_> = set
            .iter()
            .filter(|(_, set, _)| *set)
            .map(|(key, ..)| key)
            .collect();
        f.debug_struct("Entry")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("check_url", &self.check_url.as_deref().map(redact::url))
            .field("jwks_url", &self.jwks_url.as_deref().map(redact::url))
            .field("set", &set)
            .finish_non_exhaustive()
    }
}
