//! Whoever may read the gateway's files may do everything: the first token is in one, made or provisioned, and there is never a second one.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use http::StatusCode;
use serde_json::Value;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually, folder,
    gateway::{Client, Program, Setup},
    token,
};

crate::on_each_database!(
    it_is_made_once_and_never_again,
    a_provisioned_one_is_taken_and_a_revoked_one_is_not,
);

/// A gateway whose file is at `place`, which may not be there.
fn setup(database: &DatabaseUnderTest, instance: &str, place: &Path) -> Setup {
    Setup::new(database, instance)
        .among_others()
        .set("auth.admin_token_file", place.display())
}

fn place() -> PathBuf {
    folder::fresh("first-token").join("kept/admin.token")
}

async fn status(client: &Client, token: &str) -> StatusCode {
    let request = client
        .http
        .0
        .get(format!("{}/admin/v1/tokens", client.private));
    client.send(request.bearer_auth(token.trim())).await.status
}

async fn tokens(client: &Client, token: &str) -> Vec<Value> {
    let request = client
        .http
        .0
        .get(format!("{}/admin/v1/tokens", client.private));
    let answer = client.send(request.bearer_auth(token.trim())).await.json();
    answer["tokens"].as_array().unwrap().clone()
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_changeover"));
    command.args(arguments).current_dir("/");
    command.output().unwrap()
}

async fn it_is_made_once_and_never_again(database: DatabaseUnderTest) {
    let file = place();
    let mut one = Program::start(&setup(&database, "gw-1", &file)).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let told = "the admin token of this database is in auth.admin_token_file";
    assert_eq!(one.said(told).unwrap()["path"], file.display().to_string());
    let text = fs::read_to_string(&file).unwrap();
    assert!(!one.log().contains(text.trim()));
    assert_eq!(status(&one.client, &text).await, StatusCode::OK);
    assert_eq!(
        status(&one.client, token::admin()).await,
        StatusCode::UNAUTHORIZED
    );

    // A replica elsewhere has no file, and needs none: the same token is good there.
    let other_place = place();
    let mut two = Program::start(&setup(&database, "gw-2", &other_place)).await;
    let told =
        "auth.admin_token_file is not there, and a token with the role admin was made before";
    let said = |program: &Program| program.log().contains(told);
    assert!(said(&two), "{}", two.log());
    assert!(!other_place.exists());
    assert_eq!(status(&two.client, &text).await, StatusCode::OK);
    two.terminate().await;

    // Restarts make none, with the file or without.
    one.terminate().await;
    one.restart().await;
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    one.terminate().await;
    fs::remove_file(&file).unwrap();
    one.restart().await;
    assert!(said(&one) && !file.exists(), "{}", one.log());
    let all = tokens(&one.client, &text).await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (&all[0]["name"], &all[0]["created_by"]),
        (&"admin".into(), &"gw-1".into())
    );

    // The command line says where it has looked.
    let url = &one.client.private;
    let set = format!("auth.admin_token_file={}", file.display());
    let output = run(&["module", "list", "--url", url, "--set", &set]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "no token was sent, {} (auth.admin_token_file): there is no such file",
        file.display()
    );
    assert!(said.contains(&expected), "{said}");
    fs::write(&file, &text).unwrap();
    let output = run(&["module", "list", "--url", url, "--set", &set]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    one.terminate().await;
}

