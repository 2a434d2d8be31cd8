//! `changeover watch` at a gateway that knows its callers: it says what is missing, and shows who asks.

use std::{fs, process::Command};

use serde_json::json;

use crate::support::{
    callers,
    clients::Script,
    folder,
    gateway::{InProcess, MODULE, Setup},
    native::PATIENCE,
    streams::sqlite,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_changeover");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_says_how_where_it_does_not() {
    let database = sqlite().await;
    let gateway = InProcess::start(&Setup::new(&database, "a").add(&callers::auth())).await;
    let client = &gateway.client;
    let change = json!([{"key": "k", "audience": "u1", "value": 1}]);
    client.ingest(&change).await;

    let mut stranger = Command::new(PROGRAM);
    stranger.args(["watch", MODULE, "--url", &client.public]);
    let ended = tokio::task::spawn_blocking(move || stranger.output().unwrap());
    let ended = ended.await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(
        said.contains("(401)") && said.contains("--header"),
        "{said}"
    );
    assert!(!said.contains("no log"), "{said}");

    let from = ["watch", MODULE, "--url", &client.public, "--from"];
    let from = [&from[..], &["beginning", "--audience", "u1"]].concat();
    let stranger = Script::of_program(PROGRAM, &from);
    stranger
        .until_it_says("the refusal is told", PATIENCE, |said| {
            said.contains("refused: ") && said.contains("--header")
        })
        .await;

    let file = folder::fresh("watch").join("headers");
    let header = callers::key_header();
    fs::write(&file, format!("{header}\n")).unwrap();
    let at_file = format!("@{}", file.display());
    for shown in [&header, &at_file] {
        // Which is the only client that the key may bear.
        let shows = ["--client-id", "u1", "--header", shown];
        let known = Script::of_program(PROGRAM, &[&from[..], &shows].concat());
        known
            .until("the change is shown", PATIENCE, |lines| {
                lines.iter().any(|line| line["key"] == "k")
            })
            .await;
        let said = known.output();
        assert!(!said.contains("refused"), "{said}");
    }
    gateway.stop().await;
}
