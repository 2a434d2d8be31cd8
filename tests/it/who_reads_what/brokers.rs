//! The channels of a broker: the embedded one, and RabbitMQ, which asks the hooks.

use changeover::{config::mqtt::Protocol, mirror::mqtt::Grant};
use tokio::task::block_in_place;

use super::{
    CALLERS, KINDS, Seen,
    passes::{SECRET, Shown, gateway},
};
use crate::support::{
    eventually, free_port, gateway::START, lasting_port, passes::Entering, rabbitmq::RabbitMq,
    servers_are_skipped,
};

/// What is subscribed to (nothing = only entered), below the prefix unless it is shared, and what each of [`CALLERS`] is told.
pub const CHANNELS: [(&str, [&str; KINDS]); 13] = [
    ("", ["out", "out", "out", "out", "in", "in", "in"]),
    (
        "c/commission/u1",
        ["out", "out", "out", "out", "refused", "refused", "granted"],
    ),
    (
        "c/commission/_all",
        ["out", "out", "out", "out", "granted", "refused", "granted"],
    ),
    (
        "m/commission",
        ["out", "out", "out", "out", "granted", "refused", "granted"],
    ),
    (
        "c/stock/u1",
        ["out", "out", "out", "out", "refused", "granted", "refused"],
    ),
    ("c/commission/+", NOBODY),
    ("c/commission/#", NOBODY),
    ("c/commission/u10", NOBODY),
    ("c/nothing/u1", NOBODY),
    ("m/+", NOBODY),
    // A shared subscription is judged by what is shared.
    (
        "$share/g/changeover/c/commission/u1",
        ["out", "out", "out", "out", "refused", "refused", "granted"],
    ),
    ("$share/g/changeover/c/commission/+", NOBODY),
    ("$share/g/#", NOBODY),
];

const NOBODY: [&str; KINDS] = ["out", "out", "out", "out", "refused", "refused", "refused"];

async fn told(url: &str, shown: &Shown, channel: &str) -> &'static str {
    let id = &shown.client_id;
    let mut client = Entering::open(url, Protocol::V311, id, shown.with.as_ref());
    if client.is_let_in().await.is_none() {
        return "out";
    }
    let told = if channel.is_empty() {
        "in"
    } else {
        let prefix = if channel.starts_with('$') {
            ""
        } else {
            "changeover/"
        };
        match client.subscribe(&[&format!("{prefix}{channel}")]).await {
            Some(Grant::AtLeastOnce) => "granted",
            // RabbitMQ ends the connection of who asks for what is not his.
            Some(_) | None => "refused",
        }
    };
    client.close().await;
    told
}

async fn all(url: &str, shown: &[Shown; KINDS]) {
    let mut seen = Seen::default();
    for (channel, expected) in CHANNELS {
        for (((who, _), shown), expected) in CALLERS.iter().zip(shown).zip(expected) {
            let told = told(url, shown, channel).await;
            seen.told((channel, who), told, expected);
        }
    }
    seen.all(CHANNELS.len());
}

#[tokio::test]
async fn every_caller_at_the_embedded_broker() {
    let port = free_port();
    let target =
        format!("\n[[mqtt.targets]]\nname = \"local\"\nurl = \"embedded://127.0.0.1:{port}\"\n");
    let (gateway, shown) = gateway(&target).await;
    all(&format!("mqtt://127.0.0.1:{port}"), &shown).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_at_rabbitmq() {
    if servers_are_skipped() {
        return;
    }
    let port = lasting_port();
    let target = format!(
        "\n[[mqtt.targets]]\nname = \"rabbit\"\nurl = \"mqtt://gateway:s3cret@127.0.0.1:{port}\"\n\
         protocol = \"3.1.1\"\nprofile = \"rabbitmq\"\n"
    );
    let (gateway, shown) = gateway(&target).await;
    let hooks = format!("{}/broker/{SECRET}/rabbitmq", gateway.client.private);
    let _broker = block_in_place(|| RabbitMq::asking(port, &hooks));
    eventually("the gateway is let in", START, async || {
        let module = gateway.client.module().await;
        (module["targets"][0]["connected"] == true).then_some(())
    })
    .await;
    all(&format!("mqtt://127.0.0.1:{port}"), &shown).await;
    gateway.stop().await;
}
