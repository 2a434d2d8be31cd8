//! Keeps the documentation of the configuration in step with the configuration itself.

use std::collections::{BTreeMap, BTreeSet};

use figment::{error::Kind, value::Value};
use serde::Deserialize;

use super::{Config, testing::found};

const DEFAULTS: &str = include_str!("../../docs/config.defaults.toml");

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIGURATION.md");

/// The file with every line switched on that has no default.
fn switched_on() -> String {
    let on = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
        _ => line,
    };
    DEFAULTS.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_defaults_file_holds_the_defaults() {
    let documented: Config = toml::from_str(DEFAULTS).unwrap();
    let tree = |config: &Config| toml::Value::try_from(config).unwrap();
    assert_eq!(tree(&documented), tree(&Config::default()));
}

#[test]
fn its_examples_are_valid() {
    let problems = found(&switched_on(), Config::validate);
    assert!(problems.is_empty(), "{problems}");
}

/// Plants a key that no table knows into each table: the refusal lists the keys that it does know.
#[test]
fn every_key_is_documented() {
    let tree: Value = toml::from_str(&switched_on()).unwrap();
    let mut tables = BTreeMap::new();
    collect(&tree, &tree, &mut Vec::new(), &mut tables);
    for (table, (known, documented)) in &tables {
        let missing: Vec<_> = known.difference(documented).collect();
        assert!(missing.is_empty(), "`{table}` lacks {missing:?}");
    }
    assert!(
        tables.contains_key("modules.poll.audience"),
        "{:?}",
        tables.keys()
    );
}

type Keys = BTreeSet<String>;

/// Tables by their path without indices: the keys known, the keys documented.
fn collect(
    root: &Value,
    here: &Value,
    path: &mut Vec<String>,
    tables: &mut BTreeMap<String, (Keys, Keys)>,
) {
    let inner: Vec<(String, &Value)> = match here {
        Value::Dict(_, dict) => dict.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(_, list) => (0..).map(|n: usize| n.to_string()).zip(list).collect(),
        _ => return,
    };
    if here.as_dict().is_some() {
        let named = |part: &&String| part.parse::<usize>().is_err();
        let name: Vec<_> = path.iter().filter(named).cloned().collect();
        // One contract has the same keys at both places, and is documented at the modules.
        let name = name.join(".").replace("endpoints.poll", "modules.poll");
        let (known, documented) = tables.entry(name).or_default();
        known.extend(known_at(root, path));
        documented.extend(inner.iter().map(|(key, _)| key.clone()));
    }
    for (key, value) in inner {
        path.push(key);
        collect(root, value, path, tables);
        path.pop();
    }
}

fn known_at(root: &Value, path: &[String]) -> Keys {
    let mut tree = root.clone();
    let table = path.iter().fold(&mut tree, |here, part| match here {
        Value::Dict(_, dict) => dict.get_mut(part).unwrap(),
        Value::Array(_, list) => &mut list[part.parse::<usize>().unwrap()],
        _ => unreachable!("only tables and lists hold others"),
    });
    let Value::Dict(_, dict) = table else {
        unreachable!("asked for tables only")
    };
    dict.insert("no-such-key".to_owned(), Value::from("text"));
    match Config::deserialize(&tree).map_err(|error| error.kind) {
        // Any key may stand there: it is the operator's own.
        Ok(_) | Err(Kind::InvalidType(..)) => Keys::new(),
        Err(Kind::UnknownField(_, known)) => known.iter().map(|key| (*key).to_owned()).collect(),
        Err(other) => panic!("{path:?}: {other}"),
    }
}

/// `CHANGEOVER_BLESS=1 cargo test` writes the page again.
#[test]
fn the_page_is_generated_from_the_file() {
    let page = format!(
        "<!-- Generated from config.defaults.toml: CHANGEOVER_BLESS=1 cargo test --lib configuration -->\n\
         # Configuration\n\n\
         This is `docs/config.defaults.toml`, every key with its default. `examples/quickstart.toml` \
         shows two whole modules.\n\n\
         ```toml\n{DEFAULTS}```\n"
    );
    if std::env::var_os("CHANGEOVER_BLESS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        written == page,
        "docs/CONFIGURATION.md is stale: run with CHANGEOVER_BLESS=1"
    );
}
