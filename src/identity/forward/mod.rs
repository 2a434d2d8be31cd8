//! Callers that a back end knows by their old credential.
//!
//! The rule: 2xx with an answer that can be read is a yes, and if it names nobody, a no; a status of `refuses` is a no; everything else, and silence, is an
//! outage. A yes counts for `ttl`, a no for `negative_ttl`. In an outage a yes goes on to count for `stale_for`, and whoever has none is told to
//! come again; a no ends every yes of before at once. `shown.rs` is what is shown, `check.rs` asks, `flights.rs` lets all who show one credential share one check, `gate.rs` says how many
//! go on, `outage.rs` spares callers the wait while nobody answers.
//!
//! Invariants: the back end is shown the configured headers and cookies only, and nothing that is longer than allowed; no more checks go on at once than
//! allowed; what was not asked is no outage; whoever guesses is asked about again when a place is his, so that guesses that came at once
//! are as few as those that came one by one, but for the places of their address.

mod check;
mod flights;
mod gate;
mod outage;
mod shown;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::HeaderMap;

use self::{
    check::{Check, Verdict},
    flights::Flights,
    gate::Gate,
    outage::Outage,
};
use super::{
    Asking, Caller, Refused,
    fingerprint::{Fingerprint, Salt},
    granting::Granting,
    seldom::Seldom,
    verdicts::{self, Past, Verdicts},
    wrong::WrongSenders,
};
use crate::{
    config::auth::Forward,
    domain::{Clock, Micros},
};

/// What becomes of a credential.
type Outcome = Result<Arc<Caller>, Refused>;

/// Recognizes what a back end knows.
pub(super) struct ForwardRecognizer(Arc<Inner>);

struct Inner {
    settings: Forward,
    check: Check,
    granting: Granting,
    verdicts: Arc<Verdicts>,
    wrong: Arc<WrongSenders>,
    flights: Flights,
    gate: Gate,
    outage: Outage,
    clock: Arc<dyn Clock>,
    unread: Seldom,
    silent: Seldom,
    crowded: Seldom,
}

/// Whose credential is checked.
#[derive(Debug, Clone, Copy)]
struct Asker {
    /// Whether it was right before.
    is_proven: bool,
    from: IpAddr,
}

/// How soon a caller whose yes goes on to count is asked about again.
const AGAIN: Duration = Duration::from_secs(5);

impl ForwardRecognizer {
    pub(super) fn new(
        settings: Forward,
        granting: Granting,
        (verdicts, wrong): (Arc<Verdicts>, Arc<WrongSenders>),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        Ok(Self(Arc::new(Inner {
            check: Check::new(&settings)?,
            flights: Flights::new(settings.max_concurrent),
            gate: Gate::new(&settings),
            outage: Outage::new(settings.timeout),
            settings,
            granting,
            verdicts,
            wrong,
            clock,
            unread: Seldom::default(),
            silent: Seldom::default(),
            crowded: Seldom::default(),
        })))
    }

    /// By what it is remembered what the request brings along for the back end, if it brings anything.
    pub(super) fn fingerprint(
        &self,
        salt: Salt,
        asking: &Asking<'_>,
    ) -> Result<Option<Fingerprint>, Refused> {
        shown::fingerprint(&self.0.settings, (salt, self.0.granting.by()), asking)
    }

    /// What the back end says of the request with this fingerprint. `past` is what it said before.
    pub(super) async fn recognize(
        &self,
        asking: &Asking<'_>,
        key: Fingerprint,
        past: Past,
    ) -> Outcome {
        let inner = &self.0;
        let (now, from) = (inner.clock.now(), asking.address);
        if inner.verdicts.is_refused(&key, now) {
            return Err(Refused::NotAccepted);
        }
        if past.is_nothing()
            && let Err(retry_after_s) = inner.wrong.might_ask(from, &key, now)
        {
            return Err(Refused::TooMany { retry_after_s });
        }
        let asker = Asker {
            is_proven: past.proven().is_some(),
            from,
        };
        if !inner.outage.lets_through(&asker, now) {
            return inner.without_answer(&key, past, now);
        }
        let shown = shown::headers(&inner.settings, asking)?;
        let (work, before) = (Arc::clone(inner), past.clone());
        let check = move || async move { work.checked((key, shown), before, asker).await };
        let checked = inner.flights.join(key, asker.is_proven, check).await;
        checked.unwrap_or_else(|| inner.crowded_out(&key, past))
    }
}

