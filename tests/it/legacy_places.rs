//! Each value of a request from each place, and what is said when it is malformed there.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use crate::legacy_gateway::{Answer, Gateway};

/// The values of a request.
const VALUES: [&str; 4] = ["cursor", "audience", "client", "limit"];

/// The places, and what errors call a value there.
const PLACES: [(&str, &str); 6] = [
    ("query", "query parameter x-v"),
    ("header", "header x-v"),
    ("path", "path segment v"),
    ("cookie", "cookie x-v"),
    ("form", "form field x-v"),
    ("json", "JSON /deep/0/x-v"),
];

/// A module whose `value` stands at `place`.
fn contract(value: &str, place: &str) -> String {
    let name = match place {
        "path" => "v",
        "json" => "/deep/0/x-v",
        _ => "x-v",
    };
    let path = if place == "path" {
        "/poll/{v}"
    } else {
        "/poll"
    };
    let mut fields = format!("{value} = {{ in = \"{place}\", name = \"{name}\" }}\n");
    if value != "cursor" {
        fields += "cursor = { in = \"query\", name = \"since\" }\n";
    }
    format!(
        "name = \"m\"\n[poll]\npath = \"{path}\"\nmethods = [\"GET\", \"POST\", \"PUT\"]\n{fields}\
         [poll.response]\nbody = '{{\"n\":\"$count\",\"to\":\"$transport\",\"changes\":\"$changes\"}}'\n\
         item = '\"$key\"'\n"
    )
}

/// A request that holds `text` at `place`.
fn request(method: Method, place: &str, text: &str) -> Request<Body> {
    let encoded = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
    let request = Request::builder().method(method);
    let empty = Body::empty();
    match place {
        "query" => request.uri(format!("/poll?x-v={encoded}")).body(empty),
        "path" => request.uri(format!("/poll/{encoded}")).body(empty),
        "header" => request.uri("/poll").header("X-V", text).body(empty),
        "cookie" => {
            let pairs = format!("a=b; x-v={text}; x-v=other");
            request.uri("/poll").header("cookie", pairs).body(empty)
        }
        "form" => request
            .uri("/poll")
            .body(format!("a=&x-v={encoded}&x-v=other").into()),
        "json" => {
            let body = json!({"deep": [{"x-v": text}]}).to_string();
            request.uri("/poll").body(body.into())
        }
        other => panic!("no place {other}"),
    }
    .unwrap()
}

fn gateway(value: &str, place: &str) -> Gateway {
    let gateway = Gateway::new(&contract(value, place), 10);
    gateway.upsert("*", "a", "1");
    gateway.upsert("u1", "b", "1");
    gateway.upsert("*", "c", "1");
    gateway
}

fn keys(answer: &Answer) -> serde_json::Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["changes"].clone()
}

