//! The log: numbering changes, and following them in memory.
//!
//! Invariants: positions are dense and given after commit, by one fenced writer per module; the
//! tail holds rows of confirmed commits only, none missing; "up to date" is said only after the
//! database's head was read.

mod admission;
mod admit;
mod bells;
mod channels;
mod epochs;
mod gate;
mod ingest;
mod leadership;
mod presence;
mod reader;
mod refresh;
mod retention;
mod ring;
mod sequencer;
mod state_keeper;
mod tail;
mod tail_reader;
mod tick_reader;
mod ticks;
mod waiting;
mod witnesses;

pub use admission::{Admission, Busy, Class, Permit};
pub use epochs::{EpochAsked, Epochs};
pub use ingest::{Ingest, IngestWriter, Refusal};
pub use leadership::{Leadership, Stay};
pub use presence::{JoinError, Presence};
pub use reader::{Found, Freshness, ReadError, Reader, Reading, Since, Wanted};
pub use refresh::{Refresh, Stale};
pub use retention::{Awaited, Compacted, HeldBack, NotDone, Outlook, Policy, Retention};
pub use sequencer::{Rules, Sequencer, Served, Shared};
pub use state_keeper::StateKeeper;
pub use tail::{Edge, Tail, TailRead};
pub use tail_reader::{Filled, TailReader};
pub use tick_reader::{FromTick, TickReading, TicksFound};
pub use ticks::{TickEdge, TickRead, cut_at_tick};
pub use waiting::{Crowded, Waiter, Waiting, Woken};
pub use witnesses::{Evidence, Witness, Witnesses};
