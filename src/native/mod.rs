//! Native reads, free of any protocol: pages of changes above a cursor, waits for news, streams
//! that follow the log, and snapshots of the state.
//!
//! Invariants: "up to date" is said only after the database's head was read for this very request,
//! or to one who waits and comes again; too old is said, never papered over; no page holds more
//! than its bounds; nothing here depends on a module's stage.

mod channels;
mod follow;
mod page;
mod reads;
mod several;
mod snapshot;
mod unread;

pub use channels::Channels;
pub use follow::{Followed, Following, Tempo};
pub use page::{Page, PageBounds};
pub use reads::{Reads, Served, Start};
pub use several::{Asked, Several};
pub use snapshot::{Bookmark, SnapshotPage};
pub use unread::Unread;
