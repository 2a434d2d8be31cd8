//! Where in a request a value stands, and taking it from there.
//!
//! Invariant: a value is decoded once; what is not UTF-8 is refused, never replaced. Of a repeated
//! query parameter or header the first counts. An empty value counts as absent.

use std::{borrow::Cow, str};

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode;

/// The parts of a request that values come from.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// What stands behind the `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What the path captured, decoded; `None` if it is not UTF-8.
    pub captures: Option<&'a [(&'a str, &'a str)]>,
}

/// The value is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUtf8;

/// Where a value stands.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Query(Box<str>),
    Header(HeaderName),
    Path(Box<str>),
}

impl Source {
    /// The value; `None` if it is absent or empty.
    pub(super) fn find<'a>(&self, parts: &Parts<'a>) -> Result<Option<Cow<'a, str>>, NotUtf8> {
        let value = match self {
            Self::Query(name) => find_in_query(parts.query.unwrap_or_default(), name)?,
            Self::Header(name) => find_in_headers(parts.headers, name)?.map(Cow::Borrowed),
            Self::Path(name) => find_in_path(parts.captures, name)?.map(Cow::Borrowed),
        };
        Ok(value.filter(|value| !value.is_empty()))
    }
}

pub(super) fn find_in_query<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, NotUtf8> {
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Another parameter's broken name is none of our business.
        if key == name || decode(key).is_ok_and(|key| key == name) {
            return decode(value).map(Some);
        }
    }
    Ok(None)
}

/// Decodes a part of a query: `+` is a blank, `%41` is `A`; a `%` that begins nothing stays.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, NotUtf8> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let blanks = text.replace('+', " ");
    let bytes: Vec<u8> = percent_decode(blanks.as_bytes()).collect();
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| NotUtf8)
}

fn find_in_headers<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, NotUtf8> {
    let value = headers
        .get(name)
        .map(|value| str::from_utf8(value.as_bytes()));
    value.transpose().map_err(|_| NotUtf8)
}

fn find_in_path<'a>(
    captures: Option<&'a [(&'a str, &'a str)]>,
    name: &str,
) -> Result<Option<&'a str>, NotUtf8> {
    let captures = captures.ok_or(NotUtf8)?;
    let found = captures.iter().find(|(captured, _)| *captured == name);
    Ok(found.map(|(_, value)| *value))
}
