//! What the configuration must hold however it is written, and what is shown of it.

use std::{iter, path::PathBuf};

use super::{Sources, loading::SourceFile, redact};
use crate::domain::strangers::Pieces;

/// No part of a configuration's form, so it stands in what is shown only if it leaked.
const PLANTED: &str = "pl4nted";

/// More keys take longer, with each other key's misfit, and show nothing else.
const MOST_KEYS: usize = 6;

/// Keys that hold a secret, or a URL with one.
const KEYS: [&str; 4] = [
    "database.url",
    "mqtt.targets[0].url",
    "mqtt.targets[0].password",
    "mqtt.targets[0].public_url",
];

/// Sets keys to values, and shows what became of it. What spells the secret itself is left out.
pub fn config(input: &[u8]) {
    if input
        .windows(PLANTED.len())
        .any(|part| part == PLANTED.as_bytes())
    {
        return;
    }
    let mut pieces = Pieces::of(input);
    let key = KEYS[pieces.choice(KEYS.len())];
    let [before, after] = [pieces.text(), pieces.text()];
    in_a_url(before, after);
    let secret = match key.strip_suffix("password") {
        Some(_) => format!("{before}{PLANTED}{after}"),
        None => format!("{before}://user:{PLANTED}@{after}"),
    };
    let mut overrides = vec![(key.to_owned(), secret)];
    for line in iter::from_fn(|| pieces.bytes()).take(MOST_KEYS) {
        let line = std::str::from_utf8(line).unwrap_or_default();
        if let Some((key, value)) = line.split_once('=') {
            overrides.push((key.to_owned(), value.to_owned()));
        }
    }
    let sources = Sources {
        file: SourceFile::Default(PathBuf::from("/nonexistent/changeover.toml")),
        environment: Vec::new(),
        overrides,
    };
    let shown = match super::load(&sources) {
        Ok(config) => format!("{config:?}{}", config.to_toml()),
        Err(problems) => {
            let shown = problems.to_string();
            assert!(!shown.is_empty(), "a refusal says why");
            shown
        }
    };
    assert!(!shown.contains(PLANTED), "{shown}");
}

/// Whatever stands around a password in a URL, it is not shown.
fn in_a_url(before: &str, after: &str) {
    for url in [
        format!("mqtt://{before}:{PLANTED}@{after}"),
        format!("mqtt://user:{before}{PLANTED}@{after}"),
        format!("mqtt://user:{before}{PLANTED}{after}@host"),
    ] {
        let shown = redact::url(&url);
        assert!(!shown.contains(PLANTED), "{url} is shown as {shown}");
        assert_eq!(redact::url(&shown), shown, "hiding twice hides no more");
    }
}
