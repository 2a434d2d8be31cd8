//! The members of an object, taken out of its text.
//!
//! Invariant: members are copied byte for byte; only whole members are left out.

use std::{borrow::Cow, ops::Range};

/// Turns the JSON value that ends `out` and begins at `at` into its members, without those that
/// are `named` already, and says whether any are left. A value that is no object has none.
pub(super) fn keep_members(out: &mut Vec<u8>, at: usize, named: &[Box<str>]) -> bool {
    let Some(inner) = inside(&out[at..]) else {
        out.truncate(at);
        return false;
    };
    let inner = at + inner.start..at + inner.end;
    if let Some(kept) = without(&out[inner.clone()], named) {
        out.truncate(at);
        out.extend_from_slice(&kept);
    } else {
        out.truncate(inner.end);
        out.drain(at..inner.start);
    }
    out.len() > at
}

/// What stands between the braces of an object, without the white space at both ends.
fn inside(value: &[u8]) -> Option<Range<usize>> {
    let first = value.iter().position(|b| !is_space(*b))?;
    let last = value.iter().rposition(|b| !is_space(*b))?;
    if value[first] != b'{' {
        return None;
    }
    let inner = &value[first + 1..last];
    let Some(start) = inner.iter().position(|b| !is_space(*b)) else {
        return Some(last..last);
    };
    let end = inner.iter().rposition(|b| !is_space(*b)).unwrap_or(start) + 1;
    Some(first + 1 + start..first + 1 + end)
}

/// The members without those that are named; `None` if none of them is.
fn without(members: &[u8], named: &[Box<str>]) -> Option<Vec<u8>> {
    if named.is_empty() {
        return None;
    }
    let is_free = |member: &&[u8]| {
        let key = key_of(member);
        !key.is_some_and(|key| named.iter().any(|name| **name == *key))
    };
    let all = Members(members);
    if all.clone().all(|member| is_free(&member)) {
        return None;
    }
    let kept: Vec<_> = all.filter(is_free).collect();
    Some(kept.join(&b','))
}

/// The name of a member, unescaped; `None` if it is no text, which a lone surrogate is not.
fn key_of(member: &[u8]) -> Option<Cow<'_, str>> {
    let end = end_of_string(member, 0);
    let bare = std::str::from_utf8(&member[1..end - 1]).ok()?;
    if !bare.contains('\\') {
        return Some(Cow::Borrowed(bare));
    }
    let unescaped: Option<String> = serde_json::from_slice(&member[..end]).ok();
    unescaped.map(Cow::Owned)
}

/// The members of an object in the order of its text, each without the white space around it.
#[derive(Clone)]
struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|b| !is_space(*b))?;
        let rest = &self.0[start..];
        let end = end_of_member(rest);
        self.0 = rest.get(end + 1..).unwrap_or_default();
        Some(rest[..end].trim_ascii_end())
    }
}

/// The index of the comma behind the first member, or the end.
fn end_of_member(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => {
                at = end_of_string(text, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The index behind the closing quote of the string that opens at `start` of a valid JSON text.
pub(super) fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
