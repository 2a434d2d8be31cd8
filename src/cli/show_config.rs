//! `changeover config`: what is in force after file, environment and flags.

use super::{Failure, Globals, output::say};

pub(super) fn run(globals: &Globals) -> Result<(), Failure> {
    let config = globals.load()?;
    say(config.to_toml().trim_end())?;
    Ok(())
}
