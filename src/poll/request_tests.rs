use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::{
    identity::{Caller, Claim, ClientIds, testing::caller},
    poll::content::Content,
};

const SINCE: HeaderName = HeaderName::from_static("x-since");

fn fields() -> Fields {
    Fields {
        cursor: Some(Source::Query("since".into())),
        kind: CursorKind::Position,
        audience: Some(Source::Query("uid".into())),
        claim: None,
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
        peer: None,
        address: None,
        captures: Some(&[]),
        body: &Content::Absent,
    };
    let request = fields.read(&parts, &Who::Open)?;
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
            peer: None,
            address: None,
            captures: Some(&[]),
            body: &Content::Absent,
        };
        fields
            .read(&parts, &Who::Open)
            .map(|request| position(request.asked))
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
            peer: None,
            address: None,
            captures: Some(captures),
            body: &Content::Absent,
        };
        fields()
            .read(&parts, &Who::Open)
            .unwrap()
            .client_id()
            .to_owned()
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
        peer: None,
        address: None,
        captures: None,
        body: &Content::Absent,
    };
    let refused = fields().read(&parts, &Who::Open).unwrap_err();
    assert_eq!(
        refused.message(),
        "client (path segment who): must be UTF-8"
    );
}

/// A caller of this id that has these audiences, and this agent by its credential.
fn known(audiences: &[&str], client_ids: ClientIds, agent: Option<&str>) -> Who {
    let claim = |name: &str, value: &str| Claim {
        name: name.into(),
        value: value.into(),
    };
    Who::Known(Arc::new(Caller {
        client_ids,
        claims: [claim("sub", "u1"), claim("long", "123456789")].into(),
        agent: agent.map(Into::into),
        ..caller("u1", audiences)
    }))
}

/// The audiences, the client and its agent that a request of a caller is read as.
fn asked_by(
    who: &Who,
    fields: &Fields,
    query: &str,
) -> Result<(Vec<String>, String, String), Failure> {
    let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("shop/1"))]);
    let parts = Parts {
        query: Some(query),
        headers: &headers,
        peer: None,
        address: None,
        captures: Some(&[]),
        body: &Content::Absent,
    };
    let request = fields.read(&parts, who)?;
    let client = request.client(&parts);
    let audiences = client.audiences.iter().map(ToString::to_string).collect();
    let agent = String::from_utf8(client.agent.to_vec()).unwrap();
    Ok((audiences, client.id.to_owned(), agent))
}

fn refused<T>(refused: Refused) -> Result<T, Failure> {
    Err(Failure::Refused(refused))
}

#[test]
fn a_caller_names_none_but_its_own() {
    let client = Some(Source::Query("client".into()));
    let fields = Fields { client, ..fields() };
    let own = known(&["u1", "u10"], ClientIds::Own, None);
    let read = |query| asked_by(&own, &fields, query);
    let is = |audiences: &[&str], client: &str, agent: &str| {
        let audiences = audiences.iter().map(ToString::to_string).collect();
        Ok((audiences, client.to_owned(), agent.to_owned()))
    };
    assert_eq!(read("uid=u1"), is(&["*", "u1"], "u1", "shop/1"));
    assert_eq!(read("uid=u10&client=u1"), is(&["*", "u10"], "u1", "shop/1"));
    assert_eq!(
        read(""),
        is(&["*"], "u1", "shop/1"),
        "as before anybody was asked"
    );
    assert_eq!(read("uid=*"), is(&["*"], "u1", "shop/1"));
    for other in ["uid=u", "uid=u2", "uid=U1", "uid=u1+", "uid=u100"] {
        assert_eq!(read(other), refused(Refused::NotItsAudience), "{other}");
    }
    assert_eq!(read("uid=u1&client=u2"), refused(Refused::NotItsClient));
    let any = known(&["u1"], ClientIds::Any, Some("desk/2"));
    let read = asked_by(&any, &fields, "uid=u1&client=u2");
    assert_eq!(read, is(&["*", "u1"], "u2", "desk/2"));
}

#[test]
fn what_is_configured_or_claimed_has_to_be_the_callers_too() {
    let who = known(&["u1"], ClientIds::Own, None);
    let audiences = |fields: &Fields| {
        let read = asked_by(&who, fields, "uid=u2");
        read.map(|(audiences, ..)| audiences.join(" "))
    };
    let claims = |name: &str| Fields {
        claim: Some(name.into()),
        audience: None,
        ..fields()
    };
    assert_eq!(audiences(&claims("sub")), Ok("* u1".to_owned()));
    assert_eq!(audiences(&claims("other")), Ok("*".to_owned()));
    assert_eq!(audiences(&claims("long")), refused(Refused::NotItsAudience));
    let constant = |own: &str| Fields {
        audience: None,
        always: Audiences::with(Audience::everyone(), Audience::stored(own)),
        ..fields()
    };
    assert_eq!(audiences(&constant("u1")), Ok("* u1".to_owned()));
    assert_eq!(audiences(&constant("u2")), refused(Refused::NotItsAudience));
}
