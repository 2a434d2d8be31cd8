//! JSON templates, compiled at start into segments of bytes.
//!
//! Invariants: the text of a template is kept byte for byte; what fills its slots is copied, never
//! parsed; a template that compiled renders valid JSON for all values.

mod compile;
mod error;
mod members;

pub use error::TemplateError;

/// The names that one kind of template knows.
pub trait Slot: Copy + PartialEq + 'static {
    /// Every name, without its `$`, and what it stands for.
    const NAMES: &'static [(&'static str, Self)];

    /// Whether it stands for a number, at least sometimes: `"$name:string"` puts it in quotes.
    fn is_number(self) -> bool {
        false
    }

    /// Whether it may be an object whose members `"...": "$name"` merges into the one around.
    fn has_members(self) -> bool {
        false
    }
}

#[derive(Debug, Clone)]
enum Segment<S> {
    Literal(Box<[u8]>),
    Slot(S),
    /// The number in quotes; what is no number stays as it is.
    Quoted(S),
    Spread(Spread<S>),
}

/// The members of a value, in the place of one member.
#[derive(Debug, Clone)]
struct Spread<S> {
    slot: S,
    /// The comma that separates them, if there are any: on the side where a member stands.
    before: Box<[u8]>,
    after: Box<[u8]>,
    /// Names that the template gives itself: they win.
    named: Box<[Box<str>]>,
}

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template<S> {
    segments: Box<[Segment<S>]>,
    literal_bytes: usize,
}

impl<S: Slot> Template<S> {
    /// Compiles a JSON text. A string in the place of a value that is exactly `"$name"` or
    /// `"$name:string"` becomes a slot, and a member `"...": "$name"` the members of that value;
    /// other keys, and strings that hold more than that, stay text.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        compile::segments(text).map(Self::from_segments)
    }

    fn from_segments(segments: Vec<Segment<S>>) -> Self {
        let literal = |segment: &Segment<S>| match segment {
            Segment::Literal(bytes) => bytes.len(),
            Segment::Spread(spread) => spread.before.len() + spread.after.len(),
            Segment::Slot(_) | Segment::Quoted(_) => 0,
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
                Segment::Quoted(slot) => {
                    let at = out.len();
                    fill(out, *slot);
                    quote_number(out, at);
                }
                Segment::Spread(spread) => spread.render(out, &mut fill),
            }
        }
    }

    /// Bytes of the fixed text.
    pub const fn literal_bytes(&self) -> usize {
        self.literal_bytes
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.segments.iter().filter_map(Segment::slot).count()
    }

    /// Whether a slot occurs.
    pub fn uses(&self, wanted: S) -> bool {
        let mut slots = self.segments.iter().filter_map(Segment::slot);
        slots.any(|slot| slot == wanted)
    }
}

impl<S: Slot> Segment<S> {
    const fn slot(&self) -> Option<S> {
        match self {
            Self::Literal(_) => None,
            Self::Slot(slot) | Self::Quoted(slot) => Some(*slot),
            Self::Spread(spread) => Some(spread.slot),
        }
    }
}

impl<S: Slot> Spread<S> {
    fn render(&self, out: &mut Vec<u8>, fill: &mut impl FnMut(&mut Vec<u8>, S)) {
        let begin = out.len();
        out.extend_from_slice(&self.before);
        let at = out.len();
        fill(out, self.slot);
        if members::keep_members(out, at, &self.named) {
            out.extend_from_slice(&self.after);
        } else {
            out.truncate(begin);
        }
    }
}

/// Puts what was written from `at` in quotes, if it is a number: `null` and strings stay.
fn quote_number(out: &mut Vec<u8>, at: usize) {
    let is_number = |first: &u8| first.is_ascii_digit() || *first == b'-';
    if out.get(at).is_some_and(is_number) {
        out.insert(at, b'"');
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests;
