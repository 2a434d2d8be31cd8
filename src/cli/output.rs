//! Results on standard output: tables for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::Value;

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
    fn format(self) -> Format {
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

/// Writes lines to standard output. A reader that went away, as `head` does, is no failure.
pub(super) fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// Columns, aligned, two spaces apart.
pub(super) fn columns(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&heads).chain(rows).collect();
    let width = |n: usize| lines.iter().map(|line| chars(line, n)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let text = |line: &&Vec<String>| {
        let cells = line.iter().zip(&widths);
        let padded: Vec<String> = cells.map(|(cell, w)| format!("{cell:<w$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(text).collect::<Vec<_>>().join("\n")
}

fn chars(line: &[String], n: usize) -> usize {
    line.get(n).map_or(0, |cell| cell.chars().count())
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
