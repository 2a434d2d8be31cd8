//! Where a module's mirror stops on this target, and how it gets past that.

use std::time::{Duration, Instant};

use super::{Publisher, jobs::MirrorStore};
use crate::{
    domain::Cursor,
    mirror::{
        lane::trouble::{Halt, Next},
        ledger::LaneId,
    },
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// A line's connection is over: notes which changes it left behind, and blames the one that was
    /// sent alone.
    pub(super) fn note_stalls(&mut self, on: usize, alone: Option<LaneId>, reason: &str) {
        let tries = self.settings.refusal_tries;
        for at in 0..self.lanes.len() {
            let lane = &mut self.lanes[at];
            let Some(oldest) = self.ledger.oldest_on(on, lane.id) else {
                continue;
            };
            let trouble = &mut lane.ways[on].trouble;
            trouble.stall(oldest);
            if alone == Some(lane.id) && trouble.abandon(oldest, tries) == Next::Halt {
                let position = oldest.position;
                self.halt(
                    at,
                    oldest,
                    format!(
                        "position {position}: the connection ends whenever it is sent: {reason}"
                    ),
                );
            }
        }
    }

    /// A lane sends nothing more for a while.
    pub(super) fn halt(&mut self, at: usize, cursor: Cursor, reason: String) {
        let rest = Duration::from_millis(self.settings.halt_retry_ms);
        let halt = Halt::new(cursor, reason, Instant::now(), rest);
        self.lanes[at].halt(&self.target.name, halt);
    }

    /// Halted lanes that have rested are tried once more; those that got past their trouble go on.
    pub(super) fn tend_halted(&mut self, now: Instant) {
        let tries = self.settings.refusal_tries;
        for lane in &mut self.lanes {
            let Some(prefix) = self.ledger.prefix(lane.id) else {
                continue;
            };
            lane.try_again_if_due(now, prefix, tries);
            lane.goes_on(&self.target.name, prefix);
        }
    }
}
