//! `/openapi.json` and `/asyncapi.json`: what they say is reviewed (as snapshots), is valid by the rules of their formats, and
//! names every route that there is.

use std::{collections::BTreeSet, fs, path::Path};

use http::StatusCode;
use serde_json::Value;

use crate::support::{
    clients,
    described::gateway,
    gateway::{Answer, InProcess},
    native::PATIENCE,
    servers_are_skipped,
};

/// Says where clients find it, and has a secret.
const TARGET: &str = r#"
[[mqtt.targets]]
name = "local"
url = "mqtt://gateway:hush@127.0.0.1:1"
public_url = "mqtts://push.example.com"
public_websocket_url = "wss://push.example.com/mqtt"
protocol = "3.1.1"
"#;

async fn fetch(gateway: &InProcess, url: &str) -> Answer {
    let client = &gateway.client;
    let answer = client.send(client.http.get(url)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    answer
}

fn pretty(answer: &Answer) -> String {
    serde_json::to_string_pretty(&answer.json()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_as_reviewed() {
    let gateway = gateway(TARGET).await;
    let (public, private) = (&gateway.client.public, &gateway.client.private);
    let of_public = fetch(&gateway, &format!("{public}/openapi.json")).await;
    let of_private = fetch(&gateway, &format!("{private}/openapi.json")).await;
    let topics = fetch(&gateway, &format!("{public}/asyncapi.json")).await;
    let same = fetch(&gateway, &format!("{private}/asyncapi.json")).await;
    assert_eq!(topics.text, same.text, "one set of topics");
    for answer in [&of_public, &of_private, &topics] {
        assert!(!answer.text.contains("hush"), "a password: {}", answer.text);
        assert!(
            !answer.text.contains("127.0.0.1:1\""),
            "an inner address: {}",
            answer.text
        );
    }
    insta::assert_snapshot!("openapi_public", pretty(&of_public));
    insta::assert_snapshot!("openapi_private", pretty(&of_private));
    insta::assert_snapshot!("asyncapi", pretty(&topics));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_sent_once() {
    let gateway = gateway("").await;
    let client = &gateway.client;
    for listener in [&client.public, &client.private] {
        for document in ["openapi.json", "asyncapi.json"] {
            let url = format!("{listener}/{document}");
            let first = fetch(&gateway, &url).await;
            assert_eq!(first.header("cache-control"), "no-cache");
            let tag = first.header("etag");
            let again = client
                .send(client.http.get(&url).header("If-None-Match", tag))
                .await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{again:?}");
            assert_eq!((again.text.as_str(), again.header("etag")), ("", tag));
            let written = client.send(client.http.post(&url)).await;
            assert_eq!(written.status, StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(written.header("allow"), "GET,HEAD");
            assert_eq!(written.header("content-type"), "application/problem+json");
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_valid() {
    if servers_are_skipped() {
        return;
    }
    let gateway = gateway(TARGET).await;
    for listener in [&gateway.client.public, &gateway.client.private] {
        let url = format!("{listener}/openapi.json");
        let mut script = clients::python("conforms.py", &[&url]).await;
        assert_eq!(
            script.ended(PATIENCE).await,
            0,
            "{url}: {}",
            script.output()
        );
        let url = format!("{listener}/asyncapi.json");
        let mut script = clients::node("conforms.mjs", &[&url]).await;
        assert_eq!(
            script.ended(PATIENCE).await,
            0,
            "{url}: {}",
            script.output()
        );
    }
    gateway.stop().await;
}

/// The routers are read as text: axum does not tell its routes.
#[tokio::test(flavor = "multi_thread")]
async fn they_name_every_route() {
    let gateway = gateway("").await;
    let http = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let shared = routes_in(&http.join("description.rs"));
    for (listener, files) in [
        (
            &gateway.client.public,
            vec!["public/mod.rs", "public/native.rs", "public/ofrep/mod.rs"],
        ),
        (
            &gateway.client.private,
            vec!["private/mod.rs", "private/broker_hooks/mod.rs"],
        ),
    ] {
        let mut routed: BTreeSet<_> = shared.clone();
        routed.extend(files.iter().flat_map(|file| routes_in(&http.join(file))));
        assert!(routed.len() > 4, "{routed:?}");
        let document = fetch(&gateway, &format!("{listener}/openapi.json"))
            .await
            .json();
        let described = document["paths"].as_object().unwrap().iter();
        let described: BTreeSet<_> = described
            .filter(|(_, item)| !is_legacy(item))
            .map(|(path, _)| path.clone())
            .collect();
        assert_eq!(routed, described);
    }
    gateway.stop().await;
}

fn routes_in(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let routes = text.split(".route(").skip(1);
    routes
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

fn is_legacy(item: &Value) -> bool {
    let operations = item.as_object().unwrap().values();
    operations
        .into_iter()
        .all(|operation| operation["tags"][0] == "Legacy polls")
}
