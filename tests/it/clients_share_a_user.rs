//! `credentials = "static"`: sessions tell the configured user, with the password as its file holds it now.

use std::{fs, time::Duration};

use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually, folder,
    gateway::{InProcess, Setup},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_the_file_holds_it_now() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let file = folder::fresh("shared").join("password");
    fs::write(&file, "first\n").unwrap();
    let target = format!(
        "\n[[mqtt.targets]]\nname = \"away\"\nurl = \"mqtt://127.0.0.1:1\"\ncredentials = \"static\"\n\
         client_username = \"terminals\"\nclient_password_file = \"{}\"\n",
        file.display()
    );
    let setup = Setup::new(&database, "gw-1")
        .add(&target)
        .set("guard.enabled", false);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let told = async || {
        let asked = client.http.post(format!("{}/v1/session", client.public));
        let body = json!({"client_id": "t1"});
        let told = client.send(asked.json(&body)).await.json();
        let text = |name: &str| told["mqtt"][name].as_str().unwrap().to_owned();
        (text("username"), text("password"))
    };
    assert_eq!(told().await, ("terminals".to_owned(), "first".to_owned()));
    fs::write(&file, "second\n").unwrap();
    eventually("the new one", Duration::from_secs(30), async || {
        (told().await.1 == "second").then_some(())
    })
    .await;
    gateway.stop().await;
}
