//! `changeover module get M --until …`: blocks until the module has come to it, over restarts of the gateway, and says by its exit code
//! how it went, and in words what is missing.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, InProcess, MODULE, Program, START, Setup, changeover},
    process::free_port,
    token,
};

/// Starts to wait, with its standard error as it comes.
fn waits(client: &Client, arguments: &[&str]) -> JoinHandle<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_changeover"));
    command.args(["module", "get", MODULE, "--url", &client.private]);
    command.args(arguments).stdin(Stdio::null());
    command.env(token::VARIABLE, token::admin());
    tokio::task::spawn_blocking(move || command.output().unwrap())
}

async fn act(client: &Client, act: &str, body: Value) {
    let mut body = body;
    body["reason"] = "a test".into();
    let path = format!("/admin/v1/modules/{MODULE}/{act}");
    let answer = client.post(&path, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

async fn sqlite() -> DatabaseUnderTest {
    DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flip_ends_the_wait() {
    let gateway = InProcess::start(&Setup::new(&sqlite().await, "gw-1")).await;
    let client = &gateway.client;
    let arguments = [
        "--until",
        "stage=sunset",
        "--until",
        "healthy",
        "--timeout",
        "2m",
    ];
    let waiting = waits(client, &arguments);
    act(client, "ramp", json!({"percent": 10})).await;
    act(client, "promote", json!({})).await;
    let output = waiting.await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let module: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(module["stage_effective"], "sunset", "what it has come to");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_runs_out_with_a_code_of_its_own_and_what_is_missing() {
    // A broker that is not there.
    let setup = Setup::new(&sqlite().await, "gw-1").target("mqtt://127.0.0.1:1");
    let gateway = InProcess::start(&setup).await;
    eventually("somebody numbers the module", START, async || {
        let module = gateway.client.module().await;
        (module["targets"] != json!([])).then_some(())
    })
    .await;
    let begun = Instant::now();
    let arguments = [
        "--until",
        "healthy",
        "--until",
        "stage=ramp",
        "--timeout",
        "2s",
    ];
    let output = waits(&gateway.client, &arguments).await.unwrap();
    assert_eq!(output.status.code(), Some(124), "{output:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert!(output.stdout.is_empty());
    let said = said(&output);
    let (told, missing) = said
        .split_once("error: not reached within 2.0 s:\n")
        .unwrap();
    assert!(
        missing.contains("  target local: not connected\n"),
        "{said}"
    );
    assert!(
        missing.contains("  asked for is mirror, not ramp\n"),
        "{said}"
    );
    assert_eq!(
        told.matches("waiting: ").count(),
        1,
        "no line for each look: {said}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_not_healthy_until_it_is_lifted() {
    let gateway = InProcess::start(&Setup::new(&sqlite().await, "gw-1")).await;
    let client = &gateway.client;
    act(client, "ramp", json!({"percent": 10})).await;
    let panic = |more: &[&'static str]| [&["panic", MODULE, "--reason", "a test"], more].concat();
    assert!(changeover(client, &panic(&[])).await.status.success());
    let arguments = ["--until", "healthy", "--timeout", "1s"];
    let output = waits(client, &arguments).await.unwrap();
    assert_eq!(output.status.code(), Some(124), "{output:?}");
    let missing = "in force is mirror (panic), asked for is ramp";
    assert!(said(&output).contains(missing), "{output:?}");
    let waiting = waits(client, &["--until", "healthy", "--timeout", "2m"]);
    assert!(
        changeover(client, &panic(&["--lift"]))
            .await
            .status
            .success()
    );
    assert_eq!(waiting.await.unwrap().status.code(), Some(0));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_restarts_is_waited_for_and_one_that_is_gone_is_told() {
    let port = free_port();
    let setup =
        Setup::new(&sqlite().await, "gw-1").set("server.private", format!("127.0.0.1:{port}"));
    let mut gateway = Program::start(&setup).await;
    gateway.terminate().await;
    let waiting = waits(
        &gateway.client,
        &["--until", "stage=ramp", "--timeout", "3m"],
    );
    // It has asked in vain before.
    let gone = waits(
        &gateway.client,
        &["--until", "stage=ramp", "--timeout", "1s"],
    );
    let gone = gone.await.unwrap();
    assert_eq!(gone.status.code(), Some(69), "{gone:?}");
    assert!(
        said(&gone).contains("is not known: nothing answers at"),
        "{gone:?}"
    );
    gateway.restart().await;
    act(&gateway.client, "ramp", json!({"percent": 10})).await;
    let output = waiting.await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        said(&output).contains("waiting: the gateway is away"),
        "{output:?}"
    );
    gateway.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_what_there_is_not() {
    let gateway = InProcess::start(&Setup::new(&sqlite().await, "gw-1")).await;
    let arguments = ["module", "get", "comission", "--until", "healthy"];
    let output = changeover(&gateway.client, &arguments).await;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(
        said(&output).contains("did you mean `commission`?"),
        "{output:?}"
    );
    for wrong in ["helthy", "stage=rampp", "gate=fail"] {
        let output = waits(&gateway.client, &["--until", wrong]).await.unwrap();
        assert_eq!(output.status.code(), Some(64), "{output:?}");
    }
    gateway.stop().await;
}
