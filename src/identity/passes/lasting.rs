//! Users that a broker keeps itself until they are removed.
//!
//! Invariants: name and password are made of the key, the client, whose it is, what it may do, and the time at which it ends, and of nothing else: so all
//! replicas make the same ones without a table, and whoever reads a name knows when it is to be removed, and, with the key, whose it is. Sessions of about the same time get the same, also where the
//! caller's own credential ends sooner (`ends.rs`).
//!
//! A name is `co2.`, the end in milliseconds of the database's clock (12 hexadecimal digits), `.`, the mark of its owner (16), `.`, and 32 digits
//! that nobody can guess. Names without an owner are of before there was one.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Issued, OwnerMark, Passes, ends::last_beat};
use crate::{
    domain::{Micros, ModuleName},
    identity::Who,
};

/// What the name of everything begins with that the gateway keeps on a broker.
pub const LASTING_PREFIX: &str = "co2.";

/// Digits of the end.
const END_DIGITS: usize = 12;
/// Bytes of the rest.
const TAG_BYTES: usize = 16;
/// Parts of a lifetime: sessions whose ends fall into the same one get the same user.
const PARTS: u32 = 5;
/// Ends are no closer to one another, in milliseconds.
const LEAST_MS: u64 = 1_000;

/// What is signed as one thing is never good as another.
const TAG_MARK: &[u8] = b"changeover lasting name 1\0";
const PASSWORD_MARK: &[u8] = b"changeover lasting password 1\0";

impl Passes {
    /// The longest time that a user is good.
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The time by the database's clock; none before it and a key are known.
    pub fn now(&self) -> Option<Micros> {
        let now = self.clock.now();
        self.ring.signing(now)?;
        Some(self.ring.shared(now))
    }

    /// Whether a module takes this caller.
    pub fn takes_caller(&self, who: &Who, module: &ModuleName) -> bool {
        let Some(caller) = who.caller() else {
            return self.identity.is_open();
        };
        let place = self.identity.place(&caller.realm);
        place.is_some_and(|place| self.identity.accepted_by(module).takes(place))
    }

    /// Until when a user of this client is good, by the database's clock. None if its caller's own time is over, if nobody is to be let in so, or while
    /// there is no key.
    pub fn lasting_end(&self, who: &Who, client_id: &str) -> Option<Micros> {
        let caller = who.caller();
        if caller.is_none() && !self.identity.is_open() {
            return None;
        }
        let now = self.now()?;
        let own = caller.and_then(|caller| caller.expires_at);
        let own = own.map(|own| own.since(self.clock.now()));
        if own.is_some_and(|left| left < Duration::from_secs(1)) {
            return None;
        }
        let latest = millis(now.plus(self.lifetime));
        let part = u64::try_from((self.lifetime / PARTS).as_millis())
            .ok()?
            .max(1);
        // Each client has its own beat, or all would leave and come at once.
        let mut name = client_id.as_bytes();
        let beat = murmur3::murmur3_32(&mut name, 0).ok()?;
        let own = own.map_or(u64::MAX, |left| millis(now.plus(left)));
        let end = last_beat(
            latest.min(own),
            millis(now),
            (part, LEAST_MS),
            u64::from(beat),
        );
        i64::try_from(end.saturating_mul(1_000))
            .ok()
            .map(Micros::new)
    }

    /// The user of a client of this owner that ends then and may do what `rights` stands for.
    pub fn lasting(
        &self,
        (owner, client_id): (OwnerMark, &str),
        end: Micros,
        rights: &[&str],
    ) -> Option<Issued> {
        let key = self.ring.signing(self.clock.now())?;
        let until = stamp(end);
        let mut parts = vec![TAG_MARK, until.as_bytes()];
        for part in rights.iter().chain([&client_id]) {
            // None of them holds a NUL: what stands in one is never taken for two.
            parts.extend([part.as_bytes(), b"\0"]);
        }
        let proof = key.prove(&parts);
        let tag = proof.first_chunk::<TAG_BYTES>()?;
        let tag = u128::from_be_bytes(*tag);
        let username = format!("{LASTING_PREFIX}{until}.{}.{tag:032x}", owner.text());
        let password = key.prove(&[PASSWORD_MARK, username.as_bytes()]);
        Some(Issued {
            username,
            password: URL_SAFE_NO_PAD.encode(password),
        })
    }
}

/// A name of something that ends then.
pub fn lasting_name(end: Micros, rest: &str) -> String {
    format!("{LASTING_PREFIX}{}.{rest}", stamp(end))
}

/// When what has this name is to be removed; none if it is none of ours.
pub fn lasting_name_end(name: &str) -> Option<Micros> {
    let (end, _rest) = name.strip_prefix(LASTING_PREFIX)?.split_once('.')?;
    if end.len() != END_DIGITS || !end.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let end = i64::from_str_radix(end, 16).ok()?;
    Some(Micros::new(end.checked_mul(1_000)?))
}

/// Whose the user of this name is; none if it does not say so.
pub fn lasting_name_owner(name: &str) -> Option<OwnerMark> {
    lasting_name_end(name)?;
    let mut parts = name.split('.').skip(2);
    let (owner, _tag) = parts.next().zip(parts.next())?;
    OwnerMark::read(owner)
}

fn stamp(end: Micros) -> String {
    format!("{:0END_DIGITS$x}", millis(end))
}

fn millis(at: Micros) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(0)
}
