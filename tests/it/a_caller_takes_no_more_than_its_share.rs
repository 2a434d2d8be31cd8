//! One caller with many clients leaves room for others at the embedded broker: its connections and its sessions are bounded, and what is
//! refused takes nothing.

use std::time::Duration;

use changeover::config::{broker::Broker, mqtt::Protocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    eventually,
    letting_in::{GATEWAY, LettingIn},
    passes::Entering,
    within,
};

const HOUR: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(20);
const VERSION: Protocol = Protocol::V5;

/// A client of an account tries to come in; it keeps its session.
async fn tries(broker: &LettingIn, account: &str, client_id: &str) -> Option<Entering> {
    let pass = broker.pass(account, client_id);
    let mut client = broker.open(VERSION, client_id, Some(&pass));
    client.is_let_in().await.is_some().then_some(client)
}

async fn is_in(broker: &LettingIn, account: &str, client_id: &str) -> Entering {
    let client = tries(broker, account, client_id).await;
    client.unwrap_or_else(|| panic!("{account} {client_id}"))
}

#[tokio::test]
async fn connections() {
    let bounds = Broker {
        max_connections: 4,
        max_connections_per_caller: 2,
        ..Broker::default()
    };
    let broker = LettingIn::start(&bounds, HOUR).await;
    let first = is_in(&broker, "u1", "one").await;
    let _second = is_in(&broker, "u1", "two").await;
    assert!(tries(&broker, "u1", "three").await.is_none());
    let _other = is_in(&broker, "u2", "four").await;
    // Who comes again takes its own place over.
    let again = is_in(&broker, "u1", "one").await;
    drop(first);
    again.close().await;
    // A place that was left is free.
    let _third = eventually("a place", PATIENCE, async || {
        tries(&broker, "u1", "three").await
    })
    .await;
    // All together have as many as they may; the gateway is none of them.
    let _fifth = is_in(&broker, "u2", "five").await;
    assert!(tries(&broker, "u3", "six").await.is_none());
    let mut gateway = broker.open(VERSION, GATEWAY, Some(&broker.gateway));
    assert!(gateway.is_let_in().await.is_some());
    broker.stop().await;
}

#[tokio::test]
async fn kept_sessions() {
    let bounds = Broker {
        max_sessions_per_caller: 2,
        ..Broker::default()
    };
    let broker = LettingIn::start(&bounds, HOUR).await;
    for client_id in ["one", "two"] {
        is_in(&broker, "u1", client_id).await.close().await;
    }
    assert!(tries(&broker, "u1", "three").await.is_none());
    is_in(&broker, "u2", "four").await.close().await;
    for client_id in ["one", "two"] {
        is_in(&broker, "u1", client_id).await.close().await;
    }
    assert!(tries(&broker, "u1", "three").await.is_none());
    broker.stop().await;
}

/// CONNECT of MQTT 3.1.1 with a last will of QoS 2, which the broker does not take, but only after the gate has.
fn connect(client_id: &str, username: &str, password: &str) -> Vec<u8> {
    let mut rest = b"\0\x04MQTT\x04\xd6\0\x0a".to_vec();
    for text in [client_id, "will", "done", username, password] {
        rest.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        rest.extend(text.as_bytes());
    }
    let mut packet = vec![0x10];
    let mut length = rest.len();
    while length >= 128 {
        packet.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    packet.push(u8::try_from(length).unwrap());
    packet.extend(rest);
    packet
}

#[tokio::test]
async fn what_is_refused_behind_the_gate_takes_nothing() {
    let bounds = Broker {
        max_connections: 3,
        max_connections_per_caller: 2,
        ..Broker::default()
    };
    let broker = LettingIn::start(&bounds, HOUR).await;
    for n in 0..10 {
        let client_id = format!("refused-{n}");
        let pass = broker.pass("u1", &client_id);
        let mut stream = TcpStream::connect(broker.addresses.mqtt).await.unwrap();
        let packet = connect(&client_id, &pass.username, &pass.password);
        stream.write_all(&packet).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        within("it is closed", PATIENCE, read).await.unwrap();
        assert!(answer.get(3).is_none_or(|code| *code != 0), "{answer:?}");
    }
    let mut inside = Vec::new();
    for client_id in ["one", "two"] {
        // The last one that was refused may still be on its way out.
        let what = format!("a place for {client_id}, as those who were refused have none");
        let client = eventually(&what, PATIENCE, async || {
            tries(&broker, "u1", client_id).await
        });
        inside.push(client.await);
    }
    broker.stop().await;
}
