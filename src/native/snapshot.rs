//! Snapshots: the last change of each key, in pages.
//!
//! Invariants: the position is taken first and the state is read after it, so what changes in
//! between comes again as a change after the snapshot's cursor; all pages of a snapshot carry the
//! cursor of the first; keys that are gone are left out, because their deletes stand in the log
//! above the cursor of anyone who still holds them, or he begins from nothing.

use std::{fmt, str::FromStr};

use super::{
    Channels, PageBounds, Reads, Unread,
    page::{fitting, item_bytes},
};
use crate::{
    domain::{Cursor, Invalid, Position},
    log::{Class, Edge},
    store::{ChannelRead, StateItem},
    telemetry::Purpose,
};

/// Where a snapshot goes on: `{cursor}_{after:016x}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bookmark {
    /// The cursor of the whole snapshot.
    cursor: Cursor,
    /// The last item shown.
    after: Position,
}

/// A page of a snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotPage {
    /// Where one who has applied all pages goes on in the log.
    pub cursor: Cursor,
    /// The keys, by the position of their last change.
    pub items: Vec<StateItem>,
    /// Where the snapshot goes on; `None` on the last page.
    pub next: Option<Bookmark>,
}

impl Reads {
    /// The first page, or the one at `page`.
    pub async fn snapshot(
        &self,
        channels: &Channels,
        page: Option<Bookmark>,
    ) -> Result<SnapshotPage, Unread> {
        let module = channels.module();
        if !self.keeps_state(module) {
            return Err(Unread::NoState);
        }
        let _place = self.reader.admission.enter(Class::Database, module).await?;
        let bookmark = match page {
            Some(bookmark) => self.still_good(channels, bookmark).await?,
            None => Bookmark {
                cursor: self.head(module).await?.cursor(),
                after: Position::ZERO,
            },
        };
        self.state_page(channels, bookmark).await
    }

    async fn state_page(
        &self,
        channels: &Channels,
        bookmark: Bookmark,
    ) -> Result<SnapshotPage, Unread> {
        let bounds = self.page_bounds();
        let mut page = SnapshotPage {
            cursor: bookmark.cursor,
            items: Vec::new(),
            next: Some(bookmark),
        };
        while let (Some(from), Some(limit)) = (page.next, page.room(bounds)) {
            let read = ChannelRead {
                module: channels.module(),
                audiences: channels.audiences(),
                after: from.after,
                // What changes from now on stands above it, and comes from the log.
                through: from.cursor.position,
                // One more than is shown tells whether there is more.
                limit: limit.saturating_add(1),
            };
            let items = self.reader.log.read_state(read, false, Purpose::Snapshot);
            let bounds = PageBounds {
                changes: limit,
                bytes: bounds.bytes.saturating_sub(page.bytes()),
            };
            page.append(from, items.await?, bounds);
        }
        Ok(page)
    }

    /// A bookmark is of no use once the changes after its snapshot's cursor are not all there.
    async fn still_good(
        &self,
        channels: &Channels,
        bookmark: Bookmark,
    ) -> Result<Bookmark, Unread> {
        let module = channels.module();
        let ahead = |edge: &Edge| bookmark.cursor > edge.cursor();
        let mut edge = self.reader.edge(module)?;
        if ahead(&edge) {
            // This replica may be behind the one that made it.
            edge = self.head(module).await?;
        }
        let cursor = bookmark.cursor;
        let pruned = cursor.position.next() < edge.retained_from;
        if cursor.epoch != edge.epoch || pruned || ahead(&edge) {
            return Err(Unread::Gone);
        }
        Ok(bookmark)
    }
}

impl SnapshotPage {
    /// How many more items may be asked of the database for this page.
    fn room(&self, bounds: PageBounds) -> Option<u32> {
        bounds.room(self.items.len(), self.bytes())
    }

    fn bytes(&self) -> usize {
        self.items.iter().map(item_bytes).sum()
    }

    fn append(&mut self, from: Bookmark, mut items: Vec<StateItem>, bounds: PageBounds) {
        let most = usize::try_from(bounds.changes).unwrap_or(usize::MAX);
        let shown = fitting(&items, bounds.bytes, item_bytes).min(most);
        let cut = shown < items.len();
        items.truncate(shown);
        let last = items.last().filter(|_| cut);
        self.next = last.map(|item| Bookmark {
            after: item.position,
            ..from
        });
        self.items.append(&mut items);
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{:016x}", self.cursor, self.after.get())
    }
}

impl FromStr for Bookmark {
    type Err = Invalid;

    fn from_str(token: &str) -> Result<Self, Invalid> {
        let refused = |_| {
            Invalid::new(
                "page",
                "is no page of this service: follow `next` of the last answer, or leave it out to begin",
            )
        };
        let (cursor, after) = token.rsplit_once('_').unwrap_or_default();
        let cursor: Cursor = cursor.parse().map_err(refused)?;
        // A position is written as in a cursor, and read as strictly.
        let after: Cursor = format!("{:08x}_{after}", 0).parse().map_err(refused)?;
        Ok(Self {
            cursor,
            after: after.position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Epoch;

    #[test]
    fn a_bookmark_survives_its_text() {
        let bookmark = Bookmark {
            cursor: Cursor::new(Epoch::new(7), Position::new(300)),
            after: Position::new(41),
        };
        let token = bookmark.to_string();
        assert_eq!(token, "00000007_000000000000012c_0000000000000029");
        assert_eq!(token.parse(), Ok(bookmark));
        for wrong in [
            "",
            "_",
            "00000007_000000000000012c",
            "00000007_000000000000012c_",
            "00000007_000000000000012c_00000000000000029",
            "00000007_000000000000012c_000000000000002A",
            "00000007_000000000000012c_ffffffffffffffff",
        ] {
            assert!(wrong.parse::<Bookmark>().is_err(), "{wrong}");
        }
    }
}
