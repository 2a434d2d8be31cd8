//! From the text of a template to its segments: one pass over its strings, braces and commas.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::{
    Segment, Slot, Spread, TemplateError,
    error::{Place, names},
    members::{end_of_string, is_space},
};

/// The segments of a JSON text.
pub(super) fn segments<S: Slot>(text: &str) -> Result<Vec<Segment<S>>, TemplateError> {
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| TemplateError::Syntax(error.to_string()))?;
    let mut pass = Pass {
        text,
        segments: Vec::new(),
        literal_from: 0,
        open: Vec::new(),
    };
    let mut at = 0;
    while at < text.len() {
        at = pass.step(at)?;
    }
    pass.literal_up_to(text.len());
    Ok(pass.segments)
}

/// An object or array that is open.
#[derive(Default)]
struct Open {
    /// Names of its members so far, as they mean, without `...`.
    named: Vec<Box<str>>,
    comma: Option<usize>,
    /// The segment that spreads into it.
    spread: Option<usize>,
    /// Whether the next comma belongs to the spread, which is the first member.
    comma_is_spread: bool,
}

struct Pass<'a, S> {
    text: &'a str,
    segments: Vec<Segment<S>>,
    literal_from: usize,
    open: Vec<Open>,
}

impl<S: Slot> Pass<'_, S> {
    /// Takes in what stands at `at`, and says where the next thing stands.
    fn step(&mut self, at: usize) -> Result<usize, TemplateError> {
        match self.text.as_bytes()[at] {
            b'"' => return self.string(at),
            b'{' | b'[' => self.open.push(Open::default()),
            b'}' | b']' => self.close(),
            b',' => self.comma(at),
            _ => {}
        }
        Ok(at + 1)
    }

    fn string(&mut self, start: usize) -> Result<usize, TemplateError> {
        let end = end_of_string(self.text.as_bytes(), start);
        let behind = self.next_thing(end);
        if self.text.as_bytes().get(behind) == Some(&b':') {
            return self.key(start..end, behind);
        }
        if let Some(segment) = self.slot(start..end)? {
            self.literal_up_to(start);
            self.segments.push(segment);
            self.literal_from = end;
        }
        Ok(end)
    }

    fn key(&mut self, key: Range<usize>, colon: usize) -> Result<usize, TemplateError> {
        if &self.text[key.clone()] == "\"...\"" {
            return self.spread(key.start, colon);
        }
        let name = serde_json::from_str::<Box<str>>(&self.text[key]);
        if let (Ok(name), Some(open)) = (name, self.open.last_mut()) {
            open.named.push(name);
        }
        Ok(colon)
    }

    fn spread(&mut self, key: usize, colon: usize) -> Result<usize, TemplateError> {
        let start = self.next_thing(colon + 1);
        let refuse = || TemplateError::Spread {
            place: Place::of(self.text, key),
            known: names(S::has_members),
        };
        if self.text.as_bytes()[start] != b'"' {
            return Err(refuse());
        }
        let end = end_of_string(self.text.as_bytes(), start);
        let slot = match self.slot(start..end)? {
            Some(Segment::Slot(slot)) if slot.has_members() => slot,
            _ => return Err(refuse()),
        };
        self.begin_spread(key, slot)?;
        self.literal_from = end;
        Ok(end)
    }

    fn begin_spread(&mut self, key: usize, slot: S) -> Result<(), TemplateError> {
        let comma = match self.open.last() {
            Some(open) if open.spread.is_some() => {
                return Err(TemplateError::SpreadTwice(Place::of(self.text, key)));
            }
            Some(open) => open.comma,
            None => None,
        };
        self.literal_up_to(comma.unwrap_or(key));
        let index = self.segments.len();
        let before = comma.map_or("", |comma| &self.text[comma..key]);
        self.segments.push(Segment::Spread(Spread {
            slot,
            before: before.as_bytes().into(),
            after: Box::default(),
            named: Box::default(),
        }));
        if let Some(open) = self.open.last_mut() {
            open.spread = Some(index);
            open.comma_is_spread = comma.is_none();
        }
        Ok(())
    }

    fn comma(&mut self, at: usize) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        open.comma = Some(at);
        let spread = open.spread.filter(|_| open.comma_is_spread);
        open.comma_is_spread = false;
        if let Some(Segment::Spread(spread)) = spread.and_then(|n| self.segments.get_mut(n)) {
            spread.after = self.text.as_bytes()[self.literal_from..=at].into();
            self.literal_from = at + 1;
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else {
            return;
        };
        if let Some(Segment::Spread(spread)) = open.spread.and_then(|n| self.segments.get_mut(n)) {
            spread.named = open.named.into();
        }
    }

    fn literal_up_to(&mut self, end: usize) {
        let literal = &self.text[self.literal_from..end];
        if !literal.is_empty() {
            let literal = literal.as_bytes().into();
            self.segments.push(Segment::Literal(literal));
        }
    }

    /// What a string in the place of a value stands for; `None` if it is text.
    fn slot(&self, string: Range<usize>) -> Result<Option<Segment<S>>, TemplateError> {
        let content = &self.text[string.start + 1..string.end - 1];
        let Some(written) = content.strip_prefix('$') else {
            return Ok(None);
        };
        let (name, form) = match written.split_once(':') {
            Some((name, form)) => (name, Some(form)),
            None => (written, None),
        };
        if !is_word(name) || !form.is_none_or(is_word) {
            return Ok(None);
        }
        let place = || Place::of(self.text, string.start);
        let known = S::NAMES.iter().find(|(known, _)| *known == name);
        let Some((_, slot)) = known else {
            return Err(TemplateError::Unknown {
                name: name.to_owned(),
                place: place(),
                known: names::<S>(|_| true),
            });
        };
        match form {
            None => Ok(Some(Segment::Slot(*slot))),
            Some("string") if slot.is_number() => Ok(Some(Segment::Quoted(*slot))),
            Some(form) => Err(TemplateError::Form {
                name: name.to_owned(),
                form: form.to_owned(),
                place: place(),
                numbers: names(S::is_number),
            }),
        }
    }

    fn next_thing(&self, from: usize) -> usize {
        let rest = self.text.as_bytes()[from..].iter();
        from + rest.take_while(|byte| is_space(**byte)).count()
    }
}

/// `$5.00` or a lone `$` is text that people write; `$word` is meant as a name.
pub(super) fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
