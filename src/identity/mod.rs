//! Who is calling, and which audiences it may read: one answer for every door.
//!
//! A door shows an [`Asking`] to [`Identity::who`] and gets a [`Who`]; what this caller may be called and may read, only the [`Who`]
//! says. `caller.rs` is what is known of a caller, `asking.rs` what a request brings along, `accepted.rs` whom a door takes, `refused.rs` why nobody was recognized (`worst.rs`, of several reasons), `places.rs` where
//! credentials stand, `several.rs` a caller of several modules, `lifetime.rs` how long an answer to it may take, `counting.rs` how many
//! were refused. `operators/` is who may do what at the private listener; `passes/` is with what a client enters a broker; `pace/` how often one may ask.
//!
//! `making.rs` makes what the configuration says. `recognizer.rs` is one entry of it: `jwt/`, `forward/`, `header.rs` and `key.rs` are the kinds. Each finds its credential
//! (`credential.rs`), and what that says (`claims.rs`) becomes a caller (`granting.rs`). `verdicts.rs` remembers callers by the `fingerprint.rs` of their
//! credential in a table that is read without a lock (`halves.rs`); `wrong/` remembers who sends wrong ones.
//!
//! Invariants: nobody reads an audience that its [`Who`] has not granted; a caller that was recognized before costs a lookup, no lock
//! and no I/O; who brings a credential that is refused is never taken for somebody who brings none; nothing here shows a credential.

mod accepted;
mod asking;
mod caller;
mod claims;
mod counting;
mod counts;
mod credential;
mod fingerprint;
mod forward;
mod granting;
mod halves;
mod header;
mod jwt;
mod key;
mod lifetime;
mod making;
pub mod operators;
pub mod pace;
pub mod passes;
mod places;
mod recognizer;
mod refused;
mod seldom;
mod several;
#[cfg(any(test, fuzzing))]
pub mod strangers;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
mod verdicts;
mod web;
mod worst;
mod wrong;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::interval;
use tokio_util::sync::CancellationToken;

pub use self::{
    accepted::Accepted,
    asking::Asking,
    caller::{Caller, Claim, ClientIds, Who},
    pace::Pace,
    places::{Place, Places},
    refused::Refused,
};
use self::{
    counts::Counts,
    recognizer::{Recognizer, Shared, Tried},
    worst::Worst,
};
use crate::domain::ModuleName;

/// Who may call, as configured.
#[derive(Default)]
pub struct Identity {
    /// The names of the configured callers, in their order.
    realms: Box<[Arc<str>]>,
    by_module: HashMap<ModuleName, Accepted>,
    places: Places,
    /// None if nobody is asked who he is.
    recognizers: Vec<Recognizer>,
    shared: Option<Shared>,
    /// How often each caller may ask.
    pace: Option<Pace>,
    counts: Counts,
}

/// How often it is told how much is remembered.
const TELL_EVERY: Duration = Duration::from_secs(5);

impl Identity {
    /// Callers of these names, in the order of the configuration, and the modules that take only some of them. No request is recognized as one of them:
    /// for those who only ask what a caller may.
    pub fn of(
        realms: impl IntoIterator<Item = Arc<str>>,
        by_module: HashMap<ModuleName, Accepted>,
    ) -> Self {
        Self {
            realms: realms.into_iter().collect(),
            by_module,
            ..Self::default()
        }
    }

    /// Nobody is asked: whoever says who he is, is believed.
    pub fn open() -> Self {
        Self::default()
    }

    /// Whether nobody is asked who he is.
    pub const fn is_open(&self) -> bool {
        self.realms.is_empty()
    }

    /// The place of a recognizer in the configuration, by its name.
    pub fn place(&self, realm: &str) -> Option<u8> {
        let place = self.realms.iter().position(|name| **name == *realm)?;
        u8::try_from(place).ok()
    }

    /// Where the credentials of callers stand.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// The callers that a module takes: all, unless it names some.
    pub fn accepted_by(&self, module: &ModuleName) -> Accepted {
        let named = self.by_module.get(module);
        named.copied().unwrap_or(Accepted::ALL)
    }

