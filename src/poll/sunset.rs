//! What the headers say about the end of an endpoint: RFC 9745 (`Deprecation`), RFC 8594 (`Sunset`).
//!
//! Invariant: `Sunset` is never earlier than `Deprecation`. The two have different formats: a
//! structured-field date and an HTTP date.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header::LINK};

use crate::{config::modules, domain::Micros};

pub(super) const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
pub(super) const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The end of an endpoint, as configured.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub(super) at: Option<Micros>,
    /// For deprecation and for sunset.
    links: Option<[HeaderValue; 2]>,
    pub(super) next_poll_ms: Option<u64>,
}

impl Notice {
    /// Reports problems by the key below `sunset`.
    pub(super) fn compile(
        config: &modules::Sunset,
        problems: &mut Vec<(&'static str, String)>,
    ) -> Self {
        let mut report = |key, why: String| problems.push((key, why));
        Self {
            at: config.at.as_deref().and_then(|text| {
                parse_time(text)
                    .map_err(|why| report("sunset.at", why))
                    .ok()
            }),
            links: config.link.as_deref().and_then(|text| {
                parse_link(text)
                    .map_err(|why| report("sunset.link", why))
                    .ok()
            }),
            next_poll_ms: config.next_poll_ms,
        }
    }

    /// The headers at `sunset`, which the module reached at `since`. Its polls end at `at`, if that is known.
    pub(super) fn announce(&self, since: Micros, at: Option<Micros>, headers: &mut HeaderMap) {
        let deprecation = format!("@{}", since.as_secs());
        if let Ok(value) = HeaderValue::try_from(deprecation) {
            headers.insert(DEPRECATION, value);
        }
        if let Some(at) = at {
            let date = httpdate::fmt_http_date(printable(at.max(since)));
            if let Ok(value) = HeaderValue::try_from(date) {
                headers.insert(SUNSET, value);
            }
        }
        self.link(headers);
    }

    /// Where to read about it.
    pub(super) fn link(&self, headers: &mut HeaderMap) {
        for link in self.links.iter().flatten() {
            headers.append(LINK, link.clone());
        }
    }
}

/// HTTP dates end with the year 9999, and their formatter panics beyond.
fn printable(time: Micros) -> SystemTime {
    const LAST_SECOND: u64 = 253_402_300_799;
    SystemTime::from(time).min(SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_SECOND))
}

fn parse_time(text: &str) -> Result<Micros, String> {
    let time = humantime::parse_rfc3339(text);
    time.map(Micros::from).map_err(|error| {
        format!("`{text}` must be a time in UTC such as \"2027-01-31T00:00:00Z\": {error}")
    })
}

fn parse_link(text: &str) -> Result<[HeaderValue; 2], String> {
    let target = url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| format!("`{text}` must be an http or https URL"))?;
    let header = |rest: &str| {
        HeaderValue::try_from(format!("<{target}>; {rest}"))
            .map_err(|_| format!("`{text}` cannot stand in a header"))
    };
    Ok([
        header(r#"rel="deprecation"; type="text/html""#)?,
        header(r#"rel="sunset""#)?,
    ])
}
