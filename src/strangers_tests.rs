use std::{
    collections::BTreeSet,
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use super::TARGETS;

fn fuzz(place: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(place)
}

/// The inputs that fuzzing has kept: one a line, what is not printable as `\xNN` (scripts/fuzz).
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let file = fuzz("corpus").join(format!("{target}.txt"));
    let text = fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    text.lines().map(unescaped).collect()
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut parts = line.split("\\x");
    let mut input = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        input.push(u8::from_str_radix(digits, 16).unwrap());
        input.extend_from_slice(rest.as_bytes());
    }
    input
}

#[test]
fn what_fuzzing_has_found_is_as_promised() {
    let mut broken = Vec::new();
    for (name, hold) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 10, "{name} has a corpus");
        for (n, input) in inputs.iter().enumerate() {
            let held = panic::catch_unwind(AssertUnwindSafe(|| hold(input)));
            if held.is_err() {
                broken.push(format!("fuzz/corpus/{name}.txt:{}", n + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_line_of_a_corpus_is_any_bytes() {
    assert_eq!(unescaped(r"a\x5cx\xff\x00 b"), b"a\\x\xFF\0 b");
    assert_eq!(unescaped(""), b"");
}

#[test]
fn each_target_is_there_for_the_fuzzer() {
    let stems = |folder: &str| -> BTreeSet<String> {
        let files = fs::read_dir(fuzz(folder)).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        files.map(|file| stem(file.unwrap().path())).collect()
    };
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter();
    let bins: BTreeSet<_> = bins
        .map(|bin| bin["name"].as_str().unwrap().to_owned())
        .collect();
    let known: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(bins, known, "fuzz/Cargo.toml");
    assert_eq!(stems("fuzz_targets"), known, "fuzz/fuzz_targets");
    assert_eq!(stems("corpus"), known, "fuzz/corpus");
}
