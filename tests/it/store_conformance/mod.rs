//! What every database behind the store's traits must do, as one suite.

mod acts;
mod census;
pub mod census_kept;
pub mod changes;
mod crossing_acts;
mod epochs;
pub mod facts;
mod guards;
mod instances;
mod leases;
mod locks;
mod marks;
mod migrations;
pub mod numbering;
mod outage;
mod reading;
mod retention;
mod server_defaults;
mod signing_keys;
mod speed;
mod sqlite_file;
mod states;
mod targets;
mod tick_index;
mod ticks;
mod tokens;
mod usage;
