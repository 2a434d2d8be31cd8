//! RabbitMQ with `rabbitmq_auth_backend_http`: it asks the gateway who may do what, the gateway itself is let in by its own answers, and
//! a terminal enters with what its session said, reads its own channel and no other.

use changeover::{config::mqtt::Protocol, identity::passes::Issued, mirror::mqtt::Grant};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, InProcess, START, Setup},
    lasting_port,
    passes::Entering,
    rabbitmq::RabbitMq,
    servers_are_skipped,
};

const SECRET: &str = "hooks-secret-0123456789";

async fn session(client: &Client, client_id: &str, audience: &str) -> Value {
    let body = json!({"client_id": client_id, "audience": audience});
    let asked = client.http.post(format!("{}/v1/session", client.public));
    client.send(asked.json(&body)).await.json()
}

fn credentials(session: &Value) -> (String, Issued) {
    let text = |name: &str| session["mqtt"][name].as_str().unwrap().to_owned();
    let issued = Issued {
        username: text("username"),
        password: text("password"),
    };
    (text("client_id"), issued)
}

fn change(audience: &str, value: &str) -> Value {
    json!({"key": "k", "audience": audience, "value": value})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_reads_its_own_channel_and_no_other() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let port = lasting_port();
    let target = format!(
        "\n[[mqtt.targets]]\nname = \"rabbit\"\nurl = \"mqtt://gateway:s3cret@127.0.0.1:{port}\"\n\
         protocol = \"3.1.1\"\nprofile = \"rabbitmq\"\n"
    );
    let setup = Setup::new(&database, "gw-1")
        .add(&target)
        .set("broker_hooks.secret", SECRET)
        .set("guard.enabled", false);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let hooks = format!("{}/broker/{SECRET}/rabbitmq", client.private);
    let _broker = block_in_place(|| RabbitMq::asking(port, &hooks));
    let url = format!("mqtt://127.0.0.1:{port}");

    // The mirror and the verifier get in by the gateway's own answers.
    eventually("the gateway is let in, and listens", START, async || {
        let module = client.module().await;
        let target = &module["targets"][0];
        let listens = target["verified"]["listening"] == true;
        (target["connected"] == true && listens).then_some(())
    })
    .await;

    let told = session(client, "t1", "u1").await;
    let (client_id, pass) = credentials(&told);
    let topics = told["modules"]["commission"]["topics"].as_array().unwrap();
    let topics: Vec<_> = topics.iter().map(|topic| topic.as_str().unwrap()).collect();
    assert!(topics.contains(&"changeover/c/commission/u1"), "{topics:?}");
    let open = |client_id: &str, with: &Issued| {
        Entering::open(&url, Protocol::V311, client_id, Some(with))
    };
    let mut terminal = open(&client_id, &pass);
    assert!(terminal.is_let_in().await.is_some());
    assert_eq!(terminal.subscribe(&topics).await, Some(Grant::AtLeastOnce));

    // Another's channel, in all the ways in which one could ask for it.
    for other in [
        "changeover/c/commission/u2",
        "changeover/c/commission/+",
        "changeover/c/#",
        "#",
    ] {
        let id = format!("{client_id}x");
        let mut wrong_id = open(&id, &pass);
        assert_eq!(wrong_id.is_let_in().await, None);
        let (id, with) = credentials(&session(client, "t2", "u1").await);
        let mut prying = open(&id, &with);
        assert!(prying.is_let_in().await.is_some());
        let granted = prying.subscribe(&[other]).await;
        assert!(
            matches!(granted, None | Some(Grant::Refused)),
            "{other}: {granted:?}"
        );
    }
    let wrong = Issued {
        password: pass.password.to_lowercase(),
        ..pass.clone()
    };
    assert_eq!(open(&client_id, &wrong).is_let_in().await, None);
    let nobody = Issued {
        username: "guest".to_owned(),
        password: "guest".to_owned(),
    };
    assert_eq!(open("guest", &nobody).is_let_in().await, None);
    let posing = Issued {
        username: "gateway".to_owned(),
        password: "guess".to_owned(),
    };
    assert_eq!(open("changeover-x", &posing).is_let_in().await, None);

    // A terminal that publishes is thrown out, and nothing comes of it.
    let (id, with) = credentials(&session(client, "t3", "u1").await);
    let mut forger = open(&id, &with);
    assert!(forger.is_let_in().await.is_some());
    forger.publish("changeover/c/commission/u1", "forged");
    forger.ended().await;

    client.ingest(&change("u2", "another's")).await;
    client.ingest(&change("u1", "its own")).await;
    let (topic, payload) = loop {
        let message = terminal.message().await;
        // The retained message of the module comes first.
        if message.0.contains("/c/") {
            break message;
        }
    };
    assert_eq!(topic, "changeover/c/commission/u1");
    assert!(payload.contains("its own"), "{payload}");
    terminal.close().await;
    gateway.stop().await;
}
