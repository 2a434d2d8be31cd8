//! Results on standard output: tables for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::screen::{self, Column, Line, Surface, Table};

/// How results look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns.
    Table,
    /// The answer of the admin API.
    Json,
}

/// Chooses how results look.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Default: a table on a terminal, JSON otherwise.
    #[arg(long, value_enum)]
    pub output: Option<Format>,
}

impl Output {
    /// What it is for this run.
    pub(super) fn format(self) -> Format {
        self.output.unwrap_or_else(|| {
            if io::stdout().is_terminal() {
                Format::Table
            } else {
                Format::Json
            }
        })
    }

    /// Prints an answer: as it came, or as the table that `table` makes of it.
    pub(super) fn print(
        self,
        answer: &str,
        table: impl FnOnce(&Value) -> String,
    ) -> anyhow::Result<()> {
        match self.format() {
            Format::Json => say(answer.trim_end()),
            Format::Table => {
                let value = serde_json::from_str(answer).context("the answer is not JSON")?;
                say(&table(&value))
            }
        }
    }
}

impl Output {
    /// Prints an answer: as it came, or as the lines that `lines` makes of it for the width of the terminal.
    pub(super) fn print_lines(
        self,
        answer: &str,
        lines: impl FnOnce(&str, Option<usize>) -> anyhow::Result<Vec<Line>>,
    ) -> anyhow::Result<()> {
        match self.format() {
            Format::Json => say(answer.trim_end()),
            Format::Table => {
                let lines = lines(answer, Surface::of_output().width)?;
                say(&screen::written(&lines))
            }
        }
    }
}

/// Writes lines to standard output. A reader that went away, as `head` does, is no failure.
pub(super) fn say(text: &str) -> anyhow::Result<()> {
    unless_gone(write_line(text))
}

/// The same, of what is not to be changed by a byte.
pub(super) fn say_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    unless_gone(out.write_all(bytes).and_then(|()| out.flush()))
}

fn unless_gone(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// Writes a line to standard output at once.
pub(super) fn write_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Columns, aligned, two spaces apart. On a terminal that is too narrow for them the widest are cut.
pub(super) fn columns(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<_> = heads.iter().map(|head| Column::needed(head)).collect();
    let cells = |row: &Vec<String>| row.iter().map(Line::plain).collect();
    let table = Table::new(&heads, rows.iter().map(cells).collect());
    screen::written(&table.lines(Surface::of_output().width))
}

/// A member of an answer as one line of text for a cell: what a stranger wrote there cannot move
/// the cursor or colour the screen.
pub(super) fn cell(value: &Value, member: &str) -> String {
    match value.get(member) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(value) => line(value),
    }
}

/// A value as one line of text, in the same way.
pub(super) fn line(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}

/// `2030-01-01 00:00:00Z` of an RFC 3339 time: without fractions of a second.
pub(super) fn time(rfc3339: &str) -> String {
    match (rfc3339.get(..19), rfc3339.get(19..)) {
        (Some(second), Some(rest)) if rest.starts_with(['.', 'Z']) && rest.ends_with('Z') => {
            format!("{}Z", second.replacen('T', " ", 1))
        }
        _ => rfc3339.to_owned(),
    }
}

/// A member of an answer that is a time, likewise.
pub(super) fn time_cell(value: &Value, member: &str) -> String {
    time(&cell(value, member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lose_their_fractions_and_nothing_else() {
        assert_eq!(time("2030-01-01T00:00:00.123456Z"), "2030-01-01 00:00:00Z");
        assert_eq!(time("2030-01-01T00:00:00Z"), "2030-01-01 00:00:00Z");
        assert_eq!(
            time("2030-01-01T00:00:00+02:00"),
            "2030-01-01T00:00:00+02:00"
        );
        assert_eq!(time("soon"), "soon");
    }
}
