//! What standard output is: how wide, and whether it shows colours.

use std::{
    env,
    io::{self, IsTerminal},
};

use crossterm::terminal;

use super::Line;

/// What is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Surface {
    /// The columns of a terminal; `None` if it is none, and nothing is cut.
    pub(in crate::cli) width: Option<usize>,
    /// Whether tones are shown.
    pub(in crate::cli) paint: bool,
    /// Whether it can be drawn upon in place.
    pub(in crate::cli) in_place: bool,
}

impl Surface {
    /// Standard output as it is now.
    pub(in crate::cli) fn of_output() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        let in_place = is_terminal && !dumb;
        Self {
            width: is_terminal.then(columns).flatten(),
            // https://no-color.org
            paint: in_place && !is_set("NO_COLOR"),
            in_place,
        }
    }
}

/// The columns of the terminal; a serial line that does not know says 0.
fn columns() -> Option<usize> {
    let (columns, _) = terminal::size().ok()?;
    (columns > 0).then_some(usize::from(columns))
}

/// Lines in at most `width` columns, what goes on below them indented; without a width as they are.
pub(in crate::cli) fn folded(
    lines: impl IntoIterator<Item = Line>,
    width: Option<usize>,
    indent: usize,
) -> Vec<Line> {
    let lines = lines.into_iter();
    match width {
        Some(width) => lines.flat_map(|line| line.wrapped(width, indent)).collect(),
        None => lines.collect(),
    }
}

/// Lines as text, for standard output as it is now.
pub(in crate::cli) fn written(lines: &[Line]) -> String {
    let paint = Surface::of_output().paint;
    let lines = lines.iter().map(|line| line.written(paint));
    lines.collect::<Vec<_>>().join("\n")
}
