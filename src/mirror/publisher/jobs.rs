//! The publisher's conversation with the database, beside the one with the broker: a slow answer
//! of the one holds up nothing of the other.
//!
//! Invariant: of each kind at most one job is under way.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    domain::{Change, Cursor, ModuleName, Position},
    mirror::ledger::LaneId,
    store::{ChangeLog, Error, Head, Lease, MirrorCursor, MirrorCursors, Result},
    telemetry::Purpose,
};

/// What the mirror asks of a store.
pub trait MirrorStore: ChangeLog + MirrorCursors + Send + Sync + 'static {}

impl<T: ChangeLog + MirrorCursors + Send + Sync + 'static + ?Sized> MirrorStore for T {}

/// A cursor that was loaded or created.
pub(super) struct Loaded {
    pub(super) lease: Lease,
    pub(super) row: MirrorCursor,
    pub(super) created: bool,
}

/// A module whose rows are wanted.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) lane: LaneId,
    pub(super) module: ModuleName,
    pub(super) after: Position,
    /// Where the tail begins: rows below it are the database's.
    pub(super) tail_begins: Cursor,
}

/// Rows of the log, and what the heads promised once they had been read.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) by_module: HashMap<ModuleName, Vec<Arc<Change>>>,
    /// Modules of which changes are gone that were asked for.
    pub(super) pruned: HashSet<ModuleName>,
}

/// What a job brought.
pub(super) enum Done {
    Loaded(Result<Vec<Loaded>>),
    Read(Vec<Asked>, Result<Rows>),
    Written(Vec<(LaneId, MirrorCursor)>, Result<Vec<i64>>),
    Looked(Result<Vec<MirrorCursor>>),
}

/// The kinds of jobs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Load,
    Read,
    Write,
    Look,
}

const KINDS: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Slot {
    busy: bool,
    not_before: Instant,
}

/// The jobs that are under way.
pub(super) struct Jobs<S: ?Sized> {
    store: Arc<S>,
    target: Arc<str>,
    set: JoinSet<Done>,
    slots: [Slot; KINDS],
    pause: Duration,
}

impl<S: MirrorStore + ?Sized> Jobs<S> {
    /// Jobs of one target. After a failure its kind rests for `pause`.
    pub(super) fn new(store: Arc<S>, target: &str, pause: Duration) -> Self {
        let not_before = Instant::now();
        Self {
            store,
            target: target.into(),
            set: JoinSet::new(),
            slots: [Slot {
                busy: false,
                not_before,
            }; KINDS],
            pause,
        }
    }

    /// Whether a job of this kind may begin.
    pub(super) fn may(&self, kind: Kind, now: Instant) -> bool {
        let slot = self.slots[kind as usize];
        !slot.busy && slot.not_before <= now
    }

    /// Whether a job of this kind is under way.
    pub(super) fn is_busy(&self, kind: Kind) -> bool {
        self.slots[kind as usize].busy
    }

    /// Lets this kind rest, after an answer that asking again at once would not change.
    pub(super) fn rest(&mut self, kind: Kind) {
        self.slots[kind as usize].not_before = Instant::now() + self.pause;
    }

    /// Loads the cursors of these leases' modules, and creates those that are missing.
    pub(super) fn load(&mut self, leases: Vec<Lease>, batch: u32) {
        let (store, target) = (Arc::clone(&self.store), Arc::clone(&self.target));
        self.slots[Kind::Load as usize].busy = true;
        self.set
            .spawn(async move { Done::Loaded(load(&*store, &target, leases, batch).await) });
    }

    /// Reads on where the tail does not reach.
    pub(super) fn read(&mut self, asked: Vec<Asked>, limit: u32) {
        let store = Arc::clone(&self.store);
        self.slots[Kind::Read as usize].busy = true;
        self.set.spawn(async move {
            let rows = read(&*store, &asked, limit).await;
            Done::Read(asked, rows)
        });
    }

    /// Looks at the stored cursors, because somebody may have moved them.
    pub(super) fn look(&mut self) {
        let (store, target) = (Arc::clone(&self.store), Arc::clone(&self.target));
        self.slots[Kind::Look as usize].busy = true;
        self.set
            .spawn(async move { Done::Looked(store.mirror_cursors(&target).await) });
    }

