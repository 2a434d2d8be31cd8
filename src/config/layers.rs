//! The layers of the configuration: a file, then the environment, then flags.
//!
//! Invariant: every value in the merged tree still knows its layer. Lists of tables travel as
//! tables keyed by index, so that a variable reaches into one: a broker's password comes as
//! `CHANGEOVER__MQTT__TARGETS__0__URL` while the rest of the target stays in the file. What somebody
//! wrote as a table stays one, whatever its keys.

use std::collections::{BTreeMap, BTreeSet};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Num, Tag, Value},
};

use super::{Problems, Sources, key_path::KeyPath};

/// What begins every environment variable of the configuration.
const PREFIX: &str = "CHANGEOVER__";

/// The merged tree, and who said what in it.
pub(super) struct Layers {
    figment: Figment,
    /// The merged values.
    pub(super) tree: Value,
    /// Values of variables and flags before they were read as numbers or lists, by layer.
    raw: BTreeMap<String, String>,
}

impl Layers {
    /// Merges all sources. Problems of the merge itself are pushed.
    pub(super) fn merge(sources: &Sources, problems: &mut Problems) -> Self {
        let mut layers = Vec::new();
        if let Some(file) = sources.file.read(problems) {
            layers.push(file);
        }
        let mut tables = layers.iter().fold(Tables::default(), Tables::with);
        let mut raw = BTreeMap::new();
        for (origin, path, text) in spoken(sources, problems) {
            let value = parse(&text);
            tables.note(&value, &tables.place(&path));
            layers.push(Layer::at(&origin, &path, value));
            raw.insert(origin, text);
        }
        let figment = layers.into_iter().fold(Figment::new(), Figment::merge);
        let mut tree = figment
            .find_value("")
            .unwrap_or_else(|_| Value::from(Dict::new()));
        restore_lists(&mut tree, "", &tables, problems);
        Self { figment, tree, raw }
    }

    /// Which layer said the value at a path, or its nearest ancestor.
    pub(super) fn origin(&self, path: &KeyPath) -> Option<String> {
        let mut path = path.clone();
        loop {
            if path.0.is_empty() {
                return None;
            }
            if let Some(value) = path.find(&self.tree) {
                return self.name(value.tag());
            }
            path = path.parent()?.0;
        }
    }

    /// The text that a variable or flag gave for a value, before it was read as something else.
    pub(super) fn raw(&self, value: &Value) -> Option<&str> {
        let scalar = !matches!(
            value,
            Value::Dict(..) | Value::Array(..) | Value::String(..)
        );
        let name = self.name(value.tag()).filter(|_| scalar)?;
        self.raw.get(&name).map(String::as_str)
    }

    fn name(&self, tag: Tag) -> Option<String> {
        Some(self.figment.get_metadata(tag)?.name.clone().into_owned())
    }
}

/// Variables, then flags: (origin, path, text).
fn spoken(sources: &Sources, problems: &mut Problems) -> Vec<(String, Vec<String>, String)> {
    let mut all = Vec::new();
    for (name, text) in &sources.environment {
        if let Some(key) = name.strip_prefix(PREFIX) {
            let path: Vec<_> = key.split("__").map(str::to_ascii_lowercase).collect();
            all.push((format!("environment variable {name}"), path, text.clone()));
        }
    }
    // The order of the environment is accidental, the order of flags is not.
    all.sort();
    for (key, text) in &sources.overrides {
        let path = key.replace('[', ".").replace(']', "");
        let path = path.split('.').map(str::to_owned).collect();
        all.push((format!("--set {key}"), path, text.clone()));
    }
    all.retain(|(origin, path, _)| {
        let whole = path.iter().all(|part| !part.is_empty());
        if !whole {
            problems.push("", format!("{origin}: the key has an empty part"));
        }
        whole
    });
    all
}

