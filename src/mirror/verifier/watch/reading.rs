//! Reading the log: what must arrive.

use super::Watch;
use crate::{
    domain::{Change, Position},
    log::TailRead,
    mirror::verifier::{
        Outcome,
        received::{Print, fingerprint},
        sight::Sight,
        tally::Tally,
        window::{Entry, State},
    },
};

/// Changes that are read at once.
const CHUNK: u64 = 1_000;

impl Watch {
    /// Reads the log up to `to`. False if it could not be read so far.
    pub(super) fn read(&mut self, to: Position, sight: &Sight<'_>, tally: &mut Tally) -> bool {
        while self.read_to < to {
            let left = to.get() - self.read_to.get();
            let limit = usize::try_from(left.min(CHUNK)).unwrap_or(usize::MAX);
            match sight.tail.read_all(&self.module, self.read_to, limit) {
                Some(TailRead::Found { changes, cut, edge }) if edge.epoch == self.epoch => {
                    let near = changes.iter().take_while(|change| change.position <= to);
                    near.for_each(|change| self.enter(change, sight, tally));
                    let beyond = changes.last().is_some_and(|last| last.position > to);
                    if beyond || !cut {
                        // Between the last change and this there is none.
                        self.read_to = self.read_to.max(to.min(edge.last));
                        break;
                    }
                }
                // The mirror reads these from the database.
                Some(TailRead::Older(edge)) if edge.epoch == self.epoch => {
                    let next = edge.covers_after.min(to);
                    let skipped = next.get() - self.read_to.get();
                    tally.count(Outcome::Unobserved, self.share.of(skipped));
                    self.window.pass(next);
                    self.read_to = next;
                }
                _ => break,
            }
        }
        self.read_to >= to
    }

    fn enter(&mut self, change: &Change, sight: &Sight<'_>, tally: &mut Tally) {
        self.read_to = change.position;
        let topic = sight.topics.channel(&self.module, &change.audience);
        let channel = fingerprint(&[&topic]);
        if !self.share.holds(channel) {
            return;
        }
        let state = if self.begin.expects(change.position) {
            State::Expected
        } else {
            tally.count(Outcome::Unobserved, 1);
            State::Unobserved
        };
        let forgotten = self.window.enter(Entry {
            position: change.position,
            previous: change.previous,
            sequenced_at: change.sequenced_at,
            channel,
            print: Print::of(change),
            state,
        });
        tally.count(Outcome::Unobserved, forgotten);
    }
}
