//! Reading times as people and other systems write them: RFC 3339.

use std::time::{Duration, SystemTime};

use super::Micros;

/// Reads an RFC 3339 time with `Z` or an offset; `None` if it is none.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    if let Ok(time) = humantime::parse_rfc3339(text) {
        return Some(time);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, clock) = offset.split_at_checked(1)?;
    let (hours, minutes) = clock.split_once(':')?;
    let seconds = number(hours, 24)? * 3_600 + number(minutes, 60)? * 60;
    let offset = Duration::from_secs(seconds);
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    match sign {
        "+" => time.checked_sub(offset),
        "-" => time.checked_add(offset),
        _ => None,
    }
}

/// Two digits that make a number below a bound.
fn number(digits: &str, below: u64) -> Option<u64> {
    let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
    let number: Option<u64> = digits.parse().ok().filter(|n| *n < below);
    number.filter(|_| plain)
}

impl Micros {
    /// Reads an RFC 3339 time from 1970 on; digits below a microsecond are cut off.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let time = parse_rfc3339(text)?;
        (time >= SystemTime::UNIX_EPOCH).then(|| time.into())
    }
}
