//! A publisher with everything around it but the database: a tail that the test fills, leases that
//! it gives, and a store in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use changeover::{
    config::{mirror::Mirror, mqtt, tail},
    cutover::{Adviser, Flags, Routes},
    domain::{
        Audience, Change, Clock, Cursor, Epoch, JsonText, LogId, Micros, ModuleName, Op, Position,
        SystemClock,
    },
    log::{Leadership, Tail},
    mirror::{Directions, Publisher, Sources, Target, TargetStatus},
    store::{
        ChangeLog, ChannelRead, Error, Head, Lease, LogPage, MirrorCursor, MirrorCursors, Result,
        StateItem, StateTicks, TickBounds,
    },
    telemetry::Purpose,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The parts of a store that the mirror uses.
#[derive(Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    log: HashMap<ModuleName, Vec<Arc<Change>>>,
    tokens: HashMap<ModuleName, i64>,
    cursors: HashMap<(String, ModuleName), MirrorCursor>,
    down: bool,
}

impl MemoryStore {
    /// The stored cursor of a module on the target `t`.
    pub fn cursor(&self, module: &ModuleName) -> Option<MirrorCursor> {
        let key = ("t".to_owned(), module.clone());
        self.inner.lock().unwrap().cursors.get(&key).cloned()
    }

    /// Makes every call fail, or not.
    pub fn set_down(&self, down: bool) {
        self.inner.lock().unwrap().down = down;
    }

    /// What a fencing token of another holder does.
    pub fn take_over(&self, module: &ModuleName, token: i64) {
        self.inner
            .lock()
            .unwrap()
            .tokens
            .insert(module.clone(), token);
    }

    fn up(&self) -> Result<std::sync::MutexGuard<'_, Inner>> {
        let inner = self.inner.lock().unwrap();
        if inner.down {
            let why = "switched off by the test".to_owned();
            return Err(Error::Unavailable { why, source: None });
        }
        Ok(inner)
    }
}

#[async_trait]
impl ChangeLog for MemoryStore {
    async fn heads(&self, _: Purpose) -> Result<Vec<Head>> {
        let inner = self.up()?;
        let modules = inner.tokens.keys();
        Ok(modules
            .map(|module| head(module, inner.log.get(module).map_or(0, Vec::len)))
            .collect())
    }

    async fn heads_of(&self, modules: &[ModuleName], purpose: Purpose) -> Result<Vec<Head>> {
        let mut heads = self.heads(purpose).await?;
        heads.retain(|head| modules.contains(&head.module));
        Ok(heads)
    }

    async fn rows_after(
        &self,
        from: &[(ModuleName, Position)],
        limit: u32,
        _: Purpose,
    ) -> Result<Vec<(ModuleName, Arc<Change>)>> {
        let inner = self.up()?;
        let mut rows = Vec::new();
        for (module, after) in from {
            let log = inner.log.get(module).into_iter().flatten();
            let found = log
                .filter(|change| change.position > *after)
                .take(limit as usize);
            rows.extend(found.map(|change| (module.clone(), Arc::clone(change))));
        }
        Ok(rows)
    }

    async fn read_log(&self, _: ChannelRead<'_>, _: Purpose) -> Result<LogPage> {
        unreachable!("the mirror reads whole modules")
    }

    async fn read_state(&self, _: ChannelRead<'_>, _: bool, _: Purpose) -> Result<Vec<StateItem>> {
        unreachable!("the mirror reads no state")
    }

    async fn tick_bounds(&self, _: &ModuleName, _: Micros, _: Purpose) -> Result<TickBounds> {
        unreachable!("the mirror knows no ticks")
    }

    async fn read_state_ticks(
        &self,
        _: StateTicks<'_>,
        _: Purpose,
    ) -> Result<Vec<(Micros, StateItem)>> {
        unreachable!("the mirror reads no state")
    }
}

