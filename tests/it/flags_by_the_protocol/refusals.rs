//! Refusals in the words of the protocol, and what is none of its requests.

use http::{Method, StatusCode};

use super::{ALL, ONE, gateway, of, send};

#[tokio::test]
async fn refusals_are_those_of_the_protocol() {
    let gateway = gateway(&[("ofrep.body_bytes", "1024")]).await;
    let client = &gateway.client;
    let long = "x".repeat(129);
    let context = |members: &str| format!("{{\"context\":{members}}}");
    let missing = "context.targetingKey is missing: it is the id of the client";
    let cases: [(String, u16, &str, &str); 17] = [
        (String::new(), 400, "TARGETING_KEY_MISSING", missing),
        (" \n".to_owned(), 400, "TARGETING_KEY_MISSING", missing),
        ("{}".to_owned(), 400, "TARGETING_KEY_MISSING", missing),
        (context("null"), 400, "TARGETING_KEY_MISSING", missing),
        (context("{}"), 400, "TARGETING_KEY_MISSING", missing),
        (
            context("{\"targetingKey\":\"\"}"),
            400,
            "TARGETING_KEY_MISSING",
            missing,
        ),
        (
            context("{\"targetingKey\":null}"),
            400,
            "TARGETING_KEY_MISSING",
            missing,
        ),
        ("{".to_owned(), 400, "PARSE_ERROR", "the body: "),
        ("[]".to_owned(), 400, "PARSE_ERROR", "must be an object"),
        (
            "{} {}".to_owned(),
            400,
            "PARSE_ERROR",
            "trailing characters",
        ),
        ("\u{feff}{}".to_owned(), 400, "PARSE_ERROR", "the body: "),
        (
            context("[\"t\"]"),
            400,
            "INVALID_CONTEXT",
            "must be an object",
        ),
        (
            context("{\"targetingKey\":5}"),
            400,
            "INVALID_CONTEXT",
            "targetingKey: invalid type",
        ),
        (
            of(&long),
            400,
            "INVALID_CONTEXT",
            "targetingKey: has 129 bytes, at most 128 are allowed",
        ),
        (of("a\nb"), 400, "INVALID_CONTEXT", "control characters"),
        (
            context("{\"targetingKey\":\"t\",\"audience\":\"\"}"),
            400,
            "INVALID_CONTEXT",
            "audience",
        ),
        (
            of(&"x".repeat(1_024)),
            413,
            "GENERAL",
            "the body is too large or broken",
        ),
    ];
    for (body, status, code, says) in &cases {
        for (path, key) in [(ALL, None), (ONE, Some("module.commission"))] {
            let answer = send(client, path, body, &[]).await;
            assert_eq!(answer.status.as_u16(), *status, "{body}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/json");
            let told = answer.json();
            assert_eq!(told["errorCode"], *code, "{body}: {told}");
            assert_eq!(told.get("key").map(|key| key.as_str().unwrap()), key);
            let details = told["errorDetails"].as_str().unwrap();
            assert!(details.contains(says), "{body}: {details}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn there_is_a_flag_for_each_module_and_no_other() {
    let gateway = gateway(&[]).await;
    let client = &gateway.client;
    for key in [
        "module.unknown",
        "commission",
        "module.%FF",
        "modulescommission",
    ] {
        let answer = send(client, &format!("{ALL}/{key}"), &of("t"), &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
        assert_eq!(answer.json()["errorCode"], "FLAG_NOT_FOUND");
        assert!(answer.json()["key"].is_string(), "{answer:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn other_methods_and_addresses_are_problems() {
    let gateway = gateway(&[]).await;
    let client = &gateway.client;
    let long = "x".repeat(129);
    for (method, path) in [
        (Method::GET, ALL),
        (Method::PUT, ONE),
        (Method::POST, "/ofrep/v1/sse"),
    ] {
        let request = client
            .http
            .request(method, format!("{}{path}", client.public));
        let answer = client.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    for query in [
        "",
        "targetingKey=",
        &format!("targetingKey={long}"),
        "targetingKey=t&audience=",
    ] {
        let answer = client
            .send(
                client
                    .http
                    .get(format!("{}/ofrep/v1/sse?{query}", client.public)),
            )
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    gateway.stop().await;
}
