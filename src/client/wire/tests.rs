use std::time::Duration;

use super::*;
use crate::{
    client::{Bookmark, Change, Message, Page, Session, StatePage},
    domain::{Epoch, JsonText, Op, Transport},
};

const EVENT: &str = r#"{"specversion":"1.0","id":"m1/2/42","source":"/changeover/m1","type":"changeover.upsert","subject":"k","time":"2026-11-23T00:00:00.000000Z","datacontenttype":"application/json","sequence":"00009007199254740993","previous":"00000000000000000040","epoch":"2","audience":"u1","later":1,"data":1.10}"#;

fn change(text: &str) -> Result<Change, Unreadable> {
    match Message::parse(text.as_bytes())? {
        Message::Change(_, change) => Ok(change),
        Message::Bookmark(bookmark) => panic!("{bookmark:?}"),
    }
}

#[test]
fn an_event_is_read_as_it_was_written() {
    let read = change(EVENT).unwrap();
    assert_eq!(read.position.get(), 9_007_199_254_740_993);
    assert_eq!((read.previous.get(), read.epoch.get()), (40, 2));
    assert_eq!((read.audience.as_str(), &*read.key), ("u1", "k"));
    assert_eq!(read.value, Some(JsonText::stored("1.10")));
}

#[test]
fn null_is_a_value_and_a_pointer_has_none() {
    let deleted = EVENT.replace("upsert", "delete").replace("1.10", "null");
    let deleted = change(&deleted).unwrap();
    assert_eq!(deleted.op, Op::Delete);
    assert_eq!(deleted.value, Some(JsonText::null()));
    let pointer = EVENT.replace(r#""data":1.10"#, r#""dataref":"/v1/streams/m1?offset=x""#);
    assert_eq!(change(&pointer).unwrap().value, None);
    let page = format!("[{pointer}]");
    Page::of_stream(page.as_bytes(), "00000002_000000000000002a", true).unwrap_err();
}

#[test]
fn what_is_none_of_ours_is_refused() {
    for wrong in [
        "",
        "[]",
        "{}",
        r#"{"specversion":"1.0"}"#,
        &EVENT.replace("changeover.upsert", "changeover.merge"),
        &EVENT.replace("/changeover/m1", "/other"),
        &EVENT.replace("00009007199254740993", "-1"),
        &EVENT.replace(r#""epoch":"2""#, r#""epoch":"4294967296""#),
    ] {
        Message::parse(wrong.as_bytes()).unwrap_err();
    }
}

#[test]
fn a_retained_message_is_read() {
    let text = br#"{"module":"m1","epoch":2,"head":7,"generation":3,"stage_requested":"mirror","stage_effective":"mirror","version":5,"reason":"stage","time":"1970-01-01T00:00:00.000000Z"}"#;
    let read = Message::parse(text).unwrap();
    let expected = Bookmark {
        module: "m1".parse().unwrap(),
        epoch: Epoch::new(2),
        generation: 3,
        version: 5,
    };
    assert_eq!(read, Message::Bookmark(expected));
}

#[test]
fn each_module_of_a_poll_has_its_own_answer() {
    let text = format!(
        r#"{{"modules":{{"a":{{"cursor":"00000002_000000000000002a","changes":[{EVENT}],"has_more":true}},"b":{{"error":"gone","snapshot":null}},"c":{{"error":"unavailable"}}}}}}"#
    );
    let read = Polled::parse(text.as_bytes()).unwrap();
    let Polled::Page(page) = &read["a"] else {
        panic!("{read:?}")
    };
    assert!(page.has_more);
    assert_eq!((page.changes.len(), page.cursor.position.get()), (1, 42));
    assert_eq!((&read["b"], &read["c"]), (&Polled::Gone, &Polled::Failed));
}

#[test]
fn a_session_is_read_and_what_is_not_push_is_poll() {
    let text = r#"{"client_id":"t","expires_at":"2026-11-23T01:00:00.000000Z","next_session_ms":1000,"resync_ms":2000,"mqtt":null,"targets":{"local":{"target":"local","url":"mqtt://h:1883","websocket_url":null,"protocol":"5","client_id":"c","username":null,"password":null,"keep_alive_s":60}},"modules":{"a":{"transport":"push","reason":"stage","topics":["x"],"target":"local","next_poll_ms":null},"b":{"transport":"pull","reason":"stage","topics":[],"target":null,"next_poll_ms":5000}}}"#;
    let read = Session::parse(text.as_bytes()).unwrap();
    let told = |module: &str| &read.modules[module];
    assert_eq!(
        (told("a").transport, told("a").next_poll),
        (Transport::Push, None)
    );
    assert_eq!(told("b").transport, Transport::Poll);
    assert_eq!(told("b").next_poll, Some(Duration::from_secs(5)));
    assert_eq!(read.targets["local"].keep_alive, Duration::from_mins(1));
}

#[test]
fn a_page_of_a_snapshot_is_read() {
    let text = br#"{"cursor":"00000002_000000000000002a","items":[{"key":"k","audience":"*","position":7,"value":{"a":1.10}}],"next":null}"#;
    let read = StatePage::parse(text).unwrap();
    assert_eq!(read.next, None);
    assert_eq!(read.items[0].position.get(), 7);
    assert_eq!(read.items[0].value, Some(JsonText::stored(r#"{"a":1.10}"#)));
}
