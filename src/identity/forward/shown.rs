//! What a request shows to the back end, and by what its verdict is remembered.
//!
//! A verdict is about all that was shown, since nobody but the back end knows what it looked at; a place that decides nothing, by the
//! configuration, is shown beside it.
//!
//! Invariants: nothing is shown but the configured places; a header that stands there twice, and what is longer than allowed, is refused unasked.

use http::{HeaderMap, HeaderValue};

use crate::{
    config::auth::Forward,
    identity::{
        Asking, Refused, credential,
        credential::Unclear,
        fingerprint::{Fingerprint, Salt},
    },
};

/// What a request shows to the back end.
pub(in crate::identity) struct Shown {
    pub(super) headers: HeaderMap,
    fingerprint: Fingerprint,
}

impl Shown {
    pub(in crate::identity) const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// What a request shows to the back end, if it brings what decides.
pub(super) fn shown(
    settings: &Forward,
    (salt, place): (Salt, u8),
    asking: &Asking<'_>,
) -> Result<Option<Shown>, Refused> {
    let unclear = |Unclear| Refused::NotAccepted;
    let decides = credential::shown(&settings.decides, asking).map_err(unclear)?;
    let Some(mut decides) = decides else {
        return Ok(None);
    };
    let all = if settings.decides.len() == settings.shows.len() {
        None
    } else {
        credential::shown(&settings.shows, asking).map_err(unclear)?
    };
    let mut headers = all.unwrap_or_else(|| decides.clone());
    let bytes: usize = headers.values().map(HeaderValue::len).sum();
    if bytes > settings.max_credential_bytes {
        return Err(Refused::NotAccepted);
    }
    if settings.forward_address {
        // Who it is may depend on it, so it is a part of what the verdict is about.
        let address = HeaderValue::try_from(asking.address.to_string());
        let address = address.map_err(|_| Refused::NotAccepted)?;
        decides.insert("x-forwarded-for", address.clone());
        headers.insert("x-forwarded-for", address);
    }
    let mut showing = salt.begin(place);
    for (name, value) in &decides {
        showing = showing
            .with(name.as_str().as_bytes())
            .with(value.as_bytes());
    }
    Ok(Some(Shown {
        headers,
        fingerprint: showing.done(),
    }))
}
