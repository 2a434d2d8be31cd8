//! Whatever the gateway is entered with, nothing that it writes or answers shows it: not the log at its most
//! talkative, not the commands, not the metrics, the admin API or the descriptions; also when files are wrong.
//!
//! A secret more is a line more in `secrets`, planted where the others are.

use std::process::Command;

use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    folder,
    gateway::{Client, Program},
    links::{Files, HERE, passwords, target, tls_broker_with_files},
    mosquitto::Mosquitto,
    pki::Authority,
    targets::{acknowledged, begun, setup, until},
};

const PAGES: [&str; 14] = [
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
    "/healthz",
    "/no/such/page",
];

async fn told(client: &Client, file: &std::path::Path) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for page in PAGES {
        told.push((page.to_owned(), client.get(page).await.text));
    }
    for page in ["/openapi.json", "/asyncapi.json"] {
        let url = format!("{}{page}", client.public);
        let answer = client.send(client.http.get(url)).await;
        told.push((format!("public {page}"), answer.text));
    }
    for command in ["config", "check"] {
        let mut shown = Command::new(env!("CARGO_BIN_EXE_changeover"));
        shown.args([command, "--config"]).arg(file);
        let output = shown.env("PLANTED", "planted-in-env").output().unwrap();
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        told.push((command.to_owned(), text));
    }
    told
}

fn hold_none(shown: &[(String, String)], secrets: &[&str]) {
    for (place, text) in shown {
        assert!(!text.is_empty(), "{place} says nothing");
        for secret in secrets {
            let found = text.lines().find(|line| line.contains(secret));
            assert!(found.is_none(), "{place} shows {secret}: {found:?}");
        }
    }
}

/// A database whose URL has a password, which its server does not ask for.
async fn with_password(password: &str) -> Option<DatabaseUnderTest> {
    let mut database = DatabaseUnderTest::fresh(Kind::Postgres).await?;
    let url = database.config.url;
    database.config.url = url.replace("changeover@", &format!("changeover:{password}@"));
    assert!(database.config.url.contains(password));
    Some(database)
}

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
                let output = run.output().unwrap();
                let text = [output.stdout, output.stderr].concat();
                let place = format!("{command} with {key}={value}, by flag: {by_flag}");
                shown.push((place, String::from_utf8(text).unwrap()));
            }
        }
    }
    hold_none(&shown, &["planted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_they_stand() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let own = ours.client("gateway");
    let key = own.key.lines().nth(1).unwrap().to_owned();
    let secrets = [
        "planted-in-database-url",
        "planted-in-url",
        "planted-in-file",
        "planted-in-env",
        "planted-too-late",
        &key,
    ];
    let guarded = |user: &str, password: &str| {
        let lines = "allow_anonymous false\npassword_file {dir}/passwords\n";
        Mosquitto::start_with_files(lines, &[("passwords", &passwords(user, password))])
    };
    let (by_url, by_env) = (
        guarded("u", "planted-in-url"),
        guarded("u", "planted-in-env"),
    );
    let server = ours.server(&HERE);
    let lines = "require_certificate true\nallow_anonymous false\npassword_file {dir}/passwords\n";
    let allowed = passwords("u", "planted-in-file");
    let mut by_file = tls_broker_with_files(&ours, &server, lines, &[("passwords", &allowed)]);
    let password = files.write("password", "planted-in-file\n");
    let keys = format!(
        "username = \"u\"\npassword_file = \"{}\"\n{}{}",
        password.display(),
        files.ca("ca", &ours),
        files.client("own", &own)
    );
    let Some(database) = with_password("planted-in-database-url").await else {
        return;
    };
    let setup = setup(&database, "gw-1")
        .add(&target(
            "url",
            &format!("mqtt://u:planted-in-url@127.0.0.1:{}", by_url.port()),
            "",
        ))
        .add(&target(
            "env",
            &by_env.url(),
            "username = \"u\"\npassword_env = \"PLANTED\"\n",
        ))
        .add(&target(
            "file",
            &format!("mqtts://localhost:{}", by_file.port()),
            &keys,
        ))
        .set("log.filter", "trace")
        .through(&["env", "PLANTED=planted-in-env"]);
    let program = Program::start(&setup).await;
    let client = &program.client;
    for name in ["url", "env", "file"] {
        begun(client, name).await;
    }
    client.ingest(&json!({"key": "a", "value": 1})).await;
    for name in ["url", "env", "file"] {
        acknowledged(client, name, 1).await;
    }
    let config = setup.write();
    let mut shown = told(client, &config).await;

    // And when they are wrong: no password of the broker, and a key that is no PEM.
    let stay_out = async |name: &str, content: &str, wanted: &str| {
        files.write(name, content);
        until(client, "file", wanted, |target| {
            target["trouble"]
                .as_str()
                .is_some_and(|why| why.contains(wanted))
        })
        .await;
    };
    files.write("password", "planted-too-late");
    by_file.kill();
    by_file.restart();
    stay_out("password", "planted-too-late", "refused").await;
    stay_out("own.key", &own.key[30..], "client_key_file: ").await;
    shown.extend(told(client, &config).await);
    stay_out(
        "own.key",
        &own.key.replace("-----END", "END"),
        "client_key_file: ",
    )
    .await;
    shown.extend(told(client, &config).await);
    shown.push(("the log".to_owned(), program.log()));

    hold_none(&shown, &secrets);
    // What may be shown is: else the search would find nothing for a wrong reason.
    let config = &shown.iter().find(|(place, _)| place == "config").unwrap().1;
    assert!(config.contains("u:***@"), "{config}");
    assert!(config.contains("changeover:***@"), "{config}");
    assert!(config.contains("password_env = \"PLANTED\""), "{config}");
}
