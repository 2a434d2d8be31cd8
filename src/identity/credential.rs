//! Finding a credential in a request.
//!
//! Invariant: of a credential that stands there several times none is taken: a proxy that adds one must not be outdone by the client.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode;

use super::{Asking, Place};
use crate::config::auth::CredentialPlace;

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Nothing.
    Nothing,
    /// A credential.
    One(Cow<'a, [u8]>),
    /// Several, or one that is too long to be one.
    Unclear,
}

/// The longest credential.
const MAX_BYTES: usize = 16 * 1024;

/// What stands at a place of a request.
pub(super) fn find<'a>(place: &CredentialPlace, asking: &Asking<'a>) -> Found<'a> {
    let found = match place {
        CredentialPlace::Header(name) => header(asking.headers, name),
        CredentialPlace::Scheme(name, scheme) => behind(header(asking.headers, name), scheme),
        CredentialPlace::Cookie(name) => cookie(asking.headers, name),
        CredentialPlace::Query(name) => parameter(asking.query.unwrap_or_default(), name),
    };
    match found {
        Found::One(credential) if credential.is_empty() => Found::Nothing,
        Found::One(credential) if credential.len() > MAX_BYTES => Found::Unclear,
        found => found,
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Found<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Found::Nothing,
        (Some(value), None) => Found::One(Cow::Borrowed(value.as_bytes())),
        (Some(_), Some(_)) => Found::Unclear,
    }
}

/// What stands behind a scheme, which is written in any case. Another scheme is nobody's credential here.
fn behind<'a>(found: Found<'a>, scheme: &str) -> Found<'a> {
    let Found::One(Cow::Borrowed(value)) = found else {
        return found;
    };
    match value.split_at_checked(scheme.len()) {
        Some((word, rest))
            if word.eq_ignore_ascii_case(scheme.as_bytes()) && rest.starts_with(b" ") =>
        {
            Found::One(Cow::Borrowed(rest.trim_ascii()))
        }
        _ => Found::Nothing,
    }
}

/// The first cookie of a name, as servers take it (RFC 6265, section 5.4).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Found<'a> {
    let all = headers.get_all(header::COOKIE).iter();
    let mut pairs = all.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let found = pairs.find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        (pair[..at].trim_ascii() == name.as_bytes()).then(|| pair[at + 1..].trim_ascii())
    });
    found.map_or(Found::Nothing, |value| Found::One(Cow::Borrowed(value)))
}

fn parameter<'a>(query: &'a str, name: &str) -> Found<'a> {
    let named = |pair: &'a str| {
        let (key, value) = pair.split_once('=')?;
        let key: Cow<'_, [u8]> = percent_decode(key.as_bytes()).into();
        (*key == *name.as_bytes()).then_some(value)
    };
    let mut values = query.split('&').filter_map(named);
    match (values.next(), values.next()) {
        (None, _) => Found::Nothing,
        (Some(value), None) => Found::One(percent_decode(value.as_bytes()).into()),
        (Some(_), Some(_)) => Found::Unclear,
    }
}

/// What of a place is shown to somebody else who knows what it means: its header as it came, or its cookie.
pub(super) fn whole<'a>(place: &CredentialPlace, asking: &Asking<'a>) -> Found<'a> {
    match place {
        CredentialPlace::Header(name) | CredentialPlace::Scheme(name, _) => {
            header(asking.headers, name)
        }
        CredentialPlace::Cookie(name) => cookie(asking.headers, name),
        CredentialPlace::Query(_) => Found::Nothing,
    }
}

/// As answers and descriptions tell it.
pub(super) fn told(place: &CredentialPlace) -> Place {
    match place {
        CredentialPlace::Scheme(name, scheme) => {
            Place::Scheme(name.clone(), scheme.as_str().into())
        }
        CredentialPlace::Header(name) => Place::Header(name.clone()),
        CredentialPlace::Cookie(name) => Place::Cookie(name.as_str().into()),
        CredentialPlace::Query(name) => Place::Query(name.as_str().into()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn found(place: &CredentialPlace, headers: &[(&str, &str)], query: &str) -> Option<String> {
        let pairs = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        let mut map = HeaderMap::new();
        pairs.for_each(|(name, value)| {
            map.append(name, value);
        });
        let address = "127.0.0.1".parse().unwrap();
        let asking = Asking {
            headers: &map,
            query: Some(query),
            peer: address,
            address,
        };
        match find(place, &asking) {
            Found::Nothing => None,
            Found::One(value) => Some(String::from_utf8_lossy(&value).into_owned()),
            Found::Unclear => Some("unclear".to_owned()),
        }
    }

    #[test]
    fn a_credential_is_found_where_it_stands() {
        let bearer = CredentialPlace::bearer();
        let key = CredentialPlace::Header(HeaderName::from_static("x-key"));
        let cookie = CredentialPlace::Cookie("sid".to_owned());
        let query = CredentialPlace::Query("token".to_owned());
        let auth = "Authorization";
        for (place, headers, given, wanted) in [
            (&bearer, vec![], "", None),
            (&bearer, vec![(auth, "Bearer a.b")], "", Some("a.b")),
            (&bearer, vec![(auth, "bEARER  a.b ")], "", Some("a.b")),
            (&bearer, vec![(auth, "Bearer")], "", None),
            (&bearer, vec![(auth, "Bearer ")], "", None),
            (&bearer, vec![(auth, "Bearera")], "", None),
            (&bearer, vec![(auth, "Basic a.b")], "", None),
            (
                &bearer,
                vec![(auth, "Bearer a"), (auth, "Bearer b")],
                "",
                Some("unclear"),
            ),
            (&key, vec![("X-Key", "k 1")], "", Some("k 1")),
            (&key, vec![("X-Key", "")], "", None),
            (
                &cookie,
                vec![("Cookie", "a=b; sid=x=1;sid=y")],
                "",
                Some("x=1"),
            ),
            (
                &cookie,
                vec![("Cookie", "a=b"), ("Cookie", " sid = x")],
                "",
                Some("x"),
            ),
            (&cookie, vec![("Cookie", "xsid=1; sidx=2; sid")], "", None),
            (&query, vec![], "a=1&t%6Fken=x%2Fy&b", Some("x/y")),
            (&query, vec![], "token=1&token=2", Some("unclear")),
            (&query, vec![], "xtoken=1", None),
        ] {
            assert_eq!(
                found(place, &headers, given).as_deref(),
                wanted,
                "{headers:?} {given}"
            );
        }
        let long = "x".repeat(MAX_BYTES + 1);
        assert_eq!(
            found(&key, &[("X-Key", &long)], "").as_deref(),
            Some("unclear")
        );
    }
}
