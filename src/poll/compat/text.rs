//! Bodies for clients that do not read UTF-8 as such.
//!
//! Invariant: the JSON means the same before and after.

use std::fmt::Write;

use bytes::Bytes;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// Beyond ASCII a JSON text has only the characters of its strings, which may be escaped; `None`
/// if there are none.
pub(super) fn in_ascii(body: &[u8]) -> Option<Bytes> {
    escape(body, |letter| !letter.is_ascii())
}

/// Escapes what `is_escaped` picks out of a JSON text; `None` if that is nothing.
pub(super) fn escape(body: &[u8], is_escaped: impl Fn(char) -> bool) -> Option<Bytes> {
    if body.is_ascii() {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    if !text.contains(&is_escaped) {
        return None;
    }
    let mut out = String::with_capacity(text.len() + text.len() / 2);
    for letter in text.chars() {
        if is_escaped(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(letter);
        }
    }
    Some(out.into())
}

pub(super) fn with_mark(body: &[u8]) -> Bytes {
    [MARK, body].concat().into()
}
