//! What the broker says: acknowledgements, refusals, and whether it still has its state.

use std::time::{Duration, Instant};

use super::{
    asking,
    bookmark::Seen,
    connection::Admitted,
    history::History,
    jobs::MirrorStore,
    ledger::{LaneId, Sending},
    mqtt::Signal,
    publisher::Publisher,
    trouble::Next,
};
use crate::{
    domain::{Cursor, ModuleName, Position},
    log::{Evidence, TailRead, Witness},
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Takes what happened on the connection.
    pub(super) fn on_signals(&mut self, signals: Vec<Signal>) {
        let Some(number) = self.connection.as_ref().map(|connection| connection.number) else {
            return;
        };
        let mut over = None;
        for signal in signals {
            let trouble = self.on_signal(number, signal);
            over = over.or(trouble);
        }
        match over {
            Some(reason) => self.lose(&reason),
            None => self.heard_at = Instant::now(),
        }
    }

    /// Returns why the connection must be given up, if so.
    fn on_signal(&mut self, connection: u64, signal: Signal) -> Option<String> {
        match signal {
            Signal::Sent(packet) => {
                let agreed = self.ledger.sent(connection, packet);
                (!agreed).then(|| format!("packet id {packet} was used twice"))
            }
            Signal::Acknowledged(packet) => {
                self.on_acknowledged(connection, packet);
                None
            }
            Signal::Refused(packet, reason) => {
                self.on_refused(connection, packet, &reason);
                Some(format!("the broker refused a publish: {reason}"))
            }
            Signal::Connected {
                session_present,
                receive_maximum,
                max_packet_bytes,
                retains,
            } => {
                let settle = Duration::from_millis(self.settings.settle_ms);
                let limits = &self.target.limits;
                let inflight = limits.inflight.unwrap_or(u16::MAX);
                let inflight = inflight.min(self.settings.inflight);
                let retains = retains && limits.retained;
                let admitted =
                    Admitted::new(receive_maximum, max_packet_bytes, retains, inflight, settle);
                self.on_connected(admitted, session_present, settle)
            }
            Signal::Subscribed(true) => None,
            Signal::Subscribed(false) => {
                self.cannot_ask();
                None
            }
            Signal::Message { topic, payload } => {
                self.on_shown(&topic, &payload);
                None
            }
            Signal::Closed(reason) => Some(reason),
        }
    }

    fn on_acknowledged(&mut self, connection: u64, packet: u16) {
        match self.ledger.acknowledge(connection, packet) {
            Some(Sending::Change { .. }) => {
                self.unwritten_acks += 1;
                if let Some(admitted) = self.connection.as_mut().and_then(|c| c.admitted.as_mut()) {
                    admitted.answered = true;
                }
            }
            Some(Sending::Bookmark { lane, head }) => {
                if let Some(lane) = self.lane_mut(lane) {
                    lane.bookmark.outstanding = false;
                    lane.bookmark.expected = Some(head);
                    lane.bookmark.refusals = 0;
                }
            }
            None => return,
        }
        if let Some(admitted) = self.connection.as_mut().and_then(|c| c.admitted.as_mut()) {
            admitted.acknowledges = true;
        }
        self.caution.ease();
        self.note_success();
    }

    fn on_refused(&mut self, connection: u64, packet: u16, reason: &str) {
        // The refusal names the culprit; the end of the connection shall not blame it once more.
        if let Some(admitted) = self.connection.as_mut().and_then(|c| c.admitted.as_mut()) {
            admitted.alone = None;
        }
        let tries = self.settings.refusal_tries.max(1);
        let name = self.target.name.clone();
        match self.ledger.refuse(connection, packet) {
            Some(Sending::Change { lane, cursor, .. }) => {
                let prefix = self.ledger.prefix(lane);
                let found = self.lanes.iter().position(|one| one.id == lane);
                let (Some(at), Some(prefix)) = (found, prefix) else {
                    return;
                };
                let trouble = &mut self.lanes[at].trouble;
                trouble.progress(prefix);
                if trouble.refuse(cursor, tries) == Next::Halt {
                    let position = cursor.position;
                    let reason = format!(
                        "position {position}: refused {tries} times, and as a pointer: {reason}"
                    );
                    self.halt(at, cursor, reason);
                }
            }
            Some(Sending::Bookmark { lane, .. }) => {
                if let Some(lane) = self.lane_mut(lane) {
                    lane.bookmark.refusals += 1;
                    tracing::error!(broker = %name, module = %lane.module, reason, "the broker refuses this module's retained message");
                }
            }
            None => {}
        }
    }

    fn on_connected(
        &mut self,
        admitted: Admitted,
        session_present: bool,
        settle: Duration,
    ) -> Option<String> {
        self.status.set_connected(true);
        tracing::info!(broker = %self.target.name, endpoint = ?self.target.endpoint, session_present, window = admitted.window, "connected to the broker");
        let lost_all = self.was_connected && !session_present;
        let asks = admitted.seen.is_some();
        self.was_connected = true;
        let connection = self.connection.as_mut()?;
        let ask = |link| asking::ask(link, &self.topics, &self.modules, &self.target.client_id);
        let asked = !asks || ask(&connection.link).is_ok();
        let admitted = connection.admitted.insert(admitted);
        let now = Instant::now();
        if lost_all {
            admitted.feed_after = now + settle;
            let lanes: Vec<_> = self.lanes.iter().map(|lane| lane.id).collect();
            for lane in lanes {
                self.replay(lane, "our session is gone");
            }
        }
        self.review(now);
        self.send_bookmarks(now);
        (!asked).then(|| "the connection took no subscription".to_owned())
    }

    /// The broker does not let us see our retained messages: then only its word about the session counts.
    fn cannot_ask(&mut self) {
        if let Some(admitted) = self.connection.as_mut().and_then(|c| c.admitted.as_mut()) {
            admitted.seen = None;
        }
        self.review(Instant::now());
    }

    fn on_shown(&mut self, topic: &str, payload: &[u8]) {
        let shown = self.topics.bookmark_module(topic).zip(Seen::parse(payload));
        let seen = self
            .connection
            .as_mut()
            .and_then(|c| c.admitted.as_mut())
            .and_then(|a| a.seen.as_mut());
        let (Some((module, bookmark)), Some(seen)) = (shown, seen) else {
            return;
        };
        if self.modules.contains(&module) {
            seen.insert(module, bookmark);
            self.review(Instant::now());
        }
    }

    /// Whether the broker has shown its retained message of a module, or has none, or cannot be asked.
    pub(super) fn has_shown(&self, module: &ModuleName, now: Instant) -> bool {
        let admitted = self.connection.as_ref().and_then(|c| c.admitted.as_ref());
        admitted.is_some_and(|admitted| {
            let seen = admitted.seen.as_ref();
            admitted.answered
                || now >= admitted.shown_by
                || seen.is_none_or(|seen| seen.contains_key(module))
        })
    }

    /// A retained message beyond the end that the log had when its lease was taken, and not of our own
    /// making, tells of positions that the database has lost since. That stays so when numbering has passed
    /// by them again, as long as nobody else had the lease: those were given twice.
    fn compare(&self) {
        let admitted = self.connection.as_ref().and_then(|c| c.admitted.as_ref());
        let Some(seen) = admitted.and_then(|admitted| admitted.seen.as_ref()) else {
            return;
        };
        for lane in &self.lanes {
            let shown = seen.get(&lane.module).and_then(|seen| seen.cursor());
            let began = self.sources.leadership.beginning(&lane.lease);
            let (Some(cursor), Some(head)) = (shown, began) else {
                continue;
            };
            let told = self.told.get(&lane.module);
            let open = || self.sources.witnesses.are_open(&lane.module);
            if cursor > head && told.is_none_or(|told| cursor > *told) && !open() {
                self.sources.witnesses.tell(Evidence {
                    module: lane.module.clone(),
                    cursor,
                    witness: Witness::Bookmark(self.target.name.clone()),
                    head,
                    under: Some(lane.lease.token),
                });
            }
        }
    }

    /// Clears the lanes of which the broker still has what we left there; those of which it has not in
    /// due time begin again a little earlier.
    pub(super) fn review(&mut self, now: Instant) {
        self.compare();
        let Some(admitted) = self.connection.as_ref().and_then(|c| c.admitted.as_ref()) else {
            return;
        };
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
            self.replay(lane, "our retained message is gone");
        }
    }

    /// Sets a lane back to what the broker had acknowledged a while before it was last heard.
    fn replay(&mut self, id: LaneId, why: &str) {
        let (name, heard_at) = (self.target.name.clone(), self.heard_at);
        let span = self.settings.replay_on_reconnect.get();
        let young = self.first_younger(id);
        let Some(prefix) = self.ledger.prefix(id) else {
            return;
        };
        let Some(lane) = self.lane_mut(id) else {
            return;
        };
        let mut from = lane.history.before(heard_at).unwrap_or(prefix).min(prefix);
        from = young.map_or(from, |young| from.min(young));
        lane.generation += 1;
        lane.cleared = true;
        lane.bookmark.expected = None;
        lane.restart(from);
        lane.history = History::new(span, Instant::now(), from);
        tracing::warn!(broker = %name, module = %lane.module, why, %from, acknowledged = %prefix, generation = lane.generation, "the broker has lost its state: sending again");
        self.ledger.open(id, from);
    }

    /// The cursor before the first change that is younger than `replay_on_reconnect` at the moment when the broker
    /// was last heard, as far as the tail knows.
    fn first_younger(&self, id: LaneId) -> Option<Cursor> {
        let lane = self.lanes.iter().find(|lane| lane.id == id)?;
        let tail = &self.sources.tail;
        let edge = tail.edge(&lane.module)?;
        let TailRead::Found { changes, .. } =
            tail.read_all(&lane.module, edge.covers_after, usize::MAX)?
        else {
            return None;
        };
        let since = self.heard_at.elapsed() + self.settings.replay_on_reconnect.get();
        let oldest = self.sources.clock.now().minus(since);
        let first = changes
            .iter()
            .find(|change| change.sequenced_at >= oldest)?;
        let before = Position::new(first.position.get() - 1);
        Some(Cursor::new(first.epoch, before))
    }
}
