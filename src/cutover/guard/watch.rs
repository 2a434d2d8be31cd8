//! The task that reads the guards, judges those whose lease this replica holds, and writes down what follows.
//!
//! Invariants: one statement reads all; a lease that is taken is judged from a row read after it; evidence is looked at with each
//! reading, and without a reading nothing trips and nothing heals here.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Evidence, Guards, State,
    judging::Judging,
    vacancy::{Lead, Vacancies, found},
};
use crate::{
    cutover::{
        Flags, Routes,
        reading::{ReadOnce, Reading, Unread, read_on},
    },
    domain::{BasisPoints, GuardPhase, ModuleName, Stage},
    store::{self, GuardWrite, Lease, Store, TurnKind},
};

/// Who knows the mirror.
pub trait Observer: Send {
    /// Looks at everything once.
    fn look(&mut self, now: Instant);

    /// The lease of a module, if this replica holds it.
    fn lease(&self, module: &ModuleName) -> Option<Lease>;

    /// Whether anything is sent to a target now.
    fn is_fed(&self, target: &str) -> bool;

    /// What is known of a module on a target; `None` where nothing is to be sent.
    fn evidence(&self, module: &ModuleName, target: &str, now: Instant) -> Option<Evidence>;
}

/// Those who keep answers are told no more often that shares have moved: each client hears of its own move at most so late.
const STEP: Duration = Duration::from_secs(1);

/// Most rows that are written in one look; the others have their turn in the next one.
const MOST_WRITES: usize = 50;

type Key = (ModuleName, String);

/// The task. See the module's documentation.
pub struct GuardWatch<O> {
    store: Arc<dyn Store>,
    guards: Arc<Guards>,
    flags: Arc<Flags>,
    routes: Arc<Routes>,
    observer: O,
    judged: HashMap<Key, Judging>,
    vacancies: Vacancies,
    /// The shares that those who keep answers were told of last, and when.
    told: (Vec<(ModuleName, String, BasisPoints)>, Instant),
    /// Where the next look begins.
    turn: usize,
    read_once: ReadOnce,
    unread: Unread,
}

impl<O: Observer> GuardWatch<O> {
    /// The task, and the sign that the guards have been read once.
    pub fn new(
        store: Arc<dyn Store>,
        guards: Arc<Guards>,
        (flags, routes): (Arc<Flags>, Arc<Routes>),
        observer: O,
    ) -> (Self, watch::Receiver<bool>) {
        let (read_once, sign) = ReadOnce::new();
        let watch = Self {
            told: (Vec::new(), guards.now()),
            store,
            guards,
            flags,
            routes,
            observer,
            judged: HashMap::new(),
            vacancies: Vacancies::default(),
            turn: 0,
            read_once,
            unread: Unread::default(),
        };
        (watch, sign)
    }

