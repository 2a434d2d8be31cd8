//! Callers with a signed token (RFC 7519).
//!
//! `token.rs` verifies a token, `keys.rs` are the keys, `keyring.rs` those that are in force, `files.rs` and `issuer.rs` keep them so: from a file, and from a URL, and
//! `unread.rs` ends that. `unknown.rs` is what becomes of tokens by keys that nobody knows.
//!
//! Invariants: the configuration says how tokens are signed, a token has no say in it; nothing of a token is believed before its signature is
//! verified, except which key that takes.

mod files;
mod issuer;
mod keyring;
mod keys;
#[cfg(any(test, fuzzing))]
pub(super) mod strangers;
mod token;
mod unknown;
mod unread;

use std::{future::pending, sync::Arc};

use self::{
    files::{Files, key_file},
    issuer::{Issuer, Sought},
    keyring::Keyring,
    keys::Keys,
    token::{Rejected, Rules},
    unknown::No,
};
pub(super) use self::{token::numeric_date, unknown::Unknown};
use super::{Caller, Refused, granting::Granting, seldom::Seldom};
use crate::{
    config::{
        auth::{Algorithm, Jwt, KeySource},
        login::Unusable,
    },
    domain::Micros,
};

/// Recognizes tokens.
pub(super) struct JwtRecognizer {
    rules: Rules,
    granting: Granting,
    ring: Arc<Keyring>,
    source: Source,
    unfit: Seldom,
}

/// Who keeps the keys.
enum Source {
    /// Nobody: they stay as they are.
    Settled,
    Files(Box<Files>),
    Issuer(Arc<Issuer>),
}

/// A caller, and until when and by which keys it is one.
pub(super) struct Recognized {
    pub(super) caller: Arc<Caller>,
    pub(super) until: Micros,
    pub(super) edition: u64,
}

impl JwtRecognizer {
    /// With the keys that its file holds now. Those behind a URL come later.
    pub(super) fn new(settings: &Jwt, granting: Granting) -> Result<Self, Unusable> {
        let ring = Arc::<Keyring>::default();
        let realm = Arc::clone(&granting.realm);
        let algorithms = settings.algorithms.clone();
        let source = match &settings.keys {
            KeySource::Url {
                url,
                ca_file,
                refresh,
                min_interval,
            } => {
                let pace = (*refresh, *min_interval, settings.keys_stale_for);
                let at = (url, ca_file.as_deref());
                Source::Issuer(Arc::new(Issuer::new(
                    realm,
                    at,
                    pace,
                    algorithms,
                    Arc::clone(&ring),
                )?))
            }
            given => {
                ring.install(at_start(given, &algorithms)?);
                let keeps = settings.keys_stale_for;
                match Files::of(given) {
                    Some(path) => {
                        let files = Files::new(realm, path, given.clone(), algorithms, keeps);
                        Source::Files(Box::new(files))
                    }
                    None => Source::Settled,
                }
            }
        };
        Ok(Self {
            rules: Rules::new(settings),
            granting,
            ring,
            source,
            unfit: Seldom::default(),
        })
    }

    /// The edition of the keys: what was recognized by another one is not believed any more.
    pub(super) fn edition(&self) -> u64 {
        self.ring.edition()
    }

    /// Keeps the keys as they are at their source, for ever.
    pub(super) async fn keep(&self) {
        match &self.source {
            Source::Settled => pending().await,
            Source::Files(files) => files.keep(&self.ring).await,
            Source::Issuer(issuer) => Arc::clone(issuer).keep().await,
        }
    }

    /// Whose token it is.
    pub(super) async fn recognize(
        &self,
        token: &[u8],
        now: Micros,
        unknown: &Unknown<'_>,
    ) -> Result<Recognized, No> {
        let wrong = (Refused::NotAccepted, None);
        let head = self.rules.head(token).ok_or(wrong)?;
        let edition = self.ring.edition();
        let keys = self.ring.load();
        if keys.is_none() && matches!(self.source, Source::Files(_)) {
            // They were there at the start, and could not be read for too long.
            return Err((Refused::Unavailable { retry_after_s: 2 }, None));
        }
        let mut verified = keys.and_then(|keys| token::verify(token, &head, &keys));
        if verified.is_none() && self.is_unknown(&head) {
            verified = self.sought(token, &head, now, unknown).await?;
        }
        let said = verified.ok_or(wrong)?;
        let until = self.rules.check(&said, now);
        let until = until.map_err(|rejected| match rejected {
            Rejected::Expired => (Refused::Expired, None),
            Rejected::Wrong => wrong,
        })?;
        let claims = super::claims::Members(&said);
        match self.granting.caller(&claims, &[], Some(until)) {
            Ok(caller) => Ok(Recognized {
                caller: Arc::new(caller),
                until,
                edition,
            }),
            Err(why) => {
                if self.unfit.is_due(now) {
                    tracing::info!(realm = %self.granting.realm, why, "a token that is right makes no caller");
                }
                Err(wrong)
            }
        }
    }

    /// Whether a key that is not here may have signed it: one that it names and nobody knows, or one of a token that names none.
    fn is_unknown(&self, head: &token::Head) -> bool {
        let known = |keys: Arc<Keys>| head.kid.is_some() && keys.of(head).next().is_some();
        matches!(self.source, Source::Issuer(_)) && !self.ring.load().is_some_and(known)
    }

    /// The same after the issuer was asked.
    async fn sought(
        &self,
        token: &[u8],
        head: &token::Head,
        now: Micros,
        unknown: &Unknown<'_>,
    ) -> Result<Option<serde_json::Value>, No> {
        let Source::Issuer(issuer) = &self.source else {
            return Ok(None);
        };
        let key = unknown.key(head);
        unknown.may_ask(key.as_ref(), now)?;
        match Arc::clone(issuer).seek(head.clone()).await {
            Sought::Asked if self.is_unknown(head) && key.is_some() => {
                Err((Refused::NotAccepted, key))
            }
            Sought::Asked => {
                let keys = self.ring.load();
                Ok(keys.and_then(|keys| token::verify(token, head, &keys)))
            }
            Sought::NotThere => Err((Refused::NotAccepted, key)),
            Sought::NotNow { retry_after_s } => Err((Refused::Unavailable { retry_after_s }, key)),
        }
    }
}

/// The keys at the start, where those that are there must be some that can be used.
fn at_start(source: &KeySource, algorithms: &[Algorithm]) -> Result<Keys, Unusable> {
    let keys = key_file(source, algorithms)?;
    if keys.are_for_others() {
        let place = Files::of(source).unwrap_or_default();
        let why = "holds no key of the configured algorithms";
        return Err(Unusable {
            key: "public_key_file",
            why: format!("{}: {why}", place.display()),
        });
    }
    Ok(keys)
}
