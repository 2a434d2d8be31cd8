//! What every answer over TLS says: that browsers are to keep to TLS (RFC 6797).

use std::convert::Infallible;

use axum::{
    body::HttpBody,
    http::{HeaderValue, Request, Response, header::STRICT_TRANSPORT_SECURITY},
};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};

/// A service whose answers say this of TLS, if anything is to be said.
pub(super) fn strict<S, B>(
    service: S,
    told: Option<HeaderValue>,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send,
    B: HttpBody,
{
    service_fn(move |request| {
        let (answering, told) = (service.call(request), told.clone());
        async move {
            let mut response = answering.await?;
            if let Some(told) = told {
                let headers = response.headers_mut();
                headers.insert(STRICT_TRANSPORT_SECURITY, told);
            }
            Ok(response)
        }
    })
}
