//! `changeover check` tells what does not fit a broker, and by its exit code whether that can work at all.

use std::process::{Command, Output};

use crate::support::{
    callers,
    database::{DatabaseUnderTest, Kind},
    gateway::{Program, Setup},
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

const HOOKS: &str = "[broker_hooks]\nsecret = \"0123456789abcdef\"\n";

/// That callers are known, and a broker lets in whomever it likes.
const NOBODYS: &str = "mqtt.targets[0].credentials: callers are known, and sessions tell nothing to enter this broker with";

#[tokio::test]
async fn known_callers_whom_the_broker_does_not_know_are_warned_of() {
    let callers = callers::auth();
    for (more, is_warned) in [
        (callers.clone(), true),
        (format!("credentials = \"none\"\n{callers}"), true),
        (
            format!("credentials = \"none\"\nprofile = \"rabbitmq\"\n{callers}{HOOKS}"),
            true,
        ),
        (format!("profile = \"rabbitmq\"\n{callers}"), true),
        (format!("profile = \"rabbitmq\"\n{callers}{HOOKS}"), false),
        (String::new(), false),
        ("[[auth.callers]]\nkind = \"open\"\n".to_owned(), false),
    ] {
        let output = check(&more).await;
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{more}: {told}");
        assert_eq!(
            told.contains(&format!("warning: {NOBODYS}")),
            is_warned,
            "{more}: {told}"
        );
    }
}

#[tokio::test]
async fn and_the_start_says_so_too() {
    for (more, is_warned) in [(callers::auth(), true), (String::new(), false)] {
        let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
        let setup = Setup::new(&database, "gw-1").among_others().add(&more);
        let program = Program::start(&setup).await;
        assert_eq!(
            program.log().contains(NOBODYS),
            is_warned,
            "{}",
            program.log()
        );
    }
}
