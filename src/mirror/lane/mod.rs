//! A lane: one module on one target, for as long as this replica holds the module's lease.

pub(super) mod bookmark;
pub(super) mod trouble;
pub(super) mod way;

use std::{sync::Arc, time::Instant};

use self::{
    bookmark::Bookmark,
    trouble::Halt,
    way::{Fork, Way},
};
use crate::{
    domain::{Cursor, Epoch, ModuleName, Position},
    log::Stay,
    mirror::{claim::Keeps, history::History, ledger::LaneId, message::pointers::Why},
    store::{Lease, MirrorCursor},
    telemetry::{metric, usage::Meter},
};

/// A module's way to the broker.
pub(super) struct Lane {
    pub(super) id: LaneId,
    pub(super) module: ModuleName,
    pub(super) lease: Lease,
    /// A hand-over of the lease waits for it.
    _stay: Stay,
    /// The lease is being handed over: nothing more is sent.
    pub(super) leaving: bool,
    /// The row as it stands in the store.
    pub(super) stored: MirrorCursor,
    pub(super) generation: u64,
    /// The last change that was read. What lies between it and the prefix is in the ledger: acknowledged, under way, or
    /// waiting in the queue of its way.
    pub(super) read_to: Cursor,
    /// One for each line of the target.
    pub(super) ways: Vec<Way>,
    pub(super) fork: Fork,
    /// The tail begins later: the edge that it had when it said so.
    pub(super) wants_database: Option<Cursor>,
    pub(super) halted: Option<Halt>,
    /// Why the topics are not ours, and what to do.
    pub(super) kept_off: Option<(Keeps, String)>,
    /// What it had to leave out last, and why.
    pub(super) skipped: Option<String>,
    pub(super) bookmark: Bookmark,
    /// Whether the broker is known to have its state of this module still.
    pub(super) cleared: bool,
    pub(super) history: History,
    /// Where it is counted what is handed over.
    pub(super) usage: Arc<Meter>,
    pub(super) published: metrics::Counter,
    pub(super) lag_seconds: metrics::Gauge,
    pub(super) is_kept_off: metrics::Gauge,
}

/// Any retained message at all reaches this.
const ANY: Cursor = Cursor::new(Epoch::new(0), Position::ZERO);

impl Lane {
    pub(super) fn new(
        id: LaneId,
        target: &str,
        (lease, stay): (Lease, Stay),
        stored: MirrorCursor,
        created: bool,
        history: History,
        ways: usize,
    ) -> Self {
        let module = stored.module.clone();
        let labels = [
            ("target", target.to_owned()),
            ("module", module.as_str().to_owned()),
        ];
        Self {
            id,
            lease,
            _stay: stay,
            leaving: false,
            generation: stored.generation,
            read_to: stored.cursor,
            ways: (0..ways).map(|_| Way::default()).collect(),
            fork: Fork::new(&module, ways),
            wants_database: None,
            halted: None,
            kept_off: None,
            skipped: None,
            bookmark: Bookmark::expecting((!created).then_some(ANY)),
            cleared: false,
            history,
            usage: Arc::default(),
            published: metrics::counter!(metric::MIRROR_PUBLISHED, &labels),
            lag_seconds: metrics::gauge!(metric::MIRROR_LAG_SECONDS, &labels),
            is_kept_off: metrics::gauge!(metric::MIRROR_KEPT_OFF, &labels),
            module,
            stored,
        }
    }

    /// Counts what is handed over where others count too.
    pub(super) fn counting(self, usage: Arc<Meter>) -> Self {
        Self { usage, ..self }
    }

    /// Whether the row in the store says another thing than this.
    pub(super) fn is_dirty(&self, prefix: Cursor) -> bool {
        self.stored.cursor != prefix || self.stored.generation != self.generation
    }

    /// The row that the store should hold.
    pub(super) fn row(&self, prefix: Cursor) -> MirrorCursor {
        MirrorCursor {
            module: self.module.clone(),
            cursor: prefix,
            generation: self.generation,
            version: self.stored.version,
        }
    }

    /// Reads on from `prefix`. The ledger knows what of that is acknowledged or under way.
    pub(super) fn restart(&mut self, prefix: Cursor) {
        self.empty();
        self.read_to = prefix;
        self.wants_database = None;
    }

    fn empty(&mut self) {
        for way in &mut self.ways {
            way.queue.clear();
        }
    }

    /// Changes that were read and not handed over.
    pub(super) fn waiting(&self) -> usize {
        self.ways.iter().map(|way| way.queue.len()).sum()
    }

