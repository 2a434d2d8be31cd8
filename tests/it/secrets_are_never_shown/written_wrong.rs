//! Secrets that stand where they make no sense: in values of the wrong kind, in files that do not parse, in files that are no keys.

use std::{fs, process::Command};

use super::{hold_none, text};
use crate::support::{folder, links::Files, pki::Authority};

/// Commands of a configuration that is wrong at each place that holds a secret.
#[test]
fn not_where_they_are_written_wrong() {
    let wrong = [
        ("database.url", "postgres://u:planted@127.0.0.1:1/db"),
        ("database.url", "postgres//u:planted@127.0.0.1:1/db"),
        ("database.url", "postgres://u:planted@[::1/db"),
        ("database.url", "oracle://u:pl/an?ted:planted@h@h/db"),
        ("database.url", "mysql://u@127.0.0.1:1/db?password=planted"),
        ("database.url", "{u:planted@h}"),
        ("database.password", "planted"),
        ("mqtt.targets[0].url", "mqtt//u:planted@127.0.0.1:1"),
        ("mqtt.targets[0].url", "mqtts://u:planted@h:99999"),
        ("mqtt.targets[0].url", "amqp://u:planted@h"),
        ("mqtt.targets[0].public_url", "mqtt://u:planted@h:99999"),
        ("mqtt.targets[0].password", "planted"),
        ("broker_hooks.secret", "planted"),
        ("broker_hooks.secret", "planted/0123456789abcdef"),
        ("broker_hooks", "{secret = \"planted"),
        ("auth", "planted"),
        ("auth.callers", "planted"),
        ("auth.callers", "[{kind = \"jwt\", secret = \"planted"),
        ("auth.callers", "[{kind=jwt,secret=planted}]"),
        ("auth.callers", "[planted]"),
        ("broker_hooks", "planted"),
        ("mqtt.targets", "planted"),
        ("mqtt.targets", "[planted]"),
        ("auth.callers[0]", "planted"),
        ("auth.callers[0].secret", "planted"),
        ("auth.callers[0].secret", "[planted]"),
        ("auth.callers[0].secret", "{planted=planted}"),
        ("auth.callers[0].keys", "planted"),
        ("auth.callers[0].keys", "[planted]"),
        ("auth.callers[0].keys[0]", "planted"),
        ("auth.callers[0].keys", "[{id=\"a\",hash=\"planted\"}]"),
        ("auth.callers[0].keys[0].hash", "planted"),
        ("auth.callers[0].check_url", "http://u:planted@h/check"),
        ("auth.callers[0].check_url", "http//u:planted@h/check"),
        ("auth.callers[0].jwks_url", "https://u:planted@h/keys"),
        ("auth.callers[0].jwks_url", "u:planted@h"),
        ("auth.admin_token", "planted"),
    ];
    let empty = folder::fresh("wrong");
    let mut shown = Vec::new();
    for (key, value) in wrong {
        for command in ["config", "check", "migrate"] {
            let variable = format!("CHANGEOVER__{}", key.to_uppercase());
            let variable = variable.replace(['[', '.'], "__").replace(']', "");
            for by_flag in [true, false] {
                let mut run = Command::new(env!("CARGO_BIN_EXE_changeover"));
                run.arg(command).current_dir(&empty);
                if by_flag {
                    run.args(["--set", &format!("{key}={value}")]);
                } else {
                    run.env(&variable, value);
                }
                let place = format!("{command} with {key}={value}, by flag: {by_flag}");
                shown.push((place, text(&mut run)));
            }
        }
    }
    hold_none(&shown, &["planted"]);
}

