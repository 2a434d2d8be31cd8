//! Entity tags: what an answer is told by, and whether a client has it already (RFC 9110, 8.8.3
//! and 13.1.2).
//!
//! Invariant: the tag of a body is the hash of exactly its bytes, so the same tag is the same
//! body.

use http::{HeaderMap, HeaderValue, header::IF_NONE_MATCH};
use sha2::{Digest, Sha256};

use crate::domain::Cursor;

/// A tag, with its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag of a body: its SHA-256.
    pub fn of_body(body: &[u8]) -> Self {
        Self(format!("\"{:x}\"", Sha256::digest(body)))
    }

    /// The tag that is a cursor.
    pub(super) fn of_cursor(cursor: Cursor) -> Self {
        Self(format!("\"{cursor}\""))
    }

    /// Whether `If-None-Match` names it: compared weakly, in a list, without quotes, or by `*`.
    pub fn is_held(&self, headers: &HeaderMap) -> bool {
        let bare = &self.0[1..self.0.len() - 1];
        let mut lines = headers.get_all(IF_NONE_MATCH).iter();
        lines.any(|line| named(line.as_bytes()).any(|tag| tag == b"*" || tag == bare.as_bytes()))
    }

    /// The value of `ETag`.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::try_from(&*self.0).expect("hexadecimal digits in quotes")
    }
}

/// The oldest cursor that an `If-None-Match` names. A tag that is none was given by somebody else,
/// such as the server before this one: it says nothing about what the client has seen.
pub(super) fn oldest_cursor(line: &str) -> Option<Cursor> {
    let cursors = named(line.as_bytes()).filter_map(|tag| std::str::from_utf8(tag).ok());
    cursors.filter_map(|tag| tag.parse().ok()).min()
}

/// The tags of one line, without `W/` and quotes. Commas within quotes are left aside: none of our
/// tags holds one.
fn named(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(|tag| {
        let tag = tag.trim_ascii();
        let tag = tag
            .strip_prefix(b"W/")
            .or(tag.strip_prefix(b"w/"))
            .unwrap_or(tag);
        let inner = tag
            .strip_prefix(b"\"")
            .and_then(|tag| tag.strip_suffix(b"\""));
        let inner = inner.unwrap_or(tag);
        // What Apache's mod_deflate makes of a tag on its way.
        inner.strip_suffix(b"-gzip").unwrap_or(inner)
    })
}

#[cfg(test)]
#[path = "etag_tests.rs"]
mod tests;
