//! What every database behind the store's traits must do, as one suite.

mod changes;
mod leases;
mod migrations;
