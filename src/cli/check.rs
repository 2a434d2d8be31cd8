//! `changeover check`: every problem of the configuration, before it is put in force, and what may become one.

use super::{Failure, Globals, output::say};
use crate::{
    config::modules::Quirk, cutover::missing_folder, identity::operators::admin_file_trouble,
};

pub(super) fn run(globals: &Globals) -> Result<(), Failure> {
    let config = globals.load_to_check()?;
    let modules = config.modules.len();
    let noun = if modules == 1 { "module" } else { "modules" };
    say(&format!("the configuration is sound: {modules} {noun}"))?;
    for warning in config
        .warnings()
        .iter()
        .chain(&super::links(&config).warnings)
        .chain(&super::certificates(&config).warnings)
    {
        say(&format!("warning: {warning}"))?;
    }
    for asked in config.asked_of_brokers() {
        say(&asked)?;
    }
    if let Some(open) = config.who_is_open() {
        say(&format!("warning: auth.callers: {open}"))?;
    }
    if let Some(why) = config.auth.admin_token_file().and_then(admin_file_trouble) {
        say(&format!(
            "warning: auth.admin_token_file: {why}: nobody is let in by it at the private listener"
        ))?;
    }
    if let Some(why) = config.panic.file.as_deref().and_then(missing_folder) {
        say(&format!("warning: panic.file: {why}"))?;
    }
    for module in &config.modules {
        for quirk in module.poll.iter().flat_map(|poll| &poll.quirks) {
            say(&told(&module.name, *quirk))?;
        }
    }
    Ok(())
}

/// A quirk is there to be removed one day.
fn told(module: &str, quirk: Quirk) -> String {
    let until = quirk.about().removable_when;
    format!(
        "{module} has the quirk {}: remove it when {until}",
        quirk.as_str()
    )
}
