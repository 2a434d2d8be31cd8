//! What a broker's clients are told before the gateway leaves it: a retained message with a new version, which says how the
//! target stands and makes them ask where to go.
//!
//! Invariants: the broker is left once that and everything that was sent is acknowledged, at the latest after
//! `mirror.drain_ms`; who may not have been told is named in a warning. Nothing but retained messages is handed to the
//! connection meanwhile, and no connection is made for it.

use std::time::{Duration, Instant};

use super::{Publisher, jobs::MirrorStore};
use crate::{
    domain::{ModuleName, Standing},
    mirror::{lane::Lane, line::FIRST_LINE},
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Tells the clients as far as the connection has room. Returns whether the broker may be left.
    pub(super) fn say_farewell(&mut self, since: Instant, now: Instant) -> bool {
        for at in 0..self.lanes.len() {
            if self.spare(FIRST_LINE).min(self.paced_room()) == 0 {
                break;
            }
            if self.farewell_due(at, now) {
                self.send_bookmark(at, FIRST_LINE, now);
            }
        }
        let patience = Duration::from_millis(self.settings.drain_ms);
        let can_tell = self.lines[FIRST_LINE].connection.is_some();
        let told = !can_tell || self.untold().next().is_none();
        (told && self.ledger.outstanding() == 0) || now.duration_since(since) >= patience
    }

    /// Warns of modules whose clients may not know that the broker is left.
    pub(super) fn warn_of_untold(&self, standing: Standing) {
        let modules: Vec<_> = self.untold().map(ModuleName::as_str).collect();
        if !modules.is_empty() {
            let modules = modules.join(", ");
            tracing::warn!(
                broker = %self.target.name, %standing, modules,
                "clients that are connected to this target may not have been told to go elsewhere: they learn it with their next session"
            );
        }
    }

    /// The first message says how the target stands, as soon as possible; a second one, after the last
    /// acknowledgement, how far it got.
    fn farewell_due(&self, at: usize, now: Instant) -> bool {
        let lane = &self.lanes[at];
        let got_further = |head| {
            self.ledger.oldest(lane.id).is_none() && self.ledger.prefix(lane.id) != Some(head)
        };
        let due = match lane.bookmark.sent {
            Some((_, head, ..)) => !self.was_told(lane) || got_further(head),
            None => true,
        };
        due && self.may_bookmark(at, now)
    }

    /// The modules whose last word the broker has not acknowledged.
    fn untold(&self) -> impl Iterator<Item = &ModuleName> {
        let up = self.lines[FIRST_LINE].admitted().is_some();
        let told = move |lane: &&Lane| up && self.was_told(lane) && !lane.bookmark.outstanding;
        // Where another log is published there is nobody of ours to tell.
        let ours = self.lanes.iter().filter(|lane| lane.kept_off.is_none());
        let lanes = ours.filter(move |lane| !told(lane));
        lanes.map(|lane| &lane.module)
    }

    /// Whether the last word was sent.
    fn was_told(&self, lane: &Lane) -> bool {
        let directions = &self.sources.directions;
        let version = directions.version(&lane.module, Some(&self.target.name));
        let sent = lane.bookmark.sent.as_ref();
        sent.is_some_and(|(.., sent)| *sent == version)
    }
}
