//! What ingest must hold whatever a producer posts.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;

use super::{Media, parse};
use crate::domain::{Limits, ModuleName, NewChange, Op, strangers::Pieces};

const MEDIA: [Media; 5] = [
    Media::Json,
    Media::Lines,
    Media::Event,
    Media::Events,
    Media::BinaryEvent,
];

/// Small enough to be met.
const LIMITS: Limits = Limits {
    audience_bytes: 16,
    key_bytes: 32,
    change_id_bytes: 64,
    value_bytes: 128,
    value_depth: 10,
};

const ATTRIBUTES: [&str; 7] = [
    "ce-specversion",
    "ce-id",
    "ce-source",
    "ce-type",
    "ce-subject",
    "ce-time",
    "ce-audience",
];

/// Reads a body of each kind.
pub fn ingest(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let media = MEDIA[pieces.choice(MEDIA.len())];
    let headers = match media {
        Media::BinaryEvent => headers(&mut pieces),
        _ => HeaderMap::new(),
    };
    let body = pieces.bytes().unwrap_or_default();
    let module: ModuleName = "m1".parse().expect("a name");
    let read = |media, body: &[u8]| parse(&module, media, &headers, body, &LIMITS);
    let changes = match read(media, body) {
        Ok(changes) => changes,
        Err(why) => return assert!(!why.is_empty()),
    };
    let text = std::str::from_utf8(body).expect("only text is read");
    for change in &changes {
        is_within_limits(change, text);
    }
    if media == Media::Lines {
        // The same changes as an array are the same changes.
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let array = format!("[{}]", lines.collect::<Vec<_>>().join(","));
        assert_eq!(read(Media::Json, array.as_bytes()), Ok(changes));
    } else if media == Media::Event {
        let array = format!("[{text}]");
        assert_eq!(read(Media::Events, array.as_bytes()), Ok(changes));
    }
}

fn headers(pieces: &mut Pieces<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in ATTRIBUTES {
        let value = HeaderValue::from_bytes(pieces.bytes().unwrap_or_default());
        if let Ok(value) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

fn is_within_limits(change: &NewChange, body: &str) {
    let NewChange {
        audience,
        key,
        value,
        ..
    } = change;
    NewChange::check_key(key, &LIMITS).expect("a key within its limits");
    if let Some(id) = &change.change_id {
        NewChange::check_change_id(id, &LIMITS).expect("a change id within its limits");
    }
    let audience = audience.as_str();
    assert!((1..=LIMITS.audience_bytes).contains(&audience.len()));
    assert!(!audience.contains(char::is_control));
    let value = value.as_str();
    assert!(value.len() <= LIMITS.value_bytes);
    NewChange::check_value_depth(value, &LIMITS).expect("a value that is not too deep");
    let raw: &RawValue = serde_json::from_str(value).expect("a value is JSON");
    assert_eq!(raw.get(), value, "without anything around it");
    let is_none = value == "null" && change.op == Op::Delete;
    assert!(is_none || body.contains(value), "kept byte for byte");
}
