//! From the merged tree to a [`Config`], past every value that cannot be read.
//!
//! Invariant: each round takes one value out of the tree or turns it into text, so it ends.

use figment::value::{Tag, Value};
use serde::Deserialize;
use serde_path_to_error::{Deserializer, Track};

use super::{
    Config, Problems,
    explain::{explain, misfit, wants_number},
    key_path::KeyPath,
    layers::Layers,
    problems::Problem,
};

/// Reads the tree; what cannot be read is reported and keeps its default.
pub(super) fn read(layers: &Layers, problems: &mut Problems) -> Config {
    let mut tree = layers.tree.clone();
    let mut known = std::collections::BTreeSet::new();
    let mut misfits = Vec::new();
    loop {
        let (path, error) = match attempt(&tree) {
            Ok(config) => {
                for misfit in misfits {
                    tell_bounds(&tree, misfit, problems);
                }
                return config;
            }
            Err(failed) => *failed,
        };
        // A password of digits in a variable was taken for a number: it means its text.
        if let Some(value) = path.find_mut(&mut tree)
            && !wants_number(&error)
            && let Some(raw) = layers.raw(value)
        {
            *value = Value::String(value.tag(), raw.to_owned());
            continue;
        }
        if known.insert(path.clone()) {
            misfits.extend(misfit(&error).map(|(number, most)| Misfit {
                path: path.clone(),
                number,
                most,
            }));
            problems.add(Problem {
                path: path.to_string(),
                message: explain(&path, &error),
                origin: layers.origin(&path),
            });
        }
        if !path.remove(&mut tree) {
            tree = Value::Dict(Tag::Default, figment::value::Dict::new());
        }
    }
}

/// A number that its type does not hold.
struct Misfit {
    path: KeyPath,
    number: String,
    /// The largest one of the type.
    most: u64,
}

/// Says what the key allows, where that is less than its type does: what validation says of the largest number there, or of none.
fn tell_bounds(tree: &Value, misfit: Misfit, problems: &mut Problems) {
    let Misfit { path, number, most } = misfit;
    let key = path.to_string();
    // Where the largest one is allowed, nothing is not, or the type says it all.
    let bounds = [most, 0].into_iter().find_map(|probe| {
        let mut tree = tree.clone();
        let put = path.put(&mut tree, Value::from(probe));
        let config = attempt(&tree).ok().filter(|_| put)?;
        let mut findings = Problems::new();
        config.validate(&mut findings);
        let found = findings.iter().find(|problem| problem.path == key)?;
        let (bounds, _probe) = found.message.rsplit_once(", not ")?;
        Some(bounds.to_owned())
    });
    if let Some(bounds) = bounds {
        problems.restate(&key, format!("{bounds}, not {number}"));
    }
}

fn attempt(tree: &Value) -> Result<Config, Box<(KeyPath, figment::Error)>> {
    let mut track = Track::new();
    Config::deserialize(Deserializer::new(tree, &mut track)).map_err(|error| {
        let path = KeyPath::from(&track.path());
        let path = match &error.kind {
            figment::error::Kind::UnknownField(name, _) => path.ending_with(name),
            _ => path,
        };
        Box::new((path, error))
    })
}
