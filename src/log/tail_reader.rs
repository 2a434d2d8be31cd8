//! The reader that keeps the tail up with the log.
//!
//! Invariants: it reads log rows, and heads only at start, once in a while and, of its module, when a
//! request needs a fresh one; modules that this replica numbers come from the sequencer directly, and
//! from here as well once in a while, so that a lost hand-over costs latency only.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Leadership, Refresh, Tail,
    witnesses::{Evidence, Witness, Witnesses},
};
use crate::{
    config,
    domain::{Change, Cursor, Epoch, ModuleName, Position},
    store::{self, Closed, Head, Store},
    telemetry::{Need, Purpose, Readiness},
};

/// Becomes true once the tail has reached the heads that the database had at start.
pub type Filled = watch::Receiver<bool>;

/// Where a log stands that holds nothing.
const EMPTY: Cursor = Cursor::new(Epoch::FIRST, Position::ZERO);

/// How often the heads are read anew when retention overtakes a read.
const ATTEMPTS: u32 = 3;

/// What a read of the log brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loaded {
    Some,
    Nothing,
    /// Rows that do not follow on what the tail has.
    Hole,
}

/// How often the heads are read while rows wait for another replica to close their tick.
const CLOSING: Duration = Duration::from_millis(100);

/// The task that fills the tail and keeps it full. One per replica, whatever the number of
/// clients.
pub struct TailReader {
    store: Arc<dyn Store>,
    tail: Arc<Tail>,
    leadership: Arc<Leadership>,
    refresh: Arc<Refresh>,
    witnesses: Arc<Witnesses>,
    bounds: config::tail::Tail,
    filled: watch::Sender<bool>,
    readiness: Arc<Readiness>,
    full_at: Instant,
    follow_at: Instant,
    failing: bool,
    /// The modules with a time cursor.
    timed: Vec<ModuleName>,
}

impl TailReader {
    /// The reader, and the sign that the tail is filled. It tells `readiness` while the database is
    /// out of reach.
    pub fn new(
        store: Arc<dyn Store>,
        tail: Arc<Tail>,
        leadership: Arc<Leadership>,
        refresh: Arc<Refresh>,
        witnesses: Arc<Witnesses>,
        bounds: config::tail::Tail,
        readiness: Arc<Readiness>,
    ) -> (Self, Filled) {
        let (filled, sign) = watch::channel(false);
        let reader = Self {
            store,
            tail,
            leadership,
            refresh,
            witnesses,
            bounds,
            filled,
            readiness,
            full_at: Instant::now(),
            follow_at: Instant::now(),
            failing: false,
            timed: Vec::new(),
        };
        (reader, sign)
    }

    /// Learns soon when ticks of these modules are closed by another replica.
    pub fn with_time_cursors(mut self, modules: impl IntoIterator<Item = ModuleName>) -> Self {
        self.timed = modules.into_iter().collect();
        self
    }

