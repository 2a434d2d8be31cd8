use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::poll::content::Content;

const SINCE: HeaderName = HeaderName::from_static("x-since");

fn fields() -> Fields {
    Fields {
        cursor: Some(Source::Query("since".into())),
        kind: CursorKind::Position,
        audience: Some(Source::Query("uid".into())),
        always: Audiences::everyone(),
        audience_bytes: 8,
        client: Some(Source::Path("who".into())),
        agent: None,
        limit: Some(Source::Query("size".into())),
        default_limit: 10,
        wait: Wait::default(),
        max_limit: 20,
        compat: None,
    }
}

fn by_query(fields: &Fields, query: &str) -> Result<(Asked, Vec<String>, u32), Failure> {
    let headers = HeaderMap::new();
    let parts = Parts {
        query: Some(query),
        headers: &headers,
        address: None,
        captures: Some(&[]),
        body: &Content::Absent,
    };
    let request = fields.read(&parts)?;
    let audiences = request.audiences.as_slice().iter();
    let audiences = audiences.map(ToString::to_string).collect();
    Ok((request.asked, audiences, request.limit))
}

#[test]
fn what_is_absent_or_empty_has_its_default() {
    for query in [
        "",
        "since=&uid=&size=",
        "since&uid&size",
        "&&=&",
        "sinc=5&sincee=6",
    ] {
        let expected = (Asked::BEGINNING, vec!["*".to_owned()], 10);
        assert_eq!(by_query(&fields(), query), Ok(expected), "{query}");
    }
}

#[test]
fn the_first_of_several_counts() {
    let read = by_query(&fields(), "uid=a&since=1&since=2&uid=b").unwrap();
    assert_eq!(position(read.0), 1);
    assert_eq!(read.1, ["*", "a"]);
}

#[test]
fn asking_for_everyone_asks_once() {
    let read = by_query(&fields(), "uid=*").unwrap();
    assert_eq!(read.1, ["*"]);
}

#[test]
fn a_constant_audience_is_always_there() {
    let own = Audience::stored("shop");
    let fields = Fields {
        audience: None,
        always: Audiences::with(Audience::everyone(), own),
        ..fields()
    };
    assert_eq!(by_query(&fields, "uid=other").unwrap().1, ["*", "shop"]);
}

fn position(asked: Asked) -> u64 {
    match asked {
        Asked::After(since) => since.position.get(),
        Asked::From { .. } => panic!("a time"),
    }
}

#[test]
fn positions_are_digits_within_63_bits() {
    let asked = |text: &str| {
        let read = by_query(&fields(), &format!("since={text}"));
        read.ok().map(|read| position(read.0))
    };
    assert_eq!(asked("0"), Some(0));
    assert_eq!(asked("007"), Some(7));
    assert_eq!(
        asked("9223372036854775807"),
        Some(9_223_372_036_854_775_807)
    );
    for refused in [
        "9223372036854775808",
        "99999999999999999999999",
        "%2B1",
        "-0",
        "1e3",
        "0x1",
        "1_000",
        "%201",
        "١",
    ] {
        assert_eq!(asked(refused), None, "{refused}");
    }
}

#[test]
fn times_count_in_the_ticks_of_their_kind() {
    let from = |kind, text: &str| {
        let fields = Fields { kind, ..fields() };
        by_query(&fields, &format!("since={text}")).map(|read| read.0)
    };
    let second = |at| Asked::From {
        at: Micros::new(at),
        tick: Tick::SECOND,
    };
    let millisecond = |at| Asked::From {
        at: Micros::new(at),
        tick: Tick::MILLISECOND,
    };
    assert_eq!(from(CursorKind::TimestampS, "12"), Ok(second(12_000_000)));
    assert_eq!(from(CursorKind::TimestampS, ""), Ok(second(0)));
    assert_eq!(from(CursorKind::TimestampMs, "12"), Ok(millisecond(12_000)));
    let unencoded = from(CursorKind::Rfc3339, "1970-01-01T01:00:00.0129+01:00");
    assert_eq!(unencoded, Ok(millisecond(12_000)));
    let refused = from(CursorKind::Rfc3339, "yesterday").unwrap_err();
    assert!(
        refused
            .message()
            .starts_with("cursor (query parameter since): must be an RFC 3339 time")
    );
}

#[test]
fn tokens_carry_their_epoch() {
    let fields = Fields {
        kind: CursorKind::Token,
        ..fields()
    };
    let read = by_query(&fields, "since=00000002_000000000000000a").unwrap();
    let cursor = Cursor::new(crate::domain::Epoch::new(2), Position::new(10));
    assert_eq!(read.0, Asked::from(cursor));
    assert!(by_query(&fields, "since=10").is_err());
}

#[test]
fn headers_are_not_percent_decoded_and_must_be_utf8() {
    let fields = Fields {
        cursor: Some(Source::Header(SINCE)),
        ..fields()
    };
    let read = |bytes: &[u8]| {
        let value = HeaderValue::from_bytes(bytes).unwrap();
        let headers = HeaderMap::from_iter([(SINCE, value)]);
        let parts = Parts {
            query: None,
            headers: &headers,
            address: None,
            captures: Some(&[]),
            body: &Content::Absent,
        };
        fields.read(&parts).map(|request| position(request.asked))
    };
    assert_eq!(read(b"7"), Ok(7));
    assert_eq!(read(b""), Ok(0));
    assert!(read(b"%37").is_err());
    let refused = read(b"\xff").unwrap_err();
    assert_eq!(refused.message(), "cursor (header x-since): must be UTF-8");
}

#[test]
fn the_client_is_the_configured_one_else_the_audience_and_never_everyone() {
    let headers = HeaderMap::new();
    let id = |query, captures: &[(&str, &str)]| {
        let parts = Parts {
            query: Some(query),
            headers: &headers,
            address: None,
            captures: Some(captures),
            body: &Content::Absent,
        };
        fields().read(&parts).unwrap().client_id().to_owned()
    };
    assert_eq!(id("uid=a", &[("who", "t1")]), "t1");
    assert_eq!(id("uid=a", &[]), "a");
    assert_eq!(id("uid=*", &[]), "");
    assert_eq!(id("", &[]), "");
}

#[test]
fn a_path_that_is_not_utf8_is_refused() {
    let headers = HeaderMap::new();
    let parts = Parts {
        query: None,
        headers: &headers,
        address: None,
        captures: None,
        body: &Content::Absent,
    };
    let refused = fields().read(&parts).unwrap_err();
    assert_eq!(
        refused.message(),
        "client (path segment who): must be UTF-8"
    );
}
