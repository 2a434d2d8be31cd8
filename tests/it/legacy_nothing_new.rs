//! The answer when there is nothing new, and that it leaves no client behind.

use crate::legacy_gateway::Gateway;

const MODULE: &str = r#"
name = "m"
[poll]
path = "/p"
cursor = { in = "query", name = "since" }
audience = { in = "query", name = "uid" }
[poll.response]
body = '{"list":"$changes","since":"$cursor"}'
item = '"$position"'
"#;

fn gateway(lines: &str, tail: usize) -> Gateway {
    Gateway::new(&format!("{MODULE}{lines}"), tail)
}

#[tokio::test]
async fn it_is_used_for_nothing_and_for_nothing_else() {
    let gateway = gateway(
        r#"empty = '{"at":"$cursor","n":"$count","now":"$server_time_ms"}'"#,
        9,
    );
    gateway.upsert("u1", "k", "1");
    let news = gateway.get("/p?uid=u1").await;
    assert_eq!(news.body, r#"{"list":[1],"since":1}"#);
    let nothing = gateway.get("/p?uid=u2").await;
    assert_eq!(nothing.body, r#"{"at":1,"n":0,"now":1767323045678}"#);
    assert_eq!(nothing.status, 200);
}

#[tokio::test]
async fn no_content_has_no_content() {
    for status in [204, 304] {
        let gateway = gateway(&format!("empty_status = {status}"), 9);
        let answer = gateway.get("/p").await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.body, "");
        assert_eq!(answer.header("content-type"), None);
        assert_eq!(answer.header("changeover-transport"), Some("poll"));
    }
    let gateway = gateway("empty = ''\nempty_status = 202", 9);
    let answer = gateway.get("/p").await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (202, ""));
}

#[tokio::test]
async fn a_status_alone_keeps_the_body() {
    let gateway = gateway("empty_status = 404", 9);
    let answer = gateway.get("/p").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.body, r#"{"list":[],"since":0}"#);
}

/// Others get changes, this client none: what has no cursor in it would leave it where it is.
#[tokio::test]
async fn a_quiet_client_is_moved_on_before_its_polls_cost_sql() {
    let gateway = gateway("empty_status = 204", 10);
    let mut since = 0;
    let mut moved = 0;
    for round in 0..100 {
        gateway.upsert("somebody", "k", "1");
        let answer = gateway.get(&format!("/p?uid=quiet&since={since}")).await;
        if answer.status == 200 {
            assert_eq!(
                answer.body,
                format!(r#"{{"list":[],"since":{}}}"#, round + 1)
            );
            since = round + 1;
            moved += 1;
        } else {
            assert_eq!(answer.status, 204);
        }
    }
    assert!((1..=15).contains(&moved), "{moved}");
    assert!(gateway.reads() <= 3 * moved, "{} reads", gateway.reads());
}

#[tokio::test]
async fn a_restart_of_state_is_told_even_if_it_is_empty() {
    let gateway = gateway("empty_status = 204", 10);
    gateway.log.bump_epoch();
    gateway.catch_up();
    let answer = gateway.get("/p?since=5").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, r#"{"list":[],"since":1000000}"#);
}

#[tokio::test]
async fn a_whole_state_may_be_empty_too() {
    let whole = r#"
name = "m"
poll.path = "/p"
poll.cursor.kind = "none"
poll.response.empty_status = 204
"#;
    let gateway = Gateway::new(whole, 10);
    assert_eq!(gateway.get("/p").await.status, 204);
    gateway.upsert("*", "k", "1");
    assert_eq!(gateway.get("/p").await.status, 200);
}
