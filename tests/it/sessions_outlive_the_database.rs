//! The database is killed and stays away: the keys that sign passwords, and the tokens of operators, are in memory. Sessions are answered,
//! their passwords let clients into the broker, old ones too, and nobody else gets in.

use std::time::{Duration, Instant};

use changeover::{config::mqtt::Protocol, identity::passes::Issued, mirror::mqtt::Grant};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    callers::{self, Credential},
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, InProcess, Setup},
    passes::Entering,
};

const SOON: Duration = Duration::from_mins(1);

/// The keys are read every five seconds, and the tokens more often: that fails several times meanwhile.
const AWAY: Duration = Duration::from_secs(20);

/// With what a session lets its client in.
struct Login {
    url: String,
    client_id: String,
    pass: Issued,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgresql_is_away() {
    if let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await {
        sessions_go_on(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_mariadb_is_away() {
    if let Some(database) = DatabaseUnderTest::private(Kind::MariaDb).await {
        sessions_go_on(database).await;
    }
}

async fn sessions_go_on(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a").add(&callers::auth());
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let before = session(client, "u1").await;
    enters(&before, "u1").await;

    tokio::task::block_in_place(|| database.kill());
    let killed = Instant::now();
    eventually("it knows that the database is away", SOON, async || {
        let answer = client.ready().await;
        answer.filter(|(_, body)| body["degraded"] == true)
    })
    .await;
    let mut sessions = 0;
    while killed.elapsed() < AWAY {
        // Somebody who was never here before, too.
        let account = format!("v{sessions}");
        enters(&session(client, &account).await, &account).await;
        enters(&before, "u1").await;
        is_refused(&before).await;
        operators_are_known(client).await;
        sessions += 1;
    }
    assert!(sessions > 3, "{sessions}");

    tokio::task::block_in_place(|| database.start());
    eventually("it goes on", SOON, async || {
        let answer = client.ready().await;
        answer.filter(|(_, body)| body["degraded"] == false)
    })
    .await;
    enters(&before, "u1").await;
    gateway.stop().await;
}

async fn session(client: &Client, account: &str) -> Login {
    let url = format!("{}/v1/session", client.public);
    let body = json!({"modules": ["commission"]});
    let request = Credential::until(account, 600).on(client.http.post(url).json(&body));
    let answer = client.send(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let session = answer.json();
    let text = |name: &str| {
        let told: &Value = &session["mqtt"][name];
        let told = told.as_str();
        told.unwrap_or_else(|| panic!("the session has no {name}: {session}"))
            .to_owned()
    };
    Login {
        url: text("url"),
        client_id: text("client_id"),
        pass: Issued {
            username: text("username"),
            password: text("password"),
        },
    }
}

/// It gets in and reads its own, and not another's.
async fn enters(login: &Login, account: &str) {
    let open = Entering::open(
        &login.url,
        Protocol::V5,
        &login.client_id,
        Some(&login.pass),
    );
    let mut link = open;
    assert!(link.is_let_in().await.is_some(), "{account} is not let in");
    let own = format!("changeover/c/commission/{account}");
    assert_eq!(link.subscribe(&[&own]).await, Some(Grant::AtLeastOnce));
    let other = "changeover/c/commission/u2";
    assert_eq!(link.subscribe(&[other]).await, Some(Grant::Refused));
    link.close().await;
}

/// Neither with another password nor as another client.
async fn is_refused(login: &Login) {
    let mut forged = login.pass.clone();
    forged.password.replace_range(20..21, "_");
    forged.password.replace_range(22..23, "-");
    for (who, client_id, pass) in [
        ("another client", "another", &login.pass),
        ("a forger", &login.client_id, &forged),
    ] {
        let mut link = Entering::open(&login.url, Protocol::V5, client_id, Some(pass));
        assert_eq!(link.is_let_in().await, None, "{who} is let in");
    }
}

async fn operators_are_known(client: &Client) {
    let known = client.get("/admin/v1/modules").await;
    assert_eq!(known.status, StatusCode::OK, "{known:?}");
    let url = format!("{}/admin/v1/modules", client.private);
    let unknown = client.http.0.get(url).bearer_auth("cot_nobodys");
    let unknown = client.send(unknown).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED, "{unknown:?}");
}
