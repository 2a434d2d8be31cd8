//! Passes: with what a client enters a broker, and what it may read there.
//!
//! A broker asks about most things with no password at hand, only with the user name. So the user name says what may be read, and proves
//! itself; the password says until when one may enter under it. `name.rs` is how a user name is written, `ring.rs` the keys in memory,
//! `keeper.rs` what keeps them up with the database and makes new ones; `lasting.rs` makes users for brokers that ask nobody,
//! and `owner.rs` says whose those are.
//! `ticket.rs` is what the keys sign for event streams over HTTP. `ends.rs` is when what is made anew each time ends.
//!
//! Invariants: a pass is checked without I/O, and in a time that does not tell how much of it was right; nothing is read from a name or
//! a password before its proof; whatever a stranger sends as either is bounded and never a panic; a password is good for one MQTT
//! client id, and no longer than the credential of its caller.

mod ends;
mod keeper;
mod lasting;
mod name;
mod owner;
mod ring;
mod ticket;

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

pub use self::{
    keeper::{KeyKeeper, Rotation},
    lasting::{LASTING_PREFIX, lasting_name, lasting_name_end, lasting_name_owner},
    name::{CallerMark, NAME_BYTES, PREFIX, Pass},
    owner::{Owner, OwnerMark},
    ring::KeyRing,
    ticket::Tickets,
};
use super::{Identity, Who};
use crate::domain::{Audience, Clock, Micros, ModuleName};

/// A password: until when it is good, in seconds, and its proof.
const EXPIRY_BYTES: usize = 4;
const PROOF_BYTES: usize = 32;
const PASSWORD_BYTES: usize = EXPIRY_BYTES + PROOF_BYTES;

/// The same as text.
const PASSWORD_CHARACTERS: usize = PASSWORD_BYTES * 4 / 3;

/// What is signed as a password is never good as anything else.
const PASSWORD_MARK: &[u8] = b"changeover mqtt password 1\0";

/// With what a client enters a broker.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A client that has shown a right password.
#[derive(Debug, Clone)]
pub struct Entered {
    /// What it may read.
    pub pass: Pass,
    /// For how long its connection is good.
    pub left: Duration,
    /// Until when, by this machine's clock.
    pub expires_at: Micros,
}

/// Why a pass is not taken. It is for logs and tests: no client is told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denied {
    /// The user name is none of ours: whose it is, somebody else may know.
    #[error("the user name is not one of a session")]
    Foreign,
    /// It is broken, or signed by nobody whom we believe.
    #[error("the pass is not genuine")]
    Forged,
    /// It was given to another MQTT client id.
    #[error("the pass is another client's")]
    NotItsClient,
    /// It was good once.
    #[error("the pass has expired")]
    Expired,
    /// Its caller is not known any more, by the configuration of now.
    #[error("the pass is of a caller that is not known any more")]
    NotKnown,
}

/// Where passes are made and checked.
pub struct Passes {
    identity: Arc<Identity>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
}

impl Passes {
    /// Passes that are good for so long, of callers of this `identity`.
    pub fn new(
        identity: Arc<Identity>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        lifetime: Duration,
    ) -> Self {
        Self {
            identity,
            ring,
            clock,
            lifetime,
        }
    }

    /// A pass for a client of this caller, to read these audiences besides everyone's. None if the caller's own time is over, if it has
    /// more audiences than a name can hold, or while there is no key.
    pub fn issue(&self, who: &Who, audiences: &[Audience], client_id: &str) -> Option<Issued> {
        let now = self.clock.now();
        let caller = who.caller();
        if caller.is_none() && !self.identity.is_open() {
            // No broker would let it in: whoever is open among known callers has proved nothing.
            return None;
        }
        let until = caller.and_then(|caller| caller.expires_at);
        let until = until.map_or(Duration::MAX, |until| until.since(now));
        let realm = caller.map_or("", |caller| &caller.realm);
        let key = self.ring.signing(now)?;
        let mark = CallerMark::whose(who).unwrap_or(CallerMark::NOBODYS);
        let username = name::write(&key, (mark, client_id, realm), audiences)?;
        // By the database's clock, which all replicas share.
        let expires_at = self.ring.shared(now).plus(self.lifetime.min(until));
        let expires_at = u32::try_from(expires_at.as_secs()).ok()?;
        if until < Duration::from_secs(1) {
            return None;
        }
        let mut password = expires_at.to_be_bytes().to_vec();
        let proof = key.prove(&[PASSWORD_MARK, &password, username.as_bytes()]);
        password.extend(proof);
        Some(Issued {
            username,
            password: URL_SAFE_NO_PAD.encode(password),
        })
    }

