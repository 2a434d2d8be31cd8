//! The index of the tail: the changes of each audience, by position.
//!
//! Invariants: a channel that holds nothing is not held; memory follows what is held, also after a
//! channel was much longer.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use crate::domain::{Audience, Change};

type Channel = VecDeque<Arc<Change>>;

/// What one entry takes: a queue doubles its room when it is full.
const ENTRY_BYTES: usize = 2 * size_of::<Arc<Change>>();

/// What a channel takes beside its entries: its place in a map that doubles its room, the first
/// allocation of its queue, and the shared text's counts.
const CHANNEL_BYTES: usize =
    2 * (size_of::<(Audience, Channel)>() + 1) + 4 * size_of::<Arc<Change>>() + 32;

/// A queue with room for at most so many is not made smaller.
const SMALL: usize = 16;

/// The changes of one module by audience.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_audience: HashMap<Audience, Channel>,
    bytes: usize,
}

impl Channels {
    /// Memory that the index takes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the newest change.
    pub(super) fn push(&mut self, change: &Arc<Change>) {
        let channel = match self.by_audience.entry(change.audience.clone()) {
            Entry::Occupied(channel) => channel.into_mut(),
            Entry::Vacant(place) => {
                self.bytes += channel_bytes(&change.audience);
                place.insert(Channel::new())
            }
        };
        channel.push_back(Arc::clone(change));
        self.bytes += ENTRY_BYTES;
    }

    /// Removes an audience's oldest change.
    pub(super) fn pop_oldest(&mut self, audience: &Audience) {
        let Some(channel) = self.by_audience.get_mut(audience) else {
            return;
        };
        if channel.pop_front().is_some() {
            self.bytes -= ENTRY_BYTES;
        }
        if channel.is_empty() {
            self.by_audience.remove(audience);
            self.bytes -= channel_bytes(audience);
        } else if channel.capacity() > SMALL && channel.len() < channel.capacity() / 4 {
            channel.shrink_to(2 * channel.len());
        }
    }

    /// The changes of some audiences, without repeats, that are not `seen`, by position and at most
    /// `limit`; and whether there are more. What is seen stands before what is not.
    pub(super) fn select(
        &self,
        audiences: &[Audience],
        seen: impl Fn(&Change) -> bool,
        limit: usize,
    ) -> (Vec<Arc<Change>>, bool) {
        let mut found = Vec::new();
        // One more than is wanted tells whether there is more.
        let most = limit.saturating_add(1);
        for channel in audiences.iter().filter_map(|a| self.by_audience.get(a)) {
            if channel.back().is_some_and(|newest| !seen(newest)) {
                let start = channel.partition_point(|change| seen(change));
                found.extend(channel.range(start..).take(most).cloned());
            }
        }
        if audiences.len() > 1 {
            found.sort_unstable_by_key(|change| change.position);
        }
        let cut = found.len() > limit;
        found.truncate(limit);
        (found, cut)
    }

    /// Length and room of a channel that is held.
    #[cfg(test)]
    pub(super) fn held(&self, audience: &Audience) -> Option<(usize, usize)> {
        let channel = self.by_audience.get(audience)?;
        Some((channel.len(), channel.capacity()))
    }
}

fn channel_bytes(audience: &Audience) -> usize {
    CHANNEL_BYTES + audience.as_str().len()
}
