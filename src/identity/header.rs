//! Callers that a proxy has recognized.
//!
//! Invariant: who is not a proxy names nobody: from elsewhere the header counts as not being there.

use std::sync::Arc;

use http::HeaderName;

use super::{
    Asking, Caller,
    claims::{Headers, Unfit},
    fingerprint::{Fingerprint, Salt},
    granting::Granting,
};
use crate::config::auth::Header;

/// Recognizes what a proxy says.
pub(super) struct HeaderRecognizer {
    settings: Header,
    granting: Granting,
    /// The headers that something is taken from, besides the one that names the caller.
    others: Vec<HeaderName>,
}

impl HeaderRecognizer {
    pub(super) fn new(settings: Header, granting: Granting) -> Self {
        let names = granting.names();
        let others = names.iter().filter(|name| *name != "sub");
        let others = others.filter_map(|name| HeaderName::try_from(name).ok());
        Self {
            others: others.collect(),
            settings,
            granting,
        }
    }

    /// Whether the request comes from a proxy that is believed.
    pub(super) fn believes(&self, asking: &Asking<'_>) -> bool {
        let mut networks = self.settings.networks.iter();
        networks.any(|network| network.contains(asking.peer))
    }

    /// By what this caller is known again.
    pub(super) fn fingerprint(
        &self,
        salt: Salt,
        credential: &[u8],
        asking: &Asking<'_>,
    ) -> Fingerprint {
        let mut showing = salt.begin(self.granting.by()).with(credential);
        for name in &self.others {
            let values = asking.headers.get_all(name);
            showing = showing.count(values.iter().count());
            for value in values {
                showing = showing.with(value.as_bytes());
            }
        }
        showing.done()
    }

    /// Who it is.
    pub(super) fn recognize(
        &self,
        credential: &[u8],
        asking: &Asking<'_>,
    ) -> Result<Arc<Caller>, Unfit> {
        let subject = std::str::from_utf8(credential).map_err(|_| "the header is not UTF-8")?;
        let claims = Headers {
            headers: asking.headers,
            subject: Some(subject),
        };
        self.granting.caller(&claims, &[], None).map(Arc::new)
    }
}
