//! One entry of the configuration at work.

use std::sync::Arc;

use super::{
    Asking, Caller, Place, Refused,
    claims::Unfit,
    credential::{self, Found},
    fingerprint::{Fingerprint, Salt},
    forward::{ForwardRecognizer, Shown},
    header::HeaderRecognizer,
    jwt::JwtRecognizer,
    key::KeyRecognizer,
    verdicts::{ALWAYS, Known, Verdict, Verdicts},
};
use crate::{
    config::auth::CredentialPlace,
    domain::{Clock, Micros},
};

/// Recognizes the callers of one entry.
pub(super) struct Recognizer {
    pub(super) place: u8,
    pub(super) realm: Arc<str>,
    pub(super) way: Way,
}

/// How.
pub(super) enum Way {
    Jwt(CredentialPlace, Box<JwtRecognizer>),
    Forward(Vec<CredentialPlace>, ForwardRecognizer),
    Header(CredentialPlace, HeaderRecognizer),
    Key(CredentialPlace, KeyRecognizer),
    /// Whoever brings nothing.
    Open,
}

/// What came of showing a request to it.
pub(super) enum Tried {
    /// The request brings nothing for it.
    Nothing,
    /// A caller.
    Caller(Arc<Caller>),
    /// It brings something, which is refused.
    Refused(Refused, Option<Fingerprint>),
}

/// What all recognizers share.
pub(super) struct Shared {
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) salt: Salt,
}

/// What a request brings along for a recognizer that has to be asked.
enum Brought<'a> {
    Credential(std::borrow::Cow<'a, [u8]>),
    Shown(Shown),
}

impl Recognizer {
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.way, Way::Open)
    }

    /// Where its credentials stand.
    pub(super) fn places(&self) -> Vec<Place> {
        match &self.way {
            Way::Jwt(at, _) | Way::Header(at, _) | Way::Key(at, _) => vec![credential::told(at)],
            Way::Forward(all, _) => all.iter().map(credential::told).collect(),
            Way::Open => Vec::new(),
        }
    }

    /// Keeps what it knows as it is elsewhere, for ever.
    pub(super) async fn keep(&self) {
        match &self.way {
            Way::Jwt(_, jwt) => jwt.keep().await,
            _ => std::future::pending().await,
        }
    }

    /// Shows it a request. `waits` says when to come again with something that somebody else would have to be asked about.
    pub(super) async fn try_for(
        &self,
        asking: &Asking<'_>,
        shared: &Shared,
        waits: impl Fn(Micros) -> Option<u32>,
    ) -> Tried {
        let (brought, key) = match self.brought(asking, shared.salt) {
            Ok(Some(brought)) => brought,
            Ok(None) => return Tried::Nothing,
            Err(refused) => return Tried::Refused(refused, None),
        };
        let now = shared.clock.now();
        let edition = match &self.way {
            Way::Jwt(_, jwt) => jwt.edition(),
            _ => 0,
        };
        let once = match shared.verdicts.known(&key, edition, now) {
            Known::Caller(caller) => return Tried::Caller(caller),
            Known::Once(verdict) => Some(verdict),
            Known::Nothing => None,
        };
        let waits = once.is_none().then(|| waits(now)).flatten();
        // Only what is not known comes here: what it takes is not carried along by every request.
        let asked = Box::pin(self.ask(brought, key, asking, shared, (once, waits)));
        match asked.await {
            Ok(caller) => Tried::Caller(caller),
            Err(refused) => Tried::Refused(refused, Some(key)),
        }
    }

    /// What the request brings for it, and by what that is remembered.
    fn brought<'a>(
        &self,
        asking: &Asking<'a>,
        salt: Salt,
    ) -> Result<Option<(Brought<'a>, Fingerprint)>, Refused> {
        let (at, header) = match &self.way {
            Way::Open => return Ok(None),
            Way::Forward(_, forward) => {
                let shown = forward.shown(salt, asking);
                return Ok(shown.map(|shown| {
                    let key = *shown.fingerprint();
                    (Brought::Shown(shown), key)
                }));
            }
            Way::Header(_, header) if !header.believes(asking) => return Ok(None),
            Way::Header(at, header) => (at, Some(header)),
            Way::Jwt(at, _) | Way::Key(at, _) => (at, None),
        };
        let found = match credential::find(at, asking) {
            Found::Nothing => return Ok(None),
            Found::Unclear => return Err(Refused::NotAccepted),
            Found::One(found) => found,
        };
        let key = match header {
            Some(header) => header.fingerprint(salt, &found, asking),
            None => salt.of(self.place, &found),
        };
        Ok(Some((Brought::Credential(found), key)))
    }

    async fn ask(
        &self,
        brought: Brought<'_>,
        key: Fingerprint,
        asking: &Asking<'_>,
        shared: &Shared,
        (once, waits): (Option<Verdict>, Option<u32>),
    ) -> Result<Arc<Caller>, Refused> {
        let remember = |caller: Arc<Caller>, until: Micros, edition| {
            let verdict = Verdict {
                caller: Arc::clone(&caller),
                edition,
                fresh_until: until,
                holds_until: until,
            };
            shared.verdicts.remember(key, verdict);
            caller
        };
        match (&self.way, brought) {
            (Way::Jwt(_, jwt), Brought::Credential(token)) => {
                let found = jwt.recognize(&token, shared.clock.now()).await?;
                Ok(remember(found.caller, found.until, found.edition))
            }
            (Way::Key(_, keys), Brought::Credential(credential)) => {
                let known = keys.recognize(&credential).ok_or(Refused::NotAccepted)?;
                let caller = known.map_err(|why| self.unfit(why))?;
                Ok(remember(caller, ALWAYS, 0))
            }
            (Way::Header(_, header), Brought::Credential(credential)) => {
                let caller = header.recognize(&credential, asking);
                Ok(remember(caller.map_err(|why| self.unfit(why))?, ALWAYS, 0))
            }
            (Way::Forward(_, forward), Brought::Shown(shown)) => match waits {
                Some(retry_after_s) => Err(Refused::TooMany { retry_after_s }),
                None => forward.recognize(shown, once).await,
            },
            _ => Err(Refused::NotAccepted),
        }
    }

    fn unfit(&self, why: Unfit) -> Refused {
        tracing::info!(realm = %self.realm, why, "a credential that is right makes no caller");
        Refused::NotAccepted
    }
}