#[async_trait]
impl MirrorCursors for MemoryStore {
    async fn mirror_cursors(&self, target: &str) -> Result<Vec<MirrorCursor>> {
        let inner = self.up()?;
        let ours = inner.cursors.iter().filter(|((name, _), _)| name == target);
        Ok(ours.map(|(_, cursor)| cursor.clone()).collect())
    }

    async fn mirrored_modules(&self) -> Result<Vec<ModuleName>> {
        let inner = self.up()?;
        let some = |cursor: &&MirrorCursor| cursor.cursor.position > Position::ZERO;
        let mirrored = inner.cursors.values().filter(some);
        Ok(mirrored.map(|cursor| cursor.module.clone()).collect())
    }

    async fn write_mirror_cursors(
        &self,
        target: &str,
        cursors: &[(Lease, MirrorCursor)],
    ) -> Result<Vec<i64>> {
        let mut inner = self.up()?;
        for (lease, cursor) in cursors {
            if inner.tokens.get(&lease.module) != Some(&lease.token) {
                return Err(Error::LeaseLost {
                    module: lease.module.clone(),
                });
            }
            let key = (target.to_owned(), cursor.module.clone());
            let current = inner.cursors.get(&key).map_or(0, |known| known.version);
            if current != cursor.version {
                return Err(Error::VersionConflict {
                    expected: cursor.version,
                    current,
                });
            }
        }
        let mut versions = Vec::new();
        for (_, cursor) in cursors {
            let mut cursor = cursor.clone();
            cursor.version += 1;
            versions.push(cursor.version);
            inner
                .cursors
                .insert((target.to_owned(), cursor.module.clone()), cursor);
        }
        Ok(versions)
    }
}

fn head(module: &ModuleName, length: usize) -> Head {
    Head {
        module: module.clone(),
        epoch: Epoch::FIRST,
        head: Position::new(length as u64),
        retained_from: Position::new(1),
        stateless_from: None,
        compacted_through: Position::ZERO,
        sequenced_through: Micros::default(),
        lease_holder: None,
        lease_vacant: false,
    }
}

/// The rig.
pub struct Rig {
    pub store: Arc<MemoryStore>,
    pub tail: Arc<Tail>,
    pub leadership: Arc<Leadership>,
    pub flags: Arc<Flags>,
    pub settings: Mirror,
    pub target: Target,
    last_of_channel: HashMap<(ModuleName, String), Position>,
}

/// A publisher that runs.
pub struct Running {
    pub status: Arc<TargetStatus>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Stops it cleanly.
    pub async fn stop(self) {
        self.stop.cancel();
        super::within("the publisher stops", Duration::from_secs(10), self.task)
            .await
            .unwrap();
    }

    /// Ends it as a crash would: nothing is written, nobody is told.
    pub async fn crash(self) {
        self.task.abort();
        let _aborted = self.task.await;
    }
}

impl Rig {
    /// A rig whose replica holds the leases of all `modules`.
    pub fn new(url: &str, protocol: mqtt::Protocol, modules: &[&str]) -> Self {
        Self::with_tail(url, protocol, modules, &tail::Tail::default())
    }

    /// The same with a tail of these bounds.
    pub fn with_tail(
        url: &str,
        protocol: mqtt::Protocol,
        modules: &[&str],
        bounds: &tail::Tail,
    ) -> Self {
        let names: Vec<ModuleName> = modules.iter().map(|name| name.parse().unwrap()).collect();
        let target = mqtt::Target {
            name: "t".to_owned(),
            url: url.to_owned(),
            protocol,
            ..mqtt::Target::default()
        };
        let rig = Self {
            store: Arc::default(),
            tail: Arc::new(Tail::new(bounds, &names)),
            leadership: Arc::default(),
            flags: Arc::new(Flags::new(&names)),
            settings: Mirror {
                backoff_min_ms: 20,
                backoff_max_ms: 200,
                settle_ms: 300,
                ..Mirror::default()
            },
            target: Target::new(&target, "changeover", "test", 1).unwrap(),
            last_of_channel: HashMap::new(),
        };
        for name in &names {
            rig.tail.adopt_head(&head(name, 0));
            rig.lead(name.as_str(), 1);
        }
        rig
    }

