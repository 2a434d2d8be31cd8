//! From the merged tree to a [`Config`], past every value that cannot be read.
//!
//! Invariant: each round takes one value out of the tree or turns it into text, so it ends.

use figment::value::{Tag, Value};
use serde::Deserialize;
use serde_path_to_error::{Deserializer, Track};

use super::{
    Config, Problems, explain::explain, key_path::KeyPath, layers::Layers, problems::Problem,
};

/// Reads the tree; what cannot be read is reported and keeps its default.
pub(super) fn read(layers: &Layers, problems: &mut Problems) -> Config {
    let mut tree = layers.tree.clone();
    let mut known = std::collections::BTreeSet::new();
    loop {
        let (path, error) = match attempt(&tree) {
            Ok(config) => return config,
            Err(failed) => *failed,
        };
        // A password of digits in a variable was taken for a number: it means its text.
        if let Some(value) = path.find_mut(&mut tree)
            && let Some(raw) = layers.raw(value)
        {
            *value = Value::String(value.tag(), raw.to_owned());
            continue;
        }
        if known.insert(path.clone()) {
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