/// A number, a truth value or a list in brackets is read as such, everything else is text.
fn parse(text: &str) -> Value {
    match text.parse() {
        Ok(Value::Char(_, c)) => Value::from(format!("'{c}'")),
        // A number of more than 64 bits is one too, though no key takes it.
        Ok(Value::String(tag, read)) => match text.trim().parse() {
            Ok(number) => Value::Num(tag, Num::I128(number)),
            Err(_) => Value::String(tag, read),
        },
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// Where somebody wrote a table.
#[derive(Debug, Default)]
struct Tables(BTreeSet<String>);

impl Tables {
    fn with(mut self, layer: &Layer) -> Self {
        self.0.extend(layer.tables.0.iter().cloned());
        self
    }

    /// Notes the tables of a value that stands at `path`, before its lists are opened.
    fn note(&mut self, value: &Value, path: &str) {
        match value {
            Value::Dict(_, dict) => {
                self.0.insert(path.to_owned());
                for (key, inner) in dict {
                    self.note(inner, &self.join(path, key));
                }
            }
            Value::Array(_, list) => {
                for (n, inner) in list.iter().enumerate() {
                    self.note(inner, &format!("{path}[{n}]"));
                }
            }
            _ => {}
        }
    }

    /// The path of a variable's or flag's key.
    fn place(&self, keys: &[String]) -> String {
        let join = |path: String, key: &String| self.join(&path, key);
        keys.iter().fold(String::new(), join)
    }

    /// A number is a key in a table, and an index elsewhere.
    fn join(&self, path: &str, key: &str) -> String {
        match key.parse::<usize>() {
            _ if path.is_empty() => key.to_owned(),
            Ok(index) if !self.0.contains(path) => format!("{path}[{index}]"),
            _ => format!("{path}.{key}"),
        }
    }
}

/// One source of values, by the name that problems give it.
pub(super) struct Layer {
    origin: String,
    values: Dict,
    tables: Tables,
}

impl Layer {
    /// A whole file.
    pub(super) fn file(name: &str, mut values: Dict) -> Self {
        let mut tables = Tables::default();
        for (key, value) in &mut values {
            tables.note(value, key);
            open_lists(value);
        }
        Self {
            origin: name.to_owned(),
            values,
            tables,
        }
    }

    fn at(origin: &str, path: &[String], value: Value) -> Self {
        let nest = |inner, key: &String| Value::from(Dict::from([(key.clone(), inner)]));
        let nested = path.iter().rfold(value, nest);
        Self {
            origin: origin.to_owned(),
            values: nested.into_dict().unwrap_or_default(),
            tables: Tables::default(),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Turns lists of tables into tables keyed by index, and TOML times into text.
fn open_lists(value: &mut Value) {
    if let Some(time) = toml_time(value) {
        *value = Value::from(time);
    }
    match value {
        Value::Dict(_, dict) => dict.values_mut().for_each(open_lists),
        Value::Array(tag, list) => {
            list.iter_mut().for_each(open_lists);
            let tables = list.iter().all(|element| element.as_dict().is_some());
            if tables && !list.is_empty() {
                let keyed = list.drain(..).enumerate();
                let keyed = keyed.map(|(n, element)| (n.to_string(), element)).collect();
                *value = Value::Dict(*tag, keyed);
            }
        }
        _ => {}
    }
}

/// The `toml` crate hands an unquoted time over as a table with this one private key.
fn toml_time(value: &Value) -> Option<String> {
    let dict = value.as_dict().filter(|dict| dict.len() == 1)?;
    let time = dict.get("$__toml_private_datetime")?;
    time.as_str().map(str::to_owned)
}

/// Turns tables keyed by index back into lists, except those that were tables before.
fn restore_lists(value: &mut Value, path: &str, tables: &Tables, problems: &mut Problems) {
    match value {
        Value::Dict(tag, dict) => {
            for (key, inner) in dict.iter_mut() {
                restore_lists(inner, &tables.join(path, key), tables, problems);
            }
            if tables.0.contains(path) {
                return;
            }
            if let Some(list) = as_list(dict, path, problems) {
                *value = Value::Array(*tag, list);
            }
        }
        Value::Array(_, list) => {
            for (n, inner) in list.iter_mut().enumerate() {
                restore_lists(inner, &format!("{path}[{n}]"), tables, problems);
            }
        }
        _ => {}
    }
}

fn as_list(dict: &Dict, path: &str, problems: &mut Problems) -> Option<Vec<Value>> {
    let index = |key: &String| key.parse::<usize>().ok();
    let indices: Option<Vec<usize>> = dict.keys().map(index).collect();
    let mut elements: Vec<_> = indices?.into_iter().zip(dict.values()).collect();
    if path.is_empty() || elements.is_empty() {
        return None;
    }
    elements.sort_by_key(|(index, _)| *index);
    let hole = elements
        .iter()
        .enumerate()
        .find(|(n, (index, _))| n != index);
    if let Some((n, (index, _))) = hole {
        problems.push(
            path,
            format!("element {index} is set, but there is no element {n} before it"),
        );
    }
    Some(
        elements
            .into_iter()
            .map(|(_, value)| value.clone())
            .collect(),
    )
}
