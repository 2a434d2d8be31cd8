//! `changeover target retry`: a module that has halted is tried again at once, whichever replica is asked and whichever
//! mirrors it, and the act is in the audit.

use serde_json::Value;

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        gateway::InProcess,
        mosquitto::Mosquitto,
        pruned::{ingest, wait},
        servers_are_skipped,
        targets::{acknowledged, begun, done, module, refused, setup, target, until},
    },
};

on_each_database!(and_not_before_its_time_otherwise);

/// The gateway may write its retained messages, but no change.
const STRICT: &str = "topic readwrite changeover/m/#\ntopic read #\n";

async fn and_not_before_its_time_otherwise(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let lines = "allow_anonymous true\nacl_file {dir}/acl\n";
    let broker = Mosquitto::start_with_files(lines, &[("acl", STRICT)]);
    let of = |instance| {
        setup(&database, instance)
            .set("mirror.refusal_tries", 2)
            .set("mirror.halt_retry_ms", 86_400_000)
            .add(&target("one", &broker, ""))
    };
    let holder = InProcess::start(&of("gw-1")).await;
    begun(&holder.client, "one").await;
    let other = InProcess::start(&of("gw-2")).await;
    ingest(&holder.client, "a", 5).await;
    let halted = |target: &Value| module(target)["halted"].as_str().map(str::to_owned);
    let shown = until(&holder.client, "one", "it has halted", |target| {
        halted(target).is_some()
    })
    .await;
    let why = halted(&shown).unwrap();
    assert!(why.contains("refused 2 times, and as a pointer"), "{why}");

    // What is still refused halts again.
    done(&other.client, &["retry", "one"]).await;
    broker.reload("acl", "topic readwrite #\n");
    let answer = done(&other.client, &["retry", "one"]).await;
    assert_eq!(answer["after"]["standing"], "active", "{answer}");
    acknowledged(&holder.client, "one", 5).await;
    until(&holder.client, "one", "the halt is forgotten", |target| {
        halted(target).is_none()
    })
    .await;
    let audit = "SELECT CAST(count(*) AS TEXT) FROM audit WHERE action = 'target-retry' AND actor = 'admin (for ann)'";
    wait(&database, audit, 2, "two tries in the audit").await;

    done(&other.client, &["pause", "one"]).await;
    let why = refused(&other.client, &["retry", "one"]).await;
    assert!(why.contains("one is paused: resume it"), "{why}");
    other.stop().await;
    holder.stop().await;
}
