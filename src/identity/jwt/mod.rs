//! Callers with a signed token (RFC 7519).
//!
//! `token.rs` verifies a token, `keys.rs` are the keys, `keyring.rs` those that are in force, `files.rs` and `issuer.rs` keep them so: from a file, and from a URL.
//!
//! Invariants: the configuration says how tokens are signed, a token has no say in it; nothing of a token is believed before its signature is
//! verified, except which key that takes.

mod files;
mod issuer;
mod keyring;
mod keys;
mod token;

use std::{future::pending, sync::Arc};

pub(super) use self::token::numeric_date;
use self::{
    files::{Files, key_file},
    issuer::{Issuer, Sought},
    keyring::Keyring,
    keys::Keys,
    token::{Rejected, Rules},
};
use super::{Caller, Refused, granting::Granting};
use crate::{
    config::{
        auth::{Jwt, KeySource},
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
}

/// Who keeps the keys.
enum Source {
    /// Nobody: they stay as they are.
    Settled,
    Files(Files),
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
                let pace = (*refresh, *min_interval);
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
                ring.install(key_file(given, &algorithms)?);
                match Files::of(given) {
                    Some(path) => Source::Files(Files::new(realm, path, given.clone(), algorithms)),
                    None => Source::Settled,
                }
            }
        };
        Ok(Self {
            rules: Rules::new(settings),
            granting,
            ring,
            source,
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
    pub(super) async fn recognize(&self, token: &[u8], now: Micros) -> Result<Recognized, Refused> {
        let head = self.rules.head(token).ok_or(Refused::NotAccepted)?;
        let edition = self.ring.edition();
        let mut verified = self
            .ring
            .load()
            .and_then(|keys| token::verify(token, &head, &keys));
        if verified.is_none() && self.is_unknown(&head) {
            verified = self.sought(token, &head).await?;
        }
        let said = verified.ok_or(Refused::NotAccepted)?;
        let until = self
            .rules
            .check(&said, now)
            .map_err(|rejected| match rejected {
                Rejected::Expired => Refused::Expired,
                Rejected::Wrong => Refused::NotAccepted,
            })?;
        let claims = super::claims::Members(&said);
        match self.granting.caller(&claims, &[], Some(until)) {
            Ok(caller) => Ok(Recognized {
                caller: Arc::new(caller),
                until,
                edition,
            }),
            Err(why) => {
                tracing::info!(realm = %self.granting.realm, why, "a token that is right makes no caller");
                Err(Refused::NotAccepted)
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
    ) -> Result<Option<serde_json::Value>, Refused> {
        let Source::Issuer(issuer) = &self.source else {
            return Ok(None);
        };
        match Arc::clone(issuer).seek(head.clone()).await {
            Sought::Asked => {
                let keys = self.ring.load();
                Ok(keys.and_then(|keys| token::verify(token, head, &keys)))
            }
            Sought::NotThere => Ok(None),
            Sought::NotNow { retry_after_s } => Err(Refused::Unavailable { retry_after_s }),
        }
    }
}
