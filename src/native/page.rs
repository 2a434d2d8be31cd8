//! A page of changes.

use std::sync::Arc;

use crate::{
    domain::{Change, Cursor},
    log::Found,
    store::StateItem,
};

/// The bounds of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageBounds {
    /// Most changes.
    pub changes: u32,
    /// Most bytes of their texts; a single larger change goes alone.
    pub bytes: usize,
}

impl PageBounds {
    /// An equal part of these bounds for each of `parts`, so that none starves another.
    pub fn share(self, parts: usize) -> Self {
        let parts = parts.max(1);
        let changes = self.changes / u32::try_from(parts).unwrap_or(u32::MAX);
        Self {
            changes: changes.max(1),
            bytes: self.bytes / parts,
        }
    }

    /// How many more may be asked of the database when there are `count` of `bytes` so far. How large they
    /// are is seen from the first few, so that no more is read than is shown.
    pub(super) fn room(self, count: usize, bytes: usize) -> Option<u32> {
        let Some(average) = bytes.checked_div(count) else {
            return Some(self.changes.min(FIRST_FEW));
        };
        let left = self
            .changes
            .saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        let fitting = self.bytes.saturating_sub(bytes) / average.max(1);
        let room = left.min(u32::try_from(fitting).unwrap_or(u32::MAX));
        (room > 0).then_some(room)
    }
}

/// Read from the database at first.
const FIRST_FEW: u32 = 32;

/// Some changes of a module, in the order of their positions.
#[derive(Debug, Clone)]
pub struct Page {
    /// The cursor that they come after.
    pub after: Cursor,
    /// The changes.
    pub changes: Vec<Arc<Change>>,
    /// Where to go on.
    pub cursor: Cursor,
    /// Whether a bound cut it: then there is more.
    pub cut: bool,
    /// Whether the log that it was taken from is as new as its reader may expect.
    pub fresh: bool,
}

impl Page {
    pub(super) const fn empty(cursor: Cursor, fresh: bool) -> Self {
        Self {
            after: cursor,
            changes: Vec::new(),
            cursor,
            cut: false,
            fresh,
        }
    }

    pub(super) fn new(after: Cursor, mut found: Found, bytes: usize) -> Self {
        let fitting = fitting(&found.changes, bytes, |change| change_bytes(change));
        found.cut |= fitting < found.changes.len();
        found.changes.truncate(fitting);
        Self {
            after,
            cursor: found.cursor(),
            cut: found.cut,
            fresh: found.fresh,
            changes: found.changes,
        }
    }

    /// How many more changes may be asked of the database for this page.
    pub(super) fn room(&self, bounds: PageBounds) -> Option<u32> {
        let room = bounds.room(self.changes.len(), self.bytes());
        room.filter(|_| self.cut)
    }

    pub(super) fn bytes(&self) -> usize {
        self.changes.iter().map(|change| change_bytes(change)).sum()
    }

    pub(super) fn append(&mut self, next: Self) {
        self.changes.extend(next.changes);
        self.cursor = next.cursor;
        self.cut = next.cut;
        self.fresh = next.fresh;
    }

    /// Whether there was nothing more in the log, as far as the reader may be told.
    pub const fn is_up_to_date(&self) -> bool {
        !self.cut && self.fresh
    }

    /// Says nothing: no change, and not even that there is none.
    pub const fn is_mute(&self) -> bool {
        self.changes.is_empty() && !self.is_up_to_date()
    }
}

/// How many of `items` fit into `bytes`, at least one of them.
pub(super) fn fitting<T>(items: &[T], bytes: usize, size: impl Fn(&T) -> usize) -> usize {
    let mut room = bytes;
    let fits = |item: &&T| {
        let rest = room.checked_sub(size(item));
        room = rest.unwrap_or(room);
        rest.is_some()
    };
    let count = items.iter().take_while(fits).count();
    count.max(items.len().min(1))
}

/// Bytes of a change besides its texts when it is written as JSON, roughly.
const FRAME_BYTES: usize = 400;

fn change_bytes(change: &Change) -> usize {
    FRAME_BYTES + text_bytes(&change.key, change.audience.as_str(), change.value.as_str())
}

pub(super) fn item_bytes(item: &StateItem) -> usize {
    FRAME_BYTES / 4 + text_bytes(&item.key, item.audience.as_str(), item.value.as_str())
}

const fn text_bytes(key: &str, audience: &str, value: &str) -> usize {
    key.len() + audience.len() + value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_what_fits_and_at_least_one() {
        let size = |n: &usize| *n;
        assert_eq!(fitting(&[3, 3, 3], 7, size), 2);
        assert_eq!(fitting(&[3, 3, 3], 9, size), 3);
        assert_eq!(fitting(&[9, 1], 7, size), 1);
        assert_eq!(fitting(&[3, 9, 1], 7, size), 1, "the order is kept");
        assert_eq!(fitting::<usize>(&[], 7, size), 0);
    }

    #[test]
    fn the_first_few_tell_how_many_more_are_read() {
        let bounds = PageBounds {
            changes: 1_000,
            bytes: 10_000,
        };
        assert_eq!(bounds.room(0, 0), Some(FIRST_FEW));
        assert_eq!(bounds.room(32, 320), Some(968));
        assert_eq!(bounds.room(32, 3_200), Some(68));
        assert_eq!(bounds.room(32, 9_950), None);
        assert_eq!(bounds.room(1_000, 1_000), None);
    }

    #[test]
    fn a_share_is_never_nothing() {
        let bounds = PageBounds {
            changes: 10,
            bytes: 100,
        };
        let share = bounds.share(30);
        assert_eq!((share.changes, share.bytes), (1, 3));
        assert_eq!(bounds.share(0), bounds);
    }
}
