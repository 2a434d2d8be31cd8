//! Pages of other origins ask where they may, and read why they are kept out.

use http::{Method, StatusCode};

use super::{ALL, gateway, of, send};

#[tokio::test]
async fn pages_of_other_origins_may_ask_if_configured() {
    let gateway = gateway(&[("server.cors_origins", "[\"https://app.example.com\"]")]).await;
    let client = &gateway.client;
    let origin = ("origin", "https://app.example.com");
    let told = send(client, ALL, &of("t"), &[origin]).await;
    assert_eq!(told.header("access-control-allow-origin"), origin.1);
    let exposed = told.header("access-control-expose-headers");
    assert!(
        exposed.contains("etag") && exposed.contains("retry-after"),
        "{exposed}"
    );
    let asked = "content-type,if-none-match,authorization,x-api-key";
    let preflight = client
        .http
        .request(Method::OPTIONS, format!("{}{ALL}", client.public))
        .header(origin.0, origin.1)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", asked);
    let preflight = client.send(preflight).await;
    assert_eq!(preflight.status, StatusCode::OK, "{preflight:?}");
    let allowed = preflight.header("access-control-allow-headers");
    for header in asked.split(',').chain(["last-event-id"]) {
        assert!(allowed.contains(header), "{allowed}");
    }
    let other = send(
        client,
        ALL,
        &of("t"),
        &[("origin", "https://evil.example.com")],
    )
    .await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let url = format!("{}/ofrep/v1/sse?targetingKey=t", client.public);
    let stream = client.http.get(url).header(origin.0, origin.1).send().await;
    let stream = stream.unwrap();
    let allowed = &stream.headers()["access-control-allow-origin"];
    assert_eq!(allowed, origin.1);
    gateway.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_read_why_they_are_kept_out() {
    let gateway = gateway(&[
        ("server.cors_origins", "[\"https://app.example.com\"]"),
        ("server.max_url_bytes", "256"),
        ("rate.per_address.per_second", "1"),
        ("rate.per_address.burst", "50"),
    ])
    .await;
    let client = &gateway.client;
    let origin = ("origin", "https://app.example.com");
    let long = "x".repeat(300);
    for path in [ALL, "/v1/streams/commission", "/v1/poll"] {
        let path = format!("{path}?x={long}");
        let told = send(client, &path, "{}", &[origin]).await;
        assert_eq!(told.status, StatusCode::URI_TOO_LONG, "{told:?}");
        assert_eq!(told.header("access-control-allow-origin"), origin.1);
    }
    let mut told = send(client, ALL, &of("t"), &[origin]).await;
    for _ in 0..200 {
        told = send(client, ALL, &of("t"), &[origin]).await;
        if told.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS, "{told:?}");
    assert_eq!(told.header("access-control-allow-origin"), origin.1);
    let exposed = told.header("access-control-expose-headers");
    assert!(exposed.contains("retry-after"), "{exposed}");
    // Nobody else reads it, and what no page may read stays so.
    let evil = [("origin", "https://evil.example.com")];
    let other = send(client, &format!("{ALL}?x={long}"), "{}", &evil).await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let other = send(client, &format!("/openapi.json?x={long}"), "", &[origin]).await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    gateway.stop().await;
}
