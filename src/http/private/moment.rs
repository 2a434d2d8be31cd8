//! Moments, as the answers write them.

use std::time::SystemTime;

use crate::domain::Micros;

/// RFC 3339, in UTC, with microseconds.
pub(super) fn rfc3339(time: Micros) -> String {
    humantime::format_rfc3339_micros(SystemTime::from(time)).to_string()
}
