//! The sequencer: gives committed outbox rows their numbers.
//!
//! One loop serves all modules whose lease this replica holds. Invariants: a row is numbered
//! after its commit, once, in a transaction that begins and ends with the fence; after any error
//! everything remembered about the database is forgotten; the tail gets rows of confirmed commits
//! only. A lost wake-up costs latency, never a change.

mod channels;
mod closing;
mod floor;
mod handing_over;
mod leases;
mod numbering;
mod pacing;
mod plan;
mod spreading;
mod strangers;
mod tempo;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{
    channels::Channels, floor::Floor, handing_over::Leaving, leases::Rhythm, pacing::Pacing,
    strangers::Strangers, tempo::Tempo,
};
use super::{Leadership, Presence, Tail, witnesses::Witnesses};
use crate::{
    config::{outbox::Outbox, sequencer::Sequencer as Bounds},
    domain::{Limits, ModuleName, Pace},
    store::{self, Store},
    telemetry::{Need, Readiness},
};

/// What the sequencer needs to know about the modules.
#[derive(Debug, Clone)]
pub struct Served {
    /// All configured modules.
    pub modules: Vec<ModuleName>,
    /// Those whose last change per key is kept.
    pub with_state: HashSet<ModuleName>,
    /// Those with a time cursor, and how their changes are spread over ticks.
    pub paces: HashMap<ModuleName, Pace>,
}

/// The configured bounds that numbering obeys.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `[sequencer]`.
    pub bounds: Bounds,
    /// `[outbox]`.
    pub outbox: Outbox,
    /// How long change ids are remembered.
    pub dedup_window: Duration,
    /// `[limits]`.
    pub limits: Limits,
}

/// What the sequencer shares with the rest of the process.
pub struct Shared {
    /// The database.
    pub store: Arc<dyn Store>,
    /// Gets the rows of each confirmed commit.
    pub tail: Arc<Tail>,
    /// Who this replica is, and who else there is.
    pub presence: Arc<Presence>,
    /// Learns which leases are held.
    pub leadership: Arc<Leadership>,
    /// Learns what was seen beyond the heads, and knows which modules must not be numbered.
    pub witnesses: Arc<Witnesses>,
    /// Makes the sequencer look at the outbox at once.
    pub wake: Arc<Notify>,
    /// Learns whether the database takes writes.
    pub readiness: Arc<Readiness>,
}

/// The one writer of this replica. See the module's documentation.
pub struct Sequencer {
    store: Arc<dyn Store>,
    tail: Arc<Tail>,
    presence: Arc<Presence>,
    leadership: Arc<Leadership>,
    witnesses: Arc<Witnesses>,
    wake: Arc<Notify>,
    readiness: Arc<Readiness>,
    /// The modules that others are asked for.
    wants: Vec<ModuleName>,
    leaving: Vec<Leaving>,
    served: Served,
    rules: Rules,
    rhythm: Rhythm,
    floor: Floor,
    channels: Channels,
    pacing: Pacing,
    close_at: Instant,
    strangers: Strangers,
    tempo: Tempo,
    forget_at: Instant,
    /// Whether the last activation failed: an outage is told once, not with every try.
    failing: bool,
}

/// What a pass over the outbox found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Nothing to number.
    Idle,
    /// Some rows.
    Busy,
    /// As many rows as a batch takes: there are more.
    Full,
}

/// How often remembered change ids are looked through for old ones, and how many go at once.
const FORGET_EVERY: Duration = Duration::from_mins(1);
const FORGET_ROWS: u32 = 10_000;
/// Pauses after an error, doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

impl Sequencer {
    /// A sequencer that holds nothing yet.
    pub fn new(shared: Shared, served: Served, rules: Rules) -> Self {
        let now = Instant::now();
        let Shared {
            store,
            tail,
            presence,
            leadership,
            witnesses,
            wake,
            readiness,
        } = shared;
        Self {
            rhythm: Rhythm::new(&rules.bounds, now),
            floor: Floor::new(&rules.bounds, now),
            channels: Channels::new(rules.bounds.channel_cache),
            pacing: Pacing::new(served.paces.clone()),
            close_at: now,
            strangers: Strangers::new(&rules, now),
            tempo: Tempo::new(&rules.bounds, store.excludes_producers(), now),
            forget_at: now + FORGET_EVERY,
            failing: false,
            wants: Vec::new(),
            leaving: Vec::new(),
            store,
            tail,
            presence,
            leadership,
            witnesses,
            wake,
            readiness,
            served,
            rules,
        }
    }

    /// Numbers until told to stop, then gives the leases back.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = BACKOFF.0;
        while !stop.is_cancelled() {
            if self.presence.is_displaced() {
                // The supervisor knows, and ends the process.
                stop.cancelled().await;
                return;
            }
            let began = Instant::now();
            let wait = match self.activate().await {
                Ok(pass) => {
                    pause = BACKOFF.0;
                    self.recover();
                    self.wait(pass, began)
                }
                Err(error) => {
                    self.forget(&error);
                    pause = (pause * 2).min(BACKOFF.1);
                    pause
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified(), if !wait.is_zero() => {}
                () = sleep(wait) => {}
            }
        }
        self.hand_all_over().await;
    }

    /// Until the outbox is looked at again, or something is due with the leases.
    fn wait(&mut self, pass: Pass, began: Instant) -> Duration {
        let now = Instant::now();
        let wait = self.tempo.wait(pass, began, now);
        let wait = wait.min(self.rhythm.wait(now));
        if self.leaving.is_empty() {
            wait
        } else {
            wait.min(handing_over::LOOK)
        }
    }

    /// One activation: keep the leases, then number what is there.
    async fn activate(&mut self) -> store::Result<Pass> {
        self.keep_leases().await?;
        let pass = self.number_batch().await?;
        self.close_ticks().await?;
        if pass == Pass::Idle {
            self.park_strangers().await?;
            self.forget_repeats().await?;
        }
        Ok(pass)
    }

    /// After an error nothing is known about the database any more, least of all whether the
    /// commit under way has happened.
    fn forget(&mut self, error: &store::Error) {
        self.floor.reset();
        self.strangers.floor.reset();
        self.channels.clear();
        self.pacing.forget();
        if let store::Error::LeaseLost { module } = error {
            let lost = self.leadership.leases();
            for lease in lost.iter().filter(|lease| lease.module == *module) {
                self.leadership.lose(lease);
            }
            tracing::warn!(%module, "the lease is lost to another holder");
            return;
        }
        self.readiness.set_degraded(Need::Writing, true);
        if !error.is_transient() {
            tracing::error!(error = ?error, "numbering failed and is tried again");
        } else if !self.failing {
            tracing::warn!(error = ?error, "numbering waits for the database");
        }
        self.failing = true;
    }

    fn recover(&mut self) {
        if std::mem::take(&mut self.failing) {
            self.readiness.set_degraded(Need::Writing, false);
            tracing::info!("numbering goes on");
        }
    }

    async fn forget_repeats(&mut self) -> store::Result<()> {
        let now = Instant::now();
        if now < self.forget_at {
            return Ok(());
        }
        let window = self.rules.dedup_window;
        let forgotten = self.store.forget_seen(window, FORGET_ROWS).await?;
        // A full batch means that there are more to forget.
        let more = forgotten >= u64::from(FORGET_ROWS);
        self.forget_at = if more { now } else { now + FORGET_EVERY };
        Ok(())
    }
}
