//! The publisher of one target: from the log to the broker, module by module, at QoS 1.
//!
//! Invariants: a module is published only while this replica holds its lease, and each of its
//! channels in the order of the log, on one line; its cursor moves over what the broker
//! acknowledged without a hole, on whichever line, and nothing else; a connection that failed in any
//! way is given up, and the next one of its line goes on from there. So a crash anywhere repeats
//! changes and never skips one.

mod asking;
mod bookmarking;
mod claiming;
mod connecting;
mod cursors;
mod farewell;
mod feed;
mod fitting;
mod halting;
mod hearing;
mod insisting;
mod jobs;
mod keeping;
mod lanes;
mod leaving;
mod obeying;
mod pace;
mod reading;
mod replaying;
mod report;
mod silence;

pub use jobs::MirrorStore;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::{
    jobs::{Done, Jobs},
    obeying::Orders,
    pace::Pace,
};
use crate::{
    config,
    domain::{Backoff, Clock, Cursor, LogId, ModuleName},
    log::{Leadership, Tail, Witnesses},
    mirror::{
        claim::Claim,
        directions::Directions,
        lane::Lane,
        ledger::Ledger,
        line::{self, Line},
        message::topic::Topics,
        mqtt::Signal,
        target::{Target, TargetStatus},
    },
    store,
    telemetry::{metric, usage::Usage},
};

/// What a publisher reads and shares with the rest of the process.
pub struct Sources<S: ?Sized> {
    /// Cursors, and changes that the tail no longer has.
    pub store: Arc<S>,
    /// The newest changes.
    pub tail: Arc<Tail>,
    /// Which modules are ours.
    pub leadership: Arc<Leadership>,
    /// Learns what a broker shows beyond the database's log; what it is told of is not published.
    pub witnesses: Arc<Witnesses>,
    /// The database's identity, which the retained messages bear.
    pub log: LogId,
    /// What the retained messages say about the modules.
    pub directions: Arc<Directions>,
    /// The time in the retained messages and in lags.
    pub clock: Arc<dyn Clock>,
    /// Where it is counted what is handed over.
    pub usage: Arc<Usage>,
}

/// The publisher of one target.
pub struct Publisher<S: ?Sized> {
    sources: Sources<S>,
    settings: config::mirror::Mirror,
    target: Target,
    topics: Topics,
    modules: Vec<ModuleName>,
    status: Arc<TargetStatus>,
    ledger: Ledger,
    lanes: Vec<Lane>,
    lanes_opened: u64,
    jobs: Jobs<S>,
    /// The connections. The first also writes and sees the retained messages.
    lines: Vec<Line>,
    /// The line that is fed, and heard, first next time.
    turn: usize,
    orders: Orders,
    /// The furthest head of each module that a retained message of ours has told of.
    told: HashMap<ModuleName, Cursor>,
    /// Whose the topics of the modules are.
    claims: HashMap<ModuleName, Claim>,
    /// When it was last sent again what a broker had lost; nothing is sent before `feed_after`.
    replayed_at: Option<Instant>,
    feed_after: Instant,
    /// A retained message that is due found the window full: it comes before the changes.
    bookmark_waits: bool,
    /// A refusal, or silence about a retained message, has cost the first line's last connection.
    refused_on_first: bool,
    unwritten_acks: u64,
    written_at: Instant,
    scratch: BytesMut,
    /// Absent if the broker takes as much as comes.
    pace: Option<Pace>,
    inflight: metrics::Gauge,
}

/// How often deadlines, flags and the status are looked at.
const TICK: Duration = Duration::from_millis(100);

