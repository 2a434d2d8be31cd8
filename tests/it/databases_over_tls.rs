//! The link to the database over TLS: the server is known by its certificate, of the operator's own CA, for the host
//! of the URL; one that is not is not used.

use std::{fs, os::unix::fs::PermissionsExt};

use nix::unistd::chown;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection, Row};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually, folder,
    gateway::{InProcess, START, Setup},
    links::HERE,
    mariadb,
    pki::{Authority, Issued},
    process::unprivileged,
    servers_are_skipped,
};

/// A folder that the server's user can read, with `server.pem`, `server.key`, `ca.pem` and `other.pem`.
fn files(user: &str, authority: &Authority, server: &Issued) -> std::path::PathBuf {
    let folder = folder::fresh("certificates");
    let (_, user) = unprivileged(user);
    let other = Authority::new("another");
    for (name, content) in [
        ("server.pem", &server.certificate),
        ("server.key", &server.key),
        ("ca.pem", &authority.certificate()),
        ("other.pem", &other.certificate()),
    ] {
        let file = folder.join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some(user) = &user {
            chown(&file, Some(user.uid), Some(user.gid)).unwrap();
        }
    }
    folder
}

/// A gateway on this database takes a change and answers a poll with it.
async fn serves(setup: &Setup) -> InProcess {
    let gateway = InProcess::start(setup).await;
    gateway
        .client
        .ingest(&json!({"key": "a", "value": 1}))
        .await;
    let items = gateway.client.items(0, 1, START).await;
    assert_eq!(items[0]["key"], "a", "{items:?}");
    gateway
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await else {
        return;
    };
    let authority = Authority::new("ours");
    let folder = files("postgres", &authority, &authority.server(&HERE[1..]));
    let mut admin = PgConnection::connect(&database.config.url).await.unwrap();
    for (key, value) in [
        (
            "ssl_cert_file",
            folder.join("server.pem").display().to_string(),
        ),
        (
            "ssl_key_file",
            folder.join("server.key").display().to_string(),
        ),
        ("ssl", "on".to_owned()),
    ] {
        let set = format!("ALTER SYSTEM SET {key} = '{value}'");
        admin.execute(AssertSqlSafe(set)).await.unwrap();
    }
    admin.execute("SELECT pg_reload_conf()").await.unwrap();
    let url = |host: &str, mode: &str, ca: &str| {
        let base = database.config.url.replace("127.0.0.1", host);
        format!(
            "{base}?sslmode={mode}&sslrootcert={}",
            folder.join(ca).display()
        )
    };
    let on = |url: String| Setup::new(&database, "gw-1").set("database.url", url);

    eventually("the server speaks TLS", START, async || {
        PgConnection::connect(&url("127.0.0.1", "require", "ca.pem"))
            .await
            .ok()
    })
    .await;
    let gateway = serves(&on(url("127.0.0.1", "verify-full", "ca.pem"))).await;
    let row = admin
        .fetch_one("SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'changeover'")
        .await
        .unwrap();
    let (encrypted, plain): (i64, i64) = (row.get(0), row.get(1));
    assert!(
        encrypted > 1 && plain == 0,
        "{encrypted} over TLS, {plain} not"
    );
    gateway.stop().await;

    let why = InProcess::refused(&on(url("127.0.0.1", "verify-full", "other.pem"))).await;
    assert!(why.contains("UnknownIssuer"), "{why}");
    // The certificate is for the address only.
    let why = InProcess::refused(&on(url("localhost", "verify-full", "ca.pem"))).await;
    assert!(why.contains("not valid for name"), "{why}");
    serves(&on(url("localhost", "verify-ca", "ca.pem")))
        .await
        .stop()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb() {
    if servers_are_skipped() {
        return;
    }
    let authority = Authority::new("ours");
    let folder = files("mysql", &authority, &authority.server(&HERE[1..]));
    let option = |option: &str, file: &str| format!("--{option}={}", folder.join(file).display());
    let options = [
        option("ssl-cert", "server.pem"),
        option("ssl-key", "server.key"),
        option("ssl-ca", "ca.pem"),
    ];
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let server = tokio::task::block_in_place(|| mariadb::Server::new(&options));
    let mut admin = MySqlConnection::connect(&server.url("mysql"))
        .await
        .unwrap();
    for sql in [
        "CREATE DATABASE gateway",
        "CREATE USER 'gateway'@'127.0.0.1' IDENTIFIED BY 's3cret' REQUIRE SSL",
        "GRANT ALL ON gateway.* TO 'gateway'@'127.0.0.1'",
    ] {
        admin.execute(sql).await.unwrap();
    }
    let base = server.url("gateway").replace("root@", "gateway:s3cret@");
    let url = |host: &str, mode: &str, ca: &str| {
        let base = base.replace("127.0.0.1", host);
        format!(
            "{base}?ssl-mode={mode}&ssl-ca={}",
            folder.join(ca).display()
        )
    };
    let unused = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let on = |url: String| Setup::new(&unused, "gw-1").set("database.url", url);

    serves(&on(url("127.0.0.1", "VERIFY_IDENTITY", "ca.pem")))
        .await
        .stop()
        .await;
    let why = InProcess::refused(&on(url("127.0.0.1", "VERIFY_IDENTITY", "other.pem"))).await;
    assert!(why.contains("UnknownIssuer"), "{why}");
    let why = InProcess::refused(&on(url("localhost", "VERIFY_IDENTITY", "ca.pem"))).await;
    assert!(why.contains("not valid for name"), "{why}");
    let why = InProcess::refused(&on(url("127.0.0.1", "DISABLED", "ca.pem"))).await;
    assert!(why.contains("Access denied"), "{why}");
}
