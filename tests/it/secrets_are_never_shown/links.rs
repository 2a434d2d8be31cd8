//! What the gateway enters its database and its brokers with.

use serde_json::json;

use super::{IN_ENV, hold_none, told};
use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::Program,
    links::{Files, HERE, passwords, target, tls_broker_with_files},
    mosquitto::Mosquitto,
    pki::Authority,
    targets::{acknowledged, begun, setup, until},
};

/// A database whose URL has a password, which its server does not ask for.
async fn with_password(password: &str) -> Option<DatabaseUnderTest> {
    let mut database = DatabaseUnderTest::fresh(Kind::Postgres).await?;
    let url = database.config.url;
    database.config.url = url.replace("changeover@", &format!("changeover:{password}@"));
    assert!(database.config.url.contains(password));
    Some(database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_they_stand() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let own = ours.client("gateway");
    let key = own.key.lines().nth(1).unwrap().to_owned();
    let secrets = [
        "planted-in-database-url",
        "planted-in-url",
        "planted-in-file",
        "planted-in-env",
        "planted-too-late",
        &key,
    ];
    let guarded = |user: &str, password: &str| {
        let lines = "allow_anonymous false\npassword_file {dir}/passwords\n";
        Mosquitto::start_with_files(lines, &[("passwords", &passwords(user, password))])
    };
    let (by_url, by_env) = (guarded("u", "planted-in-url"), guarded("u", IN_ENV));
    let server = ours.server(&HERE);
    let lines = "require_certificate true\nallow_anonymous false\npassword_file {dir}/passwords\n";
    let allowed = passwords("u", "planted-in-file");
    let mut by_file = tls_broker_with_files(&ours, &server, lines, &[("passwords", &allowed)]);
    let password = files.write("password", "planted-in-file\n");
    let keys = format!(
        "username = \"u\"\npassword_file = \"{}\"\n{}{}",
        password.display(),
        files.ca("ca", &ours),
        files.client("own", &own)
    );
    let Some(database) = with_password("planted-in-database-url").await else {
        return;
    };
    let setup = setup(&database, "gw-1")
        .add(&target(
            "url",
            &format!("mqtt://u:planted-in-url@127.0.0.1:{}", by_url.port()),
            "",
        ))
        .add(&target(
            "env",
            &by_env.url(),
            "username = \"u\"\npassword_env = \"PLANTED\"\n",
        ))
        .add(&target(
            "file",
            &format!("mqtts://localhost:{}", by_file.port()),
            &keys,
        ))
        .set("log.filter", "trace")
        .through(&["env", &format!("PLANTED={IN_ENV}")]);
    let program = Program::start(&setup).await;
    let client = &program.client;
    for name in ["url", "env", "file"] {
        begun(client, name).await;
    }
    client.ingest(&json!({"key": "a", "value": 1})).await;
    for name in ["url", "env", "file"] {
        acknowledged(client, name, 1).await;
    }
    let config = setup.write();
    let mut shown = told(client, &config).await;
    for page in ["/openapi.json", "/asyncapi.json"] {
        let url = format!("{}{page}", client.public);
        let answer = client.send(client.http.get(url)).await;
        shown.push((format!("public {page}"), answer.text));
    }

    // And when they are wrong: no password of the broker, and a key that is no PEM.
    let stay_out = async |name: &str, content: &str, wanted: &str| {
        files.write(name, content);
        until(client, "file", wanted, |target| {
            target["trouble"]
                .as_str()
                .is_some_and(|why| why.contains(wanted))
        })
        .await;
    };
    files.write("password", "planted-too-late");
    by_file.kill();
    by_file.restart();
    stay_out("password", "planted-too-late", "refused").await;
    stay_out("own.key", &own.key[30..], "client_key_file: ").await;
    shown.extend(told(client, &config).await);
    stay_out(
        "own.key",
        &own.key.replace("-----END", "END"),
        "client_key_file: ",
    )
    .await;
    shown.extend(told(client, &config).await);
    shown.push(("the log".to_owned(), program.log()));

    hold_none(&shown, &secrets);
    // What may be shown is: else the search would find nothing for a wrong reason.
    let config = &shown.iter().find(|(place, _)| place == "config").unwrap().1;
    assert!(config.contains("u:***@"), "{config}");
    assert!(config.contains("changeover:***@"), "{config}");
    assert!(config.contains("password_env = \"PLANTED\""), "{config}");
}
