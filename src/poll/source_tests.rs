use http::HeaderValue;
use serde_json::json;

use super::*;

fn place(place: &str, name: &str) -> Source {
    let place = serde_json::from_value(json!(place)).unwrap();
    Source::compile(place, name, "/{name}").unwrap()
}

fn cookie(headers: &[&[u8]], name: &str) -> Result<Option<String>, Unreadable> {
    let headers = headers.iter().map(|value| {
        let value = HeaderValue::from_bytes(value).unwrap();
        (COOKIE, value)
    });
    let mut map = HeaderMap::new();
    headers.for_each(|(name, value)| {
        map.append(name, value);
    });
    find(&place("cookie", name), &map, &Content::Absent)
}

fn find(
    source: &Source,
    headers: &HeaderMap,
    body: &Content,
) -> Result<Option<String>, Unreadable> {
    let parts = Parts {
        query: None,
        headers,
        peer: None,
        address: None,
        captures: None,
        body,
    };
    let found = source.find(&parts)?;
    Ok(found.map(Cow::into_owned))
}

fn in_body(kind: BodyKind, body: &str, source: &Source) -> Result<Option<String>, Unreadable> {
    let body = Content::parse(kind, &body.to_owned().into()).unwrap();
    find(source, &HeaderMap::new(), &body)
}

#[test]
fn cookies_are_pairs_between_semicolons() {
    for (header, value) in [
        ("since=5", Some("5")),
        ("a=1; since=5; b=2", Some("5")),
        ("a=1;since=5", Some("5")),
        ("  since = 5 ;", Some("5")),
        ("since=\"5\"", Some("5")),
        ("since=a=b", Some("a=b")),
        ("since=%35", Some("%35")),
        ("since=5; since=6", Some("5")),
        ("since=", None),
        ("since=\"\"", None),
        ("since", None),
        ("Since=5", None),
        ("xsince=5; sincex=5", None),
        (";;=;=5", None),
    ] {
        let found = cookie(&[header.as_bytes()], "since").unwrap();
        assert_eq!(found.as_deref(), value, "{header}");
    }
}

#[test]
fn several_cookie_headers_are_one_after_the_other() {
    let found = cookie(&[b"a=1", b"since=5", b"since=6"], "since");
    assert_eq!(found.unwrap().as_deref(), Some("5"));
}

#[test]
fn only_the_cookie_that_is_asked_for_must_be_utf8() {
    let found = cookie(&[b"a=\xff; since=5; \xff=1"], "since");
    assert_eq!(found.unwrap().as_deref(), Some("5"));
    assert_eq!(cookie(&[b"since=\xff"], "since"), Err(Unreadable::NotUtf8));
}

#[test]
fn forms_are_read_like_queries() {
    let since = place("form", "since");
    for (form, value) in [
        ("since=5", Some("5")),
        ("a=1&since=a+%C3%A9&b", Some("a \u{e9}")),
        ("sinc%65=5", Some("5")),
        ("since=5&since=6", Some("5")),
        ("since=%zz", Some("%zz")),
        ("since=\u{e9}", Some("\u{e9}")),
        ("since", None),
        ("since=", None),
        ("SINCE=5", None),
        ("{\"since\":5}", None),
    ] {
        let found = in_body(BodyKind::Form, form, &since).unwrap();
        assert_eq!(found.as_deref(), value, "{form}");
    }
    let broken = in_body(BodyKind::Form, "since=%ff", &since);
    assert_eq!(broken, Err(Unreadable::NotUtf8));
}

#[test]
fn json_values_are_strings_or_numbers() {
    let since = place("json", "/a/since");
    for (value, found) in [
        (json!("5"), Ok(Some("5"))),
        (json!(5), Ok(Some("5"))),
        (json!(u64::MAX), Ok(Some("18446744073709551615"))),
        (json!(-1), Ok(Some("-1"))),
        (json!(1.5), Ok(Some("1.5"))),
        (json!(null), Ok(None)),
        (json!(""), Ok(None)),
        (json!(true), Err(Unreadable::Mistyped("a boolean"))),
        (json!([1]), Err(Unreadable::Mistyped("a list"))),
        (json!({}), Err(Unreadable::Mistyped("an object"))),
    ] {
        let body = json!({"a": {"since": value}}).to_string();
        let read = in_body(BodyKind::Json, &body, &since);
        assert_eq!(read, found.map(|text| text.map(str::to_owned)), "{body}");
    }
    for absent in ["{}", "[]", "5", "{\"a\":5}", "{\"since\":5}"] {
        assert_eq!(
            in_body(BodyKind::Json, absent, &since),
            Ok(None),
            "{absent}"
        );
    }
}

#[test]
fn a_json_body_is_read_as_it_is_meant() {
    let since = place("json", "/since");
    for (body, found) in [
        ("\u{feff}{\"since\":5}\r\n", Some("5")),
        ("{\"since\":4,\"since\":5}", Some("5")),
        ("{\"sinc\\u0065\":\"\\u0035\"}", Some("5")),
        (" \r\n ", None),
        ("\u{feff}", None),
        ("null", None),
    ] {
        let read = in_body(BodyKind::Json, body, &since).unwrap();
        assert_eq!(read.as_deref(), found, "{body}");
    }
}

#[test]
fn what_is_no_json_is_refused_however_deep() {
    let deep = ["[", "{\"a\":"].map(|open| open.repeat(30_000));
    let bodies = [
        &*deep[0],
        &deep[1],
        "{",
        "since=5",
        "\"\\ud800\"",
        "{} {}",
        "NaN",
        "1e999",
    ];
    for body in bodies {
        let refused = Content::parse(BodyKind::Json, &body.to_owned().into()).unwrap_err();
        assert_eq!(refused.status(), 400);
        assert!(refused.message().starts_with("body: is not valid JSON: "));
    }
    let invalid = bytes::Bytes::from_static(b"{\"a\":\"\xff\"}");
    Content::parse(BodyKind::Json, &invalid).unwrap_err();
}

#[test]
fn names_are_checked() {
    for (place, name) in [
        (Place::Query, ""),
        (Place::Header, "a b"),
        (Place::Cookie, "a=b"),
        (Place::Cookie, "a;b"),
        (Place::Path, "other"),
        (Place::Json, "since"),
        (Place::Json, "/~"),
    ] {
        assert!(Source::compile(place, name, "/{name}").is_err(), "{name}");
    }
}
