//! The description of the public listener names each place in which callers' credentials stand, and each of them lets a caller in wherever
//! it is named.

use std::collections::BTreeSet;

use http::StatusCode;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{described, gateway::Client};

const KEY: &str = "only-for-tests-0123456789abcdef";

/// One caller, who may show its key at any of these.
fn auth() -> String {
    let hash = Sha256::digest(KEY);
    let places = [
        r#"{ name = "Authorization" }"#,
        r#"{ name = "X-Api-Key" }"#,
        r#"{ name = "X-Shop", scheme = "Shop" }"#,
        r#"{ in = "cookie", name = "sid" }"#,
        r#"{ in = "query", name = "access_key" }"#,
    ];
    let caller = |(n, place): (usize, &&str)| {
        format!(
            "\n[[auth.callers]]\nkind = \"key\"\nname = \"shops-{n}\"\ncredential = {place}\n[[auth.callers.keys]]\nid = \"shop\"\n\
             hash = \"sha256:{hash:x}\"\naudiences = [\"u1\"]\n"
        )
    };
    places.iter().enumerate().map(caller).collect()
}

/// Shows the key as a scheme says.
fn show(request: RequestBuilder, scheme: &Value) -> RequestBuilder {
    let name = scheme["name"].as_str().unwrap_or_default();
    match scheme["in"].as_str() {
        None => {
            assert_eq!(
                (&scheme["type"], &scheme["scheme"]),
                (&json!("http"), &json!("bearer"))
            );
            request.bearer_auth(KEY)
        }
        Some("header") if name == "x-shop" => request.header(name, format!("Shop {KEY}")),
        Some("header") => request.header(name, KEY),
        Some("cookie") => request.header("cookie", format!("{name}={KEY}")),
        Some("query") => {
            let (client, request) = request.build_split();
            let mut request = request.unwrap();
            request.url_mut().query_pairs_mut().append_pair(name, KEY);
            RequestBuilder::from_parts(client, request)
        }
        Some(other) => panic!("{other}"),
    }
}

fn request(client: &Client, method: &str, path: &str) -> RequestBuilder {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let path = path.replace("{module}", "commission");
    let url = format!("{}{path}", client.public);
    let request = client.http.0.request(method, url).body("{}");
    request.header("content-type", "application/json")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_place_lets_in() {
    let gateway = described::gateway(&auth()).await;
    let client = &gateway.client;
    let url = format!("{}/openapi.json", client.public);
    let document = client.send(client.http.0.get(url)).await.json();
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    let described: Vec<_> = schemes.keys().map(String::as_str).collect();
    let expected = [
        "bearer",
        "cookie-sid",
        "header-x-api-key",
        "header-x-shop-shop",
        "query-access_key",
        "ticket",
    ];
    assert_eq!(described, expected);
    let mut refused = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let nobody = client.send(request(client, method, path)).await;
            let Some(ways) = operation["security"].as_array() else {
                assert_eq!(nobody.status, StatusCode::OK, "{method} {path}");
                continue;
            };
            if nobody.status == StatusCode::UNAUTHORIZED {
                refused.insert(path.clone());
            }
            let names = ways.iter().flat_map(|way| way.as_object().unwrap().keys());
            let mut names: Vec<_> = names.filter(|name| *name != "ticket").collect();
            names.sort_unstable();
            assert_eq!(names, expected[..5], "{method} {path}");
            for name in names {
                let shown = show(request(client, method, path), &schemes[name]);
                let answer = client.send(shown).await;
                let is_in = answer.status != StatusCode::UNAUTHORIZED;
                assert!(is_in, "{name} at {method} {path}: {answer:?}");
            }
        }
    }
    for path in [
        "/v1/session",
        "/v1/poll",
        "/v1/streams/{module}",
        "/api/commission/list",
    ] {
        assert!(refused.contains(path), "{path}: {refused:?}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_named_for_streams_of_flags_alone() {
    let gateway = described::gateway(&auth()).await;
    let client = &gateway.client;
    let url = format!("{}/openapi.json", client.public);
    let document = client.send(client.http.0.get(url)).await.json();
    let ticket = &document["components"]["securitySchemes"]["ticket"];
    assert_eq!(
        (&ticket["in"], &ticket["name"]),
        (&json!("query"), &json!("ticket"))
    );
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let ways = operation["security"].as_array();
            let takes_it = ways.is_some_and(|ways| ways.contains(&json!({"ticket": []})));
            assert_eq!(
                takes_it,
                path == "/ofrep/v1/sse" && method == "get",
                "{path}"
            );
        }
    }
    let body = json!({"context": {"targetingKey": "shop"}});
    let asked = request(client, "post", "/ofrep/v1/evaluate/flags").bearer_auth(KEY);
    let told = client.send(asked.body(body.to_string())).await;
    assert_eq!(told.status, StatusCode::OK, "{told:?}");
    let told = told.json();
    let address = told["eventStreams"][0]["endpoint"]["requestUri"]
        .as_str()
        .unwrap();
    assert!(address.contains("&ticket="), "{address}");
    let opened = client.send(request(client, "get", address)).await;
    assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
    gateway.stop().await;
}
