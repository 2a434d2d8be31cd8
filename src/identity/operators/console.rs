//! Sessions of a console: a signed cookie in place of a token, so that no page ever holds one.
//!
//! A cookie is, in base64url without padding, the bytes of: the key (8), the id of the token (8), a number by chance (8), when it ends
//! (4, in seconds, by the database's clock) and the proof (32). Nothing is stored, so any replica takes what another one has given.
//!
//! Invariants: it is good only while its token is, and no longer than `auth.console_session`; it holds nothing from which the token could be
//! made; what is signed here is never good as anything else; its act token is of this one session.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

use super::{NotKnown, Operator, Operators};
use crate::{
    domain::{Clock, Micros},
    identity::passes::KeyRing,
};

const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 8;
const SAID_BYTES: usize = 8 + ID_BYTES + NONCE_BYTES + 4;
const PROOF_BYTES: usize = 32;
const COOKIE_BYTES: usize = SAID_BYTES + PROOF_BYTES;
const COOKIE_CHARACTERS: usize = COOKIE_BYTES * 4 / 3;

const COOKIE_MARK: &[u8] = b"changeover console cookie 1\0";
const ACT_MARK: &[u8] = b"changeover console act 1\0";

/// Why a cookie is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSignedIn {
    /// It is broken, or signed by nobody whom we believe.
    #[error("the session is not genuine: sign in again")]
    Forged,
    /// It was good once.
    #[error("the session has expired: sign in again")]
    Expired,
    /// Its token is not good any more.
    #[error("the session has ended with its token: sign in with another one")]
    TokenGone,
    /// Many wrong ones came from there.
    #[error("too many wrong sessions came from this address: come again later")]
    TooMany {
        /// When.
        retry_after_s: u32,
    },
}

/// Somebody who is signed in.
#[derive(Clone)]
pub struct SignedIn {
    /// Whose token it was.
    pub operator: Arc<Operator>,
    /// For how long it is good.
    pub left: Duration,
    /// Until when, by this machine's clock.
    pub expires_at: Micros,
    /// What the browser keeps.
    pub cookie: String,
    /// What acts must show beside it.
    act_token: String,
}

impl SignedIn {
    /// What acts must show beside the cookie, which no other page can read.
    pub fn act_token(&self) -> &str {
        &self.act_token
    }

    /// Whether this is what acts must show. Takes as long for a nearly right one as for a wrong one.
    pub fn may_act_with(&self, shown: &[u8]) -> bool {
        self.act_token.as_bytes().ct_eq(shown).into()
    }
}

/// Without what lets one in.
impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn")
            .field("operator", &self.operator)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Where sessions begin and are known again.
pub struct Console {
    operators: Arc<Operators>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
}

impl Console {
    /// Sessions that are good for so long.
    pub fn new(
        operators: Arc<Operators>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        lifetime: Duration,
    ) -> Self {
        Self {
            operators,
            ring,
            clock,
            lifetime,
        }
    }

    /// Begins a session of this bearer. None while there is no key, or if its token has just ended.
    pub fn sign_in(&self, operator: &Operator) -> Option<SignedIn> {
        let (_, ends_with) = self.operators.known(&operator.id).ok()?;
        let now = self.clock.now();
        let left = ends_with.map_or(Duration::MAX, |end| end.since(now));
        let key = self.ring.signing(now)?;
        let ends = self.ring.shared(now).plus(self.lifetime.min(left));
        let ends = u32::try_from(ends.as_secs()).ok()?;
        let id = u64::from_str_radix(&operator.id, 16).ok()?;
        let chance = (self.operators.randomness)();
        let mut said = [0; SAID_BYTES];
        said[..8].copy_from_slice(&key.id().to_be_bytes());
        said[8..16].copy_from_slice(&id.to_be_bytes());
        said[16..24].copy_from_slice(&chance[..NONCE_BYTES]);
        said[24..].copy_from_slice(&ends.to_be_bytes());
        let proof = key.prove(&[COOKIE_MARK, &said]);
        self.who(&URL_SAFE_NO_PAD.encode([&said[..], &proof].concat()))
            .ok()
    }

    /// Whose session this is.
    pub fn who(&self, cookie: &str) -> Result<SignedIn, NotSignedIn> {
        let said = taken_apart(cookie).and_then(|(said, proof)| {
            let key = self.ring.believed(number(&said, 0), self.clock.now())?;
            let is_genuine = key.is_proof(&[COOKIE_MARK, &said], &proof);
            is_genuine.then(|| (said, key.prove(&[ACT_MARK, &said])))
        });
        let (said, act_proof) = said.ok_or(NotSignedIn::Forged)?;
        let ends = said.last_chunk().expect("the end stands last");
        let ends = i64::from(u32::from_be_bytes(*ends)).saturating_mul(1_000_000);
        let now = self.clock.now();
        let left = Micros::new(ends).since(self.ring.shared(now));
        if left.is_zero() {
            return Err(NotSignedIn::Expired);
        }
        let known = self.operators.known(&format!("{:016x}", number(&said, 8)));
        let (operator, _) = known.map_err(|_gone| NotSignedIn::TokenGone)?;
        Ok(SignedIn {
            operator,
            left,
            expires_at: now.plus(left),
            cookie: cookie.to_owned(),
            act_token: URL_SAFE_NO_PAD.encode(act_proof),
        })
    }

    /// The same from there: many wrong ones keep their sender waiting, and nobody else.
    pub fn who_from(&self, from: IpAddr, cookie: &str) -> Result<SignedIn, NotSignedIn> {
        let known = self.who(cookie);
        let Err(NotSignedIn::Forged) = known else {
            return known;
        };
        match self.operators.wrong_from(from, cookie, NotKnown::Malformed) {
            NotKnown::TooMany { retry_after_s } => Err(NotSignedIn::TooMany { retry_after_s }),
            _ => known,
        }
    }
}

fn number(said: &[u8; SAID_BYTES], at: usize) -> u64 {
    let bytes = said[at..].first_chunk();
    u64::from_be_bytes(*bytes.expect("all numbers stand before the end"))
}

fn taken_apart(cookie: &str) -> Option<([u8; SAID_BYTES], [u8; PROOF_BYTES])> {
    if cookie.len() != COOKIE_CHARACTERS {
        return None;
    }
    let mut bytes = [0; COOKIE_BYTES];
    let written = URL_SAFE_NO_PAD.decode_slice(cookie, &mut bytes).ok()?;
    let (said, proof) = bytes.split_first_chunk::<SAID_BYTES>()?;
    let proof = proof.first_chunk::<PROOF_BYTES>()?;
    (written == COOKIE_BYTES).then_some((*said, *proof))
}
