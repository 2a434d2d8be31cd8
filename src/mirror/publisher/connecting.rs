//! Connections begin and end, each on its line.
//!
//! Invariant: when a connection ends, whatever was under way on it is read from the log again, and what is under way on
//! the others is left alone.

use std::time::Instant;

use super::{Publisher, jobs::MirrorStore};
use crate::mirror::{
    line::{Line, connection::Connection},
    mqtt::Link,
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Opens a connection on each line that has none, once its pause is over.
    pub(super) fn connect_due(&mut self, now: Instant) {
        for at in 0..self.lines.len() {
            let line = &self.lines[at];
            if line.connection.is_none() && now >= line.connect_at {
                self.connect(at);
            }
        }
    }

    fn connect(&mut self, on: usize) {
        let number = self.ledger.connect(on);
        let link = Link::open(&self.target.link_options(&self.settings, on));
        self.lines[on].connection = Some(Connection {
            link,
            number,
            admitted: None,
        });
    }

    /// The broker has acknowledged something: it works.
    pub(super) fn note_success(&mut self, on: usize) {
        self.lines[on].backoff.reset();
    }

    /// Gives a connection up. The next one of its line goes on from each lane's prefix.
    pub(super) fn lose(&mut self, on: usize, reason: &str) {
        let Some(connection) = &self.lines[on].connection else {
            return;
        };
        let admitted = connection.admitted.as_ref();
        self.note_stalls(on, admitted.and_then(|admitted| admitted.alone), reason);
        self.give_up(on, reason);
    }

    /// The same, when it is known whom to blame.
    pub(super) fn give_up(&mut self, on: usize, reason: &str) {
        let _dropped = self.part(on);
        let lost = &mut self.lines[on];
        let pause = lost.backoff.pause(rand::random());
        lost.connect_at = Instant::now() + pause;
        self.status.set_away(reason);
        tracing::warn!(broker = %self.target.name, line = on, reason, ?pause, "the connection to the broker is lost");
    }

    /// Takes the connection of a line away. What was under way on it will be handed over again.
    pub(super) fn part(&mut self, on: usize) -> Option<Connection> {
        let connection = self.lines[on].connection.take()?;
        let bookmarks = self.ledger.disconnect(on);
        for lane in &mut self.lanes {
            if let Some(prefix) = self.ledger.prefix(lane.id) {
                lane.restart(prefix);
                lane.bookmark.outstanding &= !bookmarks.contains(&lane.id);
            }
        }
        self.show_connected();
        Some(connection)
    }

    /// Tells whether all lines are up: while one is not, some channels get nothing.
    pub(super) fn show_connected(&self) {
        let up = self.lines.iter().all(|line| line.admitted().is_some());
        self.status.set_connected(up);
    }

    /// Whether some line is connected, or about to be.
    pub(super) fn has_connection(&self) -> bool {
        let connected = |line: &Line| line.connection.is_some();
        self.lines.iter().any(connected)
    }
}