impl Inner {
    /// Asks, and remembers what it learns.
    async fn checked(
        &self,
        (key, shown): (Fingerprint, HeaderMap),
        past: Past,
        asker: Asker,
    ) -> Outcome {
        let whose = gate::whose(&past, asker.from);
        let Some(place) = self.gate.enter(whose, self.settings.timeout).await else {
            return self.crowded_out(&key, past);
        };
        // Many may have come before the first of them was found wrong: what they were told then holds no more.
        if past.is_nothing() {
            let still = self.wrong.may_ask(asker.from, &key, self.clock.now());
            still.map_err(|retry_after_s| Refused::TooMany { retry_after_s })?;
        }
        let verdict = self.check.ask(shown, &self.granting).await;
        drop(place);
        let now = self.clock.now();
        match verdict {
            // What it says to be over is no yes.
            Verdict::Yes {
                until: Some(until), ..
            } if until <= now => self.refused(key, None, now),
            Verdict::Yes { caller, until } => Ok(self.accepted(key, caller, until, now)),
            Verdict::No(why) => self.refused(key, why, now),
            Verdict::Silence(why) => {
                self.outage.goes_on(&asker, now);
                if self.silent.is_due(now) {
                    tracing::warn!(realm = %self.granting.realm, why, "the back end does not say whether it knows a credential");
                }
                self.without_answer(&key, past, now)
            }
        }
    }

    fn accepted(
        &self,
        key: Fingerprint,
        mut caller: Caller,
        until: Option<Micros>,
        now: Micros,
    ) -> Arc<Caller> {
        self.outage.ends();
        let fresh_until = now.plus(self.settings.ttl);
        let holds_until = fresh_until.plus(self.settings.stale_for);
        let most = until.unwrap_or(verdicts::ALWAYS);
        // What goes on without asking again: a stream, a password of a broker.
        caller.expires_at = Some(now.plus(self.settings.good_for).min(most));
        let caller = Arc::new(caller);
        let verdict = verdicts::Verdict {
            caller: Arc::clone(&caller),
            edition: 0,
            fresh_until: fresh_until.min(most),
            holds_until: holds_until.min(most),
        };
        self.verdicts.remember(key, verdict, now);
        caller
    }

    fn refused(&self, key: Fingerprint, why: Option<&'static str>, now: Micros) -> Outcome {
        self.outage.ends();
        let until = now.plus(self.settings.negative_ttl);
        self.verdicts.refuse(key, until);
        if let Some(why) = why.filter(|_| self.unread.is_due(now)) {
            tracing::warn!(realm = %self.granting.realm, why, "the back end accepts a credential and its answer makes no caller");
        }
        Err(Refused::NotAccepted)
    }

    /// What counts where there is no place.
    fn crowded_out(&self, key: &Fingerprint, past: Past) -> Outcome {
        let now = self.clock.now();
        if self.crowded.is_due(now) {
            tracing::warn!(realm = %self.granting.realm, "a credential was not checked: as many checks as allowed go on already");
        }
        self.without_answer(key, past, now)
    }

    /// What counts while nobody answers.
    fn without_answer(&self, key: &Fingerprint, past: Past, now: Micros) -> Outcome {
        let Some(once) = past.holding(now) else {
            let retry_after_s = 1;
            return Err(Refused::Unavailable { retry_after_s });
        };
        let caller = Arc::clone(&once.caller);
        let again = verdicts::Verdict {
            fresh_until: now.plus(AGAIN).min(once.holds_until),
            ..once
        };
        self.verdicts.remember(*key, again, now);
        Ok(caller)
    }
}
