//! Who was recognized by which credential, and which credentials were refused.
//!
//! Invariants: what was recognized is believed no longer than its credential and its key are; a refusal takes no place of a
//! caller; a refusal counts over what was known before; one caller, however many credentials it has, takes no more new places within a minute than allowed, so
//! that it pushes nobody out who comes as often as others.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::quality::RandomState;

use super::{Caller, fingerprint::Fingerprint, halves::Halves, pace::Gate};
use crate::{config::auth::Auth, domain::Micros};

/// What is remembered.
pub(super) struct Verdicts {
    callers: Halves<Verdict>,
    refusals: Halves<Micros>,
    /// New ones of each caller.
    newcomers: Gate,
    hashes: RandomState,
}

/// A caller, and for how long it is one.
#[derive(Clone)]
pub(super) struct Verdict {
    pub(super) caller: Arc<Caller>,
    /// The edition of the keys by which it was recognized.
    pub(super) edition: u64,
    /// Until when nobody is asked again.
    pub(super) fresh_until: Micros,
    /// Until when it counts if nobody can be asked.
    pub(super) holds_until: Micros,
}

/// What is known of a credential.
pub(super) enum Known {
    /// Whose it is.
    Caller(Arc<Caller>),
    /// Nobody's now.
    Past(Past),
}

/// What a credential was before.
#[derive(Clone)]
pub(super) enum Past {
    /// Somebody's when somebody could be asked, which still counts if nobody can.
    Holds(Verdict),
    /// Somebody's, until its time was over.
    Over(Arc<Caller>),
    /// Somebody's, until a no, or until its key went.
    Withdrawn,
    /// Never right, as far as is known.
    Nothing,
}

/// For ever.
pub(super) const ALWAYS: Micros = Micros::new(i64::MAX);

/// Until when what was withdrawn holds.
const NEVER: Micros = Micros::new(0);

/// Of how many callers it is known how many places they took lately, as a share of those that are remembered.
const COUNTED_SHARE: usize = 10;

impl Past {
    /// Whose it was, if it was right and nobody has said no since.
    pub(super) const fn proven(&self) -> Option<&Arc<Caller>> {
        match self {
            Self::Holds(verdict) => Some(&verdict.caller),
            Self::Over(caller) => Some(caller),
            Self::Withdrawn | Self::Nothing => None,
        }
    }

    /// Whether it was never right.
    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// The verdict that still counts if nobody can be asked.
    pub(super) fn holding(self, now: Micros) -> Option<Verdict> {
        match self {
            Self::Holds(verdict) if now < verdict.holds_until => Some(verdict),
            _ => None,
        }
    }
}

impl Verdicts {
    pub(super) fn new(auth: &Auth) -> Self {
        let counted = (auth.max_verdicts / COUNTED_SHARE).max(1);
        Self {
            callers: Halves::new(auth.max_verdicts),
            refusals: Halves::new(auth.max_refusals),
            newcomers: Gate::per_minute(auth.max_new_verdicts, counted),
            hashes: RandomState::default(),
        }
    }

    /// What is known of a credential now, by this edition of the keys.
    pub(super) fn known(&self, key: &Fingerprint, edition: u64, now: Micros) -> Known {
        let read = |verdict: &Verdict| match verdict {
            verdict if verdict.edition != edition => Known::Past(Past::Withdrawn),
            verdict if now < verdict.fresh_until => Known::Caller(Arc::clone(&verdict.caller)),
            verdict if now < verdict.holds_until => Known::Past(Past::Holds(verdict.clone())),
            verdict if verdict.holds_until == NEVER => Known::Past(Past::Withdrawn),
            verdict => Known::Past(Past::Over(Arc::clone(&verdict.caller))),
        };
        let known = self.callers.get(key, read);
        known.unwrap_or(Known::Past(Past::Nothing))
    }

    /// Remembers a caller, unless it has taken as many new places as it may.
    pub(super) fn remember(&self, key: Fingerprint, verdict: Verdict, now: Micros) {
        let is_known = self.callers.get(&key, |_| ()).is_some();
        let who = (&*verdict.caller.realm, &*verdict.caller.id);
        let now_us = u64::try_from(now.get()).unwrap_or_default();
        if is_known
            || self
                .newcomers
                .admit(self.hashes.hash_one(who), now_us)
                .is_ok()
        {
            self.callers.insert(key, verdict);
        }
    }

    /// Remembers that a credential was refused. If it was somebody's before, it is no more.
    pub(super) fn refuse(&self, key: Fingerprint, until: Micros) {
        self.refusals.insert(key, until);
        let known = self.callers.get(&key, Verdict::clone);
        if let Some(known) = known {
            // Not removed: a read of the old half could bring it back.
            self.callers.insert(
                key,
                Verdict {
                    fresh_until: NEVER,
                    holds_until: NEVER,
                    ..known
                },
            );
        }
    }

    /// Whether a credential was refused, which still counts.
    pub(super) fn is_refused(&self, key: &Fingerprint, now: Micros) -> bool {
        self.refusals.get(key, |until| now < *until) == Some(true)
    }

    /// How many callers and refusals are remembered.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.callers.len(), self.refusals.len())
    }
}
