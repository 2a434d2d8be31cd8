//! The walls of the house: which room may know which library, and which room may import which.
//!
//! `docs/ARCHITECTURE.md` names these invariants; this file holds them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rooms by height. An import goes down, or stays in its own room.
const FLOORS: [&[&str]; 10] = [
    &["domain"],
    &["config", "client"],
    &["telemetry"],
    &["store"],
    &["cutover", "identity"],
    &["log"],
    &["upstream", "poll", "native", "mirror", "broker"],
    &["http"],
    &["runtime"],
    &["cli"],
];

/// A library, and the only folder that may name it.
const WALLS: [(&str, &str); 3] = [
    ("axum", "http/"),
    ("rumqttc", "mirror/mqtt/"),
    ("sqlx", "store/"),
];

const SQL_WORDS: [&str; 6] = [
    "SELECT ",
    "INSERT INTO",
    "UPDATE ",
    "DELETE FROM",
    "CREATE TABLE",
    "BEGIN IMMEDIATE",
];

#[test]
fn each_library_stays_behind_its_wall() {
    let mut breaches = Vec::new();
    for file in sources() {
        for (library, folder) in WALLS {
            if !file.place.starts_with(folder) && names_crate(&file.code, library) {
                breaches.push(format!("{} names {library}", file.place));
            }
        }
        let sql = SQL_WORDS.iter().find(|word| file.strings.contains(*word));
        if let (Some(word), false) = (sql, file.place.starts_with("store/")) {
            breaches.push(format!("{} holds SQL ({word})", file.place));
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn imports_point_down() {
    let mut breaches = Vec::new();
    for file in sources() {
        let Some(own) = floor(file.room()) else {
            continue;
        };
        for room in imported_rooms(&file.code) {
            let there = floor(&room);
            if room != file.room() && there.is_none_or(|there| there >= own) {
                breaches.push(format!("{} imports {room}", file.place));
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn every_room_has_its_floor() {
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            assert!(floor(&name).is_some(), "src/{name} has no floor in FLOORS");
        }
    }
}

/// What `domain` and `client` may depend on; a program that only wants the client's rule builds these and no more.
const SMALL: [&str; 7] = [
    "foldhash",
    "humantime",
    "memchr",
    "murmur3",
    "serde",
    "serde_json",
    "thiserror",
];

/// The feature that a dependency of the gateway is named in, where it is not `gateway`.
const OF_A_FEATURE: [(&str, &str); 1] = [("mqtt5", "embedded-broker")];

#[test]
fn the_client_needs_nothing_of_the_gateway() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
    let mut breaches = Vec::new();
    for (name, wanted) in manifest["dependencies"].as_table().unwrap() {
        let is_optional = wanted.get("optional").and_then(toml::Value::as_bool);
        if SMALL.contains(&name.as_str()) {
            continue;
        }
        let of_others = OF_A_FEATURE.iter().find(|(other, _)| other == name);
        let feature = of_others.map_or("gateway", |(_, feature)| feature);
        let named = manifest["features"][feature].as_array().unwrap();
        let is_named = named.contains(&format!("dep:{name}").into());
        if is_optional != Some(true) || !is_named {
            breaches.push(format!(
                "{name} is to be optional, and named in the feature {feature}"
            ));
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
    assert_eq!(manifest["features"]["client"].as_array().unwrap().len(), 0);
}

#[test]
fn the_reader_of_imports_sees_groups_and_paths() {
    let code = "use crate::{store::{self, Head}, domain::Cursor};\nfn f() { crate::http::g() }";
    assert_eq!(imported_rooms(code), ["store", "domain", "http"]);
}

struct Source {
    /// Path below `src/`.
    place: String,
    /// Without comments.
    code: String,
    /// What stands between quotes in it.
    strings: String,
}

impl Source {
    fn room(&self) -> &str {
        self.place.split('/').next().unwrap_or_default()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    walk(&root(), &mut files);
    assert!(files.len() > 20, "the walk finds the sources");
    files
}

fn walk(folder: &Path, files: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let code = text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
            let place = path.strip_prefix(root()).unwrap();
            files.push(Source {
                place: place.to_str().unwrap().to_owned(),
                strings: code.split('"').skip(1).step_by(2).collect(),
                code,
            });
        }
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn names_crate(code: &str, library: &str) -> bool {
    let path = format!("{library}::");
    let import = format!("use {library};");
    code.contains(&path) || code.contains(&import)
}

/// The rooms behind each `crate::`, in groups as well.
fn imported_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for after in code.split("crate::").skip(1) {
        if let Some(group) = after.strip_prefix('{') {
            rooms.extend(heads_of_group(group));
        } else {
            rooms.push(identifier(after));
        }
    }
    rooms.retain(|room| root().join(room).is_dir());
    rooms
}

/// The first word of each member at the outer level of `group`, which begins after its brace.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = Vec::new();
    let mut expects_head = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects_head = true,
            letter if expects_head && letter.is_alphabetic() => {
                heads.push(identifier(&group[at..]));
                expects_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    let is_part = |letter: &char| letter.is_alphanumeric() || *letter == '_';
    text.chars().take_while(is_part).collect()
}
