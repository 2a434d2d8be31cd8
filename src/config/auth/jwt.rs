//! `kind = "jwt"`: callers with a signed token.

use std::{path::PathBuf, time::Duration};

use super::{CredentialPlace, Entry, caller};
use crate::config::{Problems, login::Password, span::Span};

/// Callers with a signed token.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// Where the token stands.
    pub credential: CredentialPlace,
    /// How it may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are.
    pub keys: KeySource,
    /// Who must have issued it, one of them; none = anybody who has the key.
    pub issuers: Vec<String>,
    /// For whom it must be, one of them; none = a token for somebody is refused by nobody.
    pub audiences: Vec<String>,
    /// How long the last keys that could be read stay in force while none can be.
    pub keys_stale_for: Duration,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// How long it may live.
    pub max_age: Option<Duration>,
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSA, PKCS #1 1.5, with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Where keys are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A secret.
    Secret(Password),
    /// A file with a public key in PEM, or with a JWK set.
    File(PathBuf),
    /// A JWK set behind a URL.
    Url {
        /// The URL.
        url: url::Url,
        /// The CAs by which it is known; absent = those of the system.
        ca_file: Option<PathBuf>,
        /// How often it is read again.
        refresh: Duration,
        /// How soon it may be read again for a key that is not in it.
        min_interval: Duration,
    },
}

/// The shortest secret of HS256 (RFC 7518, section 3.2).
pub const SECRET_BYTES: usize = 32;

const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("HS256", Algorithm::Hs256),
    ("RS256", Algorithm::Rs256),
    ("ES256", Algorithm::Es256),
    ("EdDSA", Algorithm::EdDsa),
];

impl Jwt {
    pub(super) fn read(entry: &Entry, path: &str, problems: &mut Problems) -> Option<Self> {
        let credential = caller::place(entry, path, problems);
        let algorithms = algorithms(entry, path, problems);
        let keys = source(entry, path, problems);
        let stale = entry.keys_stale_for.unwrap_or(Span::from_secs(86_400));
        problems.bound_span(&format!("{path}.keys_stale_for"), stale, "1s", "365days");
        let leeway = entry.leeway_s.unwrap_or(30);
        problems.bound(&format!("{path}.leeway_s"), leeway, 0, 300);
        if let Some(age) = entry.max_age_s {
            problems.bound(&format!("{path}.max_age_s"), age, 1, 31_536_000);
        }
        for (key, texts) in [("issuer", &entry.issuer.0), ("audience", &entry.audience.0)] {
            if texts.iter().any(String::is_empty) {
                problems.push(format!("{path}.{key}"), "must not be empty");
            }
        }
        let (algorithms, keys) = (algorithms?, keys?);
        let is_secret = matches!(keys, KeySource::Secret(_));
        let wants_secret = |algorithm: &Algorithm| *algorithm == Algorithm::Hs256;
        if algorithms
            .iter()
            .any(|algorithm| wants_secret(algorithm) != is_secret)
        {
            let why = if is_secret {
                "a secret is for HS256 alone: RS256, ES256 and EdDSA take public_key_file or jwks_url"
            } else {
                "HS256 takes secret, secret_file or secret_env: who may read its key may sign with it"
            };
            problems.push(format!("{path}.algorithm"), why);
        }
        Some(Self {
            credential: credential?,
            algorithms,
            keys,
            issuers: entry.issuer.0.clone(),
            audiences: entry.audience.0.clone(),
            keys_stale_for: stale.get(),
            leeway: Duration::from_secs(leeway),
            max_age: entry.max_age_s.map(Duration::from_secs),
        })
    }
}

fn algorithms(entry: &Entry, path: &str, problems: &mut Problems) -> Option<Vec<Algorithm>> {
    let known = |word: &String| {
        let mut all = ALGORITHMS.iter();
        all.find(|(name, _)| name == word)
            .map(|(_, algorithm)| *algorithm)
    };
    let words = &entry.algorithm.0;
    let all: Option<Vec<_>> = words.iter().map(known).collect();
    let all = all.filter(|all| !all.is_empty());
    if all.is_none() {
        let why = "must be HS256, RS256, ES256 or EdDSA, or a list of these: the token itself has no say in it";
        problems.push(format!("{path}.algorithm"), why);
    }
    all
}

