//! `panic.file` is for the moment in which nothing else can be reached, so a folder that is not there is told before that: by `check` and at
//! the start, which goes on. The folder may come later.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually, folder,
    gateway::{Program, Setup},
};

const SOON: Duration = Duration::from_mins(1);

async fn setup(file: &Path) -> Setup {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let toml = format!("\n[panic]\nfile = \"{}\"\n", file.display());
    Setup::new(&database, "gw-1").add(&toml)
}

async fn check(file: &Path) -> String {
    let config = setup(file).await.write();
    let output = Command::new(env!("CARGO_BIN_EXE_changeover"))
        .args(["check", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn check_looks_for_its_folder() {
    let there = folder::fresh("panic");
    let said = check(&there.join("panic")).await;
    assert!(!said.contains("panic.file"), "{said}");
    let gone = there.join("gone");
    let said = check(&gone.join("panic")).await;
    let missing = format!(
        "warning: panic.file: the folder {} does not exist, so the file cannot be made: make the folder\n",
        gone.display()
    );
    assert!(said.contains(&missing), "{said}");
    let file = there.join("file");
    fs::write(&file, "").unwrap();
    let said = check(&file.join("panic")).await;
    assert!(
        said.contains("is no folder, so the file cannot be made"),
        "{said}"
    );
}

#[tokio::test]
async fn a_folder_that_comes_later_is_good_enough() {
    let folder = folder::fresh("panic").join("later");
    let file = folder.join("panic");
    let gateway = Program::start(&setup(&file).await).await;
    let warned = format!(
        "panic.file: the folder {} does not exist, so the file cannot be made: make the folder; the gateway looks for it all the same",
        folder.display()
    );
    assert!(gateway.said(&warned).is_some(), "{}", gateway.log());
    fs::create_dir(&folder).unwrap();
    eventually("the folder is seen", SOON, async || {
        gateway.said("panic.file: its folder is there, the file can be made")
    })
    .await;
    fs::write(&file, "").unwrap();
    eventually("the panic is in force", SOON, async || {
        let panics = gateway.client.get("/admin/v1/panic").await.json();
        (panics["panics"][0]["by"] == "file").then_some(())
    })
    .await;
    fs::remove_dir_all(&folder).unwrap();
    eventually("nothing holds it", SOON, async || {
        let panics = gateway.client.get("/admin/v1/panic").await.json();
        panics["panics"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    let told = gateway.log().matches(&warned).count();
    assert!(
        (1..=2).contains(&told),
        "once each time that it goes: {told}"
    );
}
