//! `changeover man`: the manual, a page for each command.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Command, CommandFactory, ValueHint};
use clap_mangen::{
    Man as Page,
    roff::{Roff, bold, roman},
};

use super::{
    Cli, Exit, Failure,
    output::{say, say_bytes},
};

/// What the command takes.
#[derive(Debug, Clone, Args)]
pub struct Man {
    /// Writes the page of each command into this folder, e.g. `/usr/local/share/man/man1`. Without it, the page of the
    /// program goes to standard output: `changeover man | man -l -`.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> Result<(), Failure> {
        // The exit codes have a section of their own here.
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let Some(folder) = &self.out else {
            let page = page(&root).context("the page cannot be made")?;
            return Ok(say_bytes(&page)?);
        };
        fs::create_dir_all(folder)
            .and_then(|()| write_all(&root, folder))
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        Ok(say(&format!("{} pages written", count(&root)))?)
    }
}

fn write_all(command: &Command, folder: &Path) -> io::Result<()> {
    let name = Page::new(command.clone()).get_filename();
    fs::write(folder.join(name), page(command)?)?;
    command
        .get_subcommands()
        .try_for_each(|below| write_all(below, folder))
}

fn count(command: &Command) -> usize {
    1 + command.get_subcommands().map(count).sum::<usize>()
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let manual = Page::new(command.clone()).manual("changeover");
    manual.render(&mut page)?;
    exit_status().to_writer(&mut page)?;
    Ok(page)
}

fn exit_status() -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["EXIT STATUS"]);
    let done = [("0".to_owned(), "what was asked for is done, or reached")];
    let others = Exit::ALL.map(|(exit, meaning)| (exit.code().to_string(), meaning));
    for (code, meaning) in done.into_iter().chain(others) {
        section.control("TP", []);
        section.text([bold(code)]);
        section.text([roman(meaning)]);
    }
    section
}
