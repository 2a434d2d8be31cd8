use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const SINCE: HeaderName = HeaderName::from_static("x-since");

fn fields() -> Fields {
    Fields {
        cursor: Some(Source::Query("since".into())),
        kind: CursorKind::Position,
        audience: Some(Source::Query("uid".into())),
        always: Audiences::everyone(),
        audience_bytes: 8,
        client: Some(Source::Path("who".into())),
        limit: Some(Source::Query("size".into())),
        default_limit: 10,
        wait: Wait::default(),
        max_limit: 20,
    }
}

fn by_query(fields: &Fields, query: &str) -> Result<(Asked, Vec<String>, u32), Failure> {
    let headers = HeaderMap::new();
    let parts = Parts {
        query: Some(query),
        headers: &headers,
        captures: Some(&[]),
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
    assert_eq!(read.0.position, Position::new(1));
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

#[test]
fn positions_are_digits_within_63_bits() {
    let position = |text: &str| {
        let read = by_query(&fields(), &format!("since={text}"));
        read.ok().map(|read| read.0.position.get())
    };
    assert_eq!(position("0"), Some(0));
    assert_eq!(position("007"), Some(7));
    assert_eq!(
        position("9223372036854775807"),
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
        assert_eq!(position(refused), None, "{refused}");
    }
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
            captures: Some(&[]),
        };
        fields
            .read(&parts)
            .map(|request| request.asked.position.get())
    };
    assert_eq!(read(b"7"), Ok(7));
    assert_eq!(read(b""), Ok(0));
    assert!(read(b"%37").is_err());
    let refused = read(b"\xff").unwrap_err();
    assert_eq!(refused.message(), "cursor: must be UTF-8");
}

#[test]
fn the_client_is_the_configured_one_else_the_audience_and_never_everyone() {
    let headers = HeaderMap::new();
    let id = |query, captures: &[(&str, &str)]| {
        let parts = Parts {
            query: Some(query),
            headers: &headers,
            captures: Some(captures),
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
        captures: None,
    };
    let refused = fields().read(&parts).unwrap_err();
    assert_eq!(refused.message(), "client: must be UTF-8");
}
