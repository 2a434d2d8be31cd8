//! This process among those that share the database.
//!
//! Invariants: a name belongs to one living process; an embedded broker belongs to a process that is alone. Both are
//! settled before anything is numbered, and of two that start at once exactly one goes on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Micros, ModuleName},
    store::{self, Beat, Instance, Store},
};

/// Why a process may not join the others.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Somebody lives under this name.
    #[error(
        "server.instance: another process runs as `{name}` on this database; give each replica a name of its own, or end the other one first"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// It has an embedded broker and is not alone.
    #[error(
        "mqtt.targets: `{target}` is an embedded broker, which belongs to one process, and `{other}` shares the database: feed a broker of its own (url = \"mqtt://host:1883\") from all replicas, or end `{other}` first"
    )]
    Embedded {
        /// The target.
        target: String,
        /// The instance that was there before.
        other: String,
    },
    /// Another one has an embedded broker.
    #[error(
        "`{other}` shares the database and feeds an embedded broker (its target `{target}`), which belongs to one process: feed a broker of its own (url = \"mqtt://host:1883\") from all replicas, or end `{other}` first"
    )]
    OtherEmbedded {
        /// The instance that was there before.
        other: String,
        /// Its target.
        target: String,
    },
}

/// Dead instances are shown for so long.
const REMEMBERED: Duration = Duration::from_hours(1);

/// So often per lease it is looked whether whoever is in the way still lives.
const LOOKS_PER_LEASE: u32 = 20;

/// Who this process is, and who else there is. See the module's documentation.
#[derive(Debug)]
pub struct Presence {
    name: String,
    run: i64,
    lease: Duration,
    embedded: Option<String>,
    others: Mutex<Arc<[Instance]>>,
    /// What the database's clock said when it was last heard, and when that was.
    heard: ArcSwapOption<(Micros, Instant)>,
    displaced: CancellationToken,
}

impl Presence {
    /// A process that is called `name`, counts as dead `lease` after its last beat, and has this target as its own
    /// broker. `run` is drawn anew by each process.
    pub fn new(name: String, run: i64, lease: Duration, embedded: Option<String>) -> Self {
        Self {
            name,
            run,
            lease,
            embedded,
            others: Mutex::new(Arc::default()),
            heard: ArcSwapOption::empty(),
            displaced: CancellationToken::new(),
        }
    }

    /// Its `server.instance`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which process of this name it is.
    pub const fn run(&self) -> i64 {
        self.run
    }

    /// Takes its place. Who is in the way and does not beat any more is waited for until it counts as dead; who beats
    /// refuses the start.
    pub async fn join(&self, store: &dyn Store) -> Result<(), JoinError> {
        store.forget_instances(REMEMBERED).await?;
        let mut seen = HashMap::<i64, Micros>::new();
        while let Some(other) = self.obstacle(store).await? {
            match seen.get(&other.run) {
                // One that is still looking may give way.
                Some(first) if other.heartbeat > *first && other.since.is_some() => {
                    self.leave(store).await?;
                    return Err(self.refusal(other));
                }
                Some(_) => {}
                None => {
                    tracing::info!(
                        other = other.name,
                        "waiting to see whether this instance still lives"
                    );
                    seen.insert(other.run, other.heartbeat);
                }
            }
            sleep(self.lease / LOOKS_PER_LEASE).await;
        }
        Ok(())
    }

    /// Whoever cannot be there together with this process. Joins if there is nobody.
    ///
    /// Two that look at the same time may each have looked before the other was to be seen. So who sees another one
    /// looking does not go on: the later by name takes itself out, and the earlier waits for what becomes of it.
    async fn obstacle(&self, store: &dyn Store) -> store::Result<Option<Instance>> {
        if let Some(other) = self
            .conflict(store, |other| self.gives_way_to(other))
            .await?
        {
            return Ok(Some(other));
        }
        let looking = Beat {
            joined: false,
            ..self.beating(0, &[])
        };
        loop {
            let found = store.beat(&looking).await?;
            if found.ours {
                break;
            }
            // Whoever has come or gone in between is not to be seen: the next beat tells.
            let mut others = found.others.into_iter();
            if let Some(other) = others.find(|other| other.name == self.name) {
                return Ok(Some(other));
            }
        }
        let other = self.conflict(store, |_| true).await?;
        match &other {
            Some(other) if self.gives_way_to(other) => self.leave(store).await?,
            Some(_) => {}
            None => return self.settle(store).await,
        }
        Ok(other)
    }

