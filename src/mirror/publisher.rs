//! The publisher of one target: from the log to the broker, module by module, at QoS 1.
//!
//! Invariants: a module is published only while this replica holds its lease, in the order of
//! its log, on one connection; its cursor moves over what the broker acknowledged without a hole
//! and nothing else; a connection that failed in any way is given up, and the next one goes on
//! from there. So a crash anywhere repeats changes and never skips one.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    backoff::Backoff,
    caution::Caution,
    connection::{self, Connection},
    deadline::Deadline,
    history::History,
    jobs::{Done, Jobs, Kind, Loaded, MirrorStore},
    lane::Lane,
    ledger::{LaneId, Ledger},
    mqtt::{Link, Signal},
    obeying::Orders,
    pace::{self, Pace},
    status::TargetStatus,
    target::Target,
    topic::Topics,
};
use crate::{
    config,
    cutover::Flags,
    domain::{Clock, Cursor, ModuleName},
    log::{Leadership, Tail, Witnesses},
    store,
    telemetry::metric,
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
    /// What the retained messages say about the modules.
    pub flags: Arc<Flags>,
    /// The time in the retained messages and in lags.
    pub clock: Arc<dyn Clock>,
}

/// The publisher of one target.
pub struct Publisher<S: ?Sized> {
    pub(super) sources: Sources<S>,
    pub(super) settings: config::mirror::Mirror,
    pub(super) target: Target,
    pub(super) topics: Topics,
    pub(super) modules: Vec<ModuleName>,
    pub(super) status: Arc<TargetStatus>,
    pub(super) ledger: Ledger,
    pub(super) lanes: Vec<Lane>,
    /// The lane that is fed next.
    pub(super) turn: usize,
    lanes_opened: u64,
    pub(super) jobs: Jobs<S>,
    pub(super) connection: Option<Connection>,
    backoff: Backoff,
    pub(super) orders: Orders,
    pub(super) connect_at: Instant,
    pub(super) was_connected: bool,
    /// The furthest head of each module that a retained message of ours has told of.
    pub(super) told: HashMap<ModuleName, Cursor>,
    /// When the broker was heard last: the latest moment at which it surely had its state.
    pub(super) heard_at: Instant,
    pub(super) unwritten_acks: u64,
    pub(super) written_at: Instant,
    pub(super) scratch: BytesMut,
    /// Absent if the broker takes as much as comes.
    pub(super) pace: Option<Pace>,
    pub(super) deadline: Deadline,
    pub(super) caution: Caution,
    pub(super) inflight: metrics::Gauge,
}

/// How often deadlines, flags and the status are looked at.
const TICK: Duration = Duration::from_millis(100);

