//! The guard: when the mirror of a module fails its clients, they are told to poll until it has been healthy for a while.
//!
//! One guard watches one module on one target. Invariants: it starts untripped and trips on evidence only; all its times are
//! a monotonic clock's, so that no jump of the system's clock trips it or sends anybody back; and of all clients no more
//! than a configured share changes transport in any second, whatever the evidence does.

mod evidence;
mod moves;
mod spot;
#[cfg(test)]
mod tests;

pub use evidence::{Bounds, Cause, Evidence};
pub use moves::{Guard, Pace, State};
pub use spot::Spot;
