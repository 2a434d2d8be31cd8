//! `POST /ofrep/v1/evaluate/flags` without a router: every client asks it again and again, and mostly holds the answer.
//!
//! Invariant: the answer is the one that the router would give. So pages of other origins, which need more headers, go to the
//! router.

use std::sync::Arc;

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
    http::{Method, Request, Response},
};

use super::{
    OfrepState,
    bulk::{self, Asked},
};
use crate::{
    http::public::{
        callers::CallsFrom,
        compression::{Accepted, Compression, Sent},
        native::{self, Endpoint},
        request_body, used,
    },
    telemetry::usage::Meter,
};

/// What answers there.
pub(in crate::http::public) struct Direct {
    state: Arc<OfrepState>,
    meter: Arc<Meter>,
    compression: Compression,
}

impl Direct {
    /// Nothing if pages of other origins may ask.
    pub(in crate::http::public) fn of(
        state: &Arc<OfrepState>,
        compression: Compression,
    ) -> Option<Self> {
        let is_for_pages = !state.bounds.cors_origins.is_empty();
        (!is_for_pages).then(|| Self {
            state: Arc::clone(state),
            meter: state.bounds.usage.of_others(),
            compression,
        })
    }

    /// Whether a request is for it.
    pub(in crate::http::public) fn is_for<B>(request: &Request<B>) -> bool {
        request.uri().path() == bulk::PATH && request.method() == Method::POST
    }

    /// Answers a request from this address.
    pub(in crate::http::public) async fn serve<B>(
        &self,
        request: Request<B>,
        from: CallsFrom,
    ) -> Response<Sent>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let accepted = Accepted::of(&request);
        let (head, body) = request.into_parts();
        let (most, patience) = (
            self.state.settings.body_bytes,
            self.state.bounds.body_patience,
        );
        let asked = Asked {
            headers: &head.headers,
            query: head.uri.query(),
            from: Some(from),
            body: request_body::at_most(body, most, patience).await,
        };
        let mut answer = self.state.bulk(asked).await;
        let (status, bytes) = (answer.status(), answer.body().len());
        Endpoint::Flags.count(status);
        used::add(&self.meter.push.reads, status, bytes, false);
        let vary = self.state.bounds.identity.places().vary();
        native::make_safe(answer.headers_mut(), vary);
        self.compression.of_bytes(accepted, answer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_evaluations_of_all_flags_go_the_short_way() {
        let request = |method: Method, uri: &str| {
            let request = Request::builder().method(method).uri(uri);
            request.body(()).expect("it is a request")
        };
        assert!(Direct::is_for(&request(Method::POST, bulk::PATH)));
        let told = format!("http://gateway{}?flagConfigEtag=a", bulk::PATH);
        assert!(Direct::is_for(&request(Method::POST, &told)));
        assert!(!Direct::is_for(&request(Method::OPTIONS, bulk::PATH)));
        let one = format!("{}/module.commission", bulk::PATH);
        assert!(!Direct::is_for(&request(Method::POST, &one)));
    }
}
