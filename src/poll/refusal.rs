//! Refusals: the answers of an endpoint to what it cannot serve.
//!
//! Invariant: a refusal is in the endpoint's own words, whatever went wrong, and is counted once.

use std::time::Instant;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::{answer::Endpoint, contract::Contract, failure::Failure};
use crate::{config, domain::Client};

impl Endpoint {
    /// The error envelope for a request that was not, or could not be, read.
    pub fn refuse_unread(&self, failure: &Failure) -> Response<Bytes> {
        let begun = Instant::now();
        match self.contract.called {
            Some(_) => self.refuse(failure, &Client::default(), begun),
            None => self.refuse_unattributed(failure, None, begun),
        }
    }

    /// The error envelope for a request of no known module, which has no stage. `called` is what
    /// the client calls the module.
    pub(super) fn refuse_unattributed(
        &self,
        failure: &Failure,
        called: Option<&str>,
        begun: Instant,
    ) -> Response<Bytes> {
        let envelope = self.contract.refuse_called(failure, called);
        self.wrap(envelope, failure, self.error_headers(), begun)
    }

    /// The error envelope for a client of the module.
    pub(super) fn refuse(
        &self,
        failure: &Failure,
        client: &Client<'_>,
        begun: Instant,
    ) -> Response<Bytes> {
        let mut headers = self.error_headers();
        self.announce(self.evaluate(client), &mut headers);
        self.wrap(self.contract.refuse(failure), failure, headers, begun)
    }

    fn wrap(
        &self,
        (status, body): (StatusCode, Vec<u8>),
        failure: &Failure,
        mut headers: HeaderMap,
        begun: Instant,
    ) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        if let Some(seconds) = failure.retry_after_s(self.retry_after_s) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Failure::Refused(refused) = failure {
            refused.count("legacy");
            let challenge = self.sources.identity.places().challenge(*refused);
            if let Some(challenge) = challenge.filter(|_| status == StatusCode::UNAUTHORIZED) {
                headers.entry(WWW_AUTHENTICATE).or_insert(challenge);
            }
        }
        if *failure == Failure::Method {
            headers.insert(ALLOW, self.allow.clone());
        }
        *response.headers_mut() = headers;
        let bytes = response.body().len();
        self.count(failure.answered(), begun.elapsed(), bytes);
        response
    }

    fn error_headers(&self) -> HeaderMap {
        let mut headers = self.room_for_headers();
        self.contract.wording.error_head(&mut headers);
        headers
    }
}

/// The methods of a path, as `Allow` lists them.
pub(super) fn allow(contract: &Contract) -> HeaderValue {
    let has = |method| contract.allowed.contains(&method);
    let (get, post) = (
        has(config::modules::Method::Get),
        has(config::modules::Method::Post),
    );
    HeaderValue::from_static(match (get, post, has(config::modules::Method::Put)) {
        (true, true, true) => "GET, HEAD, POST, PUT",
        (true, true, false) => "GET, HEAD, POST",
        (true, false, true) => "GET, HEAD, PUT",
        (true, false, false) => "GET, HEAD",
        (false, true, true) => "POST, PUT",
        (false, true, false) => "POST",
        (false, false, _) => "PUT",
    })
}
