//! `ETag` and 304: as the cursor itself, and as the hash of a body.

use axum::body::Body;
use changeover::domain::Op;
use http::{Method, Request};

use crate::legacy_gateway::{Answer, Gateway};

const TAGGED: &str = r#"
name = "m"
poll.path = "/p"
poll.methods = ["GET", "POST"]
poll.cursor.kind = "etag"
poll.audience = { in = "query", name = "uid" }
poll.limit = { in = "query", name = "size", default = 2, max = 2 }
poll.response.body = '{"list":"$changes","c":"$cursor","s":"$snapshot"}'
poll.response.item = '"$position"'
"#;

const HASHED: &str = r#"
name = "m"
poll.path = "/p"
poll.methods = ["GET", "POST"]
poll.cursor.name = "since"
poll.response.etag = true
"#;

const WHOLE: &str = r#"
name = "m"
poll.path = "/p"
poll.cursor.kind = "none"
poll.response.body = '{"list":"$changes"}'
poll.response.item = '{"k":"$key","v":"$value"}'
"#;

async fn ask(gateway: &Gateway, method: Method, path: &str, held: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !held.is_empty() {
        request = request.header("if-none-match", held);
    }
    gateway.send(request.body(Body::empty()).unwrap()).await
}

async fn get(gateway: &Gateway, held: &str) -> Answer {
    ask(gateway, Method::GET, "/p", held).await
}

fn tag(position: u64) -> String {
    format!("\"00000001_{position:016x}\"")
}

#[tokio::test]
async fn a_client_that_only_echoes_its_tag_sees_every_change_once() {
    let gateway = Gateway::new(TAGGED, 100);
    let mut seen = Vec::new();
    let mut held = String::new();
    for round in 0..6 {
        for key in 0..round {
            gateway.upsert("*", &format!("k{key}"), "1");
        }
        loop {
            let answer = get(&gateway, &held).await;
            held = answer.header("etag").unwrap().to_owned();
            if answer.status == 304 {
                assert_eq!(answer.body, "");
                assert_eq!(answer.header("content-type"), None);
                assert_eq!(answer.header("changeover-stage"), Some("mirror"));
                break;
            }
            assert_eq!(answer.status, 200);
            let list = answer.json()["list"].clone();
            seen.extend(list.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()));
        }
    }
    assert_eq!(seen, (1..=15).collect::<Vec<_>>());
    assert_eq!(gateway.reads(), 0, "all of it from memory");
}

#[tokio::test]
async fn the_first_answer_has_a_body_also_when_there_is_nothing() {
    let gateway = Gateway::new(TAGGED, 100);
    let answer = get(&gateway, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("etag"), Some(&*tag(0)));
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    assert_eq!(
        answer.body,
        r#"{"list":[],"c":"00000001_0000000000000000","s":false}"#
    );
}

#[tokio::test]
async fn the_tag_moves_on_with_what_others_get() {
    let gateway = Gateway::new(TAGGED, 100);
    gateway.upsert("somebody", "k", "1");
    let answer = get(&gateway, &tag(0)).await;
    assert_eq!(answer.status, 304);
    assert_eq!(answer.header("etag"), Some(&*tag(1)));
}

#[tokio::test]
async fn who_has_left_memory_behind_gets_a_body() {
    let gateway = Gateway::new(TAGGED, 2);
    for key in ["a", "b", "c", "d"] {
        gateway.upsert("somebody", key, "1");
    }
    let answer = get(&gateway, &tag(1)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("etag"), Some(&*tag(4)));
    assert!(gateway.reads() > 0);
    let reads = gateway.reads();
    assert_eq!(get(&gateway, &tag(4)).await.status, 304);
    assert_eq!(gateway.reads(), reads);
}

