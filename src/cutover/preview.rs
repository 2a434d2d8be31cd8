//! What an act would change for the clients that are known of.

use super::{Roll, evaluate};
use crate::{
    domain::{Client, Transport},
    store::StageRecord,
};

/// Most clients that are named.
const SAMPLE: usize = 10;

/// Whom an act would move.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// How many clients of the module are known of.
    pub known: usize,
    /// Those who poll and would take the push.
    pub to_push: Moved,
    /// Those who take the push and would poll again.
    pub to_poll: Moved,
}

/// Clients that would be moved one way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// How many.
    pub count: usize,
    /// Some of them, in the order of their ids.
    pub sample: Vec<String>,
}

impl Moved {
    fn add(&mut self, client: &Client<'_>) {
        self.count += 1;
        let at = self.sample.partition_point(|id| id.as_str() < client.id);
        if at < SAMPLE {
            self.sample.insert(at, client.id.to_owned());
            self.sample.truncate(SAMPLE);
        }
    }
}

impl Preview {
    /// Compares what each client is told with what it would be told.
    pub(super) fn of(roll: &Roll, before: &StageRecord, after: &StageRecord) -> Self {
        let mut preview = Self::default();
        roll.each(&before.module, |client| {
            preview.known += 1;
            let told = |record| evaluate(record, client).transport;
            match (told(before), told(after)) {
                (Transport::Poll, Transport::Push) => preview.to_push.add(client),
                (Transport::Push, Transport::Poll) => preview.to_poll.add(client),
                _ => {}
            }
        });
        preview
    }
}
