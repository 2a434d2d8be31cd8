//! A terminal that is drawn upon in place.
//!
//! Invariants: a frame is one write, of the lines that have changed and no others, so nothing flickers; whoever drops the display
//! gets the terminal as it was, whatever ended the program but SIGKILL.

use std::io::{self, IsTerminal, Write};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    execute, queue,
    style::Print,
    terminal::{
        self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
        EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    },
};

use super::{Line, Tone};

/// The size where a terminal does not know its own.
const UNKNOWN: (u16, u16) = (80, 24);

/// A terminal that shows frames.
pub(in crate::cli) struct Display {
    paint: bool,
    raw: bool,
    size: (u16, u16),
    /// What each row shows.
    shown: Vec<String>,
}

impl Display {
    /// Takes the terminal of standard output.
    pub(in crate::cli) fn open(paint: bool) -> io::Result<Self> {
        // Without a keyboard nobody would read Ctrl-C as a key: it stays a signal.
        let raw = io::stdin().is_terminal();
        if raw {
            terminal::enable_raw_mode()?;
        }
        // From here on the terminal is given back, also if this fails.
        let display = Self {
            paint,
            raw,
            size: (0, 0),
            shown: Vec::new(),
        };
        execute!(io::stdout(), EnterAlternateScreen, Hide, DisableLineWrap)?;
        Ok(display)
    }

    /// Columns and rows now.
    pub(in crate::cli) fn size() -> (usize, usize) {
        let (columns, rows) = size();
        (columns.into(), rows.into())
    }

    /// Shows these lines.
    pub(in crate::cli) fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        let size = size();
        let mut frame = Vec::new();
        queue!(frame, BeginSynchronizedUpdate)?;
        if size != self.size {
            queue!(frame, Clear(ClearType::All))?;
            self.shown.clear();
            self.size = size;
        }
        let rows: Vec<String> = fitting(lines, size)
            .iter()
            .map(|line| line.written(self.paint))
            .collect();
        for at in 0..rows.len().max(self.shown.len()) {
            let row = rows.get(at).map_or("", String::as_str);
            if self.shown.get(at).map_or("", String::as_str) != row {
                let y = u16::try_from(at).unwrap_or(u16::MAX);
                let clear = Clear(ClearType::CurrentLine);
                queue!(frame, MoveTo(0, y), clear, Print(row))?;
            }
        }
        queue!(frame, EndSynchronizedUpdate)?;
        self.shown = rows;
        let mut out = io::stdout().lock();
        out.write_all(&frame)?;
        out.flush()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be given back.
        let _gone = execute!(io::stdout(), EnableLineWrap, Show, LeaveAlternateScreen);
        if self.raw {
            let _gone = terminal::disable_raw_mode();
        }
    }
}

fn size() -> (u16, u16) {
    let known = terminal::size().ok();
    known
        .filter(|size| size.0 > 0 && size.1 > 0)
        .unwrap_or(UNKNOWN)
}

/// The lines that there is room for, and how many there is none for.
fn fitting(lines: &[Line], (columns, rows): (u16, u16)) -> Vec<Line> {
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    let kept = if lines.len() > rows {
        rows.saturating_sub(1)
    } else {
        lines.len()
    };
    let mut shown: Vec<_> = lines[..kept]
        .iter()
        .map(|line| line.clone().cut(columns))
        .collect();
    if kept < lines.len() {
        let more = format!(
            "{} more lines: make the terminal higher",
            lines.len() - kept
        );
        shown.push(Line::of(Tone::Faint, more).cut(columns));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines: Vec<_> = (0..5).map(|n| Line::plain(format!("line {n}"))).collect();
        let shown = |rows| {
            let lines = fitting(&lines, (9, rows));
            let written = lines.iter().map(|line| line.written(false));
            written.collect::<Vec<_>>()
        };
        assert_eq!(shown(5).len(), 5);
        assert_eq!(shown(3), ["line 0", "line 1", "3 more l…"]);
        assert_eq!(shown(1), ["5 more l…"]);
    }
}
