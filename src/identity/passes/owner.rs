//! Whose the users are that a broker keeps, as their names tell it.
//!
//! Invariants: a caller's are its own, wherever it asks from, and those of open callers, who are not told apart, are their address's; every replica finds the
//! same mark, so names that are read from a broker count as those that were made here; without the key a mark tells of nobody whose it is.

use std::net::IpAddr;

use super::{Passes, name::CallerMark, ring::Key};
use crate::{domain::sender, identity::Who};

/// What is signed as an owner is never anything else.
const OWNER_MARK: &[u8] = b"changeover lasting owner 1\0";

/// What stands for an owner in a name, by one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerMark(u64);

/// Digits of a mark.
const DIGITS: usize = 16;

impl OwnerMark {
    /// As it stands in a name.
    pub(super) fn text(self) -> String {
        format!("{:0DIGITS$x}", self.0)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let is_one = text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
        let mark = u64::from_str_radix(text, 16).ok()?;
        is_one.then_some(Self(mark))
    }

    fn by(key: &Key, whose: &[u8]) -> Self {
        let proof = key.prove(&[OWNER_MARK, whose]);
        let first = proof.first_chunk().expect("a proof has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }
}

/// Whose a user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    now: OwnerMark,
    /// By the other keys under which something may be there still: that counts too.
    others: Vec<OwnerMark>,
}

impl Owner {
    /// The mark of what is made now.
    pub const fn mark(&self) -> OwnerMark {
        self.now
    }

    /// The marks of all that may be its.
    pub fn marks(&self) -> impl Iterator<Item = OwnerMark> + '_ {
        std::iter::once(self.now).chain(self.others.iter().copied())
    }
}

impl Passes {
    /// Whose the users are that are made for somebody who asks from this address; none while there is no key. Open callers whose address is not known are one owner.
    pub fn owner(&self, who: &Who, address: Option<IpAddr>) -> Option<Owner> {
        let whose = match CallerMark::whose(who) {
            Some(mark) => format!("caller {mark}"),
            None => address.map_or_else(
                || "nowhere".to_owned(),
                |address| format!("address {}", sender(address)),
            ),
        };
        let now = self.clock.now();
        let signing = self.ring.signing(now)?;
        let keys = self.ring.signing_within(self.lifetime, now).into_iter();
        let others = keys.filter(|key| key.id() != signing.id());
        Some(Owner {
            now: OwnerMark::by(&signing, whose.as_bytes()),
            others: others
                .map(|key| OwnerMark::by(&key, whose.as_bytes()))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for mark in [0, 1, u64::MAX] {
            let text = OwnerMark(mark).text();
            assert_eq!(text.len(), DIGITS);
            assert_eq!(OwnerMark::read(&text), Some(OwnerMark(mark)));
        }
        for other in ["", "1", "+00000000000000a", "0000000000000000a", "x"] {
            assert_eq!(OwnerMark::read(other), None, "{other}");
        }
    }
}
