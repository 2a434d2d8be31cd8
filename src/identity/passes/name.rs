//! The user name of a pass: what may be read, and the proof of it.
//!
//! `co3.` and, in base64url without padding, the bytes of: the key (8), the mark of the caller (8), the MQTT client id, the realm of the caller, the number of its
//! audiences (2), each of them, and the proof (16). Texts have their length before them: one byte, audiences two. An open caller's
//! realm is empty. It holds nothing that is a secret, and no `:`, which RabbitMQ takes for the end of a virtual host.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{Denied, ring::Key};
use crate::{domain::Audience, identity::Who};

/// What every user name of a session begins with; the digit is the version of what follows. `co1.` had no mark of the caller, and `co2.` are users that a broker
/// keeps (`lasting.rs`).
pub const PREFIX: &str = "co3.";

/// The longest user name, in bytes: a caller with more audiences gets none.
pub const NAME_BYTES: usize = 8_192;

const KEY_BYTES: usize = 8;
const PROOF_BYTES: usize = 16;

/// What is signed as a name is never good as anything else.
const NAME_MARK: &[u8] = b"changeover mqtt name 2\0";

/// What tells one caller from another, and says nothing else of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallerMark(u64);

impl CallerMark {
    /// The caller of this id, as this realm calls it. Two may have the same by a chance of one in 2⁶⁴; they share bounds then, and nothing
    /// else.
    fn of(realm: &str, id: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(MARK_MARK)
            .chain_update(realm.len().to_be_bytes())
            .chain_update(realm)
            .chain_update(id)
            .finalize();
        let first = digest.first_chunk().expect("a digest has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }

    /// Whoever calls; none if callers are not told apart.
    pub fn whose(who: &Who) -> Option<Self> {
        let caller = who.caller()?;
        Some(Self::of(&caller.realm, &caller.id))
    }

    /// Of open callers, who are not told apart.
    pub(super) const NOBODYS: Self = Self(0);
}

impl fmt::Display for CallerMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What is hashed as a caller is never anything else.
const MARK_MARK: &[u8] = b"changeover mqtt caller 1\0";

/// What may be read under a user name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    caller: CallerMark,
    client_id: Box<str>,
    realm: Box<str>,
    audiences: Box<[Audience]>,
}

impl Pass {
    /// The MQTT client id that it is for.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whose it is; none if callers are not told apart.
    pub fn caller(&self) -> Option<CallerMark> {
        (!self.realm.is_empty()).then_some(self.caller)
    }

    /// Who has recognized its caller; empty for an open one.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whose changes may be read besides everyone's.
    pub fn audiences(&self) -> &[Audience] {
        &self.audiences
    }
}

/// The user name of a client; none if it would be too long.
pub(super) fn write(
    key: &Key,
    (caller, client_id, realm): (CallerMark, &str, &str),
    audiences: &[Audience],
) -> Option<String> {
    let mut body = key.id().to_be_bytes().to_vec();
    body.extend(caller.0.to_be_bytes());
    for text in [client_id, realm] {
        body.push(u8::try_from(text.len()).ok()?);
        body.extend(text.as_bytes());
    }
    body.extend(u16::try_from(audiences.len()).ok()?.to_be_bytes());
    for audience in audiences {
        let text = audience.as_str();
        body.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
        body.extend(text.as_bytes());
    }
    let proof = key.prove(&[NAME_MARK, &body]);
    body.extend(&proof[..PROOF_BYTES]);
    let mut name = PREFIX.to_owned();
    URL_SAFE_NO_PAD.encode_string(body, &mut name);
    (name.len() <= NAME_BYTES).then_some(name)
}

/// The bytes of a name that may be ours.
pub(super) fn body(name: &str) -> Result<Vec<u8>, Denied> {
    let text = name.strip_prefix(PREFIX).ok_or(Denied::Foreign)?;
    if name.len() > NAME_BYTES {
        return Err(Denied::Forged);
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Denied::Forged)
}

/// The key that says to have signed it.
pub(super) fn key(body: &[u8]) -> Option<u64> {
    let id = body.first_chunk::<KEY_BYTES>()?;
    Some(u64::from_be_bytes(*id))
}

/// What the name says, if its proof is right.
pub(super) fn read(key: &Key, body: &[u8]) -> Result<Pass, Denied> {
    let (said, proof) = body
        .split_last_chunk::<PROOF_BYTES>()
        .ok_or(Denied::Forged)?;
    if !key.is_proof(&[NAME_MARK, said], proof) {
        return Err(Denied::Forged);
    }
    parse(said.get(KEY_BYTES..).unwrap_or_default()).ok_or(Denied::Forged)
}

fn parse(said: &[u8]) -> Option<Pass> {
    let mut rest = said;
    let caller = CallerMark(u64::from_be_bytes(fixed(&mut rest)?));
    let client_id = short(&mut rest)?;
    let realm = short(&mut rest)?;
    let count = u16::from_be_bytes(fixed(&mut rest)?);
    let mut audiences = Vec::new();
    for _ in 0..count {
        let length = u16::from_be_bytes(fixed(&mut rest)?);
        audiences.push(Audience::stored(&*text(&mut rest, length.into())?));
    }
    rest.is_empty().then(|| Pass {
        caller,
        client_id,
        realm,
        audiences: audiences.into(),
    })
}

fn short(rest: &mut &[u8]) -> Option<Box<str>> {
    let [length] = fixed(rest)?;
    text(rest, length.into())
}

/// A text with its length in two bytes before it.
pub(super) fn long(rest: &mut &[u8]) -> Option<Box<str>> {
    let length = u16::from_be_bytes(fixed(rest)?);
    text(rest, length.into())
}

fn text(rest: &mut &[u8], length: usize) -> Option<Box<str>> {
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok().map(Box::from)
}

pub(super) fn fixed<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_said_is_read_or_refused(said in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read = parse(&said);
        }
    }
}