    /// Watches until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        read_on(self, stop).await;
    }

    async fn look_once(&mut self) -> store::Result<()> {
        // Held before it is read: what the holder before has written is in what is read.
        let keys = self.guards.keys();
        let mut leases: Vec<_> = keys
            .iter()
            .map(|(module, _)| self.observer.lease(module))
            .collect();
        let seen = match self.store.guards().await {
            Ok(seen) => seen,
            Err(error) => {
                self.vacancies.forget();
                return Err(error);
            }
        };
        let now = self.guards.now();
        self.observer.look(now);
        self.unread.tell(
            &seen.unreadable,
            "a guard of a module cannot be read: its last known state stays in force, and nothing trips or heals it here",
            "the guards of a module are read again",
        );
        self.guards.adopt(&seen, now);
        self.show();
        self.read_once.done();
        for (key, lease) in keys.iter().zip(&leases) {
            let is_vacant = lease.is_none() && seen.vacant.contains(&key.0);
            self.find(key, is_vacant, now);
        }
        for ((module, _), lease) in keys.iter().zip(&mut leases) {
            // What stands there is not known, so nothing follows from it.
            lease.take_if(|_| !seen.can_be_read(module));
        }
        self.judge_all(&keys, &leases, now).await
    }

    /// What this replica finds by itself.
    fn find(&mut self, key: &Key, is_vacant: bool, now: Instant) {
        let (module, target) = key;
        let terms = *self.guards.terms();
        let after = terms.leaderless_after;
        let lead = self.vacancies.see(module, is_vacant, after, now);
        let Some(post) = self.guards.post(module, target) else {
            return;
        };
        if lead == Lead::Held && post.own == State::Watching {
            return;
        }
        let own = found(post.own, lead, self.may_trip(key), &terms, now);
        match (post.own.phase(), own.phase()) {
            (was, is) if was == is => {}
            (_, GuardPhase::Tripped) => {
                tracing::warn!(%module, broker = target, "nobody holds the module's lease, so nobody mirrors it: clients of this replica fall back to polling");
            }
            (_, is) => {
                tracing::warn!(%module, broker = target, state = %is, "somebody has held the module's lease for long enough: clients of this replica return to push");
            }
        }
        self.guards.find(module, target, own);
    }

    /// Whether anybody may be told to take the push from there.
    fn may_trip(&self, (module, target): &Key) -> bool {
        let record = self.flags.record(module);
        record.is_some_and(|record| record.stage > Stage::Mirror)
            && self.has_clients(module, target)
    }

    /// Whether any client of the module is told a target.
    fn has_clients(&self, module: &ModuleName, target: &str) -> bool {
        let is_fed = |target: &str| self.observer.is_fed(target);
        self.flags.record(module).is_some_and(|record| {
            self.routes
                .has_clients(module, &record.routing, target, is_fed)
        })
    }

    fn show(&self) {
        self.guards
            .show(|module, target| self.has_clients(module, target));
    }

    async fn judge_all(
        &mut self,
        keys: &[Key],
        leases: &[Option<Lease>],
        now: Instant,
    ) -> store::Result<()> {
        let (mut writes, mut outcome) = (0, Ok(()));
        for at in (self.turn..keys.len()).chain(0..self.turn.min(keys.len())) {
            let (key, Some(lease)) = (&keys[at], &leases[at]) else {
                self.judged.remove(&keys[at]);
                continue;
            };
            let Some(write) = self.judge(key, lease, now) else {
                continue;
            };
            if writes == MOST_WRITES || outcome.is_err() {
                continue;
            }
            writes += 1;
            self.turn = at + 1;
            outcome = self.write(key, &write).await;
        }
        outcome
    }

    /// What is to be written, if anything is.
    fn judge(&mut self, key: &Key, lease: &Lease, now: Instant) -> Option<GuardWrite> {
        let may_trip = self.may_trip(key);
        let (module, target) = key;
        let post = self.guards.post(module, target)?;
        if post.gone_back.is_some() {
            // Nothing can be written on a row that is not there any more.
            return None;
        }
        let terms = *self.guards.terms();
        let resumed = || Judging::resumed(lease.clone(), &post, &terms, now);
        let judging = self.judged.entry(key.clone()).or_insert_with(resumed);
        if !judging.goes_on(lease, &post) {
            *judging = Judging::resumed(lease.clone(), &post, &terms, now);
        }
        let evidence = self.observer.evidence(module, target, now);
        judging.observe(&post, evidence.as_ref(), may_trip, &terms, now);
        judging.unwritten(target, now)
    }

    async fn write(&mut self, key: &Key, write: &GuardWrite) -> store::Result<()> {
        let (module, target) = key;
        let record = match self.store.write_guard(write).await {
            Ok(record) => record,
            Err(store::Error::LeaseLost { .. } | store::Error::VersionConflict { .. }) => {
                self.judged.remove(key);
                tracing::info!(%module, broker = target, "another replica has the guard now");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let now = self.guards.now();
        let Some(judging) = self.judged.get_mut(key) else {
            return Ok(());
        };
        let state = judging.wrote(&record, now);
        self.guards.wrote(&record, state, now);
        self.show();
        if let Some(turn) = &write.turn {
            let (reason, state) = (&turn.reason, record.state);
            match turn.kind {
                TurnKind::Trip => {
                    tracing::warn!(%module, broker = target, reason, %state, "the guard has tripped: clients fall back to polling");
                }
                TurnKind::Heal => {
                    tracing::warn!(%module, broker = target, reason, %state, "the guard has healed: clients return to push");
                }
            }
        }
        Ok(())
    }

    /// Shares move without anybody's doing.
    fn tell_of_moves(&mut self) {
        let now = self.guards.now();
        let (told, at) = &self.told;
        if now.saturating_duration_since(*at) < STEP {
            return;
        }
        let shares = self.guards.shares(now);
        if shares != *told {
            self.told = (shares, now);
            self.guards.moved();
        }
    }
}

impl<O: Observer> Reading for GuardWatch<O> {
    const LOST: &'static str =
        "guards cannot be read or written, the last known ones stay in force";
    const FOUND: &'static str = "guards are read again";

    async fn look(&mut self) -> store::Result<()> {
        let outcome = self.look_once().await;
        self.tell_of_moves();
        // Also who is routed where may be another than at the last look.
        self.show();
        outcome
    }
}