    /// Joins. A process that stood still since it looked finds out now.
    async fn settle(&self, store: &dyn Store) -> store::Result<Option<Instance>> {
        let beaten = store.beat(&self.beating(0, &[])).await?;
        self.hear(beaten.now);
        let other = self.conflict(store, |other| other.since.is_some()).await?;
        if other.is_some() {
            self.leave(store).await?;
        }
        Ok(other)
    }

    /// A living process beside which this one may not run.
    async fn conflict(
        &self,
        store: &dyn Store,
        counts: impl Fn(&Instance) -> bool,
    ) -> store::Result<Option<Instance>> {
        let all = store.instances().await?.into_iter();
        let mut living = all.filter(|other| other.alive && other.name != self.name);
        let alone = |other: &Instance| self.embedded.is_some() || other.embedded.is_some();
        Ok(living.find(|other| alone(other) && counts(other)))
    }

    /// Whether this process, which is looking, has to take itself out.
    fn gives_way_to(&self, other: &Instance) -> bool {
        other.since.is_some() || other.name < self.name
    }

    fn refusal(&self, other: Instance) -> JoinError {
        if other.name == self.name {
            return JoinError::NameTaken { name: other.name };
        }
        match (&self.embedded, other.embedded) {
            (None, Some(target)) => JoinError::OtherEmbedded {
                other: other.name,
                target,
            },
            (target, _) => JoinError::Embedded {
                target: target.clone().unwrap_or_default(),
                other: other.name,
            },
        }
    }

    /// Says that it lives, and learns who else does. False if another process has its name now: it must end.
    pub async fn beat(
        &self,
        store: &dyn Store,
        holds: usize,
        wants: &[ModuleName],
    ) -> store::Result<bool> {
        let beaten = store.beat(&self.beating(holds, wants)).await?;
        self.hear(beaten.now);
        if !beaten.ours {
            self.displaced.cancel();
            return Ok(false);
        }
        let alive = beaten.others.into_iter().filter(|other| other.alive);
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = alive.collect();
        Ok(true)
    }

    fn hear(&self, now: Micros) {
        self.heard.store(Some(Arc::new((now, Instant::now()))));
    }

    /// What time it is by the database's clock, as it was heard with the last beat and has been counted on since: late by what the
    /// answer took. None before the first beat.
    pub fn database_time(&self, now: Instant) -> Option<Micros> {
        let heard = self.heard.load();
        let (time, at) = heard.as_deref()?;
        Some(time.plus(now.saturating_duration_since(*at)))
    }

    fn beating<'a>(&'a self, holds: usize, wants: &'a [ModuleName]) -> Beat<'a> {
        Beat {
            name: &self.name,
            run: self.run,
            lease: self.lease,
            joined: true,
            embedded: self.embedded.as_deref(),
            holds,
            wants,
        }
    }

    /// The others that lived at the last beat, by name.
    pub fn others(&self) -> Arc<[Instance]> {
        Arc::clone(&self.others.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends its stay, so that nobody counts on it any more.
    pub async fn leave(&self, store: &dyn Store) -> store::Result<()> {
        store.leave(&self.name, self.run).await
    }

    /// Whether another process has its name.
    pub fn is_displaced(&self) -> bool {
        self.displaced.is_cancelled()
    }

    /// Returns when another process has its name.
    pub async fn displaced(&self) {
        self.displaced.cancelled().await;
    }
}
