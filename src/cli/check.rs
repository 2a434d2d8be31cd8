//! `changeover check`: every problem of the configuration, before it is put in force.

use super::{Failure, Globals, output::say};

pub(super) fn run(globals: &Globals) -> Result<(), Failure> {
    let config = globals.load_to_serve()?;
    let modules = config.modules.len();
    let noun = if modules == 1 { "module" } else { "modules" };
    say(&format!("the configuration is sound: {modules} {noun}"))?;
    Ok(())
}