#[tokio::test]
async fn each_value_comes_from_each_place() {
    for (place, _) in PLACES {
        for (value, text, expected) in [
            ("cursor", "1", json!(["c"])),
            ("audience", "u1", json!(["a", "b", "c"])),
            ("limit", "1", json!(["a"])),
            ("client", "terminal-0001", json!(["a", "c"])),
        ] {
            let gateway = gateway(value, place);
            gateway.set_stage(changeover::domain::Stage::Ramp, 10_000);
            for method in [Method::POST, Method::PUT] {
                let answer = gateway.send(request(method, place, text)).await;
                assert_eq!(keys(&answer), expected, "{value} in {place}");
                // At 100 %, everybody who can be told apart.
                let known = matches!(value, "client" | "audience");
                let transport = if known { "push" } else { "poll" };
                assert_eq!(answer.json()["to"], transport, "{value} in {place}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_malformed_is_named_with_its_place() {
    let long = "u".repeat(65);
    for (place, called) in PLACES {
        for (value, text, why) in [
            (
                "cursor",
                "1e3",
                "must be a whole number from 0 to 9223372036854775807",
            ),
            ("audience", &*long, "has 65 bytes, at most 64 are allowed"),
            ("limit", "0", "must be above 0"),
        ] {
            let answer = gateway(value, place)
                .send(request(Method::POST, place, text))
                .await;
            assert_eq!(answer.status, 400, "{value} in {place}");
            assert_eq!(
                answer.json()["message"],
                format!("{value} ({called}): {why}")
            );
        }
    }
}

#[tokio::test]
async fn json_of_another_type_is_refused_and_null_is_absent() {
    for value in VALUES {
        let gateway = gateway(value, "json");
        for (found, named) in [
            (json!(true), "a boolean"),
            (json!([1]), "a list"),
            (json!({"a": 1}), "an object"),
        ] {
            let body = json!({"deep": [{"x-v": found}]}).to_string();
            let answer = gateway
                .send(Request::post("/poll").body(body.into()).unwrap())
                .await;
            assert_eq!(answer.status, 400, "{value}");
            let message =
                format!("{value} (JSON /deep/0/x-v): must be a string or a number, not {named}");
            assert_eq!(answer.json()["message"], message);
        }
        for body in [
            "{\"deep\":[{\"x-v\":null}]}",
            "{\"deep\":7}",
            "[]",
            "null",
            "",
            " \n",
        ] {
            let answer = gateway
                .send(Request::post("/poll").body(body.into()).unwrap())
                .await;
            assert_eq!(keys(&answer), json!(["a", "c"]), "{value}: {body}");
        }
    }
}

#[tokio::test]
async fn numbers_are_taken_as_they_are_written() {
    let gateway = gateway("cursor", "json");
    for (body, status) in [
        ("1", 200),
        ("\"1\"", 200),
        ("1.0", 400),
        ("-1", 400),
        ("1e400", 400),
    ] {
        let body = format!("{{\"deep\":[{{\"x-v\":{body}}}]}}");
        let answer = gateway
            .send(Request::post("/poll").body(body.clone().into()).unwrap())
            .await;
        assert_eq!(answer.status, status, "{body}");
    }
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    for content_type in ["text/plain", "multipart/form-data", "application/json", ""] {
        for place in ["form", "json"] {
            let mut request = request(Method::POST, place, "1");
            let value = content_type.parse().unwrap();
            request.headers_mut().insert("content-type", value);
            let answer = gateway("cursor", place).send(request).await;
            assert_eq!(keys(&answer), json!(["c"]), "{place} as {content_type}");
        }
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_its_bound() {
    for place in ["form", "json"] {
        let gateway = gateway("cursor", place);
        for (bytes, status) in [(1_000, 200), (1_001, 413)] {
            let (begin, pad) = match place {
                "form" => ("x-v=1&pad=", "x"),
                _ => ("{\"deep\":[{\"x-v\":1}]}", " "),
            };
            let body = begin.to_owned() + &pad.repeat(bytes - begin.len());
            assert_eq!(body.len(), bytes);
            let answer = gateway
                .send(Request::post("/poll").body(body.into()).unwrap())
                .await;
            assert_eq!(answer.status, status, "{place}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_get_without_a_body_holds_no_values() {
    for place in ["form", "json"] {
        let answer = gateway("cursor", place).get("/poll").await;
        assert_eq!(keys(&answer), json!(["a", "c"]));
    }
}

#[tokio::test]
async fn allow_names_the_methods_in_all_combinations() {
    for (methods, allow) in [
        ("\"GET\"", "GET, HEAD"),
        ("\"POST\"", "POST"),
        ("\"PUT\"", "PUT"),
        ("\"POST\", \"GET\"", "GET, HEAD, POST"),
        ("\"PUT\", \"GET\"", "GET, HEAD, PUT"),
        ("\"PUT\", \"POST\"", "POST, PUT"),
        ("\"GET\", \"POST\", \"PUT\"", "GET, HEAD, POST, PUT"),
    ] {
        let toml = contract("cursor", "query");
        let toml = toml.replace("\"GET\", \"POST\", \"PUT\"", methods);
        let gateway = Gateway::new(&toml, 10);
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
            let request = Request::builder().method(method).uri("/poll?x-v=0");
            let answer = gateway.send(request.body(Body::empty()).unwrap()).await;
            let allowed = allow.split(", ").any(|name| name == method);
            assert_eq!(
                answer.status,
                if allowed { 200 } else { 405 },
                "{method} {methods}"
            );
            assert_eq!(answer.header("allow"), (!allowed).then_some(allow));
        }
    }
}