    /// The first line has a new connection: what the broker still has is to be found out.
    pub(super) fn begin_connection(&mut self) {
        self.bookmark.begin_connection();
        self.cleared = false;
    }

    /// Everything up to `prefix` was acknowledged.
    pub(super) fn progress(&mut self, prefix: Cursor) {
        for way in &mut self.ways {
            way.trouble.progress(prefix);
        }
    }

    /// Sends nothing more, for this reason.
    pub(super) fn halt(&mut self, target: &str, halt: Halt) {
        tracing::error!(broker = %target, module = %self.module, reason = halt.reason, "the mirror of this module halts on this target");
        self.empty();
        self.halted = Some(halt);
    }

    /// Sends nothing while the topics are not ours, and goes on from `prefix` once they are. Logs each turn once.
    pub(super) fn keep_off(
        &mut self,
        target: &str,
        why: Option<(Keeps, String)>,
        prefix: Option<Cursor>,
    ) {
        let kind = |why: &Option<(Keeps, String)>| why.as_ref().map(|(keeps, _)| *keeps);
        let turned = kind(&why) != kind(&self.kept_off);
        self.kept_off = why;
        self.is_kept_off.set(f64::from(self.kept_off.is_some()));
        if !turned {
            return;
        }
        let module = &self.module;
        match &self.kept_off {
            Some((Keeps::Found, reason)) => {
                tracing::warn!(broker = %target, %module, reason, "this module is not published to this target yet");
            }
            Some((Keeps::Lives | Keeps::Rests, reason)) => {
                tracing::error!(broker = %target, %module, reason, "this module is kept off this target");
            }
            None => {
                tracing::info!(broker = %target, %module, "this module is published to this target again");
            }
        }
        if let Some(prefix) = prefix {
            self.restart(prefix);
        }
    }

    /// Whether it sends nothing.
    pub(super) fn is_halted(&self) -> bool {
        self.kept_off.is_some() || self.halted.as_ref().is_some_and(Halt::holds)
    }

    /// Why it sends nothing, or did until it was tried once more.
    pub(super) fn halt_reason(&self) -> Option<String> {
        let kept_off = self.kept_off.as_ref().map(|(_, reason)| reason);
        let halted = self.halted.as_ref().map(|halt| &halt.reason);
        kept_off.or(halted).cloned()
    }

    /// Reads on from `prefix` if it has been halted for long enough.
    pub(super) fn try_again_if_due(&mut self, now: Instant, prefix: Cursor, tries: u32) {
        let over = self.halted.as_mut().is_some_and(|halt| halt.is_over(now));
        if over {
            for way in &mut self.ways {
                way.trouble.try_once_more(tries);
            }
            self.restart(prefix);
        }
    }

    /// It need not rest any longer, if it is halted.
    pub(super) fn end_rest(&mut self, now: Instant) {
        if let Some(halt) = &mut self.halted {
            halt.end_rest(now);
        }
    }

    /// Forgets a halt whose cause is gone.
    pub(super) fn goes_on(&mut self, target: &str, prefix: Cursor) {
        if self
            .halted
            .take_if(|halt| halt.is_overcome(prefix))
            .is_some()
        {
            tracing::info!(broker = %target, module = %self.module, "the mirror of this module goes on");
            self.restart(prefix);
        }
    }

    /// A change was sent without its value.
    pub(super) fn count_pointer(&self, target: &str, cursor: Cursor, why: Why) {
        let why = why.as_str();
        tracing::debug!(broker = %target, module = %self.module, position = %cursor.position, why, "sent as a pointer");
        let labels = [
            ("target", target.to_owned()),
            ("module", self.module.as_str().to_owned()),
            ("reason", why.to_owned()),
        ];
        metrics::counter!(metric::MIRROR_POINTERS, &labels).increment(1);
    }

    /// Changes between what was read and `next` are gone. Who listens finds out by the gap, or else by the
    /// generation, and reads them as state.
    pub(super) fn skip(&mut self, target: &str, next: Cursor) {
        let reason = format!(
            "retention has removed changes between {} and {} that this target still needed",
            self.read_to.position, next.position
        );
        tracing::warn!(broker = %target, module = %self.module, reason, "changes were not published");
        self.generation += 1;
        self.skipped = Some(reason);
    }

    /// Whether its next change on a line must be sent alone, to see if it is what ends the connections.
    pub(super) fn is_suspect(&self, on: usize) -> bool {
        !self.is_halted() && self.ways[on].trouble.is_suspicious()
    }
}
