//! The checks of `[[endpoints]]`.

use std::collections::BTreeMap;

use super::{
    Config, Problems,
    endpoints::{Batch, Endpoint},
    json_pointer::JsonPointer,
    modules::{CursorKind, Module, Place},
    modules_check::{AudienceRules, CursorStands, Fields, validate_poll},
};

/// The longest name by which clients know a module, in bytes.
const NAME_BYTES: usize = 256;

/// The most modules that one request may be allowed to name.
const BATCH_MAX: u64 = 1_000;

pub(super) fn validate(endpoint: &Endpoint, path: &str, config: &Config, problems: &mut Problems) {
    modules(endpoint, path, config, problems);
    names(endpoint, path, problems);
    let poll = format!("{path}.poll");
    let cursor = match &endpoint.batch {
        Some(_) => CursorStands::Elsewhere,
        None => CursorStands::Here,
    };
    let served = |module: &&Module| endpoint.modules.contains(&module.name);
    let served: Vec<_> = config.modules.iter().filter(served).collect();
    let rules = AudienceRules::of(config, &served);
    let captures = validate_poll(&endpoint.poll, &poll, cursor, &rules, problems);
    match (&endpoint.module, &endpoint.batch) {
        (Some(module), None) => {
            let mut fields = Fields { captures, problems };
            fields.check(module.place, &module.name, &format!("{path}.module"));
        }
        (None, None) if endpoint.modules.len() > 1 => {
            let why = "is missing: with several modules, say where a request names the one it asks for, or give `batch`";
            problems.push(format!("{path}.module"), why);
        }
        (None, None) => {}
        (None, Some(batch)) => many(endpoint, batch, path, problems),
        (Some(_), Some(_)) => {
            let why =
                "must not stand beside `batch`, where the modules are named with their cursors";
            problems.push(format!("{path}.module"), why);
        }
    }
}

fn modules(endpoint: &Endpoint, path: &str, config: &Config, problems: &mut Problems) {
    if endpoint.modules.is_empty() {
        problems.push(format!("{path}.modules"), "name the modules that it serves");
    }
    for (n, name) in endpoint.modules.iter().enumerate() {
        let at = format!("{path}.modules[{n}]");
        if endpoint.modules[..n].contains(name) {
            problems.push(at, format!("`{}` is named twice", name.escape_debug()));
            continue;
        }
        match config.modules.iter().find(|module| module.name == *name) {
            Some(module) => state(endpoint, module, path, problems),
            None => problems.push(at, format!("there is no module `{}`", name.escape_debug())),
        }
    }
}

fn state(endpoint: &Endpoint, module: &Module, path: &str, problems: &mut Problems) {
    if endpoint.poll.cursor.kind == CursorKind::None && !module.state {
        let name = &module.name;
        problems.push(
            format!("{path}.poll.cursor.kind"),
            format!(
                "`none` answers with the whole state, but the module `{name}` has state = false"
            ),
        );
    }
}

/// A name that clients use must mean one module.
fn names(endpoint: &Endpoint, path: &str, problems: &mut Problems) {
    for (module, names) in &endpoint.names {
        let at = format!("{path}.names.{module}");
        if !endpoint.modules.contains(module) {
            problems.push(
                &at,
                format!("`{}` is not in {path}.modules", module.escape_debug()),
            );
        }
        if names.is_empty() {
            problems.push(
                &at,
                "name it, or leave the key out: then its own name counts",
            );
        }
        for (n, name) in names.iter().enumerate() {
            if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control) {
                let why =
                    format!("must have 1 to {NAME_BYTES} bytes, none of them a control character");
                problems.push(format!("{at}[{n}]"), why);
            }
        }
    }
    let mut meanings: BTreeMap<&str, &str> = BTreeMap::new();
    for module in &endpoint.modules {
        for name in endpoint.names_of(module) {
            match meanings.get(name) {
                Some(first) if *first != module => {
                    let why = format!("`{}` already means `{first}`", name.escape_debug());
                    problems.push(format!("{path}.names.{module}"), why);
                }
                Some(_) => {}
                None => {
                    meanings.insert(name, module);
                }
            }
        }
    }
}

fn many(endpoint: &Endpoint, batch: &Batch, path: &str, problems: &mut Problems) {
    if !endpoint.poll.cursor.name.is_empty() {
        let why = format!("a batch has its cursors at {path}.batch.cursors: give only `kind` here");
        problems.push(format!("{path}.poll.cursor.name"), why);
    }
    let path = format!("{path}.batch");
    problems.bound(
        &format!("{path}.max_modules"),
        batch.max_modules,
        1,
        BATCH_MAX,
    );
    let cursors = &batch.cursors;
    if cursors.place != Place::Json {
        problems.push(
            format!("{path}.cursors.in"),
            "must be json: a batch stands in a JSON body",
        );
    }
    if cursors.cursor.is_some() && cursors.module.is_none() {
        let why = "is missing: in a list, an element names its module too";
        problems.push(format!("{path}.cursors.module"), why);
    }
    for (key, pointer) in [
        ("name", Some(&cursors.name)),
        ("module", cursors.module.as_ref()),
        ("cursor", cursors.cursor.as_ref()),
    ] {
        if let Some(Err(why)) = pointer.map(|text| text.parse::<JsonPointer>()) {
            problems.push(format!("{path}.cursors.{key}"), why.to_string());
        }
    }
}

#[cfg(test)]
#[path = "endpoints_tests.rs"]
mod tests;
