//! JSON templates, compiled at start into segments of bytes.
//!
//! Invariants: the text of a template is kept byte for byte; what fills its slots is copied, never
//! parsed; a template that compiled renders valid JSON for all values.

use std::ops::Range;

use serde::de::IgnoredAny;

/// The names that one kind of template knows.
pub trait Slot: Copy + PartialEq + 'static {
    /// Every name, without its `$`, and what it stands for.
    const NAMES: &'static [(&'static str, Self)];
}

/// Why a template does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no JSON.
    #[error("is not valid JSON: {0}")]
    Syntax(String),
    /// A `$name` that this kind of template does not know.
    #[error(
        "`${name}` (line {line}, column {column}) is not known here; known are {known}. To write it as text, begin it with \\u0024"
    )]
    Unknown {
        /// The name.
        name: String,
        /// Its line, from 1.
        line: usize,
        /// Its column in bytes, from 1.
        column: usize,
        /// The names that are known.
        known: String,
    },
    /// Spreading of members, which is planned.
    #[error("\"...\" (line {line}, column {column}) is not available yet: name each member")]
    Spread {
        /// Its line, from 1.
        line: usize,
        /// Its column in bytes, from 1.
        column: usize,
    },
}

#[derive(Debug, Clone)]
enum Segment<S> {
    Literal(Box<[u8]>),
    Slot(S),
}

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template<S> {
    segments: Box<[Segment<S>]>,
    literal_bytes: usize,
}

impl<S: Slot> Template<S> {
    /// Compiles a JSON text. A string in the place of a value that is exactly `"$name"` becomes a
    /// slot; keys, and strings that hold more than that, stay text.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| TemplateError::Syntax(error.to_string()))?;
        let mut segments = Vec::new();
        let mut literal_from = 0;
        for string in Strings::of(text) {
            if let Some(slot) = slot_of(text, &string)? {
                push_literal(&mut segments, &text[literal_from..string.span.start]);
                segments.push(Segment::Slot(slot));
                literal_from = string.span.end;
            }
        }
        push_literal(&mut segments, &text[literal_from..]);
        Ok(Self::from_segments(segments))
    }

    fn from_segments(segments: Vec<Segment<S>>) -> Self {
        let literal = |segment: &Segment<S>| match segment {
            Segment::Literal(bytes) => bytes.len(),
            Segment::Slot(_) => 0,
        };
        Self {
            literal_bytes: segments.iter().map(literal).sum(),
            segments: segments.into(),
        }
    }

    /// Appends the template to `out`; `fill` appends what a slot stands for.
    pub fn render(&self, out: &mut Vec<u8>, mut fill: impl FnMut(&mut Vec<u8>, S)) {
        for segment in &self.segments {
            match segment {
                Segment::Literal(bytes) => out.extend_from_slice(bytes),
                Segment::Slot(slot) => fill(out, *slot),
            }
        }
    }

    /// Bytes of the fixed text.
    pub const fn literal_bytes(&self) -> usize {
        self.literal_bytes
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        let slots = self
            .segments
            .iter()
            .filter(|s| matches!(s, Segment::Slot(_)));
        slots.count()
    }

    /// Whether a slot occurs.
    pub fn uses(&self, wanted: S) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| matches!(segment, Segment::Slot(slot) if *slot == wanted))
    }
}

fn push_literal<S>(segments: &mut Vec<Segment<S>>, text: &str) {
    if !text.is_empty() {
        segments.push(Segment::Literal(text.as_bytes().into()));
    }
}

fn slot_of<S: Slot>(text: &str, string: &JsonString) -> Result<Option<S>, TemplateError> {
    let content = &text[string.span.start + 1..string.span.end - 1];
    if string.is_key {
        if content == "..." {
            let (line, column) = place(text, string.span.start);
            return Err(TemplateError::Spread { line, column });
        }
        return Ok(None);
    }
    let Some(name) = content.strip_prefix('$').filter(|name| is_word(name)) else {
        return Ok(None);
    };
    let known = S::NAMES.iter().find(|(known, _)| *known == name);
    known.map_or_else(
        || Err(unknown::<S>(text, string, name)),
        |(_, slot)| Ok(Some(*slot)),
    )
}

/// `$5.00` or a lone `$` is text that people write; `$word` is meant as a name.
fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn unknown<S: Slot>(text: &str, string: &JsonString, name: &str) -> TemplateError {
    let (line, column) = place(text, string.span.start);
    let known: Vec<_> = S::NAMES
        .iter()
        .map(|(name, _)| format!("${name}"))
        .collect();
    TemplateError::Unknown {
        name: name.to_owned(),
        line,
        column,
        known: known.join(" "),
    }
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, at - line_start + 1)
}

/// A string of a valid JSON text.
struct JsonString {
    /// With its quotes.
    span: Range<usize>,
    is_key: bool,
}

/// The strings of a valid JSON text, in order.
struct Strings<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Strings<'a> {
    const fn of(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            at: 0,
        }
    }
}

impl Iterator for Strings<'_> {
    type Item = JsonString;

    fn next(&mut self) -> Option<JsonString> {
        let rest = &self.bytes[self.at..];
        let start = self.at + rest.iter().position(|&b| b == b'"')?;
        let end = end_of_string(self.bytes, start);
        self.at = end;
        let mut after = self.bytes[end..]
            .iter()
            .filter(|b| !b.is_ascii_whitespace());
        Some(JsonString {
            span: start..end,
            is_key: after.next() == Some(&b':'),
        })
    }
}

/// The index behind the closing quote of the string that opens at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
