//! `GET /v1/streams/{module}` is the read side of the Durable Streams protocol: each header and each status of a
//! page, and what a client may conclude from them.

use http::StatusCode;
use serde_json::json;

use crate::{
    on_each_database,
    support::{
        database::DatabaseUnderTest,
        gateway::{InProcess, MODULE, Setup},
        native::{cursor, events, numbered, page, pages, positions, stream},
        streams::{assert_safe, change, five, in_process, sqlite},
    },
};

on_each_database!(pages_hold_what_the_mirror_publishes,);

const KEPT: &str = "private, max-age=60, stale-while-revalidate=300";

async fn pages_hold_what_the_mirror_publishes(database: DatabaseUnderTest) {
    // The tail holds less than the log, so that pages come from the database too.
    let keys = [("native.page_changes", "2"), ("tail.changes", "2")];
    let gateway = in_process(&database, &keys).await;
    let client = &gateway.client;
    client
        .ingest(
            &json!([{"key": "k\"ü", "audience": "*", "value": {"a": "x"}, "occurred_at_ms": 1}]),
        )
        .await;
    numbered(client, MODULE, 1).await;
    five(client).await;

    let (all, end) = pages(client, "-1", "&audience=u1").await;
    assert_eq!(positions(&all), [1, 2, 3, 5, 6]);
    assert_eq!(end, cursor(6));
    let wanted = events(&database, "commission", &["*", "u1"]).await;
    let first = stream(client, "audience=u1").await;
    assert_eq!(
        first.text,
        format!("[{},{}]", wanted[0], wanted[1]),
        "byte for byte"
    );
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("stream-next-offset"), cursor(2));
    assert_eq!(first.header("stream-up-to-date"), "", "there is more");
    assert_eq!(first.header("cache-control"), KEPT);
    assert_safe(&first);

    let last = stream(client, &format!("offset={}&audience=u1", cursor(5))).await;
    assert_eq!(positions(last.json().as_array().unwrap()), [6]);
    assert_eq!(last.header("stream-up-to-date"), "true");
    assert_eq!(last.header("cache-control"), "no-store");
    assert_safe(&last);
    let nothing = stream(client, &format!("offset={}", cursor(6))).await;
    assert_eq!(
        (nothing.status, nothing.text.as_str()),
        (StatusCode::OK, "[]")
    );
    assert_eq!(nothing.header("stream-next-offset"), cursor(6));
    assert_eq!(nothing.header("stream-up-to-date"), "true");

    // Without a change for the reader the cursor moves on all the same.
    let (none, moved) = page(client, &format!("offset={}&audience=u9", cursor(2))).await;
    assert_eq!((positions(&none), moved), (vec![6], cursor(6)));
    gateway.stop().await;
}

#[tokio::test]
async fn an_entity_tag_saves_the_body() {
    let database = sqlite().await;
    let gateway = in_process(&database, &[("native.page_changes", "2")]).await;
    let client = &gateway.client;
    five(client).await;
    let again = async |query: &str, tag: &str| {
        let url = format!("{}/v1/streams/commission?{query}", client.public);
        client
            .send(client.http.get(url).header("if-none-match", tag))
            .await
    };
    let cut = stream(client, "audience=u1").await;
    let tag = cut.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    for sent in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let known = again("audience=u1", &sent).await;
        assert_eq!(
            (known.status, known.text.as_str()),
            (StatusCode::NOT_MODIFIED, "")
        );
        for header in ["etag", "stream-next-offset", "cache-control"] {
            assert_eq!(known.header(header), cut.header(header), "{header}");
        }
    }
    assert_eq!(
        again("audience=u1", "\"other\"").await.status,
        StatusCode::OK
    );

    let end = format!("offset={}&audience=u2", cursor(4));
    let up_to_date = stream(client, &end).await;
    let known = again(&end, up_to_date.header("etag")).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    assert_eq!(known.header("stream-up-to-date"), "true");
    client.ingest(&json!([change("k9", "*")])).await;
    numbered(client, MODULE, 6).await;
    let grown = again(&end, up_to_date.header("etag")).await;
    assert_eq!(grown.status, StatusCode::OK);
    assert_eq!(positions(grown.json().as_array().unwrap()), [5, 6]);
    gateway.stop().await;
}

