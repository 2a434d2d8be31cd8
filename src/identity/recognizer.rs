//! One entry of the configuration at work.

use std::{net::IpAddr, sync::Arc};

use super::{
    Asking, Caller, Place, Refused,
    claims::Unfit,
    credential::{self, Found},
    fingerprint::{Fingerprint, Salt},
    forward::ForwardRecognizer,
    header::HeaderRecognizer,
    jwt::{JwtRecognizer, Unknown},
    key::KeyRecognizer,
    seldom::Seldom,
    verdicts::{ALWAYS, Known, Past, Verdict, Verdicts},
    wrong::WrongSenders,
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
    /// That what is right makes no caller is not said each time.
    pub(super) unfit: Seldom,
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
    /// It brings something, which is refused; and what counts as a wrong try of its sender, if anything does.
    Refused(Refused, Option<Fingerprint>),
}

/// What all recognizers share.
pub(super) struct Shared {
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) wrong: Arc<WrongSenders>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) salt: Salt,
}

/// What a request brings along for a recognizer that has to be asked.
enum Brought<'a> {
    Credential(std::borrow::Cow<'a, [u8]>),
    /// What the back end is shown of it.
    Shown,
}

/// Why nobody was recognized: what is told, and what is wrong.
type No = (Refused, Option<Fingerprint>);

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

    /// Shows it a request.
    pub(super) async fn try_for(&self, asking: &Asking<'_>, shared: &Shared) -> Tried {
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
        let past = match shared.verdicts.known(&key, edition, now) {
            Known::Caller(caller) => return Tried::Caller(caller),
            Known::Past(past) => past,
        };
        // Only what is not known comes here: what it takes is not carried along by every request.
        Box::pin(self.try_unknown((brought, key), past, asking, shared)).await
    }

    async fn try_unknown(
        &self,
        (brought, key): (Brought<'_>, Fingerprint),
        past: Past,
        asking: &Asking<'_>,
        shared: &Shared,
    ) -> Tried {
        let was_right = !past.is_nothing();
        match self.ask((brought, key), past, asking, shared).await {
            Ok(caller) => {
                if !was_right {
                    let who = shared.salt.of(self.place, caller.id.as_bytes());
                    let now = shared.clock.now();
                    shared.wrong.note_right(asking.address, &who, now);
                }
                Tried::Caller(caller)
            }
            // Who was right once does not guess.
            Err((refused, _)) if was_right => Tried::Refused(refused, None),
            Err((refused, wrong)) => Tried::Refused(refused, wrong),
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
                let key = forward.fingerprint(salt, asking)?;
                return Ok(key.map(|key| (Brought::Shown, key)));
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
        (brought, key): (Brought<'_>, Fingerprint),
        past: Past,
        asking: &Asking<'_>,
        shared: &Shared,
    ) -> Result<Arc<Caller>, No> {
        let now = shared.clock.now();
        let no = |refused| (refused, (refused == Refused::NotAccepted).then_some(key));
        let remember = |caller: Arc<Caller>, until: Micros, edition| {
            let verdict = Verdict {
                caller: Arc::clone(&caller),
                edition,
                fresh_until: until,
                holds_until: until,
            };
            shared.verdicts.remember(key, verdict, now);
            caller
        };
        match (&self.way, brought) {
            (Way::Jwt(_, jwt), Brought::Credential(token)) => {
                let unknown = self.unknown_keys(asking.address, shared);
                let found = jwt.recognize(&token, now, &unknown).await;
                let found = found.map_err(|(refused, of)| (refused, of.or(no(refused).1)))?;
                Ok(remember(found.caller, found.until, found.edition))
            }
            (Way::Key(_, keys), Brought::Credential(credential)) => {
                let known = keys.recognize(&credential);
                let known = known.ok_or(no(Refused::NotAccepted))?;
                let caller = known.map_err(|why| no(self.unfit(why, now)))?;
                Ok(remember(caller, ALWAYS, 0))
            }
            (Way::Header(_, header), Brought::Credential(credential)) => {
                let caller = header.recognize(&credential, asking);
                let caller = caller.map_err(|why| no(self.unfit(why, now)))?;
                Ok(remember(caller, ALWAYS, 0))
            }
            (Way::Forward(_, forward), Brought::Shown) => {
                let asked = forward.recognize(asking, key, past).await;
                asked.map_err(no)
            }
            _ => Err(no(Refused::NotAccepted)),
        }
    }

    /// What is asked about keys that tokens name and nobody knows.
    fn unknown_keys<'a>(&self, from: IpAddr, shared: &'a Shared) -> Unknown<'a> {
        Unknown {
            salt: shared.salt,
            place: self.place,
            from,
            wrong: &shared.wrong,
        }
    }

    fn unfit(&self, why: Unfit, now: Micros) -> Refused {
        if self.unfit.is_due(now) {
            tracing::info!(realm = %self.realm, why, "a credential that is right makes no caller");
        }
        Refused::NotAccepted
    }
}