async fn a_provisioned_one_is_taken_and_a_revoked_one_is_not(database: DatabaseUnderTest) {
    let generated = || String::from_utf8(run(&["token", "generate"]).stdout).unwrap();
    let (first, second) = (generated(), generated());
    assert_ne!(first, second);
    let file = folder::fresh("provisioned").join("admin.token");
    fs::write(&file, &first).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    let mut gateway = Program::start(&setup(&database, "gw-1", &file)).await;
    let warned = "auth.admin_token_file can be read by others than its owner: chmod 600";
    assert_eq!(gateway.said(warned).unwrap()["mode"], "640");
    assert_eq!(status(&gateway.client, &first).await, StatusCode::OK);

    // Another one beside it: then the first may go, and does not come back.
    gateway.terminate().await;
    fs::write(&file, &second).unwrap();
    gateway.restart().await;
    assert_eq!(status(&gateway.client, &second).await, StatusCode::OK);
    let id = first.split('_').nth(1).unwrap();
    let (url, set) = (
        &gateway.client.private,
        format!("auth.admin_token_file={}", file.display()),
    );
    let revoke = [
        "token", "revoke", id, "--reason", "a test", "--url", url, "--set", &set,
    ];
    let output = run(&revoke);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        status(&gateway.client, &first).await,
        StatusCode::UNAUTHORIZED
    );
    gateway.terminate().await;
    fs::write(&file, &first).unwrap();
    gateway.restart().await;
    assert_eq!(
        status(&gateway.client, &first).await,
        StatusCode::UNAUTHORIZED
    );
    assert!(
        gateway
            .log()
            .contains("the token in auth.admin_token_file was revoked"),
        "{}",
        gateway.log()
    );
    assert_eq!(status(&gateway.client, &second).await, StatusCode::OK);

    // What is no token lets nobody in, is not shown, and keeps no client from being served.
    gateway.terminate().await;
    fs::write(&file, "hunter2-hunter2").unwrap();
    gateway.restart().await;
    assert!(
        gateway.log().contains("auth.admin_token_file is of no use"),
        "{}",
        gateway.log()
    );
    assert!(!gateway.log().contains("hunter2"), "{}", gateway.log());
    assert_eq!(status(&gateway.client, &second).await, StatusCode::OK);
    gateway.terminate().await;

    // Neither does a folder in its place, which the check of the configuration tells beforehand.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    gateway.restart().await;
    let told = "auth.admin_token_file is of no use: it cannot be read: ";
    assert_eq!(gateway.log().matches(told).count(), 1, "{}", gateway.log());
    let helps = "clients are served all the same: put a token there";
    assert!(gateway.log().contains(helps), "{}", gateway.log());
    assert_eq!(status(&gateway.client, &second).await, StatusCode::OK);
    let polled = gateway.client.try_poll("since=0").await.unwrap();
    assert_eq!(polled.status, StatusCode::OK, "{polled:?}");
    let config = setup(&database, "gw-1", &file).write();
    let output = run(&["check", "--config", config.to_str().unwrap(), "--set", &set]);
    let said = String::from_utf8(output.stdout).unwrap();
    let warned = "warning: auth.admin_token_file: it cannot be read: ";
    assert!(output.status.success() && said.contains(warned), "{said}");
    gateway.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_nowhere_that_nobody_has_named() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let file = place();
    let setup = setup(&database, "gw-1", &file).set("server.private_hosts", "[\"0.0.0.0\"]");
    let mut gateway = Program::start(&setup).await;
    let list = |url: &str, more: &[&str]| {
        let set = format!("auth.admin_token_file={}", file.display());
        let output = run(&[&["module", "list", "--url", url, "--set", &set], more].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let near = &gateway.client.private;
    assert_eq!(list(near, &[]).0, Some(0));
    // As far as anybody can tell, this is another machine.
    let far = near.replace("127.0.0.1", "0.0.0.0");
    let (code, said) = list(&far, &[]);
    assert_eq!(code, Some(2), "{said}");
    let why = "the one of auth.admin_token_file does not go to 0.0.0.0 over plain HTTP";
    assert!(said.contains(why), "{said}");
    let named = ["--token-file", file.to_str().unwrap()];
    assert_eq!(list(&far, &named).0, Some(0));
    // There is one header for both.
    let (code, said) = list(&near.replace("://", "://me:hush@"), &[]);
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("give the token by --token-file") && !said.contains("hush"),
        "{said}"
    );
    gateway.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_only_admin_that_expires_is_warned_of() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let file = place();
    let mut gateway = Program::start(&setup(&database, "gw-1", &file)).await;
    let first = fs::read_to_string(&file).unwrap().trim().to_owned();
    let (url, set) = (
        gateway.client.private.clone(),
        format!("auth.admin_token_file={}", file.display()),
    );
    let act = |arguments: &[&str]| {
        let around = ["--reason", "a test", "--url", &url, "--set", &set];
        let output = run(&[&["token"], arguments, &around].concat());
        assert!(output.status.success(), "{output:?}");
    };
    let told = "each token with the role admin expires";
    act(&[
        "create",
        "--role",
        "admin",
        "--name",
        "short",
        "--expires",
        "1h",
    ]);
    assert!(!gateway.log().contains(told), "the first does not expire");
    act(&["revoke", first.split('_').nth(1).unwrap()]);
    eventually("it is warned of", Duration::from_secs(30), async || {
        gateway.log().contains(told).then_some(())
    })
    .await;
    gateway.terminate().await;
}
