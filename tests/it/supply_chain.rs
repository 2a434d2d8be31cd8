//! What comes into the gateway from others is listed with its reason, and no exception outlives it. Whether licences and
//! bans hold is asked of cargo-deny by `scripts/supply-chain`; this holds what needs no tool.

use std::{collections::BTreeMap, fs, path::Path};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{file}: {why}"))
}

fn table(file: &str) -> toml::Table {
    read(file).parse().unwrap()
}

/// The versions of each package of the lock file.
fn locked() -> BTreeMap<String, Vec<String>> {
    let mut packages = BTreeMap::<_, Vec<_>>::new();
    for package in table("Cargo.lock")["package"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        packages
            .entry(text("name"))
            .or_default()
            .push(text("version"));
    }
    packages
}

fn list<'t>(table: &'t toml::Table, section: &str, key: &str) -> &'t [toml::Value] {
    table[section][key].as_array().unwrap()
}

#[test]
fn every_exception_has_a_reason_and_is_needed() {
    let (deny, locked) = (table("deny.toml"), locked());
    let mut wrong = Vec::new();
    let reasoned = ["skip", "deny"].map(|key| list(&deny, "bans", key));
    let ignored = list(&deny, "advisories", "ignore");
    for entry in reasoned.into_iter().flatten().chain(ignored) {
        let reason = entry.get("reason").and_then(toml::Value::as_str);
        if reason.is_none_or(|reason| reason.len() < 4) {
            wrong.push(format!("{entry}: no reason"));
        }
    }
    for entry in list(&deny, "bans", "skip") {
        let (name, version) = entry["crate"].as_str().unwrap().split_once('@').unwrap();
        let versions = locked.get(name).map_or(&[][..], Vec::as_slice);
        let is_it = |have: &&String| **have == version || have.starts_with(&format!("{version}."));
        if versions.len() < 2 || !versions.iter().any(|have| is_it(&have)) {
            wrong.push(format!("{name}@{version}: not there twice: {versions:?}"));
        }
    }
    for entry in list(&deny, "licenses", "exceptions") {
        let name = entry["crate"].as_str().unwrap();
        if !locked.contains_key(name) {
            wrong.push(format!("{name}: not there, and has a licence of its own"));
        }
    }
    for entry in list(&deny, "bans", "deny") {
        let name = entry["crate"].as_str().unwrap();
        // With wrappers it is banned but below those.
        if locked.contains_key(name) && entry.get("wrappers").is_none() {
            wrong.push(format!("{name}: is there, and is banned"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn packages_come_from_one_place_and_are_what_they_were() {
    let lock = table("Cargo.lock");
    let mut sources = Vec::new();
    for package in lock["package"].as_array().unwrap() {
        let Some(source) = package.get("source") else {
            assert_eq!(package["name"].as_str(), Some("changeover"), "a path");
            continue;
        };
        assert!(package.get("checksum").is_some(), "{package}");
        sources.push(source.as_str().unwrap());
    }
    sources.sort_unstable();
    sources.dedup();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(sources[0].starts_with("registry+"), "{sources:?}");
}

#[test]
fn the_container_may_do_little() {
    let image = read("Dockerfile");
    let (_, shipped) = image.rsplit_once("\nFROM ").unwrap();
    assert!(
        shipped.contains("\nUSER 10001\n"),
        "not root, by its number"
    );
    assert!(
        shipped.contains("CMD [\"changeover\", \"health\""),
        "asks itself"
    );
    assert!(
        !shipped.contains("curl"),
        "no client of HTTP beside the program"
    );
    let compose = read("docker-compose.yml");
    let (_, ours) = compose.split_once("\n  changeover:\n").unwrap();
    let (ours, _) = ours.split_once("\n  postgres:\n").unwrap();
    for line in [
        "read_only: true",
        "cap_drop: [ALL]",
        "security_opt: [\"no-new-privileges:true\"]",
        "\"127.0.0.1:8080:8080\"",
    ] {
        assert!(ours.contains(line), "{line}");
    }
    let left_out = read(".dockerignore");
    assert!(
        left_out.lines().any(|line| line == ".env"),
        "passwords stay outside"
    );
}
