//! What the publisher knows about the present connection of a line.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    domain::ModuleName,
    mirror::{ledger::LaneId, message::bookmark::Seen, mqtt::Link},
};

/// A connection that is being opened or stands.
pub(in crate::mirror) struct Connection {
    pub(in crate::mirror) link: Link,
    /// Its number in the ledger.
    pub(in crate::mirror) number: u64,
    /// Absent until the broker has let us in.
    pub(in crate::mirror) admitted: Option<Admitted>,
}

/// What the broker said when it let us in, and what it has shown since.
pub(in crate::mirror) struct Admitted {
    /// Publishes that may be outstanding.
    pub(in crate::mirror) window: usize,
    /// The largest packet that it takes.
    pub(in crate::mirror) max_packet_bytes: Option<u32>,
    /// Whether it keeps retained messages.
    pub(in crate::mirror) retains: bool,
    /// Its retained messages of ours; absent if it cannot be asked for them.
    pub(in crate::mirror) seen: Option<HashMap<ModuleName, Seen>>,
    /// Whether it has acknowledged a change: what it was asked for before that was shown before.
    pub(in crate::mirror) answered: bool,
    /// Whether it has acknowledged anything at all.
    pub(in crate::mirror) acknowledges: bool,
    /// Until when a retained message may take to come.
    pub(in crate::mirror) shown_by: Instant,
    /// When the broker was known last, on the connections before it, to have its state.
    pub(in crate::mirror) lost_at: Instant,
    /// The lane whose change was sent alone.
    pub(in crate::mirror) alone: Option<LaneId>,
}

impl Admitted {
    /// Reads what [`Signal::Connected`] says.
    pub(in crate::mirror) fn new(
        receive_maximum: u16,
        max_packet_bytes: Option<u32>,
        retains: bool,
        inflight: u16,
        settle: Duration,
        lost_at: Instant,
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
            lost_at,
            alone: None,
        }
    }
}
