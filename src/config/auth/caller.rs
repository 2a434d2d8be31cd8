//! A caller of the configuration that was checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Auth, CredentialPlace, Entry, Forward, Header, Ids, Jwt, Key, MAX_CALLERS, Pattern};
use crate::config::Problems;

/// How callers are recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// By a signed token, RFC 7519.
    Jwt,
    /// By a back end that knows their credential.
    Forward,
    /// By a proxy, which says who they are.
    Header,
    /// By a key of their own.
    Key,
    /// Not at all: they are believed.
    Open,
}

/// Callers that are recognized in one way.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its name.
    pub name: String,
    /// How they are recognized.
    pub recognizer: Recognizer,
    /// What they may be called and read.
    pub yields: Yields,
}

/// How callers are recognized, with all that this needs.
#[derive(Debug, Clone)]
pub enum Recognizer {
    /// By a signed token.
    Jwt(Jwt),
    /// By a back end that knows their credential.
    Forward(Forward),
    /// By a proxy.
    Header(Header),
    /// By a key of their own.
    Key(Key),
    /// Not at all.
    Open,
}

/// What a caller may be called and may read.
#[derive(Debug, Clone)]
pub struct Yields {
    /// What its client is called.
    pub client: Pattern,
    /// Which client ids it may bear.
    pub client_ids: Ids,
    /// Whose changes it may read besides everyone's.
    pub audiences: Vec<Pattern>,
    /// Its program and version.
    pub agent: Option<Pattern>,
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Forward => "forward",
            Self::Header => "header",
            Self::Key => "key",
            Self::Open => "open",
        }
    }
}

/// The names of all entries: their own, or that of their kind, with a number from the second one on.
pub(super) fn names(entries: &[Entry]) -> Vec<String> {
    let mut counts = BTreeMap::new();
    let name = |entry: &Entry| {
        let kind = entry.kind.map_or("caller", Kind::as_str);
        let count = counts.entry(kind).or_insert(0_usize);
        *count += 1;
        let usual = if *count == 1 {
            kind.to_owned()
        } else {
            format!("{kind}{count}")
        };
        entry.name.clone().unwrap_or(usual)
    };
    entries.iter().map(name).collect()
}

/// The callers that are sound, and everything that is wrong with the others.
pub(super) fn read_all(auth: &Auth, path: &str, problems: &mut Problems) -> Vec<Caller> {
    let names = names(&auth.callers);
    let mut all = Vec::new();
    let mut first_open = None;
    for (n, entry) in auth.callers.iter().enumerate().take(MAX_CALLERS) {
        let path = format!("{path}.callers[{n}]");
        check_name(&names, n, &path, problems);
        if entry.is_open() {
            if let Some(first) = first_open {
                let why = format!("open callers are taken by auth.callers[{first}] already");
                problems.push(format!("{path}.kind"), why);
            }
            first_open.get_or_insert(n);
        }
        let Some(kind) = entry.kind else {
            let why = "is missing: jwt, forward, header, key or open";
            problems.push(format!("{path}.kind"), why);
            continue;
        };
        only_its_keys(entry, kind, &path, problems);
        let yields = Yields::read(entry, &path, problems);
        let recognizer = match kind {
            Kind::Jwt => Jwt::read(entry, &path, problems).map(Recognizer::Jwt),
            Kind::Forward => Forward::read(entry, &path, problems).map(Recognizer::Forward),
            Kind::Header => Header::read(entry, &path, problems).map(Recognizer::Header),
            Kind::Key => Key::read(entry, auth, &path, problems).map(Recognizer::Key),
            Kind::Open => Some(Recognizer::Open),
        };
        all.extend(yields.zip(recognizer).map(|(yields, recognizer)| Caller {
            name: names[n].clone(),
            recognizer,
            yields,
        }));
    }
    all
}

/// The longest name: it stands in metrics and logs.
const NAME_BYTES: usize = 32;

fn check_name(names: &[String], n: usize, path: &str, problems: &mut Problems) {
    let name = &names[n];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_plain = name.bytes().all(plain) && name.len() <= NAME_BYTES;
    if !is_plain || name.is_empty() {
        let why =
            format!("must be 1 to {NAME_BYTES} characters of A-Z, a-z, 0-9, `.`, `_` and `-`");
        problems.push(format!("{path}.name"), why);
        return;
    }
    if let Some(first) = names[..n].iter().position(|other| other == name) {
        let why = format!("`{name}` is already the name of auth.callers[{first}]");
        problems.push(format!("{path}.name"), why);
    }
}

fn only_its_keys(entry: &Entry, kind: Kind, path: &str, problems: &mut Problems) {
    for (key, is_set, kinds) in entry.keys() {
        if is_set && !kinds.contains(&kind) {
            let words: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
            let why = format!("is for kind {}, not {}", words.join(", "), kind.as_str());
            problems.push(format!("{path}.{key}"), why);
        }
    }
}

impl Yields {
    fn read(entry: &Entry, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut read = |key: String, text: &str| match text.parse::<Pattern>() {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                problems.push(format!("{path}.{key}"), why);
                None
            }
        };
        let client = entry.client.as_deref().unwrap_or("{sub}");
        let client = read("client".to_owned(), client);
        let audiences: Vec<_> = (entry.audiences.iter().enumerate())
            .map(|(n, text)| read(format!("audiences[{n}]"), text))
            .collect();
        let agent = entry.agent.as_deref();
        let agent = agent.map(|text| read("agent".to_owned(), text));
        Some(Self {
            client: client?,
            client_ids: entry.client_ids.unwrap_or_default(),
            audiences: audiences.into_iter().collect::<Option<_>>()?,
            agent: agent.map_or(Some(None), |read| read.map(Some))?,
        })
    }
}

/// Where the credential of an entry stands.
pub(super) fn place(entry: &Entry, path: &str, problems: &mut Problems) -> Option<CredentialPlace> {
    match &entry.credential {
        Some(field) => field.check(&format!("{path}.credential"), problems),
        None => Some(CredentialPlace::bearer()),
    }
}
