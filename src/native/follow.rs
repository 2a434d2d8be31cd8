//! Following a module's log for a while: the reads behind a stream of server-sent events.
//!
//! Invariant: what was found is handed over before more is read, so a slow reader holds one page
//! and no more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;

use super::{Channels, Page, Reads, Start, Unread};
use crate::{
    domain::Cursor,
    log::{Crowded, Freshness, Waiter, Woken},
};

/// The times of one stream.
#[derive(Debug, Clone, Copy)]
pub struct Tempo {
    /// How long it lives.
    pub life: Duration,
    /// The longest silence.
    pub keep_alive: Duration,
}

/// What a stream says.
#[derive(Debug, Clone)]
pub enum Followed {
    /// Changes, or that there are none so far, or that the cursor has moved on.
    Page(Page),
    /// Nothing new, and this is still here.
    Silence,
}

/// A stream in progress.
pub struct Following<'a> {
    reads: &'a Reads,
    channels: &'a Channels,
    waiter: Waiter<'a>,
    keep_alive: Duration,
    ends: Instant,
    /// Found before the stream began.
    first: Option<Page>,
    cursor: Cursor,
    /// Whether the database's head was read since the stream began: from then on memory may say
    /// "up to date".
    proven: bool,
    /// Whether to read it at the next look: not again and again while the database is away.
    asks: bool,
    /// The cursor that the client was told, and whether it was told that there is nothing more.
    told: (Cursor, bool),
}

impl Reads {
    /// A place for one stream.
    pub fn stream_place(&self) -> Result<OwnedSemaphorePermit, Unread> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        place.map_err(|_none| Unread::Crowded(Crowded))
    }

    /// The first page of a stream, before anything is promised.
    pub async fn first_page(&self, channels: &Channels, start: Start) -> Result<Page, Unread> {
        // Refused here, and not after the stream has begun.
        drop(
            self.waiting
                .enlist(&[(channels.module(), channels.audiences())])?,
        );
        self.catch_up(channels, start).await
    }

    /// Follows the log after `first`.
    pub fn follow<'a>(
        &'a self,
        channels: &'a Channels,
        first: Page,
        tempo: Tempo,
    ) -> Result<Following<'a>, Unread> {
        let enlisted = [(channels.module(), channels.audiences())];
        Ok(Following {
            reads: self,
            channels,
            waiter: self.waiting.enlist(&enlisted)?,
            keep_alive: tempo.keep_alive,
            ends: Instant::now() + tempo.life,
            cursor: first.cursor,
            proven: first.fresh,
            asks: true,
            told: (first.after, false),
            first: Some(first).filter(|page| !page.is_mute()),
        })
    }
}

impl Following<'_> {
    /// What the stream says next; `None` once it ends, in order or because it cannot go on.
    pub async fn next(&mut self) -> Option<Followed> {
        if let Some(first) = self.first.take() {
            return Some(self.tell(first));
        }
        let mut quiet = false;
        loop {
            let left = self.left();
            if left.is_zero() {
                return None;
            }
            let page = self.look().await.ok()?;
            if !page.changes.is_empty() {
                return Some(self.tell(page));
            }
            if quiet {
                let moved = (page.cursor, page.is_up_to_date()) != self.told;
                return Some(if moved {
                    self.tell(page)
                } else {
                    Followed::Silence
                });
            }
            match self.waiter.woken(left.min(self.keep_alive)).await {
                Woken::Stopping => return None,
                Woken::News => {}
                Woken::TimeUp => (self.asks, quiet) = (true, true),
            }
        }
    }

    /// Whether its life is over, which it may be with more to tell: a client that reads slowly comes again
    /// as any other.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    async fn look(&mut self) -> Result<Page, Unread> {
        let freshness = if self.proven || !self.asks {
            Freshness::Tail
        } else {
            Freshness::Head
        };
        let bounds = self.reads.page_bounds();
        let page = self
            .reads
            .page(self.channels, self.cursor, bounds, freshness);
        let page = page.await?;
        // A page that was cut came without asking.
        self.asks &= page.cut;
        self.proven |= page.fresh;
        self.cursor = page.cursor;
        Ok(Page {
            fresh: self.proven,
            ..page
        })
    }

    fn tell(&mut self, page: Page) -> Followed {
        self.told = (page.cursor, page.is_up_to_date());
        Followed::Page(page)
    }
}
