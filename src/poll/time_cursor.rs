//! Time cursors as text: Unix seconds, Unix milliseconds, RFC 3339.
//!
//! Invariants: what is read lies in the years 1970 to 9999; what is finer than a tick is rounded down, so it may
//! repeat and never loses; what is written reads back as itself.

use crate::{
    config::modules::CursorKind,
    domain::{Micros, Tick},
};

/// The end of the year 9999.
const END_SECONDS: i64 = 253_402_300_800;
const MICROS: i64 = 1_000_000;

/// Reads a cursor of a time kind.
pub(super) fn parse(text: &str, kind: CursorKind) -> Result<Micros, &'static str> {
    match kind {
        CursorKind::TimestampS => digits(text)
            .filter(|seconds| *seconds < END_SECONDS)
            .map(|seconds| Micros::new(seconds * MICROS))
            .ok_or("must be whole Unix seconds, from 0 to 253402300799"),
        CursorKind::TimestampMs => digits(text)
            .filter(|millis| *millis < END_SECONDS * 1_000)
            .map(|millis| Micros::new(millis * 1_000))
            .ok_or("must be whole Unix milliseconds, from 0 to 253402300799999"),
        _ => rfc3339(text).map(|at| Tick::MILLISECOND.begin(at)).ok_or(
            "must be an RFC 3339 time such as 2026-03-01T09:30:00.125Z, in the years 1970 to 9999",
        ),
    }
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`, in UTC.
pub(super) fn rfc3339_text(at: Micros) -> String {
    humantime::format_rfc3339_millis(at.into()).to_string()
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// Takes `t`, `z`, and a blank between date and time too. Old clients do not encode the `+` of an offset, and a query
/// decodes it to a blank: so a blank there is a `+`.
fn rfc3339(text: &str) -> Option<Micros> {
    let (date, clock) = text.split_at_checked(10)?;
    let clock = clock.strip_prefix(['T', 't', ' '])?;
    let clock = clock.replace('z', "Z").replace(' ', "+");
    let at = Micros::parse_rfc3339(&format!("{date}T{clock}"));
    at.filter(|at| at.get() < END_SECONDS * MICROS)
}

#[cfg(test)]
#[path = "time_cursor_tests.rs"]
mod tests;
