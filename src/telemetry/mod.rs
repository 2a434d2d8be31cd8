//! What the process tells about itself: log lines, metric names, and what it saves.
//!
//! Invariant: every metric name stands in this room once, as it is promised to operators.

mod exporter;
mod readiness;
mod tracing_setup;

pub mod metric;
pub mod savings;
pub mod usage;

pub use exporter::install_metrics;
pub use metric::{Purpose, count_query};
pub use readiness::{Need, Phase, Readiness};
pub use tracing_setup::init;
