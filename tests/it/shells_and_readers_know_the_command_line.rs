//! `changeover completions` and `changeover man`: what they write is read by the shells and the readers that are installed.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::folder;

const PROGRAM: &str = env!("CARGO_BIN_EXE_changeover");

fn changeover(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command; nothing if it is not installed.
fn run(command: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(command).args(arguments).output().ok();
    if output.is_none() {
        println!("{command} is not installed: not tested");
    }
    output
}

/// What bash offers for a command line whose last word is begun.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let driver = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
        _changeover_joined changeover \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let script = script.to_str().unwrap();
    let arguments = [&["--norc", "-c", driver, "bash", script], words].concat();
    let output = Command::new("bash").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let script = folder::fresh("completions").join("changeover.bash");
    fs::write(&script, changeover(&["completions", "bash"])).unwrap();
    assert_eq!(
        offered(&script, &["changeover", "comp"]),
        ["compact", "completions"]
    );
    let acts = offered(&script, &["changeover", "module", "r"]);
    for act in ["ramp", "rollback", "resume", "route"] {
        assert!(acts.iter().any(|offered| offered == act), "{acts:?}");
    }
    let options = offered(&script, &["changeover", "module", "get", "--un"]);
    assert_eq!(options, ["--until"]);
    let offers = |words: &[&str]| {
        offered(
            &script,
            &[&["changeover", "module", "get", "m", "--until"], words].concat(),
        )
    };
    let conditions = offers(&[""]);
    for condition in ["healthy", "gate=pass", "stage=ramp", "effective=mirror"] {
        assert!(
            conditions.iter().any(|offered| offered == condition),
            "{conditions:?}"
        );
    }
    assert_eq!(conditions.len(), 20, "and no files: {conditions:?}");
    assert_eq!(offers(&["he"]), ["healthy"]);
    // As bash splits `stage=ra`, `stage=` and `--until=gate=`.
    assert_eq!(offers(&["stage", "=", "ra"]), ["ramp"]);
    assert_eq!(offers(&["stage", "="]).len(), 6);
    assert_eq!(offers(&["=", "gate", "="]), ["pass"]);
    assert_eq!(
        offers(&["stage=ra"]),
        ["stage=ramp"],
        "where `=` ends no word"
    );
    let stages = offered(
        &script,
        &["changeover", "module", "rollback", "m", "--to", "m"],
    );
    assert_eq!(stages, ["mirror"]);
    let formats = offered(&script, &["changeover", "module", "list", "--output", ""]);
    assert_eq!(formats, ["table", "json"]);
}

#[test]
fn other_shells_read_theirs() {
    let folder = folder::fresh("completions");
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = folder.join(shell);
        let written = changeover(&["completions", shell]);
        for condition in ["healthy", "gate=pass", "stage=ramp", "effective=mirror"] {
            assert!(written.contains(condition), "{shell} offers no {condition}");
        }
        fs::write(&script, written).unwrap();
        if let Some(output) = run(shell, &[check, script.to_str().unwrap()]) {
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{output:?}"
            );
        }
    }
    let powershell = changeover(&["completions", "powershell"]);
    assert!(powershell.contains("Register-ArgumentCompleter"));
}

#[test]
fn every_command_has_a_page_that_readers_understand() {
    let folder = folder::fresh("man");
    let out = folder.to_str().unwrap();
    changeover(&["man", "--out", out]);
    let pages = fs::read_dir(&folder)
        .unwrap()
        .map(|page| page.unwrap().path());
    let pages: Vec<_> = pages.collect();
    for name in [
        "changeover",
        "changeover-module-get",
        "changeover-outbox-rejected-drop",
    ] {
        let page = folder.join(format!("{name}.1"));
        assert!(pages.contains(&page), "{name} in {pages:?}");
    }
    for page in &pages {
        let page = page.to_str().unwrap();
        if let Some(groff) = run("groff", &["-man", "-ww", "-z", "-Tutf8", page]) {
            assert!(
                groff.status.success() && groff.stderr.is_empty(),
                "{page}: {groff:?}"
            );
        }
        if let Some(mandoc) = run("mandoc", &["-T", "lint", "-W", "error", page]) {
            assert!(mandoc.status.success(), "{page}: {mandoc:?}");
        }
    }
    let page = folder.join("changeover-module-get.1");
    if let Some(read) = run("man", &["-l", "-P", "cat", page.to_str().unwrap()]) {
        let read = String::from_utf8_lossy(&read.stdout).replace('\u{8}', "");
        assert!(
            read.contains("EXIT STATUS") && read.contains("124"),
            "{read}"
        );
    }
    assert!(
        changeover(&["man"]).starts_with(".ie"),
        "one page alone goes to standard output"
    );
}
