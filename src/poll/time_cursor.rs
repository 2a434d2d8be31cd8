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

/// Takes `t`, `z`, a blank between date and time, an offset, up to nine digits of a fraction, and a leap second.
/// Old clients do not encode the `+` of an offset, and a query decodes it to a blank: so a blank there is a `+`.
fn rfc3339(text: &str) -> Option<Micros> {
    let bytes = text.as_bytes();
    let [year, month, day] = [text.get(0..4)?, text.get(5..7)?, text.get(8..10)?];
    let [hour, minute, second] = [text.get(11..13)?, text.get(14..16)?, text.get(17..19)?];
    let separators = [bytes[4], bytes[7], bytes[10], bytes[13], bytes[16]];
    let [b'-', b'-', b'T' | b't' | b' ', b':', b':'] = separators else {
        return None;
    };
    let days = days(digits(year)?, digits(month)?, digits(day)?)?;
    let second = within(second, 61)?;
    let clock = within(hour, 24)? * 3_600 + within(minute, 60)? * 60 + second.min(59);
    let (fraction, rest) = fraction(text.get(19..)?)?;
    let local = (days * 86_400 + clock) * MICROS + if second == 60 { MICROS - 1 } else { fraction };
    let at = local - offset(rest)? * MICROS;
    (0..END_SECONDS * MICROS)
        .contains(&at)
        .then_some(Micros::new(at))
}

fn within(text: &str, end: i64) -> Option<i64> {
    digits(text).filter(|number| *number < end)
}

/// Microseconds, and what stands behind.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let micros: String = rest[..count]
        .chars()
        .chain("000000".chars())
        .take(6)
        .collect();
    Some((digits(&micros)?, &rest[count..]))
}

/// Seconds that the local time is ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.get(0..1)? {
        "+" | " " => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    Some(sign * (within(hours, 24)? * 3_600 + within(minutes, 60)? * 60))
}

/// Days since 1970-01-01 in the Gregorian calendar; `None` for a day that there is not.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month - 1).ok()?;
    let length = *lengths.get(index)?;
    let before = year.checked_sub(1).filter(|before| *before >= 0)?;
    let years = before * 365 + before / 4 - before / 100 + before / 400;
    let months: i64 = lengths[..index].iter().sum();
    // 719,162 days lie before 1970-01-01.
    (1..=length)
        .contains(&day)
        .then_some(years - 719_162 + months + day - 1)
}

#[cfg(test)]
#[path = "time_cursor_tests.rs"]
mod tests;
