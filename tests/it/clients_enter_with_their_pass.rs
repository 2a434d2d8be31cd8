//! The embedded broker with known callers: a client enters with its own pass under its own id, reads what the pass names, and no more.

use std::time::Duration;

use changeover::{
    config::{broker::Broker, mqtt::Protocol},
    identity::passes::Issued,
    mirror::mqtt::Grant,
};

use crate::support::{
    letting_in::{GATEWAY, LettingIn},
    passes::Entering,
};

const VERSIONS: [Protocol; 2] = [Protocol::V5, Protocol::V311];
const HOUR: Duration = Duration::from_hours(1);
const OWN: &str = "changeover/c/orders/u1";

async fn start(lifetime: Duration) -> LettingIn {
    LettingIn::start(&Broker::default(), lifetime).await
}

async fn gateway(broker: &LettingIn) -> Entering {
    let mut gateway = broker.open(Protocol::V5, GATEWAY, Some(&broker.gateway));
    assert_eq!(gateway.is_let_in().await, Some(false));
    gateway
}

#[tokio::test]
async fn it_reads_its_own_and_is_refused_the_rest() {
    let broker = start(HOUR).await;
    let gateway = gateway(&broker).await;
    for version in VERSIONS {
        let pass = broker.pass("u1", "one");
        let mut client = broker.open(version, "one", Some(&pass));
        assert!(client.is_let_in().await.is_some());
        let own = [OWN, "changeover/c/orders/_all", "changeover/m/orders"];
        assert_eq!(client.subscribe(&own).await, Some(Grant::AtLeastOnce));
        for other in [
            "changeover/c/orders/u2",
            "changeover/c/orders/u10",
            "changeover/c/orders/+",
            "changeover/c/orders/#",
            "changeover/c/other/u1",
            "changeover/m/+",
            "#",
            "+/+/+/+",
            "$SYS/#",
            "$share/g/changeover/c/orders/u2",
            "$share/g/changeover/c/orders/+",
            "$share/g/#",
        ] {
            let granted = client.subscribe(&[other]).await;
            assert_eq!(granted, Some(Grant::Refused), "{version:?} {other}");
        }
        let shared = "$share/g/changeover/c/orders/u1";
        assert_eq!(client.subscribe(&[shared]).await, Some(Grant::AtLeastOnce));
        // What it says reaches nobody, itself neither.
        client.publish(OWN, "forged");
        client.publish("elsewhere", "forged");
        gateway.publish("changeover/c/orders/u2", "another's");
        gateway.publish(OWN, "its own");
        let message = client.message().await;
        assert_eq!(message, (OWN.to_owned(), "its own".to_owned()));
        client.close().await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn nobody_else_enters_with_it() {
    let broker = start(HOUR).await;
    let gateway = gateway(&broker).await;
    for version in VERSIONS {
        let pass = broker.pass("u1", "one");
        let mut right = broker.open(version, "one", Some(&pass));
        assert!(right.is_let_in().await.is_some());
        assert_eq!(right.subscribe(&[OWN]).await, Some(Grant::AtLeastOnce));
        let changed = |password: &str| {
            let first = if password.starts_with('A') { "B" } else { "A" };
            format!("{first}{}", &password[1..])
        };
        let tampered = Issued {
            password: changed(&pass.password),
            ..pass.clone()
        };
        let crossed = Issued {
            username: broker.pass("u2", "one").username,
            ..pass.clone()
        };
        let empty = Issued {
            password: String::new(),
            ..pass.clone()
        };
        let gateways = Issued {
            username: broker.gateway.username.clone(),
            ..pass.clone()
        };
        for (client_id, with) in [
            ("two", Some(&pass)),
            ("one", Some(&tampered)),
            ("one", Some(&crossed)),
            ("one", Some(&empty)),
            ("one", Some(&gateways)),
            ("changeover-gw-1", Some(&pass)),
            ("one", None),
        ] {
            let mut other = broker.open(version, client_id, with);
            assert_eq!(other.is_let_in().await, None, "{version:?} {client_id}");
        }
        // None of them has thrown it out.
        gateway.publish(OWN, "still there");
        assert_eq!(right.message().await.1, "still there");
        right.close().await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn it_ends_with_its_pass_and_finds_its_session_with_the_next() {
    let broker = start(Duration::from_secs(3)).await;
    let gateway = gateway(&broker).await;
    for version in VERSIONS {
        let id = format!("one-{}", version.as_str().replace('.', ""));
        let pass = broker.pass("u1", &id);
        let mut client = broker.open(version, &id, Some(&pass));
        assert_eq!(client.is_let_in().await, Some(false));
        assert_eq!(client.subscribe(&[OWN]).await, Some(Grant::AtLeastOnce));
        client.ended().await;
        let mut late = broker.open(version, &id, Some(&pass));
        assert_eq!(late.is_let_in().await, None, "{version:?}: it has expired");
        gateway.publish(OWN, "while it was away");
        let mut again = broker.open(version, &id, Some(&broker.pass("u1", &id)));
        assert_eq!(again.is_let_in().await, Some(true), "{version:?}");
        assert_eq!(again.message().await.1, "while it was away");
        again.close().await;
    }
    broker.stop().await;
}