#[tokio::test]
async fn only_what_is_for_everyone_is_kept_by_shared_caches() {
    const MODULES: &str = "[[modules]]\nname = \"commission\"\n[modules.poll]\npath = \"/c\"\n\
        cursor = { in = \"query\", name = \"since\" }\n";
    let database = sqlite().await;
    let setup = Setup::new(&database, "a")
        .modules(MODULES)
        .set("native.page_changes", 1);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    five(client).await;
    let everyone = stream(client, "").await;
    assert_eq!(
        everyone.header("cache-control"),
        KEPT.replace("private", "public")
    );
    let one = stream(client, "audience=u1").await;
    assert_eq!(one.header("cache-control"), KEPT);
    gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_refused() {
    let database = sqlite().await;
    let gateway = in_process(&database, &[]).await;
    let client = &gateway.client;
    five(client).await;
    let long = format!("audience={}", "a".repeat(65));
    for query in [
        "offset=",
        "offset=0",
        "offset=-2",
        "offset=00000001_000000000000000G",
        "offset=00000001_0000000000000001,",
        "offset=-1&offset=now",
        "live=long-poll",
        "live=sse",
        "offset=-1&live=",
        "offset=-1&live=yes",
        "audience=",
        "audience=a%00b",
        "audience=%FF%FE",
        &long,
    ] {
        let answer = stream(client, query).await;
        let ours = query == "audience=%FF%FE" && answer.status == StatusCode::OK;
        assert!(
            ours || answer.status == StatusCode::BAD_REQUEST,
            "{query}: {answer:?}"
        );
        if answer.status == StatusCode::BAD_REQUEST {
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{query}"
            );
        }
        assert_safe(&answer);
    }
    for name in ["nothing", "Commission", "..", "%FF", "a%20b"] {
        let url = format!("{}/v1/streams/{name}", client.public);
        let answer = client.send(client.http.get(url)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}: {answer:?}");
    }
    let url = format!("{}/v1/streams/commission", client.public);
    for method in [http::Method::PUT, http::Method::POST, http::Method::DELETE] {
        let request = client.http.request(method, &url).body("[]");
        let answer = client.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{answer:?}");
        assert_eq!(answer.header("allow"), "GET,HEAD", "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn now_and_head_tell_where_the_stream_ends() {
    let database = sqlite().await;
    let gateway = in_process(&database, &[]).await;
    let client = &gateway.client;
    five(client).await;
    let now = stream(client, "offset=now").await;
    assert_eq!((now.status, now.text.as_str()), (StatusCode::OK, "[]"));
    assert_eq!(now.header("stream-next-offset"), cursor(5));
    assert_eq!(now.header("stream-up-to-date"), "true");
    assert_eq!(now.header("cache-control"), "no-store");
    assert_eq!(now.header("etag"), "");
    assert_safe(&now);
    let url = format!("{}/v1/streams/commission", client.public);
    let head = client.send(client.http.head(url)).await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.header("content-type"), "application/json");
    assert_eq!(head.header("stream-next-offset"), cursor(5));
    assert_eq!(head.header("cache-control"), "no-store");
    assert_safe(&head);
    gateway.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_read_if_configured() {
    let database = sqlite().await;
    let keys = [("server.cors_origins", "[\"https://app.example.com\"]")];
    let gateway = in_process(&database, &keys).await;
    let client = &gateway.client;
    let url = format!("{}/v1/streams/commission", client.public);
    let from = async |origin: &str| {
        let request = client.http.get(&url).header("origin", origin);
        client.send(request).await
    };
    let known = from("https://app.example.com").await;
    assert_eq!(
        known.header("access-control-allow-origin"),
        "https://app.example.com"
    );
    let exposed = known.header("access-control-expose-headers");
    for header in [
        "stream-next-offset",
        "stream-up-to-date",
        "stream-cursor",
        "etag",
    ] {
        assert!(exposed.contains(header), "{exposed}");
    }
    assert_safe(&known);
    let other = from("https://other.example.com").await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let preflight = client
        .http
        .request(http::Method::OPTIONS, format!("{}/v1/poll", client.public))
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let preflight = client.send(preflight).await;
    assert_eq!(preflight.status, StatusCode::OK, "{preflight:?}");
    assert!(
        preflight
            .header("access-control-allow-methods")
            .contains("POST")
    );
    gateway.stop().await;
}