    /// Follows the log until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let tick = Duration::from_millis(self.bounds.tick_ms);
        while !stop.is_cancelled() {
            let outcome = self.activate().await;
            self.report(&outcome);
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.refresh.asked(), if outcome.is_ok() => {}
                () = sleep(tick) => {}
            }
        }
    }

    /// One activation: a whole pass if one is due, else the modules that are asked for, and from time to time
    /// those of others.
    async fn activate(&mut self) -> store::Result<()> {
        let now = Instant::now();
        let is_full = now >= self.full_at;
        let round = self.refresh.begin_round();
        if is_full || round.is_some() {
            let asked = round.as_ref().map(|round| &*round.modules);
            let outcome = self.catch_up(asked.filter(|_| !is_full)).await;
            if let Some(round) = &round {
                self.refresh.end_round(round, outcome.is_ok());
            }
            outcome?;
        }
        if is_full {
            self.full_at = now + Duration::from_millis(self.bounds.full_ms);
            self.filled
                .send_if_modified(|filled| !std::mem::replace(filled, true));
        } else if now >= self.follow_at {
            // However often somebody asks.
            self.follow_at = now + Duration::from_millis(self.bounds.tick_ms);
            self.follow_others().await?;
            self.hurry_to_close(now);
        }
        Ok(())
    }

    /// The holder closes a lone change's tick with the change itself, so the first look comes at once.
    fn hurry_to_close(&mut self, now: Instant) {
        let waits = |module: &ModuleName| {
            self.leadership.lease(module).is_none() && self.tail.has_open_ticks(module)
        };
        if self.timed.iter().any(waits) {
            let since = Duration::from_millis(self.bounds.full_ms).saturating_sub(CLOSING);
            let soon = self.full_at.checked_sub(since).unwrap_or(now);
            self.full_at = self.full_at.min(soon.max(now));
        }
    }

    /// Brings some modules, or every one, to the head that the database has now.
    async fn catch_up(&self, some: Option<&[ModuleName]>) -> store::Result<()> {
        for _ in 0..ATTEMPTS {
            if self.catch_up_to_heads(some).await? {
                return Ok(());
            }
        }
        Err(store::Error::Corrupt {
            table: "change_log",
            what: "a hole between retained_from and the head".to_owned(),
        })
    }

    /// Returns false if rows below a head are gone: retention may have overtaken this read, then
    /// the heads say so when they are read again.
    async fn catch_up_to_heads(&self, some: Option<&[ModuleName]>) -> store::Result<bool> {
        let known = self.edges(some);
        let heads = match some {
            Some(modules) => self.store.heads_of(modules, Purpose::Tail).await?,
            None => self.store.heads(Purpose::Tail).await?,
        };
        self.testify(known, &heads);
        let mut goals = HashMap::new();
        for head in &heads {
            self.tail.adopt_head(head);
            goals.insert(head.module.clone(), head.head);
        }
        loop {
            let behind =
                self.positions(|module, last| goals.get(module).is_some_and(|goal| last < *goal));
            if behind.is_empty() {
                let timed = heads
                    .iter()
                    .filter(|head| self.timed.contains(&head.module));
                timed.for_each(|head| self.tail.close(&closed(head)));
                return Ok(true);
            }
            if self.load(&behind).await? != Loaded::Some {
                return Ok(false);
            }
        }
    }

    async fn follow_others(&self) -> store::Result<()> {
        let ours = |module: &ModuleName| self.leadership.lease(module).is_some();
        let others = self.positions(|module, _| !ours(module));
        if !others.is_empty() && self.load(&others).await? == Loaded::Hole {
            // Retention, or a new epoch: the heads tell.
            return self.catch_up(None).await;
        }
        Ok(())
    }

    fn positions(
        &self,
        wanted: impl Fn(&ModuleName, Position) -> bool,
    ) -> Vec<(ModuleName, Position)> {
        let modules = self.tail.modules();
        let edges = modules.filter_map(|m| Some((m.clone(), self.tail.edge(m)?.last)));
        edges
            .filter(|(module, last)| wanted(module, *last))
            .collect()
    }

    /// Loads one page per module.
    async fn load(&self, from: &[(ModuleName, Position)]) -> store::Result<Loaded> {
        let page = self.bounds.page;
        let rows = self.store.rows_after(from, page, Purpose::Tail).await?;
        let grown = !rows.is_empty();
        let mut modules = HashMap::<ModuleName, Vec<_>>::new();
        for (module, change) in rows {
            modules.entry(module).or_default().push(change);
        }
        modules.retain(|module, changes| !self.tail.append(module, changes));
        let whole = modules.is_empty() || self.append_compacted(from, &modules).await?;
        Ok(match (grown, whole) {
            (true, true) => Loaded::Some,
            (true, false) => Loaded::Hole,
            (false, _) => Loaded::Nothing,
        })
    }

    /// Appends rows that have holes, if the log was compacted there: heads read after the rows tell.
    async fn append_compacted(
        &self,
        from: &[(ModuleName, Position)],
        modules: &HashMap<ModuleName, Vec<Arc<Change>>>,
    ) -> store::Result<bool> {
        let heads = self.store.heads(Purpose::Tail).await?;
        let mut whole = true;
        for (module, after) in from {
            let Some(changes) = modules.get(module) else {
                continue;
            };
            let head = heads.iter().find(|head| head.module == *module);
            whole &= head.is_some_and(|head| self.tail.append_compacted(head, *after, changes));
        }
        Ok(whole)
    }

    fn edges(&self, some: Option<&[ModuleName]>) -> Vec<(ModuleName, Cursor)> {
        let modules = self.tail.modules();
        modules
            .filter(|module| some.is_none_or(|some| some.contains(module)))
            .filter_map(|m| Some((m.clone(), self.tail.edge(m)?.cursor())))
            .collect()
    }

    /// Memory holds confirmed commits only: if it had more than heads that were read after, an older copy was
    /// put in place, or commits were lost.
    fn testify(&self, known: Vec<(ModuleName, Cursor)>, heads: &[Head]) {
        for (module, cursor) in known.into_iter().filter(|(_, known)| *known > EMPTY) {
            let head = heads.iter().find(|head| head.module == module);
            let head = head.map_or(EMPTY, Head::cursor);
            if cursor > head {
                self.witnesses.tell(Evidence {
                    module,
                    cursor,
                    witness: Witness::Tail,
                    head,
                    under: None,
                });
            }
        }
    }

    fn report(&mut self, outcome: &store::Result<()>) {
        match outcome {
            Err(error) if !self.failing => {
                tracing::warn!(%error, "the tail cannot follow the log, polls go on from memory");
            }
            Ok(()) if self.failing => tracing::info!("the tail follows the log again"),
            _ => {}
        }
        self.failing = outcome.is_err();
        self.readiness.set_degraded(Need::Reading, self.failing);
    }
}

/// A head tells position and time of one moment.
fn closed(head: &Head) -> Closed {
    Closed {
        module: head.module.clone(),
        epoch: head.epoch,
        head: head.head,
        through: head.sequenced_through,
        now: head.sequenced_through,
    }
}