enum Wake {
    Signals(Vec<Signal>),
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
        let backoff = Backoff::new(
            Duration::from_millis(settings.backoff_min_ms),
            Duration::from_millis(settings.backoff_max_ms),
        );
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
            ledger: Ledger::default(),
            lanes: Vec::new(),
            turn: 0,
            lanes_opened: 0,
            connection: None,
            backoff,
            orders: Orders::default(),
            connect_at: now,
            was_connected: false,
            told: HashMap::new(),
            heard_at: now,
            deadline: Deadline::new(Duration::from_millis(settings.ack_timeout_ms), now),
            caution: Caution::none(),
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
                signals = connection::next(&mut self.connection) => Wake::Signals(signals),
                done = self.jobs.next() => Wake::Job(done),
                () = stop.cancelled() => Wake::Stop,
                _ = tick.tick() => Wake::Tick,
                () = leadership.next() => Wake::Tick,
                () = self.orders.next() => Wake::Tick,
                Ok(()) = news.changed() => Wake::News,
                () = pace::refilled(self.pace.as_ref()) => Wake::Refilled,
            };
            match wake {
                Wake::Signals(signals) => self.on_signals(signals),
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
        if self.may_send() && self.connection.is_none() && now >= self.connect_at {
            self.connect();
        }
        self.mind_silence(now);
        self.tend_halted(now);
        self.review(now);
        self.send_bookmarks(now);
        for lane in &mut self.lanes {
            if let Some(prefix) = self.ledger.prefix(lane.id) {
                lane.history.note(now, prefix);
                lane.trouble.progress(prefix);
            }
        }
        self.report();
    }

    fn follow_leases(&mut self, now: Instant) {
        let leadership = Arc::clone(&self.sources.leadership);
        let lost = self.lanes.iter();
        let lost = lost.filter(|lane| !leadership.keeps(&lane.lease));
        let lost: Vec<_> = lost.map(|lane| lane.id).collect();
        for lane in lost {
            self.close_lane(lane);
        }
        for lane in &mut self.lanes {
            lane.leaving = leadership.lease(&lane.module).is_none();
        }
        if !self.may_follow() || !self.jobs.may(Kind::Load, now) {
            return;
        }
        let has_lane = |module: &ModuleName| self.lanes.iter().any(|lane| lane.module == *module);
        let without = self.modules.iter().filter(|module| !has_lane(module));
        let leases: Vec<_> = without
            .filter_map(|module| leadership.lease(module))
            .collect();
        if !leases.is_empty() {
            self.jobs.load(leases, self.settings.batch);
        }
    }

    /// Ends the lanes that are handed over, once everything that was sent is acknowledged and written down.
    fn let_go(&mut self) {
        let leaving = self.lanes.iter().filter(|lane| lane.leaving);
        let settled = leaving.filter(|lane| {
            let outstanding = self.ledger.oldest(lane.id).is_some() || lane.bookmark.outstanding;
            self.connection.is_none() || !outstanding
        });
        let settled: Vec<_> = settled.map(|lane| lane.id).collect();
        let mut unwritten = false;
        for id in settled {
            let prefix = self.ledger.prefix(id);
            let dirty = |lane: &mut Lane| prefix.is_some_and(|prefix| lane.is_dirty(prefix));
            if self.lane_mut(id).is_some_and(dirty) {
                unwritten = true;
            } else {
                self.close_lane(id);
            }
        }
        if unwritten && self.jobs.may(Kind::Write, Instant::now()) {
            self.write();
        }
    }

    pub(super) fn close_lane(&mut self, id: LaneId) {
        self.ledger.close(id);
        if let Some(at) = self.lanes.iter().position(|lane| lane.id == id) {
            let lane = self.lanes.remove(at);
            lane.lag_seconds.set(0.0);
            tracing::info!(broker = %self.target.name, module = %lane.module, "no longer mirroring this module");
        }
    }

    fn open_lane(&mut self, loaded: Loaded) {
        let Loaded {
            lease,
            row,
            created,
        } = loaded;
        let stay = self.sources.leadership.stay(&lease);
        let Some(stay) = stay.filter(|_| self.may_follow()) else {
            return;
        };
        self.lanes_opened += 1;
        let id = LaneId(self.lanes_opened);
        let prefix = row.cursor;
        self.ledger.open(id, prefix);
        let history = History::new(
            self.settings.replay_on_reconnect.get(),
            Instant::now(),
            prefix,
        );
        tracing::info!(broker = %self.target.name, module = %row.module, cursor = %prefix, created, "mirroring this module");
        self.lanes.push(Lane::new(
            id,
            &self.target.name,
            (lease, stay),
            row,
            created,
            history,
        ));
    }

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

    pub(super) fn complain(&self, error: &store::Error) {
        let cause = std::error::Error::source(error);
        tracing::warn!(broker = %self.target.name, %error, cause, "the mirror cannot use the database");
    }

    pub(super) fn lane_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.id == id)
    }

    fn connect(&mut self) {
        let number = self.ledger.connect();
        for lane in &mut self.lanes {
            if let Some(prefix) = self.ledger.prefix(lane.id) {
                lane.begin_connection(prefix);
            }
        }
        let link = Link::open(&self.target.link_options(&self.settings));
        self.connection = Some(Connection {
            link,
            number,
            admitted: None,
        });
    }

    /// The broker has acknowledged something: it works.
    pub(super) fn note_success(&mut self) {
        self.backoff.reset();
    }

    /// Gives the connection up. The next one goes on from each lane's prefix.
    pub(super) fn lose(&mut self, reason: &str) {
        let Some(connection) = &self.connection else {
            return;
        };
        let alone = connection.admitted.as_ref().and_then(|one| one.alone);
        self.note_stalls(alone, reason);
        self.part(reason);
    }

    /// The same, when it is known whom to blame.
    pub(super) fn part(&mut self, reason: &str) {
        self.connection = None;
        let pause = self.backoff.pause(rand::random());
        self.connect_at = Instant::now() + pause;
        self.status.set_away(reason);
        tracing::warn!(broker = %self.target.name, reason, ?pause, "the connection to the broker is lost");
    }

    async fn finish(mut self) {
        let patience = Duration::from_millis(self.settings.drain_ms);
        let last_words = async {
            self.await_acknowledgements().await;
            self.send_last_bookmarks();
            self.await_acknowledgements().await;
        };
        let _late = timeout(patience, last_words).await;
        if let Some(connection) = self.connection.take() {
            connection.link.close(patience).await;
        }
        if timeout(patience, self.write_last()).await.is_err() {
            tracing::warn!(broker = %self.target.name, "the last cursors were not written in time: the next start repeats changes");
        }
        self.status.set_connected(false);
        self.report();
    }

    async fn await_acknowledgements(&mut self) {
        while self.connection.is_some() && self.ledger.outstanding() > 0 {
            let signals = connection::next(&mut self.connection).await;
            self.on_signals(signals);
        }
    }

    async fn write_last(&mut self) {
        loop {
            while !self.jobs.is_empty() {
                let done = self.jobs.next().await;
                self.on_job(done);
            }
            let now = Instant::now();
            if !self.jobs.may(Kind::Write, now) {
                return;
            }
            self.write();
            if self.jobs.is_empty() {
                return;
            }
        }
    }
}
