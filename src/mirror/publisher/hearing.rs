//! What the broker says: acknowledgements, refusals, and that it has let us in.

use std::time::{Duration, Instant};

use super::{Publisher, asking, jobs::MirrorStore};
use crate::{
    domain::ModuleName,
    mirror::{
        claim::Shown,
        lane::{Lane, trouble::Next},
        ledger::Sending,
        line::{FIRST_LINE, connection::Admitted},
        message::bookmark::{self, Seen},
        mqtt::Signal,
    },
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Takes what happened on a line's connection.
    pub(super) fn on_signals(&mut self, on: usize, signals: Vec<Signal>) {
        self.turn = on + 1;
        let connection = self.lines[on].connection.as_ref();
        let Some(number) = connection.map(|connection| connection.number) else {
            return;
        };
        let mut over = None;
        for signal in signals {
            let trouble = self.on_signal(on, number, signal);
            over = over.or(trouble);
        }
        match over {
            Some(reason) => self.lose(on, &reason),
            None => self.note_heard(on, Instant::now()),
        }
    }

    /// Returns why the connection must be given up, if so.
    fn on_signal(&mut self, on: usize, connection: u64, signal: Signal) -> Option<String> {
        match signal {
            Signal::Sent(packet) => {
                let agreed = self.ledger.sent(connection, packet);
                (!agreed).then(|| format!("packet id {packet} was used twice"))
            }
            Signal::Acknowledged(packet) => {
                self.on_acknowledged(on, connection, packet);
                None
            }
            Signal::Refused(packet, reason) => {
                self.on_refused(on, connection, packet, &reason);
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
                let inflight = inflight.min(self.target.inflight(&self.settings));
                let retains = retains && limits.retained;
                let lost_at = self.lines[on].kept_at;
                let admitted = Admitted::new(
                    receive_maximum,
                    max_packet_bytes,
                    retains,
                    inflight,
                    settle,
                    lost_at,
                );
                self.on_connected(on, admitted, session_present)
            }
            // What it asks for is retained, or never published: at QoS 0 it does as well.
            Signal::Subscribed(granted) if granted.is_granted() => {
                self.note_looks(on, Instant::now());
                None
            }
            Signal::Subscribed(_refused) => {
                self.cannot_ask(on);
                None
            }
            Signal::Message {
                topic,
                payload,
                kept,
            } => {
                self.on_shown(on, &topic, &payload, kept);
                None
            }
            Signal::Closed(reason) => Some(reason),
        }
    }

    fn on_acknowledged(&mut self, on: usize, connection: u64, packet: u16) {
        match self.ledger.acknowledge(connection, packet) {
            Some(Sending::Change { .. }) => {
                self.unwritten_acks += 1;
                if let Some(admitted) = self.lines[on].admitted_mut() {
                    admitted.answered = true;
                }
            }
            Some(Sending::Bookmark { lane, head }) => self.note_bookmark(lane, head),
            None => return,
        }
        if let Some(admitted) = self.lines[on].admitted_mut() {
            admitted.acknowledges = true;
        }
        self.lines[on].caution.ease();
        self.note_success(on);
    }

    fn on_refused(&mut self, on: usize, connection: u64, packet: u16, reason: &str) {
        // The refusal names the culprit; the end of the connection shall not blame it once more.
        if let Some(admitted) = self.lines[on].admitted_mut() {
            admitted.alone = None;
        }
        let tries = self.settings.refusal_tries.max(1);
        self.refused_on_first |= on == FIRST_LINE;
        match self.ledger.refuse(connection, packet) {
            Some(Sending::Change { lane, cursor }) => {
                let prefix = self.ledger.prefix(lane);
                let found = self.lanes.iter().position(|one| one.id == lane);
                let (Some(at), Some(prefix)) = (found, prefix) else {
                    return;
                };
                let trouble = &mut self.lanes[at].ways[on].trouble;
                trouble.progress(prefix);
                if trouble.refuse(cursor, tries) == Next::Halt {
                    let position = cursor.position;
                    let reason = format!(
                        "position {position}: refused {tries} times, and as a pointer: {reason}"
                    );
                    self.halt(at, cursor, reason);
                }
            }
            Some(Sending::Bookmark { lane, .. }) => self.refuse_bookmark(lane, reason),
            None => {}
        }
    }

    fn on_connected(
        &mut self,
        on: usize,
        admitted: Admitted,
        session_present: bool,
    ) -> Option<String> {
        let client_id = self.target.client_id_on(on);
        tracing::info!(broker = %self.target.name, line = on, client_id, endpoint = ?self.target.endpoint, session_present, window = admitted.window, "connected to the broker");
        let lost_all = self.lines[on].was_connected && !session_present;
        let lost_at = admitted.lost_at;
        let asks = admitted.seen.is_some();
        // The session is what tells on every line whether the broker has kept its state; the retained messages are
        // the first line's.
        let modules: &[_] = if on == FIRST_LINE { &self.modules } else { &[] };
        let connection = self.lines[on].connection.as_mut()?;
        let asked =
            !asks || asking::ask(&connection.link, &self.topics, modules, &client_id).is_ok();
        connection.admitted = Some(admitted);
        self.lines[on].was_connected = true;
        self.status.count_connection();
        self.show_connected();
        let now = Instant::now();
        if on == FIRST_LINE {
            self.lanes.iter_mut().for_each(Lane::begin_connection);
            self.claims
                .values_mut()
                .for_each(|claim| claim.begin_connection(now));
            self.insist_on_new_connection(now);
        }
        if lost_all {
            self.on_session_lost(on, lost_at, now);
        }
        self.review(now);
        self.insist(now);
        self.send_bookmarks(now);
        (!asked).then(|| "the connection took no subscription".to_owned())
    }

    /// The broker does not let us see our retained messages: then only its word about the session counts.
    fn cannot_ask(&mut self, on: usize) {
        if let Some(admitted) = self.lines[on].admitted_mut() {
            admitted.seen = None;
        }
        self.review(Instant::now());
    }

    fn on_shown(&mut self, on: usize, topic: &str, payload: &[u8], kept: bool) {
        if payload.is_empty() {
            self.on_taken_away(topic, Instant::now());
            return;
        }
        let shown = self.topics.bookmark_module(topic).zip(Seen::parse(payload));
        let admitted = self.lines[on].admitted_mut();
        let seen = admitted.and_then(|admitted| admitted.seen.as_mut());
        let (Some((module, shown)), Some(seen)) = (shown, seen) else {
            return;
        };
        if self.modules.contains(&module) {
            seen.insert(module.clone(), shown);
            let now = Instant::now();
            self.on_claim(&module, Shown::new(shown, payload, kept), now);
            if shown.log().is_none_or(|log| log == self.sources.log) {
                self.complain_of_another_name(&module, payload);
            }
            self.review(now);
        }
    }

    /// A name that is not ours: the URLs of two targets were swapped, or this one has another name now. Our cursor is not
    /// the one of this broker then.
    fn complain_of_another_name(&self, module: &ModuleName, payload: &[u8]) {
        let name = &self.target.name;
        let other = bookmark::named(payload).filter(|other| other != name);
        if let Some(other) = other {
            tracing::error!(
                broker = %name, %module, fed_as = other.escape_debug().to_string(),
                "this broker was fed under another name: if the URLs of two targets were swapped, swap them back; else it may lack changes, see `changeover target replay`"
            );
        }
    }
}
