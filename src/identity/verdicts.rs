//! Who was recognized by which credential, and which credentials were refused.
//!
//! Invariants: what was recognized is believed no longer than its credential and its key are; a refusal takes no place of a
//! caller; a refusal counts over what was known before.

use std::sync::Arc;

use super::{Caller, fingerprint::Fingerprint, halves::Halves};
use crate::{config::auth::Auth, domain::Micros};

/// What is remembered.
pub(super) struct Verdicts {
    callers: Halves<Verdict>,
    refusals: Halves<Micros>,
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
    /// Whose it was when somebody could be asked, which still counts if nobody can.
    Once(Verdict),
    /// Nothing.
    Nothing,
}

/// For ever.
pub(super) const ALWAYS: Micros = Micros::new(i64::MAX);

impl Verdicts {
    pub(super) fn new(auth: &Auth) -> Self {
        Self {
            callers: Halves::new(auth.max_verdicts),
            refusals: Halves::new(auth.max_refusals),
        }
    }

    /// What is known of a credential now, by this edition of the keys.
    pub(super) fn known(&self, key: &Fingerprint, edition: u64, now: Micros) -> Known {
        let read = |verdict: &Verdict| match verdict {
            verdict if verdict.edition != edition => Known::Nothing,
            verdict if now < verdict.fresh_until => Known::Caller(Arc::clone(&verdict.caller)),
            verdict if now < verdict.holds_until => Known::Once(verdict.clone()),
            _ => Known::Nothing,
        };
        self.callers.get(key, read).unwrap_or(Known::Nothing)
    }

    /// Remembers a caller.
    pub(super) fn remember(&self, key: Fingerprint, verdict: Verdict) {
        self.callers.insert(key, verdict);
    }

    /// Remembers that a credential was refused. If it was somebody's before, it is no more.
    pub(super) fn refuse(&self, key: Fingerprint, until: Micros) {
        self.refusals.insert(key, until);
        let known = self.callers.get(&key, Verdict::clone);
        if let Some(known) = known {
            // Not removed: a read of the old half could bring it back.
            let never = Micros::default();
            self.callers.insert(
                key,
                Verdict {
                    fresh_until: never,
                    holds_until: never,
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
