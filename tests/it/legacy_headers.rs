//! What the headers tell old and new clients, stage by stage.

use changeover::domain::Stage;
use http::Request;

use crate::legacy_gateway::{Answer, Gateway};

const MODULE: &str = r#"
name = "commission"
[poll]
path = "/list"
audience = { in = "query", name = "uid" }
client = { in = "header", name = "X-Terminal" }
cursor = { in = "query", name = "since" }
next_poll_ms = 1000
[poll.response]
body = '{"next":"$next_poll_ms","how":"$transport"}'
[sunset]
at = "2027-01-31T00:00:00Z"
link = "https://example.com/migration"
next_poll_ms = 60000
"#;

async fn poll_as(gateway: &Gateway, terminal: &str) -> Answer {
    let request = Request::get("/list").header("x-terminal", terminal);
    gateway
        .send(request.body(axum::body::Body::empty()).unwrap())
        .await
}

#[tokio::test]
async fn at_mirror_everyone_polls() {
    let gateway = Gateway::new(MODULE, 10);
    let answer = gateway.get("/list").await;
    assert_eq!(answer.header("changeover-stage"), Some("mirror"));
    assert_eq!(answer.header("changeover-transport"), Some("poll"));
    assert_eq!(answer.body, r#"{"next":1000,"how":"poll"}"#);
    for header in ["deprecation", "sunset", "link"] {
        assert_eq!(answer.header(header), None);
    }
}

#[tokio::test]
async fn at_ramp_the_cohort_is_told_to_push() {
    let gateway = Gateway::new(MODULE, 10);
    // terminal-0002 is in from 44 percent on, terminal-0001 from 80.
    gateway.set_stage(Stage::Ramp, 5_000);
    let inside = poll_as(&gateway, "terminal-0002").await;
    assert_eq!(inside.header("changeover-stage"), Some("ramp"));
    assert_eq!(inside.header("changeover-transport"), Some("push"));
    assert_eq!(inside.body, r#"{"next":1000,"how":"push"}"#);
    let outside = poll_as(&gateway, "terminal-0001").await;
    assert_eq!(outside.header("changeover-transport"), Some("poll"));
}

#[tokio::test]
async fn without_a_client_id_the_audience_counts_and_everyone_is_nobody() {
    let gateway = Gateway::new(MODULE, 10);
    gateway.set_stage(Stage::Ramp, 10_000);
    let by_audience = gateway.get("/list?uid=u1").await;
    assert_eq!(by_audience.header("changeover-transport"), Some("push"));
    for anonymous in ["/list", "/list?uid=*"] {
        let answer = gateway.get(anonymous).await;
        assert_eq!(
            answer.header("changeover-transport"),
            Some("poll"),
            "{anonymous}"
        );
    }
}

#[tokio::test]
async fn at_sunset_the_end_is_announced() {
    let gateway = Gateway::new(MODULE, 10);
    gateway.set_stage(Stage::Sunset, 0);
    let answer = gateway.get("/list").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("changeover-transport"), Some("push"));
    assert_eq!(answer.header("deprecation"), Some("@1688169599"));
    assert_eq!(
        answer.header("sunset"),
        Some("Sun, 31 Jan 2027 00:00:00 GMT")
    );
    let links: Vec<_> = answer.headers.get_all("link").iter().collect();
    assert_eq!(
        links,
        [
            r#"<https://example.com/migration>; rel="deprecation"; type="text/html""#,
            r#"<https://example.com/migration>; rel="sunset""#
        ]
    );
    assert_eq!(answer.body, r#"{"next":60000,"how":"push"}"#);
    let refused = gateway.get("/list?since=x").await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.header("deprecation"), Some("@1688169599"));
}

#[tokio::test]
async fn sunset_is_never_before_deprecation() {
    let gateway = Gateway::new(&MODULE.replace("2027-01-31", "2020-01-31"), 10);
    gateway.set_stage(Stage::Sunset, 0);
    let answer = gateway.get("/list").await;
    assert_eq!(answer.header("deprecation"), Some("@1688169599"));
    assert_eq!(
        answer.header("sunset"),
        Some("Fri, 30 Jun 2023 23:59:59 GMT")
    );
}

#[tokio::test]
async fn retired_is_gone_with_a_link_and_can_come_back() {
    let gateway = Gateway::new(MODULE, 10);
    gateway.set_stage(Stage::Retired, 0);
    let answer = gateway.get("/list").await;
    assert_eq!(answer.status, 410);
    assert_eq!(
        answer.body,
        r#"{"code":410,"message":"this endpoint has been retired"}"#
    );
    assert_eq!(answer.header("changeover-stage"), Some("retired"));
    assert!(
        answer
            .header("link")
            .unwrap()
            .contains("https://example.com/migration")
    );
    gateway.set_stage(Stage::Mirror, 0);
    assert_eq!(gateway.get("/list").await.status, 200);
}
