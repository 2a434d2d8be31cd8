//! What the process tells about itself: log lines and metric names.
//!
//! Invariant: every metric name stands in this room once, as it is promised to operators.

mod tracing_setup;

pub mod metric;

pub use metric::{Purpose, count_query, describe};
pub use tracing_setup::init;
