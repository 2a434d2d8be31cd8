//! Each exit code of docs/CLI.md, from the real program against the real gateway, and the page itself.

use std::{fs, path::Path, process::Command};

use changeover::cli::Exit;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, MODULE, Setup, changeover},
    pty::Pty,
    token,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_changeover");

fn code(arguments: &[&str]) -> Option<i32> {
    Command::new(PROGRAM)
        .args(arguments)
        .env(token::VARIABLE, token::admin())
        .output()
        .unwrap()
        .status
        .code()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_end_has_its_code() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "gw-1")).await;
    let client = &gateway.client;
    let act = |act, more: &[&'static str]| {
        [&["module", act, MODULE, "--reason", "a test"], more].concat()
    };
    let ends = [
        (Exit::Refused, act("rollback", &["--to", "proxy"])),
        (Exit::Conflict, act("pause", &["--if-version", "7"])),
        (Exit::Unknown, vec!["module", "get", "nobody"]),
        (
            Exit::Unknown,
            vec!["target", "pause", "nobody", "--reason", "a test"],
        ),
        (Exit::Usage, vec!["module", "promote", MODULE]),
        (Exit::Usage, vec!["module", "get", "No Module"]),
        (
            Exit::TimedOut,
            vec![
                "module",
                "get",
                MODULE,
                "--until",
                "stage=retired",
                "--timeout",
                "0s",
            ],
        ),
    ];
    for (exit, arguments) in ends {
        let output = changeover(client, &arguments).await;
        let code = Some(i32::from(exit.code()));
        assert_eq!(output.status.code(), code, "{arguments:?}: {output:?}");
    }
    for done in [
        vec!["health"],
        act("pause", &["--dry-run"]),
        act("pause", &[]),
        act("resume", &[]),
    ] {
        let output = changeover(client, &done).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let url = client.private.clone();
    let wrong = [
        ["module", "list", "--url", "ftp://127.0.0.1"],
        ["module", "list", "--url", "127.0.0.1:8081"],
        ["module", "list", "--set", "tail.page=0"],
    ];
    for arguments in wrong {
        assert_eq!(code(&arguments), Some(64), "{arguments:?}");
    }
    let command = [
        PROGRAM,
        "module",
        "get",
        MODULE,
        "--watch",
        "--until",
        "stage=retired",
        "--url",
        &url,
    ];
    let mut terminal = Pty::start(&command, &[], 24, 80);
    terminal.shows("waiting: asked for is mirror, not retired");
    terminal.types("\u{3}");
    let interrupted = i32::from(Exit::Interrupted.code());
    assert_eq!(terminal.ended().code(), Some(interrupted));
    // The other listener.
    let public = ["module", "list", "--url", &client.public];
    let output = Command::new(PROGRAM)
        .args(public)
        .env(token::VARIABLE, token::admin())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("is no private listener (from --url)"),
        "{said}"
    );
    gateway.stop().await;
    let gone = ["module", "list", "--url", &url];
    assert_eq!(code(&gone), Some(i32::from(Exit::Unreachable.code())));
    let gone = ["health", "--url", &url];
    assert_eq!(code(&gone), Some(i32::from(Exit::Unreachable.code())));
}

#[test]
fn the_page_and_the_help_have_every_code() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CLI.md");
    let page = fs::read_to_string(page).unwrap();
    let help = Command::new(PROGRAM).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for (exit, meaning) in Exit::ALL {
        let code = exit.code();
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| {code} |")));
        assert!(row.is_some(), "docs/CLI.md has no row for {code}");
        assert!(help.contains(&format!("{code:>3}  {meaning}\n")), "{help}");
    }
    let rows = page.lines().filter(|line| {
        let digits = line
            .strip_prefix("| ")
            .and_then(|rest| rest.split(' ').next());
        digits.is_some_and(|digits| digits.parse::<u8>().is_ok())
    });
    assert_eq!(rows.count(), Exit::ALL.len() + 1, "no others, but 0");
}
