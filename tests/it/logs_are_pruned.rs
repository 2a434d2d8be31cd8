//! What leaves a log and what never does: by count, by age, through a crash between the two steps, through a
//! restart and a take-over. And what a channel's next change says of a predecessor that is gone.

use serde_json::{Value, json};

use crate::{
    on_each_database,
    support::{
        broker::Broker,
        database::DatabaseUnderTest,
        eventually,
        gateway::{InProcess, MODULE, START, changeover},
        pruned::{
            compact, holds, ingest, number, numbered, poll, positions, retained_from, setup, wait,
        },
    },
};

on_each_database!(
    by_count,
    by_age_but_never_the_newest,
    after_a_crash_between_the_two_steps,
    and_a_channel_without_rows_goes_on_from_before_the_log,
    by_the_replica_that_takes_over,
    on_demand_and_a_dry_run_changes_nothing,
    with_tombstones_only_where_their_loss_is_told,
);

async fn by_count(database: DatabaseUnderTest) {
    let setup = setup(&database, "gw-1", "retention = { changes = 10 }");
    let gateway = InProcess::start(&setup).await;
    ingest(&gateway.client, "k", 100).await;
    holds(&database, &(91..=100).collect::<Vec<_>>()).await;
    assert_eq!(retained_from(&database).await, 91);
    // Whoever was in time gets changes; whoever was not is told.
    let page = poll(&gateway.client, "since=90").await;
    assert_eq!(page.positions, (91..=100).collect::<Vec<_>>());
    assert!(!page.snapshot);
    let page = poll(&gateway.client, "since=89").await;
    assert!(page.snapshot, "{page:?}");
    assert_eq!(page.positions, (90..=100).collect::<Vec<_>>());
    let metrics = gateway.client.get("/metrics").await.text;
    assert!(
        metrics.contains("changeover_retention_rows_total{module=\"commission\",what=\"pruned\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("changeover_oldest_retained_seconds{module=\"commission\"}"));
    assert!(metrics.contains("changeover_database_queries_total{purpose=\"retention\"}"));
    gateway.stop().await;
}

async fn by_age_but_never_the_newest(database: DatabaseUnderTest) {
    let setup = setup(&database, "gw-1", "retention = { age = \"1s\" }");
    let gateway = InProcess::start(&setup).await;
    ingest(&gateway.client, "k", 30).await;
    holds(&database, &[30]).await;
    ingest(&gateway.client, "l", 1).await;
    numbered(&database, 31).await;
    holds(&database, &[31]).await;
    let page = poll(&gateway.client, "since=30").await;
    assert_eq!((page.positions, page.snapshot), (vec![31], false));
    gateway.stop().await;
}

async fn after_a_crash_between_the_two_steps(database: DatabaseUnderTest) {
    let everything = setup(&database, "gw-1", "retention = {}");
    let gateway = InProcess::start(&everything).await;
    ingest(&gateway.client, "k", 60).await;
    numbered(&database, 60).await;
    gateway.stop().await;
    database
        .execute("UPDATE module_head SET retained_from = 41")
        .await;
    assert_eq!(positions(&database).await.len(), 60);
    let gateway = InProcess::start(&everything).await;
    holds(&database, &(41..=60).collect::<Vec<_>>()).await;
    gateway.stop().await;
}

/// One change for `u1`, then `count` for everyone.
async fn one_and_then_others(gateway: &InProcess, database: &DatabaseUnderTest, count: u64) {
    let one = json!({"key": "a", "value": 1, "audience": "u1"});
    gateway.client.ingest(&one).await;
    numbered(database, 1).await;
    ingest(&gateway.client, "k", count).await;
    numbered(database, count + 1).await;
}

/// What the next change for `u1` says of its predecessor.
async fn previous_of_the_next(gateway: &InProcess, since: u64) -> u64 {
    let one = json!({"key": "a", "value": 2, "audience": "u1"});
    gateway.client.ingest(&one).await;
    eventually("the change for u1", START, async || {
        let page = poll(&gateway.client, &format!("since={since}&uid=u1")).await;
        page.items.last()?["previous"].as_u64()
    })
    .await
}

async fn and_a_channel_without_rows_goes_on_from_before_the_log(database: DatabaseUnderTest) {
    let setup = setup(&database, "gw-1", "retention = { changes = 10 }");
    let gateway = InProcess::start(&setup).await;
    one_and_then_others(&gateway, &database, 50).await;
    holds(&database, &(42..=51).collect::<Vec<_>>()).await;
    gateway.stop().await;
    // The restarted sequencer remembers no channel, and the log has no row of this one.
    let gateway = InProcess::start(&setup).await;
    assert_eq!(previous_of_the_next(&gateway, 51).await, 41);
    gateway.stop().await;
}

async fn by_the_replica_that_takes_over(database: DatabaseUnderTest) {
    let kept = "retention = { changes = 10 }";
    let broker = Broker::mosquitto();
    let setup = |name| setup(&database, name, kept).target(&broker.url()).unmoved();
    let one = InProcess::start(&setup("gw-1")).await;
    let other = InProcess::start(&setup("gw-2")).await;
    one_and_then_others(&one, &database, 50).await;
    holds(&database, &(42..=51).collect::<Vec<_>>()).await;
    let path = format!("/admin/v1/modules/{MODULE}/compact");
    let refused = other.client.post(&path, &json!({"reason": "x"})).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("it is held by gw-1"), "{detail}");
    one.stop().await;
    assert_eq!(previous_of_the_next(&other, 51).await, 41);
    ingest(&other.client, "l", 8).await;
    holds(&database, &(51..=60).collect::<Vec<_>>()).await;
    other.stop().await;
}

