//! The body of a request, for contracts that take values from it.
//!
//! Invariant: the configuration says what a body is, not its `Content-Type`: old clients send any.
//! An empty body holds no values; one that cannot be read is refused, however hostile.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;

use super::failure::Failure;

/// What a body is, by the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// JSON, RFC 8259.
    Json,
}

/// A body that was read.
#[derive(Debug, Default)]
pub enum Content {
    /// There is none, it is empty, or nobody asks for it.
    #[default]
    Absent,
    /// Pairs of names and values, still encoded.
    Form(Bytes),
    /// A document. Of a repeated member the last counts, as in JavaScript.
    Json(Value),
}

/// What some senders put before their text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Content {
    /// Reads a body. The depth of JSON is bounded by its parser.
    pub fn parse(kind: BodyKind, body: &Bytes) -> Result<Self, Failure> {
        let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        if text.trim_ascii().is_empty() {
            return Ok(Self::Absent);
        }
        match kind {
            BodyKind::Form => Ok(Self::Form(body.slice_ref(text))),
            BodyKind::Json => match serde_json::from_slice(text) {
                Ok(document) => Ok(Self::Json(document)),
                Err(error) => Err(Failure::Malformed {
                    what: "body".into(),
                    why: format!("is not valid JSON: {error}").into(),
                }),
            },
        }
    }
}

/// The text of a JSON value: of a string or a number, which may stand for each other; `None` for
/// `null`. The error names another type.
pub(super) fn text_of(value: &Value) -> Result<Option<Cow<'_, str>>, &'static str> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Cow::Borrowed(text))),
        Value::Number(number) => Ok(Some(Cow::Owned(number.to_string()))),
        Value::Bool(_) => Err("a boolean"),
        Value::Array(_) => Err("a list"),
        Value::Object(_) => Err("an object"),
    }
}
