//! What the public listener must hold whatever a request says of its origin and of what it has.

use std::{
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::IF_NONE_MATCH};

use serde_json::Value;

pub use super::ofrep::strangers::flags;
use super::{callers::Callers, etag, poll, request_body::taken_apart, session};
use crate::{
    domain::{Network, strangers::Pieces},
    identity::{Who, testing::known},
    mirror::strangers::client_id,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// More lines find nothing that these do not.
const MOST_LINES: usize = 8;

static RANGES: LazyLock<[Network; 3]> = LazyLock::new(|| {
    ["10.0.0.0/8", "::1", "2001:db8::/32"].map(|range| range.parse().expect("a range"))
});

/// The proxies of these ranges, and none.
static CALLERS: LazyLock<[Callers; 2]> =
    LazyLock::new(|| [Callers::behind(RANGES.to_vec()), Callers::default()]);

/// Looks for the client behind proxies, and for a tag in `If-None-Match`.
pub fn forwarded(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let peer = [
        IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)),
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped()),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ][pieces.choice(4)];
    let is_proxy = |address: IpAddr| RANGES.iter().any(|range| range.contains(address));
    let [callers, nobody] = &*CALLERS;
    let mut headers = HeaderMap::new();
    for line in iter::from_fn(|| pieces.bytes()).take(MOST_LINES) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            has_its_tag(&value);
            headers.append(FORWARDED_FOR, value);
        }
    }
    let found = callers.address(peer, &headers);
    assert_eq!(found, found.to_canonical(), "one address has one form");
    if !is_proxy(peer) {
        assert_eq!(found, peer.to_canonical(), "a stranger is not believed");
    } else if !is_proxy(found) {
        // A client may write what it likes before that which the proxies add.
        let mut more = HeaderMap::new();
        more.append(FORWARDED_FOR, HeaderValue::from_static("10.9.9.9, x,"));
        more.extend(
            headers
                .iter()
                .map(|(_, value)| (FORWARDED_FOR, value.clone())),
        );
        assert_eq!(callers.address(peer, &more), found);
    }
    let ours = nobody.address(peer, &headers);
    assert_eq!(ours, peer.to_canonical(), "without proxies nobody is");
}

/// Our own tag is found behind whatever else is sent.
fn has_its_tag(line: &HeaderValue) {
    let mut headers = HeaderMap::new();
    headers.append(IF_NONE_MATCH, line.clone());
    headers.append(IF_NONE_MATCH, HeaderValue::from_static("W/\"a:end\""));
    assert!(etag::matches(&headers, "\"a:end\""));
}

/// Reads the body of `POST /v1/poll`.
pub fn several(input: &[u8]) {
    let Ok(read) = taken_apart::<poll::Request>(input) else {
        return;
    };
    let body = members(input, &["cursors", "wait_ms", "audience"]);
    let cursors = body["cursors"].as_object().expect("cursors by module");
    assert_eq!(read.cursors.len(), cursors.len());
    for (module, cursor) in &read.cursors {
        // What is taken as a cursor is one letter for letter.
        let written = cursor.map(|cursor| cursor.to_string());
        assert_eq!(cursors[module].as_str(), written.as_deref());
    }
    assert_eq!(body["wait_ms"].as_u64().unwrap_or(0), read.wait_ms);
    assert_eq!(body["audience"].as_str(), read.audience.as_deref());
}

/// Reads the body of `POST /v1/session`.
pub fn session(input: &[u8]) {
    let Ok(read) = taken_apart::<session::Request>(input) else {
        return;
    };
    let body = members(input, &["client_id", "agent", "modules", "audience"]);
    let texts = [
        ("client_id", &read.client_id, session::CLIENT_ID_BYTES),
        ("agent", &read.agent, session::AGENT_BYTES),
        ("audience", &read.audience, usize::MAX),
    ];
    for (name, text, most) in texts {
        assert_eq!(body[name].as_str(), text.as_deref());
        let text = text.as_deref().unwrap_or_default();
        let is_taken = session::fits(text, most).is_ok();
        let is_fit = !text.is_empty() && text.len() <= most && !text.contains(char::is_control);
        assert_eq!(is_taken, is_fit);
    }
    let names = read.modules.map(Value::from);
    assert_eq!(names.as_ref().unwrap_or(&Value::Null), &body["modules"]);
    if let Some(said) = read.client_id {
        let borne = KNOWN.client_id(Some((&*said).into()));
        assert_eq!(borne.is_ok(), said == "t1", "a caller bears its own id");
        if session::fits(&said, session::CLIENT_ID_BYTES).is_ok() {
            client_id(&said);
        }
    }
}

/// A caller with one client.
static KNOWN: LazyLock<Who> = LazyLock::new(|| known("t1", &[]));

/// A body that was taken: an object of these members and no other.
fn members(input: &[u8], known: &[&str]) -> Value {
    let body: Value = serde_json::from_slice(input).expect("only JSON is taken");
    let object = body.as_object().expect("only an object is taken");
    assert!(object.keys().all(|key| known.contains(&key.as_str())));
    body
}