enum Wake {
    Signals(usize, Vec<Signal>),
    Job(Done),
    Tick,
    News,
    Refilled,
    Stop,
}

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// A publisher that is not connected yet.
    pub fn new(
        sources: Sources<S>,
        settings: &config::mirror::Mirror,
        topic_prefix: &str,
        target: Target,
    ) -> Self {
        let now = Instant::now();
        let modules = sources.tail.modules();
        let modules = modules.filter(|module| target.takes(module));
        let mut modules: Vec<_> = modules.cloned().collect();
        modules.sort();
        let pause = Duration::from_millis(settings.cursor_ms);
        let backoff = || {
            Backoff::new(
                Duration::from_millis(settings.backoff_min_ms),
                Duration::from_millis(settings.backoff_max_ms),
            )
        };
        let patience = Duration::from_millis(settings.ack_timeout_ms);
        let line = |_| Line::new(backoff(), patience, now);
        let lines = (0..target.connections.max(1)).map(line);
        let lines: Vec<_> = lines.collect();
        let inflight = metrics::gauge!(metric::MIRROR_INFLIGHT, "target" => target.name.clone());
        Self {
            jobs: Jobs::new(Arc::clone(&sources.store), &target.name, pause),
            status: Arc::new(TargetStatus::new(&target.name)),
            settings: settings.clone(),
            topics: Topics::within(topic_prefix, target.limits.topic_bytes),
            pace: target
                .limits
                .publishes_per_s
                .map(|rate| Pace::new(rate, now)),
            sources,
            target,
            modules,
            ledger: Ledger::new(lines.len()),
            lanes: Vec::new(),
            lanes_opened: 0,
            lines,
            turn: 0,
            orders: Orders::default(),
            told: HashMap::new(),
            claims: HashMap::new(),
            replayed_at: None,
            feed_after: now,
            bookmark_waits: false,
            refused_on_first: false,
            unwritten_acks: 0,
            written_at: now,
            scratch: BytesMut::new(),
            inflight,
        }
    }

    /// How this target stands, from now on and for as long as the publisher runs.
    pub fn status(&self) -> Arc<TargetStatus> {
        Arc::clone(&self.status)
    }

    /// Publishes until `stop`; then waits, bounded, for acknowledgements, writes the cursors and
    /// takes leave of the broker. The leases must be held until this returns, else the last
    /// cursors are not written, and changes are repeated.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leadership = self.sources.leadership.changes();
        let mut news = self.sources.tail.news();
        loop {
            let wake = tokio::select! {
                (on, signals) = line::next(&mut self.lines, self.turn) => Wake::Signals(on, signals),
                done = self.jobs.next() => Wake::Job(done),
                () = stop.cancelled() => Wake::Stop,
                _ = tick.tick() => Wake::Tick,
                () = leadership.next() => Wake::Tick,
                () = self.orders.next() => Wake::Tick,
                Ok(()) = news.changed() => Wake::News,
                () = pace::refilled(self.pace.as_ref()) => Wake::Refilled,
            };
            match wake {
                Wake::Signals(on, signals) => self.on_signals(on, signals),
                Wake::Job(done) => self.on_job(done),
                Wake::Tick => self.tend(),
                Wake::News => {}
                Wake::Refilled => self.pace.iter_mut().for_each(Pace::wake),
                Wake::Stop => break,
            }
            self.feed();
            self.let_go();
            self.write_if_due();
        }
        self.finish().await;
    }

    /// What is to be done from time to time.
    fn tend(&mut self) {
        let now = Instant::now();
        self.obey(now);
        self.follow_leases(now);
        if self.may_send() {
            self.connect_due(now);
        }
        self.mind_silence(now);
        self.tend_halted(now);
        self.review(now);
        self.insist(now);
        self.send_bookmarks(now);
        let whole = self.status.connected();
        for lane in &mut self.lanes {
            if let Some(prefix) = self.ledger.prefix(lane.id) {
                // While a line is down, or the broker's state in question, the time of the loss stays known.
                if whole && lane.cleared {
                    lane.history.note(now, prefix);
                }
                lane.progress(prefix);
            }
        }
        self.report();
    }

    /// Takes what a job has brought.
    fn on_job(&mut self, done: Done) {
        match done {
            Done::Loaded(Ok(loaded)) => {
                for one in loaded {
                    self.open_lane(one);
                }
                self.review(Instant::now());
            }
            Done::Read(asked, Ok(rows)) => self.take_rows(asked, rows),
            Done::Written(rows, Ok(versions)) => {
                for ((id, mut row), version) in rows.into_iter().zip(versions) {
                    row.version = version;
                    if let Some(lane) = self.lane_mut(id) {
                        lane.stored = row;
                    }
                }
            }
            Done::Written(rows, Err(error)) => self.on_unwritten(&rows, &error),
            Done::Looked(Ok(rows)) => self.on_looked(&rows),
            Done::Looked(Err(error)) => {
                self.on_unlooked();
                self.complain(&error);
            }
            Done::Loaded(Err(error)) | Done::Read(_, Err(error)) => self.complain(&error),
        }
    }

    fn complain(&self, error: &store::Error) {
        let cause = std::error::Error::source(error);
        tracing::warn!(broker = %self.target.name, %error, cause, "the mirror cannot use the database");
    }
}
