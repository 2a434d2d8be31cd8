//! Whether the broker still has its state: its session and its retained messages say so.
//!
//! Invariant: the moment from which a loss is counted moves on only while the broker is known to have its state, so a
//! connection that ends before a loss was found does not hide it. Through any number of such connections what is sent again
//! stays bounded: a lane of which that is not known sends nothing, so what comes again of it is what was acknowledged within
//! `mirror.replay_on_reconnect` before that moment, and since, which may be lost as well. A lane of which it was known
//! meanwhile may repeat more than it must, and no more than its history and the tail hold.

use std::time::Instant;

use super::{Publisher, jobs::MirrorStore};
use crate::{
    domain::{Cursor, ModuleName},
    log::{Evidence, Witness},
    mirror::line::FIRST_LINE,
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// The broker was heard on a line, and the connection goes on.
    pub(super) fn note_heard(&mut self, on: usize, now: Instant) {
        let knows = self.knows_state(on);
        let line = &mut self.lines[on];
        line.heard_at = now;
        if knows {
            line.kept_at = now;
        }
    }

    /// Whether it is known on the present connection of a line what the broker has kept, or has been counted as lost. The
    /// session says so when the broker lets us in; the retained messages, which are the first line's, are known at
    /// `shown_by` at the latest, also of a broker that cannot show them.
    fn knows_state(&self, on: usize) -> bool {
        let shown = || self.lanes.iter().all(|lane| lane.cleared);
        self.lines[on].admitted().is_some() && (on != FIRST_LINE || shown())
    }

    /// Whether the broker has shown its retained message of a module, or has none, or cannot be asked.
    pub(super) fn has_shown(&self, module: &ModuleName, now: Instant) -> bool {
        self.lines[FIRST_LINE].admitted().is_some_and(|admitted| {
            let seen = admitted.seen.as_ref();
            admitted.answered
                || now >= admitted.shown_by
                || seen.is_none_or(|seen| seen.contains_key(module))
        })
    }

    /// A retained message beyond the end that the log had when its lease was taken, and not of our own
    /// making, tells of positions that the database has lost since. That stays so when numbering has passed
    /// by them again, as long as nobody else had the lease: those were given twice. What another log says is no such witness.
    pub(super) fn compare(&mut self, now: Instant) {
        let Some(admitted) = self.lines[FIRST_LINE].admitted() else {
            return;
        };
        for lane in &self.lanes {
            let claim = self.claims.entry(lane.module.clone()).or_default();
            let ours = self.sources.log;
            let open = self.sources.witnesses.are_open(&lane.module);
            if claim.other().is_some() || open {
                continue;
            }
            let Some(head) = self.sources.leadership.beginning(&lane.lease) else {
                continue;
            };
            let seen = admitted.seen.as_ref();
            let shown = seen.and_then(|seen| seen.get(&lane.module));
            let shown = shown.filter(|seen| seen.log().is_none_or(|log| log == ours));
            let told = self.told.get(&lane.module);
            let is_beyond =
                |cursor: &Cursor| *cursor > head && told.is_none_or(|told| cursor > told);
            let beyond = shown.and_then(|seen| seen.cursor()).filter(is_beyond);
            // Where nothing asks for an epoch any more, nothing has to rest.
            let evidence = beyond.map(|cursor| Evidence {
                module: lane.module.clone(),
                cursor,
                witness: Witness::Bookmark(self.target.name.clone()),
                head,
                under: Some(lane.lease.token),
            });
            let tell = |evidence| self.sources.witnesses.tell_shown(evidence, now).err();
            claim.rest_until(evidence.and_then(tell));
        }
    }

    /// Clears the lanes of which the broker still has what we left there; those of which it has not in
    /// due time begin again a little earlier.
    pub(super) fn review(&mut self, now: Instant) {
        self.settle_claims(now);
        let Some(admitted) = self.lines[FIRST_LINE].admitted() else {
            return;
        };
        let lost_at = admitted.lost_at;
        let mut gone = Vec::new();
        for lane in self.lanes.iter_mut().filter(|lane| !lane.cleared) {
            let kept = match (lane.bookmark.expected, &admitted.seen) {
                (Some(head), Some(seen)) => seen
                    .get(&lane.module)
                    .is_some_and(|seen| seen.reaches(head)),
                _ => true,
            };
            lane.cleared = kept || now >= admitted.shown_by;
            if lane.cleared && !kept {
                gone.push(lane.id);
            }
        }
        for lane in gone {
            self.replay(lane, lost_at, "our retained message is gone");
        }
    }
}
