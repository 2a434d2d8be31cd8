//! Catch-up reads and long-polls.
//!
//! Invariants: a page that says "up to date" comes after a read of the database's head that began
//! after the request; one who waits is answered from memory alone.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{Channels, Page, PageBounds, Unread};
use crate::{
    config::native::Native,
    domain::{Cursor, ModuleName},
    log::{Crowded, Edge, Freshness, Reader, Reading, Waiting, Wanted, Woken},
    telemetry::Purpose,
};

/// Where a reader wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest change that the log promises to hold.
    Beginning,
    /// With the next change to come.
    Now,
    /// After what it has seen.
    After(Cursor),
}

/// What the configuration says of the modules.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Those that keep their state.
    pub with_state: HashSet<ModuleName>,
    /// Those whose only audience is `*`, by the word of their poll's contract.
    pub for_everyone: HashSet<ModuleName>,
}

/// Native reads of all modules.
pub struct Reads {
    pub(super) reader: Arc<Reader>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) bounds: Native,
    pub(super) served: Served,
    pub(super) streams: Arc<Semaphore>,
}

/// How often a read that names no cursor begins again when the log moves away under it.
const ATTEMPTS: u32 = 3;

impl Reads {
    /// Reads within `bounds`.
    pub fn new(reader: Arc<Reader>, waiting: Arc<Waiting>, bounds: Native, served: Served) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(bounds.streams)),
            reader,
            waiting,
            bounds,
            served,
        }
    }

    /// The bounds.
    pub const fn bounds(&self) -> &Native {
        &self.bounds
    }

    /// The module of this name, if it is configured.
    pub fn module(&self, name: &str) -> Result<ModuleName, Unread> {
        let module: ModuleName = name.parse().map_err(|_invalid| Unread::UnknownModule)?;
        self.reader.edge(&module)?;
        Ok(module)
    }

    /// Whether a module keeps its state: then there are snapshots of it.
    pub fn keeps_state(&self, module: &ModuleName) -> bool {
        self.served.with_state.contains(module)
    }

    /// Whether these channels are the same for every caller.
    pub fn is_for_everyone(&self, channels: &Channels) -> bool {
        channels.audiences().len() == 1 && self.served.for_everyone.contains(channels.module())
    }

    /// Where one who has seen everything that this replica has would go on. No SQL.
    pub fn end(&self, channels: &Channels) -> Result<Cursor, Unread> {
        Ok(self.reader.edge(channels.module())?.cursor())
    }

    /// The changes after `start`, as new as the database has them.
    pub async fn catch_up(&self, channels: &Channels, start: Start) -> Result<Page, Unread> {
        if start == Start::Now {
            let edge = self.head(channels.module()).await?;
            return Ok(Page::empty(edge.cursor(), true));
        }
        self.from(channels, start, self.page_bounds(), Freshness::Head)
            .await
    }

    /// The changes after `start` that this replica has, or the next ones, if they come within `wait`.
    /// Refused if there are none and no place to wait for them.
    pub async fn wait_for(
        &self,
        channels: &Channels,
        start: Start,
        wait: Duration,
    ) -> Result<Page, Unread> {
        let enlisted = [(channels.module(), channels.audiences())];
        let waiter = self.waiting.enlist(&enlisted);
        let bounds = self.page_bounds();
        let mut page = self.from(channels, start, bounds, Freshness::Tail).await?;
        let (after, deadline) = (page.after, Instant::now() + wait);
        if page.changes.is_empty() {
            let mut waiter = waiter.map_err(|Crowded| Crowded)?;
            let mut waits = true;
            while waits && page.changes.is_empty() {
                let left = deadline.saturating_duration_since(Instant::now());
                waits = waiter.woken(left).await == Woken::News && !left.is_zero();
                page = self
                    .page(channels, page.cursor, bounds, Freshness::Tail)
                    .await?;
            }
        }
        Ok(Page {
            after,
            fresh: true,
            ..page
        })
    }

    /// What the database's head is, once this replica has reached it.
    pub(super) async fn head(&self, module: &ModuleName) -> Result<Edge, Unread> {
        self.reader.refresh.bring_to_head(module).await?;
        Ok(self.reader.edge(module)?)
    }

    pub(super) const fn page_bounds(&self) -> PageBounds {
        PageBounds {
            changes: self.bounds.page_changes,
            bytes: self.bounds.page_bytes,
        }
    }

    /// A page from where `start` is now. Retention or a new epoch may move the beginning away while
    /// it is read: then from the new one.
    pub(super) async fn from(
        &self,
        channels: &Channels,
        start: Start,
        bounds: PageBounds,
        freshness: Freshness,
    ) -> Result<Page, Unread> {
        for _ in 0..ATTEMPTS {
            let after = self.resolve(channels.module(), start)?;
            match self.page(channels, after, bounds, freshness).await {
                Err(Unread::Gone) if !matches!(start, Start::After(_)) => {
                    self.head(channels.module()).await?;
                }
                outcome => return outcome,
            }
        }
        Err(Unread::Stale(crate::log::Stale))
    }

    fn resolve(&self, module: &ModuleName, start: Start) -> Result<Cursor, Unread> {
        let edge = self.reader.edge(module)?;
        Ok(match start {
            Start::Beginning => Cursor::new(edge.epoch, edge.retained_from.before()),
            Start::Now => edge.cursor(),
            Start::After(cursor) => cursor,
        })
    }

    /// One page. With [`Freshness::Head`] the database's head is read first, unless memory has more
    /// than the page can hold anyway.
    pub(super) async fn page(
        &self,
        channels: &Channels,
        after: Cursor,
        bounds: PageBounds,
        freshness: Freshness,
    ) -> Result<Page, Unread> {
        let wanted = Wanted {
            module: channels.module(),
            audiences: channels.audiences(),
            since: after.into(),
            limit: bounds.changes,
            purpose: Purpose::Catchup,
        };
        if let Some(found) = self.reader.peek(wanted)? {
            let page = Page::new(after, found, bounds.bytes);
            if page.cut || freshness == Freshness::Tail {
                return Ok(page);
            }
        }
        let mut page = Page::empty(after, false);
        page.cut = true;
        while let Some(limit) = page.room(bounds) {
            let wanted = Wanted {
                since: page.cursor.into(),
                limit,
                ..wanted
            };
            let bytes = bounds.bytes.saturating_sub(page.bytes());
            match self.part(wanted, freshness, page.cursor, bytes).await {
                Ok(part) => page.append(part),
                // What was found is an answer: it is cut.
                Err(_later) if !page.changes.is_empty() => break,
                Err(unread) => return Err(unread),
            }
        }
        Ok(page)
    }

    async fn part(
        &self,
        wanted: Wanted<'_>,
        freshness: Freshness,
        after: Cursor,
        bytes: usize,
    ) -> Result<Page, Unread> {
        match self.reader.read(wanted, freshness).await? {
            Reading::Found(found) => Ok(Page::new(after, found, bytes)),
            Reading::TooOld { .. } => Err(Unread::Gone),
            Reading::NobodyToAsk(_) => Err(Unread::Stale(crate::log::Stale)),
        }
    }
}
