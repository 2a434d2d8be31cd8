//! Tokens by keys that nobody knows.
//!
//! Invariant: a key that is named and not known is a wrong try of whoever sends it, once, whatever tokens name it: one rotation of keys is one try of a
//! site, and who invents names is slowed down.

use std::net::IpAddr;

use super::token::Head;
use crate::{
    domain::Micros,
    identity::{
        Refused,
        fingerprint::{Fingerprint, Salt},
        wrong::WrongSenders,
    },
};

/// Why a token makes no caller, and what is wrong, if it is not the token itself.
pub(in crate::identity) type No = (Refused, Option<Fingerprint>);

/// Who sends a token, and what is remembered of senders.
pub(in crate::identity) struct Unknown<'a> {
    pub(in crate::identity) salt: Salt,
    pub(in crate::identity) place: u8,
    pub(in crate::identity) from: IpAddr,
    pub(in crate::identity) wrong: &'a WrongSenders,
}

impl Unknown<'_> {
    /// By what the key is remembered that a token names.
    pub(super) fn key(&self, head: &Head) -> Option<Fingerprint> {
        let kid = head.kid.as_ref()?;
        let begun = self.salt.begin(self.place).with(b"kid");
        Some(begun.with(kid.as_bytes()).done())
    }

    /// Whether the issuer may be asked about it.
    pub(super) fn may_ask(&self, key: Option<&Fingerprint>, now: Micros) -> Result<(), No> {
        let asked = key.map_or(Ok(()), |key| self.wrong.may_ask(self.from, key, now));
        asked.map_err(|retry_after_s| (Refused::TooMany { retry_after_s }, None))
    }
}
