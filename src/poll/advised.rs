//! What one client is told, and that it was here.
//!
//! Invariants: whoever is told something is in the census; what it costs a client that was seen before is looking it up in memory.

use std::time::{Duration, Instant};

use super::{answer::Endpoint, heads::TRANSPORT, source::Parts};
use crate::{
    cutover::Evaluation,
    domain::{Client, Transport},
};

/// What a client is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Advised {
    pub(super) evaluation: Evaluation,
    /// How long its push has been healthy, if it is told to push and it is.
    pub(super) healthy_for: Option<Duration>,
}

impl Endpoint {
    /// Says what a client is told, and notes that it polls.
    pub(super) fn advise(&self, client: &Client<'_>, parts: &Parts<'_>, now: Instant) -> Advised {
        let evaluation = self.evaluate(client);
        let told = evaluation.transport;
        // Of no interest where it is told otherwise.
        let says_push = told == Transport::Push && says_push(parts);
        let clients = self.clients.as_ref();
        let healthy_for = clients.and_then(|clients| clients.polls(client, told, says_push, now));
        Advised {
            evaluation,
            healthy_for,
        }
    }
}

/// Whether a client says that it is on push, and polls to be safe.
fn says_push(parts: &Parts<'_>) -> bool {
    let said = parts.headers.get(TRANSPORT);
    said.is_some_and(|said| said.as_bytes() == Transport::Push.as_str().as_bytes())
}
