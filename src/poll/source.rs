//! Where in a request a value stands, and taking it from there.
//!
//! Invariant: a value is decoded once; what is not UTF-8 is refused, never replaced. Of a repeated
//! parameter, header, cookie or field the first counts. An empty value counts as absent.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr},
    str,
};

use http::{HeaderMap, HeaderName, header::COOKIE};
use memchr::{memchr, memchr2};
use percent_encoding::percent_decode;

use super::{
    captures::captured_names,
    content::{BodyKind, Content, text_of},
};
use crate::{
    config::{json_pointer::JsonPointer, modules::Place},
    identity::Asking,
};

/// The parts of a request that values come from.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// What stands behind the `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The other end of its connection.
    pub peer: Option<IpAddr>,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// What the path captured, decoded; `None` if it is not UTF-8.
    pub captures: Option<&'a [(&'a str, &'a str)]>,
    /// The body, if the contract asks for it.
    pub body: &'a Content,
}

impl<'a> Parts<'a> {
    /// What its caller may be known by.
    pub(super) fn asking(&self) -> Asking<'a> {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Asking {
            headers: self.headers,
            query: self.query,
            peer: self.peer.unwrap_or(nowhere),
            address: self.address.unwrap_or(nowhere),
        }
    }
}

/// Why a value cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    NotUtf8,
    /// JSON of another type, which is named.
    Mistyped(&'static str),
}

impl Unreadable {
    pub(super) fn why(self) -> Cow<'static, str> {
        match self {
            Self::NotUtf8 => "must be UTF-8".into(),
            Self::Mistyped(found) => format!("must be a string or a number, not {found}").into(),
        }
    }
}

/// Where a value stands.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Query(Box<str>),
    Header(HeaderName),
    Path(Box<str>),
    Cookie(Box<str>),
    Form(Box<str>),
    Json(JsonPointer),
}

impl Source {
    /// The error says what is wrong with the name.
    pub(super) fn compile(place: Place, name: &str, path: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err("must say which parameter, header, segment, cookie or field it is".into());
        }
        let token = HeaderName::try_from(name);
        match place {
            Place::Query => Ok(Self::Query(name.into())),
            Place::Header => token
                .map(Self::Header)
                .map_err(|_| format!("`{name}` is no header name")),
            Place::Path if captured_names(path).is_ok_and(|names| !names.contains(&name)) => {
                Err(format!("`{{{name}}}` does not stand in `{path}`"))
            }
            Place::Path => Ok(Self::Path(name.into())),
            Place::Cookie if token.is_err() => Err(format!("`{name}` is no cookie name")),
            Place::Cookie => Ok(Self::Cookie(name.into())),
            Place::Form => Ok(Self::Form(name.into())),
            Place::Json => name.parse().map(Self::Json).map_err(|why| why.to_string()),
        }
    }

    /// What the body has to be for this.
    pub(super) const fn body(&self) -> Option<BodyKind> {
        match self {
            Self::Form(_) => Some(BodyKind::Form),
            Self::Json(_) => Some(BodyKind::Json),
            Self::Query(_) | Self::Header(_) | Self::Path(_) | Self::Cookie(_) => None,
        }
    }

    /// The value; `None` if it is absent or empty.
    pub(super) fn find<'a>(&self, parts: &Parts<'a>) -> Result<Option<Cow<'a, str>>, Unreadable> {
        let value = match self {
            Self::Query(name) => find_in_pairs(parts.query.unwrap_or_default().as_bytes(), name)?,
            Self::Header(name) => find_in_headers(parts.headers, name)?.map(Cow::Borrowed),
            Self::Path(name) => find_in_path(parts.captures, name)?.map(Cow::Borrowed),
            Self::Cookie(name) => find_in_cookies(parts.headers, name)?.map(Cow::Borrowed),
            Self::Form(name) => find_in_form(parts.body, name)?,
            Self::Json(pointer) => find_in_json(parts.body, pointer)?,
        };
        Ok(value.filter(|value| !value.is_empty()))
    }
}

/// As errors call it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(name) => write!(f, "query parameter {name}"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Path(name) => write!(f, "path segment {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Form(name) => write!(f, "form field {name}"),
            Self::Json(pointer) => write!(f, "JSON {pointer}"),
        }
    }
}

/// Finds in `a=1&b=2`, which is a query and a form as well.
pub(super) fn find_in_pairs<'a>(
    pairs: &'a [u8],
    name: &str,
) -> Result<Option<Cow<'a, str>>, Unreadable> {
    let mut rest = Some(pairs);
    while let Some(pairs) = rest {
        let (pair, after) = split_once(pairs, b'&').map_or((pairs, None), |(a, b)| (a, Some(b)));
        rest = after;
        let (key, value) = split_once(pair, b'=').unwrap_or((pair, b""));
        // Another parameter's broken name is none of our business.
        let is_it = || is_encoded(key) && decode(key).is_ok_and(|key| key == name);
        if key == name.as_bytes() || is_it() {
            return decode(value).map(Some);
        }
    }
    Ok(None)
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr(at, bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Decodes a name or value: `+` is a blank, `%41` is `A`; a `%` that begins nothing stays.
pub(super) fn decode(text: &[u8]) -> Result<Cow<'_, str>, Unreadable> {
    if !is_encoded(text) {
        return as_text(text).map(Cow::Borrowed);
    }
    let blank = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
    let blanks: Vec<u8> = text.iter().map(blank).collect();
    let bytes: Vec<u8> = percent_decode(&blanks).collect();
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| Unreadable::NotUtf8)
}

fn is_encoded(text: &[u8]) -> bool {
    memchr2(b'%', b'+', text).is_some()
}

fn as_text(bytes: &[u8]) -> Result<&str, Unreadable> {
    str::from_utf8(bytes).map_err(|_| Unreadable::NotUtf8)
}

fn find_in_headers<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Unreadable> {
    let value = headers.get(name).map(|value| as_text(value.as_bytes()));
    value.transpose()
}

fn find_in_path<'a>(
    captures: Option<&'a [(&'a str, &'a str)]>,
    name: &str,
) -> Result<Option<&'a str>, Unreadable> {
    let captures = captures.ok_or(Unreadable::NotUtf8)?;
    let found = captures.iter().find(|(captured, _)| *captured == name);
    Ok(found.map(|(_, value)| *value))
}

/// RFC 6265, section 4.2: pairs between semicolons, a value perhaps in quotes, nothing decoded.
fn find_in_cookies<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Unreadable> {
    let headers = headers.get_all(COOKIE).iter();
    let mut pairs = headers.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let found = pairs.find_map(|pair| {
        let (key, value) = split_once(pair, b'=')?;
        (key.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    });
    found.map(|value| as_text(unquoted(value))).transpose()
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"");
    inner
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value)
}

fn find_in_form<'a>(body: &'a Content, name: &str) -> Result<Option<Cow<'a, str>>, Unreadable> {
    match body {
        Content::Form(pairs) => find_in_pairs(pairs, name),
        Content::Absent | Content::Json(_) => Ok(None),
    }
}

fn find_in_json<'a>(
    body: &'a Content,
    pointer: &JsonPointer,
) -> Result<Option<Cow<'a, str>>, Unreadable> {
    let Content::Json(document) = body else {
        return Ok(None);
    };
    let value = pointer.find(document).map(text_of).transpose();
    Ok(value.map_err(Unreadable::Mistyped)?.flatten())
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
