//! A broker that does not let the gateway publish: what the mirror sees of it. Where it sees something, the module halts
//! with a reason and the others go on; where it sees nothing, the broker has acknowledged what nobody gets.

use std::time::Duration;

use changeover::{
    config::mqtt::Protocol,
    domain::{JsonText, ModuleName},
};

use super::Case;
use crate::support::{
    broker::Broker, eventually, follower::Follower, mirror_rig::Rig, mosquitto::Mosquitto,
    nats::Nats, rabbitmq::LIMITED, servers_are_skipped,
};

const PATIENCE: Duration = Duration::from_mins(1);

/// The modules `good…` and the retained messages may be published, others not.
const MOSQUITTO_ACL: &str =
    "pattern write changeover/c/good-acl/#\npattern readwrite changeover/m/#\npattern read #\n";

/// The same for NATS, whose subjects have dots where topics have slashes, for everyone who gives no name.
const NATS_ACL: &str = "no_auth_user: limited\n\
    authorization { users: [ { user: limited, password: pw, permissions: {\n\
    publish: [\"changeover.c.good-acl.>\", \"changeover.m.>\", \"$MQTT.>\", \"$JS.>\", \"_INBOX.>\"]\n\
    subscribe: \">\" } } ] }\n";

fn case(broker: Broker, protocol: Protocol) -> Case {
    Case {
        broker,
        protocol,
        client_id: "gateway-refusals".to_owned(),
    }
}

fn mosquitto(protocol: Protocol) -> Case {
    let lines = "allow_anonymous true\nacl_file {dir}/acl\n";
    let broker = Mosquitto::start_with_files(lines, &[("acl", MOSQUITTO_ACL)]);
    case(Broker::Mosquitto(broker), protocol)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_with_5_says_so() {
    if servers_are_skipped() {
        return;
    }
    let case = mosquitto(Protocol::V5);
    let reason = halts(case.rig(&["bad-acl", "good-acl"])).await;
    assert!(reason.contains("NotAuthorized"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_with_3_1_1_acknowledges_and_drops() {
    if servers_are_skipped() {
        return;
    }
    let case = mosquitto(Protocol::V311);
    is_swallowed(&case).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_ends_the_connection() {
    if servers_are_skipped() {
        return;
    }
    let case = case(Broker::shared_rabbitmq(), Protocol::V311);
    let mut rig = case.rig(&["bad-acl", "good-acl"]);
    let (user, password) = LIMITED;
    rig.target.endpoint = rig.target.endpoint.with_login(user, password);
    let reason = halts(rig).await;
    assert!(
        reason.contains("the connection ends whenever it is sent"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_acknowledges_and_drops() {
    if servers_are_skipped() {
        return;
    }
    let case = case(Broker::Nats(Nats::start_with(NATS_ACL)), Protocol::V311);
    is_swallowed(&case).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_holds_no_message_against_max_payload() {
    if servers_are_skipped() {
        return;
    }
    let nats = Nats::start_with("max_payload: 20000\n");
    let case = case(Broker::Nats(nats), Protocol::V311);
    let mut rig = case.rig(&["size"]);
    let filters = ["changeover/c/size/_all"];
    let follower = Follower::start(&case.broker.url(), case.protocol, "size", &filters);
    follower.subscribed().await;
    let publisher = rig.start();
    let large = JsonText::parse(&format!("\"{}\"", "x".repeat(30_000))).unwrap();
    rig.append_values("size", [("*", large)]);
    rig.acknowledged(&publisher, "size", 1).await;
    follower
        .wait("it comes", |record| !record.events.is_empty())
        .await;
    publisher.stop().await;
}

/// A change of `bad-acl` halts it, with the reason that is returned, and `good-acl` goes on.
async fn halts(mut rig: Rig) -> String {
    rig.append("bad-acl", ["*"]);
    let publisher = rig.start();
    rig.append("good-acl", ["*", "*"]);
    let module: ModuleName = "bad-acl".parse().unwrap();
    let reason = eventually("the module halts", PATIENCE, async || {
        publisher.status.module(&module)?.halted
    })
    .await;
    rig.append("good-acl", ["*"]);
    rig.acknowledged(&publisher, "good-acl", 3).await;
    let status = publisher.status.module(&module).unwrap();
    assert_eq!((status.acknowledged.position.get(), status.behind), (0, 1));
    publisher.stop().await;
    println!("{reason}");
    reason
}

/// The broker acknowledges what it does not let through: only a subscriber can tell.
async fn is_swallowed(case: &Case) {
    let mut rig = case.rig(&["bad-acl", "good-acl"]);
    let filters = ["changeover/c/bad-acl/_all", "changeover/c/good-acl/_all"];
    let follower = Follower::start(&case.broker.url(), case.protocol, "refusals", &filters);
    follower.subscribed().await;
    let publisher = rig.start();
    rig.append("bad-acl", ["*"]);
    rig.acknowledged(&publisher, "bad-acl", 1).await;
    rig.append("good-acl", ["*"]);
    follower
        .wait("the other module", |record| !record.events.is_empty())
        .await;
    let record = follower.record();
    assert!(record.events.iter().all(|event| event.module == "good-acl"));
    publisher.stop().await;
}
