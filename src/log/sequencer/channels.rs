//! The last position of each channel, remembered between batches.
//!
//! Valid only as long as this replica is the module's writer without a break: an error or a lost
//! lease clears it, and the next batch asks the log.

use std::collections::HashMap;

use crate::domain::{Audience, ModuleName, Position};

pub(super) type Channel = (ModuleName, Audience);

#[derive(Debug)]
pub(super) struct Channels {
    last: HashMap<Channel, Position>,
    most: usize,
}

impl Channels {
    pub(super) fn new(most: usize) -> Self {
        Self {
            last: HashMap::new(),
            most,
        }
    }

    pub(super) fn knows(&self, channel: &Channel) -> bool {
        self.last.contains_key(channel)
    }

    pub(super) fn get(&self, channel: &Channel) -> Option<Position> {
        self.last.get(channel).copied()
    }

    pub(super) fn remember(&mut self, channels: impl IntoIterator<Item = (Channel, Position)>) {
        self.last.extend(channels);
    }

    /// Keeps the bound between batches. Starting over is simpler than choosing, and costs one
    /// index look-up per channel.
    pub(super) fn trim(&mut self) {
        if self.last.len() > self.most {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.last.clear();
    }
}