    /// Who asks, by the first of the accepted callers that recognizes what the request brings along. Open callers are those that bring nothing for any
    /// of the accepted ones.
    pub async fn who(&self, asking: &Asking<'_>, accepted: Accepted) -> Result<Who, Refused> {
        let Some(shared) = &self.shared else {
            return self.is_open().then_some(Who::Open).ok_or(Refused::Missing);
        };
        let mut worst = Worst::default();
        let mut takes_open = false;
        for one in self
            .recognizers
            .iter()
            .filter(|one| accepted.takes(one.place))
        {
            takes_open |= one.is_open();
            match one.try_for(asking, shared).await {
                Tried::Caller(caller) => return self.admit(one, caller),
                Tried::Refused(refused, wrong) => worst.add(refused, one.place, wrong),
                Tried::Nothing => {}
            }
        }
        if worst.refused.is_none() && takes_open {
            return Ok(Who::Open);
        }
        Err(Box::pin(self.refuse(asking, accepted, shared, worst)).await)
    }

    /// A caller that was recognized and does not ask too often.
    fn admit(&self, one: &Recognizer, caller: Arc<Caller>) -> Result<Who, Refused> {
        self.paced(&caller)?;
        self.counts.recognized(one.place);
        Ok(Who::Known(caller))
    }

    /// Counts a request of a caller, however it is known: by its credential, or by what was signed in place of it.
    pub fn paced(&self, caller: &Caller) -> Result<(), Refused> {
        let pace = self.pace.as_ref();
        let admitted = pace.map(|pace| pace.admit_caller(&caller.realm, &caller.id, Instant::now));
        if let Some(Err(too_soon)) = admitted {
            let refused = Refused::TooMany {
                retry_after_s: too_soon.retry_after_s,
            };
            self.counts.refused(Some(caller.by), refused);
            return Err(refused);
        }
        Ok(())
    }

    /// Says why nobody was recognized. It is another thing to be nobody than to be somebody whom the module does not take.
    async fn refuse(
        &self,
        asking: &Asking<'_>,
        accepted: Accepted,
        shared: &Shared,
        mut worst: Worst,
    ) -> Refused {
        for one in self
            .recognizers
            .iter()
            .filter(|one| !accepted.takes(one.place))
        {
            match one.try_for(asking, shared).await {
                Tried::Caller(_) => {
                    // What is right elsewhere makes no guess beside it right.
                    let refused = slowed(Refused::NotThisModule, &worst, asking.address, shared);
                    self.counts.refused(Some(one.place), refused);
                    return refused;
                }
                // Who is not taken anyway need not know how his own is doing.
                Tried::Refused(_, wrong) => worst.add(Refused::NotAccepted, one.place, wrong),
                Tried::Nothing => {}
            }
        }
        let place = worst.refused.map(|(_, place)| place);
        let refused = worst
            .refused
            .map_or(Refused::Missing, |(refused, _)| refused);
        let refused = slowed(refused, &worst, asking.address, shared);
        self.counts.refused(place, refused);
        refused
    }

    /// Keeps keys as they are at their source, until it is stopped.
    pub async fn keep(&self, stop: CancellationToken) {
        let keeping = futures_util::future::join_all(self.recognizers.iter().map(Recognizer::keep));
        let telling = async {
            let mut ticks = interval(TELL_EVERY);
            loop {
                ticks.tick().await;
                if let Some(shared) = &self.shared {
                    counts::tell_remembered(shared.verdicts.len());
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = keeping, if !self.is_open() => {}
            () = telling => {}
        }
    }
}

/// Slows down who sends wrong credentials. Each of them counts, whatever is told: else a guess would go by beside what ranks before it.
fn slowed(refused: Refused, worst: &Worst, from: IpAddr, shared: &Shared) -> Refused {
    let now = shared.clock.now();
    let noted = worst.wrong.iter();
    let waits = noted.filter_map(|wrong| shared.wrong.note(from, wrong, now));
    let Some(waits) = waits.max() else {
        return refused;
    };
    let told = match refused {
        Refused::TooMany { retry_after_s } => retry_after_s,
        _ => 0,
    };
    Refused::TooMany {
        retry_after_s: waits.max(told),
    }
}

/// Shows no key, and nobody who was recognized.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let realms: Vec<_> = self.recognizers.iter().map(|one| &one.realm).collect();
        f.debug_struct("Identity")
            .field("realms", &realms)
            .finish_non_exhaustive()
    }
}