#[tokio::test]
async fn a_foreign_tag_begins_at_the_beginning_and_is_never_refused() {
    let gateway = Gateway::new(TAGGED, 100);
    gateway.upsert("*", "k", "1");
    for held in ["\"5d8c72a5edda8d6a\"", "*", "W/\"x\", y", "\"", "  "] {
        let answer = get(&gateway, held).await;
        assert_eq!(answer.status, 200, "{held}");
        assert_eq!(answer.json()["list"], serde_json::json!([1]), "{held}");
    }
    let raw = Request::get("/p").header("if-none-match", &b"\xff\xfe"[..]);
    let answer = gateway.send(raw.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_tag_comes_back_in_many_spellings() {
    let gateway = Gateway::new(TAGGED, 100);
    gateway.upsert("*", "a", "1");
    gateway.upsert("*", "b", "1");
    let bare = "00000001_0000000000000001";
    for held in [
        format!("\"{bare}\""),
        format!("W/\"{bare}\""),
        bare.to_owned(),
        format!("\"{bare}-gzip\""),
        format!("\"x\", {}, \"{bare}\"", tag(2)),
    ] {
        let answer = get(&gateway, &held).await;
        assert_eq!(answer.json()["list"], serde_json::json!([2]), "{held}");
    }
}

#[tokio::test]
async fn a_tag_of_before_a_restore_gets_the_state_even_if_that_is_empty() {
    let gateway = Gateway::new(TAGGED, 100);
    gateway.log.bump_epoch();
    gateway.catch_up();
    let answer = get(&gateway, &tag(5)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("etag"), Some("\"00000002_00000000000f4240\""));
    assert_eq!(answer.json()["s"], true);
}

#[tokio::test]
async fn head_says_what_get_says() {
    for (module, held) in [(TAGGED, tag(1)), (HASHED, String::new())] {
        let gateway = Gateway::new(module, 100);
        gateway.upsert("*", "k", "1");
        let got = get(&gateway, "").await;
        let bare = ask(&gateway, Method::HEAD, "/p", "").await;
        assert_eq!(bare.status, got.status);
        assert_eq!(bare.header("etag"), got.header("etag"));
        assert_eq!(bare.body, "");
        let held = if held.is_empty() {
            got.header("etag").unwrap()
        } else {
            &*held
        };
        let bare = ask(&gateway, Method::HEAD, "/p", held).await;
        assert_eq!(bare.status, 304);
    }
}

#[tokio::test]
async fn a_hash_matches_until_the_bytes_change() {
    let gateway = Gateway::new(HASHED, 100);
    let first = get(&gateway, "").await;
    let held = first.header("etag").unwrap().to_owned();
    assert!(held.starts_with('"') && held.len() == 66, "{held}");
    for held in [&held, &format!("W/{held}"), held.trim_matches('"'), "*"] {
        for method in [Method::GET, Method::POST] {
            let answer = ask(&gateway, method, "/p", held).await;
            assert_eq!(answer.status, 304, "{held}");
            assert_eq!(answer.header("etag"), first.header("etag"));
            assert_eq!(answer.body, "");
        }
    }
    // Nothing for this client, but the cursor in the body has moved.
    gateway.upsert("somebody", "k", "1");
    let second = get(&gateway, &held).await;
    assert_eq!(second.status, 200);
    assert_ne!(second.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn errors_and_endpoints_without_the_option_have_no_tag() {
    let gateway = Gateway::new(HASHED, 100);
    let refused = ask(&gateway, Method::GET, "/p?since=x", "*").await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.header("etag"), None);
    let plain = Gateway::new(&HASHED.replace("etag = true", "etag = false"), 100);
    let answer = get(&plain, "*").await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, None));
}

#[tokio::test]
async fn the_whole_state_is_sent_once_until_it_changes() {
    let gateway = Gateway::new(WHOLE, 100);
    gateway.upsert("*", "a", "1");
    let mut held = String::new();
    for (op, key, expected) in [
        (Op::Upsert, "b", 200),
        (Op::Upsert, "b", 304),
        (Op::Delete, "nobody", 304),
        (Op::Delete, "b", 200),
        (Op::Upsert, "a", 304),
    ] {
        gateway.log.commit("*", key, op, "1");
        gateway.catch_up();
        let answer = get(&gateway, &held).await;
        assert_eq!(
            answer.status.as_u16(),
            expected,
            "{op:?} {key}: {}",
            answer.body
        );
        held = answer.header("etag").unwrap().to_owned();
    }
}

#[tokio::test]
async fn a_whole_state_with_the_time_in_it_has_no_tag() {
    let timed = WHOLE.replace("\"list\"", "\"now\":\"$server_time_ms\",\"list\"");
    let gateway = Gateway::new(&timed, 100);
    let answer = get(&gateway, "*").await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, None));
}