    /// Gives the lease of a module, under a token.
    pub fn lead(&self, module: &str, token: i64) {
        let lease = lease(module, token);
        self.store.take_over(&lease.module, token);
        self.leadership
            .hold(&[lease], Instant::now(), Duration::from_hours(1));
    }

    /// Takes the lease of a module away.
    pub fn unlead(&self, module: &str, token: i64) {
        self.leadership.lose(&lease(module, token));
    }

    /// Appends changes to a module's log and the tail, one per given audience.
    pub fn append<'a>(&mut self, module: &str, audiences: impl IntoIterator<Item = &'a str>) {
        let value = JsonText::stored(r#"{"n":1.10}"#);
        self.append_values(
            module,
            audiences
                .into_iter()
                .map(|audience| (audience, value.clone())),
        );
    }

    /// Appends changes with their values.
    pub fn append_values<'a>(
        &mut self,
        module: &str,
        changes: impl IntoIterator<Item = (&'a str, JsonText)>,
    ) {
        let module: ModuleName = module.parse().unwrap();
        let mut inner = self.store.inner.lock().unwrap();
        let log = inner.log.entry(module.clone()).or_default();
        let from = log.len();
        for (audience, value) in changes {
            let position = Position::new(log.len() as u64 + 1);
            let channel = (module.clone(), audience.to_owned());
            let previous = self
                .last_of_channel
                .insert(channel, position)
                .unwrap_or_default();
            let now = SystemClock.now();
            log.push(Arc::new(Change {
                epoch: Epoch::FIRST,
                position,
                previous,
                audience: Audience::stored(audience),
                key: format!("k{position}").into(),
                op: Op::Upsert,
                value,
                change_id: None,
                occurred_at: now,
                sequenced_at: now,
            }));
        }
        let fresh = log[from..].to_vec();
        drop(inner);
        assert!(self.tail.append(&module, &fresh), "a hole in the tail");
    }

    /// Every module leads to the target.
    fn directions(&self) -> Directions {
        let to_it = |module: &ModuleName| (module.clone(), vec![self.target.name.clone()]);
        let routes = Routes::new(self.tail.modules().map(to_it).collect());
        let adviser = Adviser::new(Arc::clone(&self.flags), Arc::new(routes), |_| true);
        Directions::new(Arc::new(adviser), Arc::default())
    }

    /// Starts a publisher.
    pub fn start(&self) -> Running {
        let sources = Sources {
            store: Arc::clone(&self.store),
            tail: Arc::clone(&self.tail),
            leadership: Arc::clone(&self.leadership),
            witnesses: Arc::default(),
            log: LogId::new(1),
            directions: Arc::new(self.directions()),
            clock: Arc::new(SystemClock),
            usage: Arc::default(),
        };
        let publisher = Publisher::new(sources, &self.settings, "changeover", self.target.clone());
        let status = publisher.status();
        let stop = CancellationToken::new();
        let task = tokio::spawn(publisher.run(stop.clone()));
        Running { status, stop, task }
    }

    /// Waits until a module is acknowledged up to a position.
    pub async fn acknowledged(&self, running: &Running, module: &str, position: u64) {
        let module: ModuleName = module.parse().unwrap();
        let wanted = Cursor::new(Epoch::FIRST, Position::new(position));
        let what = format!("{module} acknowledged up to {position}");
        super::eventually(&what, Duration::from_mins(1), async || {
            let status = running.status.module(&module)?;
            (status.acknowledged >= wanted).then_some(())
        })
        .await;
    }
}

fn lease(module: &str, token: i64) -> Lease {
    Lease {
        module: module.parse().unwrap(),
        token,
    }
}
