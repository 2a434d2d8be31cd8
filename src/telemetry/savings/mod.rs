//! What each module cost before its clients moved, what it costs now, and what could be given back.
//!
//! Invariant: nothing is said that was not counted or configured: where a figure is missing, so is what follows from it, with the reason;
//! what is assumed stands beside the figures.

mod advice;
mod cost;
mod reckoning;
mod view;

pub use cost::{Cost, MONTH_S};
pub use reckoning::{Counted, Reckoning};
pub use view::{
    Before, DatabaseSizes, ModuleSavings, Now, Overall, Savings, Source, Totals, Unused,
};
