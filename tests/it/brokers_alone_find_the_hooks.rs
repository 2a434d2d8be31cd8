//! The door before the hooks: without the secret, or from elsewhere, there is nothing; and behind it nobody's answer waits for another's guesses.

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{Answer, Client, InProcess, Setup},
    hooks::{Asked, SECRET},
};

async fn knock(client: &Client, secret: &str) -> Answer {
    let path = format!("{}/broker/{secret}/emqx/authenticate", client.private);
    client.send(client.http.post(path).body("{}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_secret_or_from_elsewhere_there_is_nothing() {
    let asked = Asked::start("deny").await;
    let nothing = asked.client().get("/no/such/path").await;
    let wrong = [
        "x",
        "hooks-secret-012345678",
        "hooks-secret-0123456789x",
        "HOOKS-SECRET-0123456789",
        "%00",
    ];
    for secret in wrong {
        let answer = knock(asked.client(), secret).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{secret}");
        assert_eq!(answer.text, nothing.text, "{secret}");
    }
    let client = asked.client();
    let other_method = client.get("/broker/x/emqx/authenticate").await;
    assert_eq!(other_method.status, StatusCode::NOT_FOUND);
    asked.gateway.stop().await;

    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1")
        .add("\n[[mqtt.targets]]\nname = \"away\"\nurl = \"mqtt://127.0.0.1:1\"\nprofile = \"emqx\"\n")
        .set("broker_hooks.secret", SECRET)
        .set("guard.enabled", false)
        .set("broker_hooks.from", "[\"10.0.0.0/8\"]");
    let gateway = InProcess::start(&setup).await;
    let answer = knock(&gateway.client, SECRET).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    gateway.stop().await;

    let setup = Setup::new(&database, "gw-1");
    let gateway = InProcess::start(&setup).await;
    let answer = knock(&gateway.client, "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_ones_are_answered_at_once_and_right_ones_among_them() {
    const TRIES: u32 = 60;
    let asked = Asked::start("deny").await;
    let (user, pass, id) = (&asked.username, &asked.password, &asked.client_id);
    let login = |password: &str| json!({"username": user, "password": password, "clientid": id, "peerhost": "10.0.0.7", "client_id": id, "peer_addr": "10.0.0.7"});
    let begun = std::time::Instant::now();
    for _ in 0..TRIES {
        let wrong = asked.emqx("authenticate", &login("wrong")).await;
        assert_eq!(wrong["result"], "deny");
        let wrong = asked.vernemq("auth_on_register", &login("wrong")).await;
        assert_eq!(wrong["result"]["error"], "not_allowed");
        let fields = [
            ("username", &**user),
            ("password", "wrong"),
            ("client_id", id),
        ];
        assert_eq!(asked.rabbitmq("user", &fields).await, "deny");
        let right = asked.emqx("authenticate", &login(pass)).await;
        assert_eq!(right["result"], "allow");
    }
    // A tenth of what they would take if each wrong one waited a quarter of a second.
    let at_most = std::time::Duration::from_millis(25) * 4 * TRIES;
    assert!(begun.elapsed() < at_most, "{:?}", begun.elapsed());
    asked.gateway.stop().await;
}
