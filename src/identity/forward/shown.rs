//! What a request shows to the back end, and by what its verdict is remembered.
//!
//! A verdict is about all that was shown, since nobody but the back end knows what it looked at; a place that decides nothing, by the
//! configuration, is shown beside it.
//!
//! Invariants: nothing is shown but the configured places; a header that stands there twice, and what is longer than allowed, is refused unasked;
//! what is known already is recognized without an allocation, so headers are made for the back end alone.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    config::auth::{CredentialPlace, Forward},
    identity::{
        Asking, Refused,
        credential::{self, Found},
        fingerprint::{Fingerprint, Salt, Showing},
    },
};

/// Of a proxy, where the client calls from.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// By what the verdict about a request is remembered, if it brings what decides.
pub(super) fn fingerprint(
    settings: &Forward,
    (salt, by): (Salt, u8),
    asking: &Asking<'_>,
) -> Result<Option<Fingerprint>, Refused> {
    let (mut showing, mut bytes, mut decides) = (salt.begin(by), 0, false);
    for (at, place) in settings.decides.iter().enumerate() {
        if let Some(value) = standing(place, asking)? {
            (bytes, decides) = (bytes + length(place, &value), true);
            showing = showing.count(at).with(&value);
        }
    }
    if !decides {
        return Ok(None);
    }
    if settings.decides.len() < settings.shows.len() {
        bytes = 0;
        for place in &settings.shows {
            bytes += standing(place, asking)?.map_or(0, |value| length(place, &value));
        }
    }
    if bytes > settings.max_credential_bytes {
        return Err(Refused::NotAccepted);
    }
    if settings.forward_address {
        // Who it is may depend on it, so it is a part of what the verdict is about.
        showing = with_address(showing, asking.address);
    }
    Ok(Some(showing.done()))
}

/// What the back end is shown of a request that has a fingerprint.
pub(super) fn headers(settings: &Forward, asking: &Asking<'_>) -> Result<HeaderMap, Refused> {
    let mut headers = HeaderMap::new();
    let mut cookies = Vec::new();
    for place in &settings.shows {
        let Some(value) = standing(place, asking)? else {
            continue;
        };
        match place {
            CredentialPlace::Cookie(name) => {
                let between: &[u8] = if cookies.is_empty() { b"" } else { b"; " };
                cookies.extend([between, name.as_bytes(), b"=", &value].concat());
            }
            CredentialPlace::Header(name) | CredentialPlace::Scheme(name, _) => {
                headers.insert(name, readable(&value)?);
            }
            CredentialPlace::Query(_) => {}
        }
    }
    if !cookies.is_empty() {
        headers.insert(header::COOKIE, readable(&cookies)?);
    }
    if settings.forward_address {
        let address = asking.address.to_string();
        headers.insert(FORWARDED_FOR, readable(address.as_bytes())?);
    }
    Ok(headers)
}

/// What stands at a place, if anything does.
fn standing<'a>(
    place: &CredentialPlace,
    asking: &Asking<'a>,
) -> Result<Option<Cow<'a, [u8]>>, Refused> {
    match credential::whole(place, asking) {
        Found::Nothing => Ok(None),
        Found::One(value) => Ok(Some(value)),
        Found::Unclear => Err(Refused::NotAccepted),
    }
}

/// How much of a header it takes.
fn length(place: &CredentialPlace, value: &[u8]) -> usize {
    match place {
        CredentialPlace::Cookie(name) => name.len() + "=; ".len() + value.len(),
        _ => value.len(),
    }
}

fn with_address(showing: Showing, address: IpAddr) -> Showing {
    match address {
        IpAddr::V4(address) => showing.with(&address.octets()),
        IpAddr::V6(address) => showing.with(&address.octets()),
    }
}

/// A part of a header's value may stand in a header too.
fn readable(value: &[u8]) -> Result<HeaderValue, Refused> {
    HeaderValue::from_bytes(value).map_err(|_| Refused::NotAccepted)
}
