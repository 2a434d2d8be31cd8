//! What the publisher knows about its present connection.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    bookmark::Seen,
    ledger::LaneId,
    mqtt::{Link, Signal},
};
use crate::domain::ModuleName;

/// A connection that is being opened or stands.
pub(super) struct Connection {
    pub(super) link: Link,
    /// Its number in the ledger.
    pub(super) number: u64,
    /// Absent until the broker has let us in.
    pub(super) admitted: Option<Admitted>,
}

/// What the broker said when it let us in, and what it has shown since.
pub(super) struct Admitted {
    /// Publishes that may be outstanding.
    pub(super) window: usize,
    /// The largest packet that it takes.
    pub(super) max_packet_bytes: Option<u32>,
    /// Whether it keeps retained messages.
    pub(super) retains: bool,
    /// Its retained messages of ours; absent if it cannot be asked for them.
    pub(super) seen: Option<HashMap<ModuleName, Seen>>,
    /// Whether it has acknowledged a change: what it was asked for before that was shown before.
    pub(super) answered: bool,
    /// Whether it has acknowledged anything at all.
    pub(super) acknowledges: bool,
    /// Until when a retained message may take to come.
    pub(super) shown_by: Instant,
    /// Nothing is sent before.
    pub(super) feed_after: Instant,
    /// The lane whose change was sent alone.
    pub(super) alone: Option<LaneId>,
}

impl Admitted {
    /// Reads what [`Signal::Connected`] says.
    pub(super) fn new(
        receive_maximum: u16,
        max_packet_bytes: Option<u32>,
        retains: bool,
        inflight: u16,
        settle: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            window: usize::from(receive_maximum.min(inflight).max(1)),
            max_packet_bytes,
            retains,
            seen: retains.then(HashMap::new),
            answered: false,
            acknowledges: false,
            shown_by: now + settle,
            feed_after: now,
            alone: None,
        }
    }
}

/// The next signals of a connection; waits for ever while there is none. Cancel-safe.
pub(super) async fn next(connection: &mut Option<Connection>) -> Vec<Signal> {
    match connection {
        Some(connection) => {
            connection.link.next().await.unwrap_or_else(|| {
                vec![Signal::Closed("the connection's task has ended".to_owned())]
            })
        }
        None => std::future::pending().await,
    }
}