    /// Who enters under this name with this password, as this MQTT client.
    pub fn enter(
        &self,
        client_id: &str,
        username: &str,
        password: &[u8],
    ) -> Result<Entered, Denied> {
        let now = self.clock.now();
        let body = name::body(username)?;
        let key = name::key(&body).and_then(|id| self.ring.believed(id, now));
        let key = key.ok_or(Denied::Forged)?;
        let (expiry, proof) = taken_apart(password).ok_or(Denied::Forged)?;
        if !key.is_proof(&[PASSWORD_MARK, &expiry, username.as_bytes()], &proof) {
            return Err(Denied::Forged);
        }
        let pass = self.known(name::read(&key, &body)?)?;
        if pass.client_id() != client_id {
            return Err(Denied::NotItsClient);
        }
        let expires_at = i64::from(u32::from_be_bytes(expiry)).saturating_mul(1_000_000);
        let left = Micros::new(expires_at).since(self.ring.shared(now));
        if left.is_zero() {
            return Err(Denied::Expired);
        }
        Ok(Entered {
            pass,
            left,
            expires_at: now.plus(left),
        })
    }

    /// What may be read under a name that a broker has let in already.
    pub fn named(&self, username: &str) -> Result<Pass, Denied> {
        let body = name::body(username)?;
        let key = name::key(&body).and_then(|id| self.ring.believed(id, self.clock.now()));
        let key = key.ok_or(Denied::Forged)?;
        self.known(name::read(&key, &body)?)
    }

    /// Whether a pass is good for a module.
    pub fn takes(&self, pass: &Pass, module: &ModuleName) -> bool {
        let place = self.identity.place(pass.realm());
        let accepted = self.identity.accepted_by(module);
        self.is_open_one(pass) || place.is_some_and(|place| accepted.takes(place))
    }

    fn known(&self, pass: Pass) -> Result<Pass, Denied> {
        let is_known = self.is_open_one(&pass) || self.identity.place(pass.realm()).is_some();
        is_known.then_some(pass).ok_or(Denied::NotKnown)
    }

    /// Passes of open callers end with open callers.
    fn is_open_one(&self, pass: &Pass) -> bool {
        pass.realm().is_empty() && self.identity.is_open()
    }
}

/// Who lets clients into a broker, and says what they may read there.
pub trait Doorkeeper: Send + Sync {
    /// Who enters with these.
    fn enter(&self, client_id: &str, username: &str, password: &[u8]) -> Result<Entered, Denied>;

    /// Whether a client may subscribe to this.
    fn may_subscribe(&self, pass: &Pass, filter: &str) -> bool;
}

fn taken_apart(password: &[u8]) -> Option<([u8; EXPIRY_BYTES], [u8; PROOF_BYTES])> {
    if password.len() != PASSWORD_CHARACTERS {
        return None;
    }
    let mut bytes = [0; PASSWORD_BYTES];
    let written = URL_SAFE_NO_PAD.decode_slice(password, &mut bytes).ok()?;
    let (expiry, proof) = bytes.split_first_chunk::<EXPIRY_BYTES>()?;
    let proof = proof.first_chunk::<PROOF_BYTES>()?;
    (written == PASSWORD_BYTES).then_some((*expiry, *proof))
}

#[cfg(test)]
mod tests;
