//! How many of the clients on a broker are whose.
//!
//! Invariant: it says what the names of the clients say that the broker was last seen to have, whoever has made them; so it is bounded as those are.

use std::collections::HashMap;

use crate::identity::passes::{Owner, OwnerMark, lasting_name_owner};

/// Clients by their owners.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<OwnerMark, usize>);

impl Shares {
    /// Of these names.
    pub(super) fn of<'a>(usernames: impl Iterator<Item = &'a String>) -> Self {
        let mut shares = Self::default();
        for name in usernames {
            shares.add(name);
        }
        shares
    }

    /// How many clients an owner has.
    pub(super) fn count(&self, owner: &Owner) -> usize {
        owner.marks().filter_map(|mark| self.0.get(&mark)).sum()
    }

    /// There is one client more.
    pub(super) fn add(&mut self, username: &str) {
        if let Some(owner) = lasting_name_owner(username) {
            *self.0.entry(owner).or_default() += 1;
        }
    }

    /// There is one client less.
    pub(super) fn take(&mut self, username: &str) {
        let Some(owner) = lasting_name_owner(username) else {
            return;
        };
        if let Some(count) = self.0.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&owner);
            }
        }
    }
}
