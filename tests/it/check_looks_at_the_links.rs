//! `changeover check` says at its key path what is wrong with a login or a file of TLS; `serve` starts all the same,
//! since no client's poll needs a broker.

use std::{
    process::Command,
    time::{Duration, SystemTime},
};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{Program, Setup},
    links::{Files, target},
    pki::Authority,
    targets::until,
};

async fn setup(targets: &str) -> Setup {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    Setup::new(&database, "gw-1").add(targets)
}

/// Exit code and what was said, with the folder of the files and the configuration taken out.
async fn check(targets: &str, files: &Files) -> (Option<i32>, String) {
    let file = setup(targets).await.write();
    let output = Command::new(env!("CARGO_BIN_EXE_changeover"))
        .args(["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let told =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let folder = files.path("").display().to_string();
    let from = format!(" (from {})", file.display());
    (
        output.status.code(),
        told.replace(&folder, "").replace(&from, ""),
    )
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_told_at_once() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let at = |name: &str| files.path(name).display().to_string();
    files.write("empty", "\n");
    files.write("text", "no PEM at all");
    files.write("broken", "-----BEGIN CERTIFICATE-----\nplanted\n");
    files.write(
        "encrypted",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let good = files.client("own", &ours.client("gateway"));
    let day = Duration::from_hours(24);
    let ended = ours.client_until("gateway", SystemTime::now() - day);
    let mismatched = good.replace("own.key", "other.key");
    files.client("other", &ours.client("other"));
    let targets = [
        target(
            "a",
            "mqtt://127.0.0.1",
            &format!("username = \"u\"\npassword_file = \"{}\"", at("gone")),
        ),
        target(
            "b",
            "mqtt://127.0.0.1",
            &format!(
                "topic_prefix = \"b\"\nusername = \"u\"\npassword_file = \"{}\"",
                at("empty")
            ),
        ),
        target(
            "c",
            "mqtt://127.0.0.1",
            "topic_prefix = \"c\"\nusername = \"u\"\npassword_env = \"CHANGEOVER_TEST_UNSET\"",
        ),
        target(
            "d",
            "mqtts://h",
            &format!(
                "ca_file = \"{}\"\nclient_cert_file = \"{}\"\nclient_key_file = \"{}\"",
                at("text"),
                at("broken"),
                at("encrypted")
            ),
        ),
        target("e", "wss://h/mqtt", &mismatched),
        target("f", "mqtts://i", &files.client("ended", &ended)),
    ];
    let (code, told) = check(&targets.concat(), &files).await;
    assert_eq!(code, Some(64), "{told}");
    let day_of_end = |line: &str| line.split(" on 20").next().unwrap().to_owned();
    let told: Vec<_> = told.lines().map(day_of_end).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    8 problems in the configuration:
    mqtt.targets[0].password_file: gone: cannot be read: No such file or directory (os error 2)
    mqtt.targets[1].password_file: empty: is empty
    mqtt.targets[2].password_env: the environment has no variable CHANGEOVER_TEST_UNSET
    mqtt.targets[3].ca_file: text: holds no certificate in PEM
    mqtt.targets[3].client_cert_file: broken: is not PEM
    mqtt.targets[3].client_key_file: encrypted: holds an encrypted key: store it as it is, readable by the gateway only
    mqtt.targets[4].client_key_file: other.key: does not belong to the certificate of client_cert_file
    mqtt.targets[5].client_cert_file: ended.pem: has expired
    ");
}

#[tokio::test]
async fn what_may_become_wrong_is_a_warning() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let soon = SystemTime::now() + Duration::from_hours(24 * 20);
    let ending = files.client("ending", &ours.client_until("gateway", soon));
    let later = SystemTime::now() + Duration::from_hours(24 * 40);
    let lasting = files.client("lasting", &ours.client_until("gateway", later));
    let ca = files.ca("ca", &ours);
    let targets = [
        target("a", "mqtt://u:p@broker.example.com", ""),
        target("b", "mqtt://u:p@127.0.0.1", ""),
        target(
            "c",
            "ws://h/mqtt",
            &format!(
                "username = \"u\"\npassword_file = \"{}\"",
                files.write("password", "p").display()
            ),
        ),
        target("d", "mqtts://h", &format!("{ca}{ending}")),
        target("e", "mqtts://i", &format!("{ca}{lasting}")),
    ];
    let (code, told) = check(&targets.concat(), &files).await;
    assert_eq!(code, Some(0), "{told}");
    let day_of_end = |line: &str| line.split(" on 20").next().unwrap().to_owned();
    let told: Vec<_> = told.lines().map(day_of_end).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    the configuration is sound: 2 modules
    warning: mqtt.targets[0].url: holds a password, and whoever sees the configuration sees it: `username` with `password_file` or `password_env` keeps it out
    warning: mqtt.targets[0].url: sends the password over the network as it is: use mqtts:// or wss://, or keep to a network that nobody else hears
    warning: mqtt.targets[1].url: holds a password, and whoever sees the configuration sees it: `username` with `password_file` or `password_env` keeps it out
    warning: mqtt.targets[2].url: sends the password over the network as it is: use mqtts:// or wss://, or keep to a network that nobody else hears
    warning: mqtt.targets[3].client_cert_file: ending.pem: expires
    warning: auth.callers: every caller is believed who it says it is
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_serves_without_them() {
    let files = Files::new();
    let keys = format!("ca_file = \"{}\"\n", files.path("gone").display());
    let setup = setup(&target("push", "mqtts://127.0.0.1:1", &keys)).await;
    let program = Program::start(&setup).await;
    until(&program.client, "push", "it is away", |target| {
        let trouble = target["trouble"].as_str().unwrap_or_default();
        trouble.contains("gone: cannot be read")
    })
    .await;
    assert!(program.client.page(0, 10).await.items.is_empty());
    let warning = program.said("a link to a broker may fail").unwrap();
    assert!(
        warning["warning"]
            .as_str()
            .unwrap()
            .starts_with("mqtt.targets[0].ca_file: "),
        "{warning}"
    );
}
