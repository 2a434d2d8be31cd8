//! Callers that a back end knows by their old credential.
//!
//! The rule: 2xx with an answer that can be read is a yes, and if it names nobody, a no; a status of `refuses` is a no; everything else, and silence, is an
//! outage. A yes counts for `ttl`, a no for `negative_ttl`. In an outage a yes goes on to count for `stale_for`, and whoever has none is told to
//! come again; a no ends every yes of before at once. `check.rs` asks, `flights.rs` lets all who show one credential share one check, `outage.rs`
//! spares callers the wait while nobody answers.
//!
//! Invariants: the back end is shown the configured headers and cookies only; no more checks go on at once than allowed.

mod check;
mod flights;
mod outage;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use tokio::{sync::Semaphore, time::timeout};

use self::{
    check::{Check, Verdict},
    flights::Flights,
    outage::Outage,
};
use super::{
    Asking, Caller, Refused, credential,
    fingerprint::{Fingerprint, Salt},
    granting::Granting,
    seldom::Seldom,
    verdicts::{self, Verdicts},
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
    flights: Flights,
    gate: Semaphore,
    outage: Outage,
    clock: Arc<dyn Clock>,
    seldom: Seldom,
}

/// What a request shows to the back end.
pub(super) struct Shown {
    headers: HeaderMap,
    fingerprint: Fingerprint,
}

impl Shown {
    pub(super) const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// How soon a caller whose yes goes on to count is asked about again.
const AGAIN: Duration = Duration::from_secs(5);

impl ForwardRecognizer {
    pub(super) fn new(
        settings: Forward,
        granting: Granting,
        verdicts: Arc<Verdicts>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        Ok(Self(Arc::new(Inner {
            check: Check::new(&settings)?,
            gate: Semaphore::new(settings.max_concurrent),
            outage: Outage::new(settings.timeout),
            settings,
            granting,
            verdicts,
            flights: Flights::default(),
            clock,
            seldom: Seldom::default(),
        })))
    }

    pub(super) fn granting(&self) -> &Granting {
        &self.0.granting
    }

    /// What the request brings along for the back end, if anything.
    pub(super) fn shown(&self, salt: Salt, asking: &Asking<'_>) -> Option<Shown> {
        let mut headers = credential::shown(&self.0.settings.shows, asking)?;
        if self.0.settings.forward_address {
            // Who it is may depend on it, so it is a part of what the verdict is about.
            let address = HeaderValue::try_from(asking.address.to_string()).ok()?;
            headers.insert("x-forwarded-for", address);
        }
        let mut showing = salt.begin(self.granting().by());
        for (name, value) in &headers {
            showing = showing
                .with(name.as_str().as_bytes())
                .with(value.as_bytes());
        }
        Some(Shown {
            headers,
            fingerprint: showing.done(),
        })
    }

    /// What the back end says. `once` is what it said before, where that still counts in an outage.
    pub(super) async fn recognize(&self, shown: Shown, once: Option<verdicts::Verdict>) -> Outcome {
        let inner = &self.0;
        let now = inner.clock.now();
        if inner.verdicts.is_refused(&shown.fingerprint, now) {
            return Err(Refused::NotAccepted);
        }
        if !inner.outage.lets_through(now) {
            return inner.without_answer(&shown.fingerprint, once, now);
        }
        let work = Arc::clone(inner);
        let key = shown.fingerprint;
        let checked = inner
            .flights
            .join(key, move || async move { work.checked(shown, once).await });
        checked.await
    }
}

impl Inner {
    /// Asks, and remembers what it learns.
    async fn checked(&self, shown: Shown, once: Option<verdicts::Verdict>) -> Outcome {
        let key = shown.fingerprint;
        let verdict = match timeout(self.settings.timeout, self.gate.acquire()).await {
            Ok(Ok(_place)) => self.check.ask(shown.headers, &self.granting).await,
            _ => Verdict::Silence("as many checks as allowed go on already".to_owned()),
        };
        let now = self.clock.now();
        let verdict = match verdict {
            // What it says to be over is no yes.
            Verdict::Yes {
                until: Some(until), ..
            } if until <= now => Verdict::No(None),
            verdict => verdict,
        };
        match verdict {
            Verdict::Yes { caller, until } => {
                self.outage.ends();
                let fresh_until = now.plus(self.settings.ttl);
                let holds_until = fresh_until.plus(self.settings.stale_for);
                let caller = Arc::new(caller);
                let most = until.unwrap_or(verdicts::ALWAYS);
                self.verdicts.remember(
                    key,
                    verdicts::Verdict {
                        caller: Arc::clone(&caller),
                        edition: 0,
                        fresh_until: fresh_until.min(most),
                        holds_until: holds_until.min(most),
                    },
                );
                Ok(caller)
            }
            Verdict::No(why) => {
                self.outage.ends();
                self.verdicts
                    .refuse(key, now.plus(self.settings.negative_ttl));
                if let Some(why) = why.filter(|_| self.seldom.is_due(now)) {
                    tracing::warn!(realm = %self.granting.realm, why, "the back end accepts a credential and its answer makes no caller");
                }
                Err(Refused::NotAccepted)
            }
            Verdict::Silence(why) => {
                self.outage.goes_on(now);
                if self.seldom.is_due(now) {
                    tracing::warn!(realm = %self.granting.realm, why, "the back end does not say whether it knows a credential");
                }
                self.without_answer(&key, once, now)
            }
        }
    }

    /// What counts while nobody answers.
    fn without_answer(
        &self,
        key: &Fingerprint,
        once: Option<verdicts::Verdict>,
        now: Micros,
    ) -> Outcome {
        let Some(once) = once.filter(|once| now < once.holds_until) else {
            let retry_after_s = 1;
            return Err(Refused::Unavailable { retry_after_s });
        };
        let caller = Arc::clone(&once.caller);
        let fresh_until = now.plus(AGAIN).min(once.holds_until);
        self.verdicts.remember(
            *key,
            verdicts::Verdict {
                fresh_until,
                ..once
            },
        );
        Ok(caller)
    }
}