async fn on_demand_and_a_dry_run_changes_nothing(database: DatabaseUnderTest) {
    let setup = setup(&database, "gw-1", "retention = { changes = 10 }")
        .set("retention.tick_ms", 3_600_000);
    let gateway = InProcess::start(&setup).await;
    ingest(&gateway.client, "k", 60).await;
    numbered(&database, 60).await;
    acknowledged(&database, 60).await;
    let would = compact(&gateway.client, true).await;
    assert_eq!(
        (
            &would["rows"],
            &would["pruned_through"],
            &would["held_back"]
        ),
        (&json!(50), &json!(50), &Value::Null),
        "{would}"
    );
    let arguments = ["compact", "--dry-run", "--output", "table"];
    let shown = changeover(&gateway.client, &arguments).await;
    let table = String::from_utf8(shown.stdout).unwrap();
    let line = table.lines().nth(1).unwrap_or_default();
    let cells: Vec<_> = line.split_whitespace().take(3).collect();
    assert_eq!(cells, ["commission", "50", "50"], "{table}");
    assert!(line.ends_with("(dry run, nothing was changed)"), "{table}");
    assert_eq!(positions(&database).await.len(), 60);
    assert_eq!(retained_from(&database).await, 1);
    assert_eq!(
        number(
            &database,
            "SELECT CAST(count(*) AS CHAR(20)) FROM audit WHERE module IS NOT NULL"
        )
        .await,
        0
    );

    let without = changeover(&gateway.client, &["compact", MODULE]).await;
    assert_eq!(without.status.code(), Some(64), "an act needs a reason");
    let arguments = ["compact", MODULE, "--reason", "the disk is full"];
    let done = changeover(&gateway.client, &arguments).await;
    assert!(done.status.success(), "{done:?}");
    let done: Value = serde_json::from_slice(&done.stdout).unwrap();
    let done = &done["modules"][0];
    assert_eq!(
        (&done["pruned"], &done["complete"]),
        (&json!(50), &json!(true)),
        "{done}"
    );
    assert_eq!(positions(&database).await, (51..=60).collect::<Vec<_>>());
    let history = format!("/admin/v1/modules/{MODULE}/history");
    let entry = gateway.client.get(&history).await.json()["entries"][0].clone();
    assert_eq!(
        (&entry["action"], &entry["actor"], &entry["reason"]),
        (
            &json!("compact"),
            &json!("admin (for tester)"),
            &json!("the disk is full")
        )
    );
    assert_eq!(entry["after"]["retained_from"], 51);
    gateway.stop().await;
}

/// Waits until the target has it all.
async fn acknowledged(database: &DatabaseUnderTest, position: u64) {
    let sql = "SELECT CAST(position AS CHAR(20)) FROM mirror_cursor WHERE module = 'commission'";
    wait(database, sql, position, "the cursor of the mirror").await;
}

async fn with_tombstones_only_where_their_loss_is_told(database: DatabaseUnderTest) {
    let setup = setup(&database, "gw-1", "retention = { changes = 10 }")
        .set("retention.tombstone_age", "1s");
    let gateway = InProcess::start(&setup).await;
    ingest(&gateway.client, "k", 3).await;
    let delete = |key: &str| json!({"key": key, "op": "delete"});
    gateway
        .client
        .ingest(&json!([delete("k0"), delete("k1")]))
        .await;
    ingest(&gateway.client, "l", 20).await;
    gateway.client.ingest(&delete("k2")).await;
    numbered(&database, 26).await;
    holds(&database, &(17..=26).collect::<Vec<_>>()).await;
    // The deletes at 4 and 5 grow old and go; the one at 26 grows as old, but its row is there.
    let tombstones = "SELECT CAST(count(*) AS CHAR(20)) FROM entity_state WHERE op = 'delete'";
    wait(&database, tombstones, 1, "old tombstones go").await;
    let old = "SELECT CAST(max(position) AS CHAR(20)) FROM log_mark WHERE module = 'commission'";
    wait(&database, old, 26, "the mark above all").await;
    for (cursor, told) in [(3, true), (15, true), (16, false), (25, false)] {
        let page = poll(&gateway.client, &format!("since={cursor}")).await;
        assert_eq!(page.snapshot, told, "{cursor}: {page:?}");
        let last = page.items.last().unwrap();
        assert_eq!(
            (&last["key"], &last["op"]),
            (&json!("k2"), &json!("delete"))
        );
    }
    gateway.stop().await;
}
