//! `changeover check` tells what does not fit a broker, and by its exit code whether that can work at all.

use std::process::{Command, Output};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::Setup,
};

async fn check(target: &str) -> Output {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let target =
        format!("\n[[mqtt.targets]]\nname = \"push\"\nurl = \"mqtt://broker\"\n{target}\n");
    let file = Setup::new(&database, "gw-1").add(&target).write();
    Command::new(env!("CARGO_BIN_EXE_changeover"))
        .args(["check", "--config"])
        .arg(file)
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_warning_leaves_the_configuration_sound() {
    let output = check("profile = \"azure-event-grid\"\nlimits = { payload_bytes = 65536 }").await;
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    the configuration is sound: 2 modules
    warning: limits.value_bytes: values of more than about 64448 bytes go to target `push` (azure-event-grid) as pointers, and clients read them from the stream: allow smaller ones to avoid that
    warning: server.public_url: absent, so the pointers hold relative addresses: set it to where clients find server.public
    warning: auth.callers: every caller is believed who it says it is
    ");
}

#[tokio::test]
async fn what_can_never_fit_is_refused() {
    let output = check("profile = \"nats\"").await;
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains(
            "mqtt.targets[0].protocol: target `push` (nats) speaks no MQTT 5: set \"3.1.1\""
        ),
        "{told}"
    );
    let output = check("profile = \"mosquito\"").await;
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("did you mean `mosquitto`?"), "{told}");
}
