//! What every database behind the store's traits must do, as one suite.

mod acts;
pub mod changes;
mod leases;
mod migrations;
mod numbering;
mod outage;
mod reading;
mod speed;
mod ticks;
