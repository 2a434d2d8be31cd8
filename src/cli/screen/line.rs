//! A line of text whose parts have a tone.

use unicode_width::UnicodeWidthChar;

/// How a part of a line is meant. A terminal shows it as a colour, and everything else not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::cli) enum Tone {
    #[default]
    Plain,
    Strong,
    Faint,
    Good,
    Warn,
    Bad,
}

impl Tone {
    /// The code (SGR, ECMA-48) that begins it; `None` if it needs none.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("\x1b[1m"),
            Self::Faint => Some("\x1b[2m"),
            Self::Good => Some("\x1b[32m"),
            Self::Warn => Some("\x1b[33m"),
            Self::Bad => Some("\x1b[31m"),
        }
    }
}

/// What ends every tone.
const RESET: &str = "\x1b[0m";

/// What stands where something was cut off.
const CUT: &str = "…";

/// A line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Line(Vec<(Tone, String)>);

impl Line {
    /// A line without a tone.
    pub(in crate::cli) fn plain(text: impl AsRef<str>) -> Self {
        Self::of(Tone::Plain, text)
    }

    /// A line in one tone.
    pub(in crate::cli) fn of(tone: Tone, text: impl AsRef<str>) -> Self {
        Self::default().with(tone, text)
    }

    /// The line, and this after it. What is no text becomes a space.
    pub(in crate::cli) fn with(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        self.0.push((tone, harmless(text.as_ref())));
        self
    }

    /// The line, and another after it.
    pub(in crate::cli) fn followed_by(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The line, filled up with spaces.
    pub(in crate::cli) fn padded(mut self, width: usize) -> Self {
        let missing = width.saturating_sub(self.width());
        if missing > 0 {
            self.0.push((Tone::Plain, " ".repeat(missing)));
        }
        self
    }

    /// How many columns it takes.
    pub(in crate::cli) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width_of(text)).sum()
    }

    /// The line in at most this many columns.
    pub(in crate::cli) fn cut(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut room = width;
        let mut kept = Vec::new();
        for (tone, text) in self.0 {
            let wide = width_of(&text);
            if wide < room {
                room -= wide;
                kept.push((tone, text));
            } else {
                // Something follows, or it is too wide itself: the mark needs a column.
                kept.push((tone, shortened(&text, room)));
                break;
            }
        }
        Self(kept)
    }

    /// The line in several of at most this many columns, broken between words where it can be, the later ones indented.
    pub(in crate::cli) fn wrapped(self, width: usize, indent: usize) -> Vec<Self> {
        let whole = self.0.into_iter().flat_map(|(tone, text)| {
            let characters: Vec<_> = text.chars().map(|character| (tone, character)).collect();
            characters
        });
        let mut rest: Vec<(Tone, char)> = whole.collect();
        let mut lines: Vec<Self> = Vec::new();
        loop {
            let margin = if lines.is_empty() { 0 } else { indent };
            let room = width.saturating_sub(margin).max(1);
            let end = break_at(&rest, room);
            let later = rest.split_off(end);
            lines.push(
                Self::default()
                    .with(Tone::Plain, " ".repeat(margin))
                    .with_all(&rest),
            );
            let blanks = later.iter().take_while(|(_, character)| *character == ' ');
            rest = later[blanks.count()..].to_vec();
            if rest.is_empty() {
                return lines;
            }
        }
    }

    fn with_all(mut self, characters: &[(Tone, char)]) -> Self {
        for part in characters.chunk_by(|a, b| a.0 == b.0) {
            let text: String = part.iter().map(|(_, character)| character).collect();
            self = self.with(part[0].0, text);
        }
        self
    }

    /// What is to be written, without trailing spaces.
    pub(in crate::cli) fn written(&self, paint: bool) -> String {
        let mut text = String::new();
        for (tone, part) in &self.0 {
            match tone.code().filter(|_| paint && !part.trim().is_empty()) {
                Some(code) => text.extend([code, part, RESET]),
                None => text.push_str(part),
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        text
    }
}

/// How many of the characters go on a line: up to the last space that has room, or as many as there is room for.
fn break_at(characters: &[(Tone, char)], room: usize) -> usize {
    let mut used = 0;
    let mut space = None;
    for (at, (_, character)) in characters.iter().enumerate() {
        used += columns_of(*character);
        if used > room {
            // At least one, or it would never end.
            return space.unwrap_or(at.max(1));
        }
        if *character == ' ' && at > 0 {
            space = Some(at);
        }
    }
    characters.len()
}

/// The columns that a text takes on a terminal.
pub(in crate::cli) fn width_of(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// What fits beside the mark, and the mark.
fn shortened(text: &str, width: usize) -> String {
    let Some(mut room) = width.checked_sub(width_of(CUT)) else {
        return String::new();
    };
    let fits = |character: &char| match room.checked_sub(columns_of(*character)) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    let kept: String = text.chars().take_while(fits).collect();
    kept + CUT
}

/// Without what moves the cursor, colours the screen, or turns the direction of what follows.
fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = |c: char| if c.is_control() || turns(c) { ' ' } else { c };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_are_cut_at_a_column() {
        let cut = |text, width| Line::plain(text).cut(width).written(false);
        assert_eq!(cut("価格一覧", 8), "価格一覧");
        assert_eq!(cut("価格一覧", 7), "価格一…");
        assert_eq!(cut("価格一覧", 6), "価格…", "half a character is none");
        assert_eq!(cut("abc", 1), "…");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(width_of("e\u{301}"), 1, "an accent takes no column");
    }

    #[test]
    fn a_line_is_cut_where_its_parts_meet_too() {
        let line = || Line::plain("abc").with(Tone::Bad, "def");
        assert_eq!(line().cut(6).written(false), "abcdef");
        assert_eq!(line().cut(5).written(false), "abcd…");
        assert_eq!(line().cut(4).written(false), "abc…");
        assert_eq!(line().cut(3).written(false), "ab…");
        assert!((0..9).all(|width| line().cut(width).width() <= width));
    }

    #[test]
    fn a_long_line_is_broken_between_words() {
        let line = Line::plain("asked for  ").with(Tone::Strong, "ramp by ada: edge first");
        let broken = |width| -> Vec<_> {
            let lines = line.clone().wrapped(width, 11).into_iter();
            lines.map(|line| line.written(false)).collect()
        };
        assert_eq!(broken(40), ["asked for  ramp by ada: edge first"]);
        assert_eq!(
            broken(24),
            ["asked for  ramp by ada:", "           edge first"]
        );
        assert!(broken(3).len() > 10, "it comes to an end");
        let long = Line::plain("価格一覧表").wrapped(4, 0);
        assert_eq!(long.len(), 3, "a word without spaces is broken anywhere");
    }

    #[test]
    fn only_a_terminal_gets_colours_and_never_those_of_strangers() {
        let line = Line::of(Tone::Bad, "re\u{1b}[2Jd\u{202e}x");
        assert_eq!(line.written(false), "re [2Jd x");
        assert_eq!(line.written(true), "\x1b[31mre [2Jd x\x1b[0m");
    }
}
