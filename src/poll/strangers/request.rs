//! Requests of legacy polls, from each place that values come from.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::COOKIE};

use crate::{
    config::{
        modules::{CursorKind, Place},
        wait::WaitUnit,
    },
    domain::{Limits, Position, strangers::Pieces},
    identity::Who,
    poll::{
        asked::Asked,
        audiences::Audiences,
        content::{BodyKind, Content},
        failure::Failure,
        request::{Fields, Request},
        slots::ErrorSlot,
        source::{Parts, Source, find_in_pairs},
        template::Template,
        time_cursor,
        wait::Wait,
        wording,
    },
};

const PLACES: [Place; 6] = [
    Place::Query,
    Place::Header,
    Place::Path,
    Place::Cookie,
    Place::Form,
    Place::Json,
];

const KINDS: [CursorKind; 7] = [
    CursorKind::Position,
    CursorKind::Token,
    CursorKind::Etag,
    CursorKind::TimestampS,
    CursorKind::TimestampMs,
    CursorKind::Rfc3339,
    CursorKind::None,
];

const PATH: &str = "/{since}/{uid}/{who}/{agent}/{size}/{wait}";
const MOST: u32 = 500;
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Reads a request that says everything in one place, and one that says something in each.
pub fn request(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let place = pieces.choice(PLACES.len() + 1);
    let kind = KINDS[pieces.choice(KINDS.len())];
    let fields = fields(kind, |n| match PLACES.get(place) {
        Some(place) => *place,
        None => PLACES[n % PLACES.len()],
    });
    let query = pieces.text();
    let headers = headers(&mut pieces);
    let segments = pieces.text();
    let body = Bytes::copy_from_slice(pieces.bytes().unwrap_or_default());
    like_others_do(query);

    let names = ["since", "uid", "who", "agent", "size", "wait"];
    let captures: Vec<_> = names.into_iter().zip(segments.split('/')).collect();
    let body_kind = fields.body(None).unwrap_or(Some(BodyKind::Json));
    let content = body_kind.map_or(Ok(Content::Absent), |kind| Content::parse(kind, &body));
    let content = match content {
        Ok(content) => content,
        Err(failure) => return is_told(&failure),
    };
    let parts = Parts {
        query: Some(query),
        headers: &headers,
        peer: None,
        address: None,
        captures: Some(&captures),
        body: &content,
    };
    match fields.read(&parts, &Who::Open) {
        Ok(request) => is_within_bounds(&fields, &request),
        Err(failure) => is_told(&failure),
    }
}

fn fields(kind: CursorKind, place: impl Fn(usize) -> Place) -> Fields {
    let source = |n: usize, name: &str| {
        let place = place(n);
        let pointer = format!("/{name}");
        let name = if place == Place::Json {
            &*pointer
        } else {
            name
        };
        Source::compile(place, name, PATH).ok()
    };
    Fields {
        cursor: source(0, "since"),
        kind,
        audience: source(1, "uid"),
        claim: None,
        always: Audiences::everyone(),
        audience_bytes: Limits::default().audience_bytes,
        client: source(2, "who"),
        agent: source(3, "agent"),
        limit: source(4, "size"),
        default_limit: 100,
        max_limit: MOST,
        wait: Wait {
            source: source(5, "wait"),
            unit: WaitUnit::Milliseconds,
            default: Duration::ZERO,
            max: LONGEST_WAIT,
        },
        compat: None,
    }
}

/// One line of cookies, then one header for each value.
fn headers(pieces: &mut Pieces<'_>) -> HeaderMap {
    let names = ["since", "uid", "who", "agent", "size", "wait"].map(HeaderName::from_static);
    let mut headers = HeaderMap::new();
    let cookies = [COOKIE, COOKIE];
    for name in cookies.into_iter().chain(names) {
        if let Ok(value) = HeaderValue::from_bytes(pieces.bytes().unwrap_or_default()) {
            headers.append(name, value);
        }
    }
    headers
}

fn is_within_bounds(fields: &Fields, request: &Request<'_>) {
    assert!((1..=MOST).contains(&request.limit));
    assert!(request.wait <= LONGEST_WAIT);
    let audiences = request.audiences.as_slice();
    assert!(audiences[0].is_everyone() && audiences.len() <= 2);
    for audience in &audiences[1..] {
        let text = audience.as_str();
        assert!(!text.is_empty() && !audience.is_everyone());
        assert!(text.len() <= fields.audience_bytes && !text.contains(char::is_control));
    }
    match request.asked {
        Asked::After(since) => {
            assert_eq!(Position::from_i64(since.position.as_i64()), since.position);
            let has_no_token = matches!(fields.kind, CursorKind::Position | CursorKind::None);
            assert!(!(has_no_token && since.epoch.is_some()));
        }
        Asked::From { at, tick } => {
            assert_eq!(fields.kind.tick(), Some(tick));
            assert_eq!(tick.begin(at), at);
            assert!(
                time_cursor::parse(&time_cursor::rfc3339_text(at), CursorKind::Rfc3339).is_ok()
            );
        }
    }
}

/// A refusal is a client's fault, and its envelope is JSON that says it.
fn is_told(failure: &Failure) {
    assert!(failure.status().is_client_error(), "{failure:?}");
    let template = r#"{"code":"$status","msg":"$message","m":"$module"}"#;
    let template = Template::<ErrorSlot>::compile(template).expect("this compiles");
    let body = wording::envelope(&template, failure, None);
    let told: serde_json::Value = serde_json::from_slice(&body).expect("an envelope is JSON");
    assert_eq!(told["msg"], *failure.message());
}

/// A query means what it means to everybody else, so that no proxy in front and no server behind reads another audience
/// out of it: where both read a value, it is the same.
fn like_others_do(query: &str) {
    for name in ["since", "uid"] {
        let ours = find_in_pairs(query.as_bytes(), name);
        let mut theirs = url::form_urlencoded::parse(query.as_bytes());
        let theirs = theirs.find(|(key, _)| key == name).map(|(_, value)| value);
        match ours {
            Ok(ours) => assert_eq!(ours, theirs, "{name} of {query:?}"),
            // Where we refuse, they replace.
            Err(_) => assert!(theirs.is_some_and(|value| value.contains('\u{fffd}'))),
        }
    }
}
