//! A line: one of the connections over which a target is fed, and what outlives each of them.
//!
//! Invariant: what a line has under way is lost with its connection and comes again over the next one of the same line,
//! never over another line: so the order of a channel holds through a reconnect.

mod caution;
pub(super) mod connection;
mod deadline;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use self::{
    caution::Caution,
    connection::{Admitted, Connection},
    deadline::Deadline,
};
use crate::{domain::Backoff, mirror::mqtt::Signal};

/// The line that also asks for the retained messages and writes them.
pub(super) const FIRST_LINE: usize = 0;

/// One of the connections of a target.
pub(super) struct Line {
    pub(super) connection: Option<Connection>,
    pub(super) backoff: Backoff,
    pub(super) connect_at: Instant,
    pub(super) was_connected: bool,
    /// When the broker was heard last on it.
    pub(super) heard_at: Instant,
    /// When it was heard last on it and known to have its state: from here a loss is counted.
    pub(super) kept_at: Instant,
    /// The lane that is fed next.
    pub(super) turn: usize,
    pub(super) deadline: Deadline,
    pub(super) caution: Caution,
}

impl Line {
    /// A line on which a publish may be without an answer for `patience`.
    pub(super) const fn new(backoff: Backoff, patience: Duration, now: Instant) -> Self {
        Self {
            connection: None,
            backoff,
            connect_at: now,
            was_connected: false,
            heard_at: now,
            kept_at: now,
            turn: 0,
            deadline: Deadline::new(patience, now),
            caution: Caution::none(),
        }
    }

    /// The present connection, if the broker has let it in.
    pub(super) fn admitted(&self) -> Option<&Admitted> {
        self.connection.as_ref()?.admitted.as_ref()
    }

    /// The same.
    pub(super) fn admitted_mut(&mut self) -> Option<&mut Admitted> {
        self.connection.as_mut()?.admitted.as_mut()
    }
}

/// The line that has something to say next, and what; waits for ever while none is connected. `first` is asked first.
/// Cancel-safe.
pub(super) async fn next(lines: &mut [Line], first: usize) -> (usize, Vec<Signal>) {
    let ended = || vec![Signal::Closed("the connection's task has ended".to_owned())];
    poll_fn(|cx| {
        for offset in 0..lines.len() {
            let at = (first + offset) % lines.len();
            let Some(connection) = &mut lines[at].connection else {
                continue;
            };
            if let Poll::Ready(signals) = pin!(connection.link.next()).poll(cx) {
                return Poll::Ready((at, signals.unwrap_or_else(ended)));
            }
        }
        Poll::Pending
    })
    .await
}
