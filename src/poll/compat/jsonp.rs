//! The answer as a script, for pages of another origin that know no CORS.
//!
//! Invariant: the callback's name is one or more JavaScript names with dots, so a script holds no
//! code of the client's; the comment before it keeps the first bytes from being chosen by it.

use bytes::Bytes;
use http::HeaderValue;

use super::text::escape;
use crate::poll::source::find_in_pairs;

pub(super) const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/javascript; charset=utf-8");

const PARAMETER: &str = "callback";
const LONGEST_NAME: usize = 64;

/// The name that the query asks for, if it is one.
pub(super) fn callback(query: &str) -> Option<String> {
    let name = find_in_pairs(query.as_bytes(), PARAMETER).ok()??;
    let is_fine = name.len() <= LONGEST_NAME && name.split('.').all(is_identifier);
    is_fine.then(|| name.into_owned())
}

fn is_identifier(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$';
    let mut bytes = name.bytes();
    bytes.next().is_some_and(letter) && bytes.all(|byte| letter(byte) || byte.is_ascii_digit())
}

/// Calls it with the body. Two characters of JSON end a line in old JavaScript.
pub(super) fn script(callback: &str, body: &Bytes) -> Bytes {
    let ends_line = |letter| matches!(letter, '\u{2028}' | '\u{2029}');
    let escaped = escape(body, ends_line);
    let body = escaped.as_ref().unwrap_or(body);
    let parts: [&[u8]; 5] = [b"/**/", callback.as_bytes(), b"(", body, b");"];
    parts.concat().into()
}
