//! `changeover compact` without a module: what another replica holds is told at the end, and keeps no
//! other module from being pruned.

use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{InProcess, START, Setup, changeover},
};

const ONE: &str = "[[modules]]\nname = \"alpha\"\n";
const BOTH: &str = "[[modules]]\nname = \"alpha\"\n[[modules]]\nname = \"beta\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_replica_holds_is_told_at_the_end() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let one = InProcess::start(&Setup::new(&database, "gw-1").modules(ONE).among_others()).await;
    held_by(&one, "alpha", "gw-1").await;
    let other = InProcess::start(&Setup::new(&database, "gw-2").modules(BOTH).among_others()).await;
    held_by(&other, "beta", "gw-2").await;

    let partly = changeover(&other.client, &["compact", "--reason", "test"]).await;
    assert_eq!(partly.status.code(), Some(1), "{partly:?}");
    let said = String::from_utf8(partly.stderr).unwrap();
    let [head, alpha] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("{said}");
    };
    assert_eq!(head, "error: 1 of 2 modules were not done:");
    assert!(alpha.starts_with("module alpha: "), "{said}");
    assert!(alpha.contains("it is held by gw-1"), "{said}");
    let done: Value = serde_json::from_slice(&partly.stdout).unwrap();
    let modules = done["modules"].as_array().unwrap();
    assert_eq!(modules.len(), 1, "{done}");
    assert_eq!(modules[0]["module"], json!("beta"));

    let mine = changeover(&one.client, &["compact", "--reason", "test"]).await;
    assert!(mine.status.success(), "{mine:?}");
    other.stop().await;
    one.stop().await;
}

async fn held_by(gateway: &InProcess, module: &str, holder: &str) {
    eventually("the module is held", START, async || {
        let path = format!("/admin/v1/modules/{module}");
        let module = gateway.client.get(&path).await.json();
        (module["lease_holder"] == holder).then_some(())
    })
    .await;
}
