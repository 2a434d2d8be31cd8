//! A stream never hides that something is missing: too old is said, and so is that nobody knows yet.

use http::StatusCode;
use serde_json::json;

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        gateway::{InProcess, MODULE, Program, Setup},
        native::{cursor, metric, numbered, page, pages, positions, stream},
        streams::{change, five},
    },
};

on_each_database!(
    too_old_is_said_with_the_way_to_the_snapshot,
    a_gap_read_never_gets_an_answer_from_before,
);

async fn too_old_is_said_with_the_way_to_the_snapshot(database: DatabaseUnderTest) {
    const STATELESS: &str = "\n[[modules]]\nname = \"stateless\"\nstate = false\n";
    let setup = Setup::new(&database, "a")
        .set("tail.changes", 1)
        .add(STATELESS);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    five(client).await;
    database
        .execute("UPDATE module_head SET retained_from = 4 WHERE module = 'commission'")
        .await;
    database
        .execute("DELETE FROM change_log WHERE module = 'commission' AND position < 4")
        .await;
    for live in ["", "&live=long-poll", "&live=sse"] {
        for offset in [
            cursor(0),
            cursor(2),
            cursor(6),
            "00000002_0000000000000001".to_owned(),
        ] {
            let answer = stream(client, &format!("offset={offset}&audience=u%2f1{live}")).await;
            assert_eq!(
                answer.status,
                StatusCode::GONE,
                "{offset}{live}: {answer:?}"
            );
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(answer.header("cache-control"), "no-store");
            let there = answer.header("location");
            assert_eq!(there, "/v1/modules/commission/snapshot?audience=u%2F1");
            let snapshot = format!("{}{there}", client.public);
            let snapshot = client.send(client.http.get(snapshot)).await;
            assert_eq!(snapshot.status, StatusCode::OK, "{snapshot:?}");
        }
    }
    let (kept, end) = pages(client, &cursor(3), "&audience=u1").await;
    assert_eq!((positions(&kept), end), (vec![4, 5], cursor(5)));
    for beginning in ["", "offset=-1&", "live=long-poll&offset=-1&"] {
        let (events, _) = page(client, &format!("{beginning}audience=u1")).await;
        assert_eq!(positions(&events), [4, 5], "what is there");
    }
    let url = format!(
        "{}/v1/streams/stateless?offset={}",
        client.public,
        cursor(9)
    );
    let stateless = client.send(client.http.get(url)).await;
    assert_eq!(stateless.status, StatusCode::GONE);
    assert_eq!(stateless.header("location"), "", "there is no snapshot");
    gateway.stop().await;
}

/// A replica that is behind the log must not say "up to date" before it has looked, and no cache may say it in its
/// place. And what waits asks nobody.
async fn a_gap_read_never_gets_an_answer_from_before(database: DatabaseUnderTest) {
    let gateway = Program::start(&Setup::new(&database, "a").among_others()).await;
    let setup = Setup::new(&database, "b")
        .target("mqtt://127.0.0.1:1")
        .set("tail.tick_ms", 60_000)
        .set("tail.full_ms", 60_000)
        .set("sequencer.idle_tick_ms", 50)
        .set("native.wait_ms", 50);
    let behind = Program::start(&setup).await;
    five(&gateway.client).await;

    let before = stream(&behind.client, "audience=u1").await;
    assert_eq!(positions(before.json().as_array().unwrap()), [1, 2, 4, 5]);
    assert_eq!(before.header("stream-up-to-date"), "true");
    assert_eq!(before.header("cache-control"), "no-store");
    gateway.client.ingest(&json!([change("k6", "u1")])).await;
    numbered(&gateway.client, MODULE, 6).await;
    let url = format!("{}/v1/streams/commission?audience=u1", behind.client.public);
    let request = behind
        .client
        .http
        .get(url)
        .header("if-none-match", before.header("etag"));
    let after = behind.client.send(request).await;
    assert_eq!(after.status, StatusCode::OK);
    assert_eq!(positions(after.json().as_array().unwrap()), [1, 2, 4, 5, 6]);

    let asked = async || {
        let mut sum = 0;
        for purpose in ["catchup", "snapshot", "state", "poll", "tail"] {
            let label = format!("purpose=\"{purpose}\"");
            sum += metric(&behind.client, "changeover_database_queries_total", &label).await;
        }
        sum
    };
    let queries = asked().await;
    for _ in 0..20 {
        let wait = format!("offset={}&live=long-poll&audience=u1", cursor(6));
        assert_eq!(
            stream(&behind.client, &wait).await.status,
            StatusCode::NO_CONTENT
        );
        let body = json!({"cursors": {"commission": cursor(6)}, "wait_ms": 20});
        let answer = crate::support::native::poll(&behind.client, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    // A pass over all modules may have been due.
    let more = asked().await - queries;
    assert!(more <= 3, "40 idle waits cost {more} queries");
    let answers = "changeover_native_reads_total";
    assert_eq!(
        metric(&behind.client, answers, "endpoint=\"long-poll\"").await,
        20
    );
}