fn source(entry: &Entry, path: &str, problems: &mut Problems) -> Option<KeySource> {
    let given = [
        ("secret", entry.secret.is_some()),
        ("secret_file", entry.secret_file.is_some()),
        ("secret_env", entry.secret_env.is_some()),
        ("public_key_file", entry.public_key_file.is_some()),
        ("jwks_url", entry.jwks_url.is_some()),
    ];
    let mut given = given.into_iter().filter(|(_, is_set)| *is_set);
    let Some((first, _)) = given.next() else {
        let why = "give the key by secret, secret_file, secret_env, public_key_file or jwks_url";
        problems.push(path, why);
        return None;
    };
    for (other, _) in given {
        let why = format!("stands beside `{first}`: keep one of them");
        problems.push(format!("{path}.{other}"), why);
    }
    if entry.jwks_url.is_none() {
        for (key, is_set) in [
            ("jwks_refresh", entry.jwks_refresh.is_some()),
            ("jwks_min_interval", entry.jwks_min_interval.is_some()),
            ("ca_file", entry.ca_file.is_some()),
        ] {
            if is_set {
                problems.push(format!("{path}.{key}"), "is of no use without `jwks_url`");
            }
        }
    }
    match first {
        "secret" => secret(entry.secret.as_ref()?, path, problems),
        "secret_file" => Some(KeySource::Secret(Password::File(
            entry.secret_file.clone()?,
        ))),
        "secret_env" => Some(KeySource::Secret(Password::Variable(
            entry.secret_env.clone()?,
        ))),
        "public_key_file" => Some(KeySource::File(entry.public_key_file.clone()?)),
        _ => jwks(entry, path, problems),
    }
}

fn secret(secret: &str, path: &str, problems: &mut Problems) -> Option<KeySource> {
    if secret.len() < SECRET_BYTES {
        let why = format!("must have at least {SECRET_BYTES} bytes (RFC 7518, section 3.2)");
        problems.push(format!("{path}.secret"), why);
        return None;
    }
    Some(KeySource::Secret(Password::Known(secret.to_owned())))
}

fn jwks(entry: &Entry, path: &str, problems: &mut Problems) -> Option<KeySource> {
    let refresh = entry.jwks_refresh.unwrap_or(Span::from_secs(300));
    problems.bound_span(&format!("{path}.jwks_refresh"), refresh, "1s", "1day");
    let min_interval = entry.jwks_min_interval.unwrap_or(Span::from_secs(30));
    problems.bound_span(
        &format!("{path}.jwks_min_interval"),
        min_interval,
        "100ms",
        "1h",
    );
    let url = web_url(
        entry.jwks_url.as_deref()?,
        &format!("{path}.jwks_url"),
        problems,
    )?;
    plain_has_no_ca(&url, entry, path, problems);
    Some(KeySource::Url {
        url,
        ca_file: entry.ca_file.clone(),
        refresh: refresh.get(),
        min_interval: min_interval.get(),
    })
}

/// A URL that can be asked. What is wrong is said without it: it may hold a password.
pub(super) fn web_url(text: &str, at: &str, problems: &mut Problems) -> Option<url::Url> {
    let web = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let url = url::Url::parse(text).ok().filter(web);
    match &url {
        None => problems.push(at, "must be an http:// or https:// URL"),
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            problems.push(at, "must not hold a user or password");
        }
        Some(_) => {}
    }
    url
}

pub(super) fn plain_has_no_ca(url: &url::Url, entry: &Entry, path: &str, problems: &mut Problems) {
    if url.scheme() == "http" && entry.ca_file.is_some() {
        problems.push(
            format!("{path}.ca_file"),
            "is for https://, and the URL is plain",
        );
    }
}
