//! gzip for large answers.
//!
//! Invariants: an answer at or below the size costs one comparison and is not touched; nothing
//! that streams, has no body or is asked for by `HEAD` is compressed; a tag of the plain bytes
//! becomes weak.

use std::{convert::Infallible, future::ready};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG},
    },
    middleware::Next,
    response::Response,
};
use http_body_util::{Either, Full};
use tower::{ServiceExt, service_fn};
use tower_http::{
    CompressionLevel,
    compression::{Compression as Gzip, predicate::Predicate},
};

/// The body of an answer: whole in memory, which needs no box, or any other.
pub type Sent = Either<Full<Bytes>, Body>;

/// What is compressed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compression {
    /// Larger answers are; `None` = none.
    above: Option<usize>,
}

/// What a request said about it.
#[derive(Debug)]
pub(super) struct Accepted {
    encodings: Option<HeaderValue>,
    pub(super) is_head: bool,
}

impl Accepted {
    pub(super) fn of<B>(request: &http::Request<B>) -> Self {
        Self {
            encodings: request.headers().get(ACCEPT_ENCODING).cloned(),
            is_head: request.method() == Method::HEAD,
        }
    }
}

impl Compression {
    /// 0 = nothing is compressed.
    pub(super) const fn above(bytes: usize) -> Self {
        Self {
            above: if bytes == 0 { None } else { Some(bytes) },
        }
    }

    /// Hands an answer on that is whole in memory.
    pub(super) async fn of_bytes(
        self,
        accepted: Accepted,
        answer: http::Response<Bytes>,
    ) -> http::Response<Sent> {
        let bytes = answer.body().len();
        if self.above.is_some_and(|above| bytes > above) {
            // Boxed: few answers are so large, and each connection has room for this future.
            let compressed = Box::pin(compress(accepted, answer.map(Body::from)));
            compressed.await.map(Sent::Right)
        } else {
            answer.map(|body| Sent::Left(body.into()))
        }
    }
}

/// The same for routes of which nobody knows what they answer.
pub(super) async fn layer(
    State(compression): State<Compression>,
    request: Request,
    next: Next,
) -> Response {
    let accepted = Accepted::of(&request);
    let answer = next.run(request).await;
    // What has no known size is a stream.
    let bytes = answer.body().size_hint().exact().unwrap_or_default();
    let is_large = |above| bytes > u64::try_from(above).unwrap_or(u64::MAX);
    if compression.above.is_some_and(is_large) {
        compress(accepted, answer).await
    } else {
        answer
    }
}

async fn compress(accepted: Accepted, answer: Response) -> Response {
    if accepted.is_head {
        return answer;
    }
    // The library wraps a service and decides by the request's header: it is shown one, which
    // carries the answer.
    let mut carrier = http::Request::new(answer);
    if let Some(encodings) = accepted.encodings {
        carrier.headers_mut().insert(ACCEPT_ENCODING, encodings);
    }
    let unpack = |carrier: http::Request<Response>| ready(Ok::<_, Infallible>(carrier.into_body()));
    let gzip = Gzip::new(service_fn(unpack))
        .quality(CompressionLevel::Fastest)
        .compress_when(Suitable);
    let Ok(mut answer) = gzip.oneshot(carrier).await;
    if answer.headers().contains_key(CONTENT_ENCODING) {
        weaken_tag(answer.headers_mut());
    }
    answer.map(Body::new)
}

/// What may be compressed once it is large enough.
#[derive(Debug, Clone, Copy)]
struct Suitable;

impl Predicate for Suitable {
    fn should_compress<B: HttpBody>(&self, answer: &http::Response<B>) -> bool {
        let kind = answer.headers().get(CONTENT_TYPE);
        let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
        !is_stream && !bodiless.contains(&answer.status())
    }
}

/// RFC 9110, 8.8.1: a strong tag is of exactly these bytes.
fn weaken_tag(headers: &mut HeaderMap) {
    let Some(tag) = headers
        .get(ETAG)
        .filter(|tag| !tag.as_bytes().starts_with(b"W/"))
    else {
        return;
    };
    let weak = [b"W/", tag.as_bytes()].concat();
    if let Ok(weak) = HeaderValue::from_bytes(&weak) {
        headers.insert(ETAG, weak);
    }
}