    /// Writes cursors.
    pub(super) fn write(&mut self, rows: Vec<(LaneId, Lease, MirrorCursor)>) {
        let (store, target) = (Arc::clone(&self.store), Arc::clone(&self.target));
        self.slots[Kind::Write as usize].busy = true;
        self.set.spawn(async move {
            let (lanes, rows): (Vec<_>, Vec<_>) = rows
                .into_iter()
                .map(|(lane, lease, row)| ((lane, row.clone()), (lease, row)))
                .unzip();
            let versions = store.write_mirror_cursors(&target, &rows).await;
            Done::Written(lanes, versions)
        });
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// What the next job brought; waits for ever while there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Done {
        match self.set.join_next().await {
            Some(Ok(done)) => self.end(done),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Nobody cancels a job but the end of the runtime, which ends this task as well.
                Err(_cancelled) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    fn end(&mut self, done: Done) -> Done {
        let (kind, failed) = match &done {
            // Leases without a row are asked for again; not at once.
            Done::Loaded(_) => (Kind::Load, true),
            Done::Read(_, rows) => (Kind::Read, rows.is_err()),
            Done::Written(_, versions) => (Kind::Write, versions.is_err()),
            Done::Looked(rows) => (Kind::Look, rows.is_err()),
        };
        self.slots[kind as usize].busy = false;
        if failed {
            self.rest(kind);
        }
        done
    }
}

/// A hole may be what retention has removed, or what later changes of the same keys have replaced: heads
/// that are read after the rows tell.
async fn read<S: MirrorStore + ?Sized>(store: &S, asked: &[Asked], limit: u32) -> Result<Rows> {
    let from: Vec<_> = asked
        .iter()
        .map(|one| (one.module.clone(), one.after))
        .collect();
    let mut rows = Rows::default();
    for (module, change) in store.rows_after(&from, limit, Purpose::Cursor).await? {
        rows.by_module.entry(module).or_default().push(change);
    }
    let begins_later = |one: &&Asked| {
        let first = rows.by_module.get(&one.module).and_then(|all| all.first());
        first.is_none_or(|first| first.position > one.after.next())
    };
    let suspects: Vec<_> = asked.iter().filter(begins_later).collect();
    if suspects.is_empty() {
        return Ok(rows);
    }
    let heads = store.heads(Purpose::Cursor).await?;
    let is_pruned = |one: &&&Asked| {
        let head = heads.iter().find(|head| head.module == one.module);
        head.is_some_and(|head| one.after.next() < head.retained_from)
    };
    let pruned = suspects.iter().filter(is_pruned);
    rows.pruned = pruned.map(|one| one.module.clone()).collect();
    Ok(rows)
}

async fn load<S: MirrorStore + ?Sized>(
    store: &S,
    target: &str,
    leases: Vec<Lease>,
    batch: u32,
) -> Result<Vec<Loaded>> {
    let rows = store.mirror_cursors(target).await?;
    let row_of = |lease: &Lease| rows.iter().find(|row| row.module == lease.module).cloned();
    let mut loaded = Vec::with_capacity(leases.len());
    let mut missing = Vec::new();
    for lease in leases {
        match row_of(&lease) {
            Some(row) => loaded.push(Loaded {
                lease,
                row,
                created: false,
            }),
            None => missing.push(lease),
        }
    }
    if !missing.is_empty() {
        let heads = store.heads(Purpose::Cursor).await?;
        let mirrored = store.mirrored_modules().await?;
        for lease in missing {
            let head = heads.iter().find(|head| head.module == lease.module);
            let Some(head) = head else { continue };
            let young = if mirrored.contains(&lease.module) {
                0
            } else {
                batch
            };
            let beginning = beginning(head, young);
            loaded.extend(create(store, target, lease, beginning).await?);
        }
    }
    Ok(loaded)
}

/// Creates a row at once, so that what comes after it is mirrored however long the broker is away.
async fn create<S: MirrorStore + ?Sized>(
    store: &S,
    target: &str,
    lease: Lease,
    beginning: Cursor,
) -> Result<Option<Loaded>> {
    let mut row = MirrorCursor {
        module: lease.module.clone(),
        cursor: beginning,
        generation: 0,
        version: 0,
    };
    let written = store
        .write_mirror_cursors(target, &[(lease.clone(), row.clone())])
        .await;
    match written {
        Ok(versions) => row.version = versions.first().copied().unwrap_or(1),
        // Somebody else has the module now, or has created the row: look again later.
        Err(Error::LeaseLost { .. } | Error::VersionConflict { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(Loaded {
        lease,
        row,
        created: true,
    }))
}

/// A new target begins at the head. But if it is the first that the module has, a log of which nothing was pruned and
/// that holds no more than `young` changes is new itself: between its first changes and this call lies nothing but a
/// start of the program, and they shall not be lost. To repeat them harms nobody.
fn beginning(head: &Head, young: u32) -> Cursor {
    let whole = head.retained_from <= Position::ZERO.next();
    let position = if whole && head.head.get() <= u64::from(young) {
        Position::ZERO
    } else {
        head.head
    };
    Cursor::new(head.epoch, position)
}