/// A line of a configuration file that does not parse.
#[test]
fn not_where_a_file_is_no_toml() {
    let folder = folder::fresh("no-toml");
    let file = folder.join("changeover.toml");
    let mut shown = Vec::new();
    for line in [
        "secret = planted",
        "secret = \"planted",
        "secret \"planted\"",
        "secret = \"a\"planted",
        "secret = \"\\planted\"",
        "hash = planted",
        "keys = [{ id = \"a\", hash = sha256:planted }]",
    ] {
        fs::write(&file, format!("[[auth.callers]]\nkind = \"jwt\"\n{line}\n")).unwrap();
        for command in ["config", "check", "serve"] {
            let mut run = Command::new(env!("CARGO_BIN_EXE_changeover"));
            run.arg(command).arg("--config").arg(&file);
            shown.push((format!("{command} of {line}"), text(&mut run)));
        }
    }
    hold_none(&shown, &["planted"]);
    for (place, text) in shown {
        assert!(text.contains("changeover.toml:3:"), "{place}: {text}");
    }
}

/// Files and variables that a configuration names, and that hold something else than they should.
#[test]
fn not_where_files_hold_something_else() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let own = ours.server(&["localhost"]);
    let certificate = files.write("own.pem", &own.certificate);
    let (short, long) = (files.write("short", "planted"), "planted ".repeat(9_000));
    let line = own.key.lines().nth(1).unwrap();
    let no_key = files.write("no.key", &own.key.replace("-----BEGIN", "BEGIN"));
    let half_key = files.write("half.key", &own.key[..own.key.len() / 2]);
    let long = files.write("long", &long);
    let at = |file: &std::path::Path| file.display().to_string();
    let jwt = |key: &str, value: &str| {
        format!("[[auth.callers]]\nkind = \"jwt\"\nalgorithm = \"HS256\"\n{key} = \"{value}\"\n")
    };
    let public = |value: &str| jwt("public_key_file", value).replace("HS256", "RS256");
    let tls = |key: &str| {
        let certificate = at(&certificate);
        format!("[server.public_tls]\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\n")
    };
    let wrong = [
        ("a short secret", jwt("secret_file", &at(&short))),
        ("a long secret", jwt("secret_file", &at(&long))),
        ("a short variable", jwt("secret_env", "PLANTED")),
        ("a public key", public(&at(&short))),
        ("a private key", public(&at(&half_key))),
        (
            "a secret of hooks",
            format!("[broker_hooks]\nsecret_file = \"{}\"\n", at(&short)),
        ),
        (
            "a long secret of hooks",
            format!("[broker_hooks]\nsecret_file = \"{}\"\n", at(&long)),
        ),
        ("a key that is no PEM", tls(&at(&no_key))),
        ("half a key", tls(&at(&half_key))),
        (
            "an admin token",
            format!("[auth]\nadmin_token_file = \"{}\"\n", at(&short)),
        ),
    ];
    let mut shown = Vec::new();
    for (what, toml) in wrong {
        let folder = folder::fresh("wrong-files");
        let file = folder.join("changeover.toml");
        let url = format!("sqlite://{}", at(&folder.join("x.db")));
        let modules = "[[modules]]\nname = \"orders\"\n[[mqtt.targets]]\nname = \"away\"\nurl = \"mqtt://127.0.0.1:1\"\n";
        let server = "[server]\npublic = \"127.0.0.1:0\"\nprivate = \"127.0.0.1:0\"\n";
        let rest = format!("{server}[database]\nurl = \"{url}\"\n{modules}");
        fs::write(&file, format!("{rest}{toml}")).unwrap();
        for command in ["config", "check", "serve"] {
            // One that starts all the same would go on, as with the wrong token, which others may know better.
            let mut run = Command::new("timeout");
            run.args(["20", env!("CARGO_BIN_EXE_changeover"), command]);
            run.args(["--set", "log.filter=trace", "--config"])
                .arg(&file);
            run.current_dir(&folder).env("PLANTED", "planted");
            let said = text(&mut run);
            if command == "serve" && what != "an admin token" {
                assert!(!said.contains("\"ready\""), "{what}: {said}");
            }
            shown.push((format!("{command} with {what}"), said));
        }
    }
    hold_none(&shown, &["planted", line]);
}
