//! What the words of changeover must hold whatever a stranger writes: for `fuzz/`, and for the tests that replay its corpus.
//!
//! Invariant: a word that was taken is written back as it came, so nothing has two spellings.

use std::cmp::Ordering;

use super::{Audience, Cursor, Limits, Micros, ModuleName, Network, Position};

/// What stands between two pieces of an input: UTF-8 never has it.
const BETWEEN: u8 = 0xFF;

/// An input, taken apart into what a parser wants.
#[derive(Debug, Clone)]
pub struct Pieces<'i>(Option<&'i [u8]>);

impl<'i> Pieces<'i> {
    /// All of an input.
    pub const fn of(input: &'i [u8]) -> Self {
        Self(Some(input))
    }

    /// Takes one byte as a choice among so many; the first if there is none left.
    pub fn choice(&mut self, among: usize) -> usize {
        let Some((first, rest)) = self.0.and_then(<[u8]>::split_first) else {
            return 0;
        };
        self.0 = Some(rest);
        usize::from(*first) % among
    }

    /// Takes the next piece; `None` behind the last.
    pub fn bytes(&mut self) -> Option<&'i [u8]> {
        let all = self.0?;
        let end = all.iter().position(|byte| *byte == BETWEEN);
        self.0 = end.map(|end| &all[end + 1..]);
        Some(&all[..end.unwrap_or(all.len())])
    }

    /// Takes the next piece, which is empty if it is no text or there is none.
    pub fn text(&mut self) -> &'i str {
        let bytes = self.bytes().unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// Cursor tokens, which are the offsets of streams too.
pub fn cursor(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let [one, other] = [pieces.text(), pieces.text()];
    let read = [one, other].map(|text| {
        let cursor = text.parse::<Cursor>().ok()?;
        assert_eq!(cursor.to_string(), text, "one spelling");
        assert!(Position::from_i64(cursor.position.as_i64()) == cursor.position);
        let json = serde_json::to_string(&cursor).expect("a cursor has a JSON form");
        assert_eq!(serde_json::from_str::<Cursor>(&json).ok(), Some(cursor));
        Some(cursor)
    });
    if let [Some(first), Some(second)] = read {
        assert_eq!(first.cmp(&second), one.cmp(other), "tokens sort as cursors");
    }
}

/// Names of modules, audiences, ranges of addresses, and times.
pub fn words(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let most_bytes = 1 + pieces.choice(256);
    let text = pieces.text();
    if let Ok(module) = text.parse::<ModuleName>() {
        assert_eq!(module.as_str(), text);
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        assert!(text.bytes().all(plain) && (1..=ModuleName::MAX_BYTES).contains(&text.len()));
    }
    if let Ok(audience) = Audience::new(text, most_bytes) {
        assert_eq!(audience.as_str(), text);
        assert!((1..=most_bytes).contains(&text.len()) && !text.contains(char::is_control));
        let read = serde_json::to_string(&audience).map(|text| serde_json::from_str(&text));
        let fits = text.len() <= Limits::default().audience_bytes;
        assert_eq!(read.ok().and_then(Result::ok), fits.then_some(audience));
    }
    if let Ok(network) = text.parse::<Network>() {
        assert_eq!(network.to_string().parse::<Network>(), Ok(network));
        let address = text.split('/').next().and_then(|text| text.parse().ok());
        assert!(network.contains(address.expect("a range begins with an address")));
    }
    if let Some(time) = Micros::parse_rfc3339(text) {
        assert_ne!(time.cmp(&Micros::new(0)), Ordering::Less, "1970 or later");
    }
}
