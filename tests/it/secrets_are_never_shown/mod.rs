//! Whatever the gateway is entered with, nothing that it writes or answers shows it: not the log at its most
//! talkative, not the commands, not the metrics, the admin API or the descriptions; also when files are wrong.
//!
//! `links.rs` plants what the gateway enters others with, `callers.rs` what others enter it with (it is in `planted.rs`), `written_wrong.rs` both where they
//! make no sense. A secret more is a line more in `secrets`, planted where the others are.

mod callers;
mod links;
mod planted;
mod written_wrong;

use std::{path::Path, process::Command};

use crate::support::gateway::Client;

/// What stands in the variable `PLANTED`.
const IN_ENV: &str = "planted-in-env, which is longer than 32 bytes";

const PAGES: [&str; 15] = [
    "/metrics",
    "/readyz",
    "/openapi.json",
    "/admin/v1/modules",
    "/admin/v1/modules/commission",
    "/admin/v1/modules/commission/history",
    "/admin/v1/targets",
    "/admin/v1/instances",
    "/admin/v1/census",
    "/admin/v1/savings",
    "/admin/v1/outbox/rejected",
    "/admin/v1/panic",
    "/admin/v1/tokens",
    "/healthz",
    "/no/such/page",
];

/// What the private listener and the commands show of a gateway with this configuration.
async fn told(client: &Client, file: &Path) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for page in PAGES {
        told.push((page.to_owned(), client.get(page).await.text));
    }
    for command in ["config", "check"] {
        let mut shown = Command::new(env!("CARGO_BIN_EXE_changeover"));
        shown.args([command, "--config"]).arg(file);
        told.push((command.to_owned(), text(shown.env("PLANTED", IN_ENV))));
    }
    told
}

/// What a command says.
fn text(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// As libraries write bytes that went over a connection.
fn hex(secret: &str) -> String {
    let digits: Vec<_> = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

fn hold_none(shown: &[(String, String)], secrets: &[&str]) {
    for (place, text) in shown {
        assert!(!text.is_empty(), "{place} says nothing");
        for secret in secrets {
            let found = text.lines().find(|line| line.contains(secret));
            assert!(found.is_none(), "{place} shows {secret}: {found:?}");
            let hex = hex(secret);
            let found = text.lines().find(|line| line.contains(&hex));
            assert!(found.is_none(), "{place} shows {secret} in hex: {found:?}");
        }
    }
}
